"""How a schema differs from the frozen one, and which values made a column change its type."""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

from collections.abc import Set

import duckdb

from tidemill.api.v1alpha1.datacontract import Severity
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.core.violations import SCHEMA, schema_differences, violation
from tidemill.steps.engine import one, quoted
from tidemill.steps.expectations.question import as_text, examples_of, most_frequent
from tidemill.steps.schema import SQL_TYPES, Schema


def compare(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    schema: Schema,
    anchor: Schema,
    evolution: str,
    sensitive: Set[str],
    rows: int,
) -> tuple[Violation, ...]:
    """The schema violations of a table (SQL); a changed type with the values that do not fit."""
    found = schema_differences(schema, anchor, evolution)
    return tuple(
        _counted(connection, table, schema, anchor, item.column, sensitive, rows)
        if item.reason == "TypeChanged"
        else item
        for item in found
    )


def _counted(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    schema: Schema,
    anchor: Schema,
    name: str,
    sensitive: Set[str],
    rows: int,
) -> Violation:
    column, kind = quoted(name), schema[name]
    # By way of text: whatever the two types are, what fits both looks the same in both.
    unfit = f"{column} IS NOT NULL AND TRY_CAST({_text(name, schema)} AS {SQL_TYPES[anchor[name]]})"
    unfit = f"{unfit} IS NULL"
    (count,) = one(connection, f"SELECT count(*) FILTER (WHERE {unfit}) FROM {table}")
    examples: list[str] = []
    if count and name not in sensitive:
        examples = examples_of(connection, most_frequent(_text(name, schema), unfit, table))
    return violation(
        SCHEMA,
        SCHEMA,
        "TypeChanged",
        severity=Severity.FAIL,
        column=name,
        expected=anchor[name].value,
        observed=kind.value,
        count=count or None,
        rows=rows,
        examples=examples,
    )


def _text(name: str, schema: Schema) -> str:
    return as_text(name, schema[name])
