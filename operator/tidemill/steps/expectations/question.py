"""What one expectation asks of the data, and how the answers are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import narwhals as nw

from tidemill.api.v1alpha1.datacontract import Expectation
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.core.violations import EXAMPLE_LENGTH, EXAMPLES, HIDDEN
from tidemill.steps.engine import quoted, text
from tidemill.steps.schema import ColumnType, Schema

Answers = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What rules may look at besides the expectation."""

    schema: Schema
    anchor: Schema = field(default_factory=dict)
    """The frozen schema; empty before there is one."""
    first: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Column -> the anchor's values as text, for those an expectation takes from there."""
    sensitive: frozenset[str] = frozenset()
    """Columns whose values are never shown."""
    now: datetime
    """When the source is read, UTC without a zone."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Column -> what it is called in the frame: a name of ours, whatever the data call it."""

    def column(self, name: str) -> nw.Expr:
        """A column of the frame."""
        return nw.col(self.places[name])

    def shown(self, name: str, observed: str) -> str:
        """What was observed in a column, unless its values are not to be shown."""
        return HIDDEN if name in self.sensitive else observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What one expectation asks, and how the answers are read."""

    judge: Callable[[Answers, int], Violation | None]
    """Reads the answers; the number is that of all rows."""
    asked: Mapping[str, nw.Expr] = field(default_factory=dict)
    """Answers of the first scan, by name."""
    breaks: str | None = None
    """SQL that is true of a row that breaks it; the answer `breaks` counts them."""
    quartiles_of: str | None = None
    """A column whose first and third quartile are the answers `first` and `third`."""
    groups: tuple[str, ...] = ()
    """Columns of which the answer `groups` counts the different combinations."""
    then: Callable[[Answers], Mapping[str, nw.Expr]] | None = None
    """Answers of the second scan, asked with those before."""
    examples: Callable[[Answers, str], str | None] | None = None
    """SQL of the values of a table (SQL) to show; None: none are to be shown."""


def settled(found: Violation | None) -> Question:
    """A question that needs no data."""
    return Question(judge=lambda _answers, _rows: found)


def column_of(item: Expectation) -> str:
    """The column an expectation is about."""
    return item.column or ""


def as_text(name: str, kind: ColumnType) -> str:
    """SQL of a value as the text a user writes for it: 3, not 3.0, for a whole number."""
    column = quoted(name)
    if kind is ColumnType.NUMBER:
        whole = f"CAST(CAST({column} AS HUGEINT) AS VARCHAR)"
        exact = f"abs({column}) < 1e15 AND {column} = trunc({column})"
        return f"CASE WHEN {exact} THEN {whole} ELSE CAST({column} AS VARCHAR) END"
    return f"CAST({column} AS VARCHAR)"


def rendered(names: tuple[str, ...], schema: Schema) -> str:
    """SQL of some columns of a row as one text, such as `hour=5, carrier=UA`."""
    parts = (f"{text(f'{name}=')} || COALESCE({as_text(name, schema[name])}, '')" for name in names)
    return f"concat_ws(', ', {', '.join(parts)})"


def values_where(value: str, where: str) -> Callable[[Answers, str], str]:
    """Examples: the values (SQL) of the rows that a condition (SQL) holds for."""

    def query(_answers: Answers, table: str) -> str:
        return most_frequent(value, where, table)

    return query


def most_frequent(value: str, where: str, table: str, *, repeated: bool = False) -> str:
    """SQL of the values of the rows a condition holds for, the most frequent first."""
    twice = " HAVING count(*) > 1" if repeated else ""
    return (
        f"SELECT value FROM (SELECT {value} AS value FROM {table} WHERE {where})"  # noqa: S608
        f" WHERE value IS NOT NULL GROUP BY value{twice} ORDER BY count(*) DESC, value"
    )


def examples_of(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    """The first values of a query: as many and as much of each as is shown."""
    shown = f"SELECT left(value, {EXAMPLE_LENGTH + 1}) FROM ({query} LIMIT {EXAMPLES})"  # noqa: S608
    return [row[0] for row in connection.execute(shown).fetchall()]
