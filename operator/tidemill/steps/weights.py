"""The weight column: whether every row has one that can be used."""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

import duckdb

from tidemill.api.v1alpha1.datacontract import Severity
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.core.violations import violation
from tidemill.steps.engine import one, quoted

NAME = "Weight"
"""The name of a violation that a read finds by itself: rows whose weight cannot be used."""


def check_weights(
    connection: duckdb.DuckDBPyConnection, table: str, spec: DatasetSpec, rows: int
) -> tuple[Violation, ...]:
    """A Fail violation if rows of a table (SQL) have no weight, or one below 0.

    A weight that is missing cannot be told from one that was lost; a row that shall not count
    says so by 0.
    """
    name = spec.columns.weight
    if name is None:
        return ()
    column = quoted(name)
    counts = f"count(*) FILTER ({column} IS NULL), count(*) FILTER ({column} < 0)"
    missing, negative = one(connection, f"SELECT {counts} FROM {table}")
    found = []
    for count, reason, what in (
        (missing, "Incomplete", "missing ones"),
        (negative, "OutOfRange", "negative ones"),
    ):
        if count:
            found.append(
                violation(
                    NAME,
                    NAME,
                    reason,
                    severity=Severity.FAIL,
                    column=name,
                    expected="a weight of 0 or more in every row",
                    observed=what,
                    count=count,
                    rows=rows,
                )
            )
    return tuple(found)
