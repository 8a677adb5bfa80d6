"""Which rows have a final label, and where validation and test begin.

Times are UTC: in the data without a zone, in documents as RFC 3339 with a Z.
"""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import floor

import duckdb

from tidemill.api.v1alpha1.datacolumns import AbsentLabel, Split
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import DataWindow
from tidemill.steps.engine import one, quoted, text
from tidemill.steps.failures import StepError
from tidemill.steps.schema import NUMERIC, ColumnType

_INSTANT = timedelta(microseconds=1)


def rfc3339(moment: datetime) -> str:
    """Format a time; one without a zone is UTC. Fractions of a second only where there are any."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat().replace("+00:00", "Z")


def naive(written: str) -> datetime:
    """Read an RFC 3339 time as the data hold it: UTC without a zone."""
    moment = datetime.fromisoformat(written)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def timestamp(moment: datetime) -> str:
    """A time in SQL."""
    return f"CAST({text(moment.isoformat(sep=' '))} AS TIMESTAMP)"


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How a label column becomes yes, no or nothing."""

    name: str
    positive: str
    """The value that counts as yes, as text: the greater one of two."""
    sql: str
    """SQL: 1, 0, or NULL where there is no label."""


def label_rule(
    connection: duckdb.DuckDBPyConnection, table: str, spec: DatasetSpec, kind: ColumnType
) -> LabelRule:
    """Find the label's two values. Raises LabelNotBinary if there are more."""
    label = spec.columns.label
    column = quoted(label.name)
    query = (
        f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"
        f" ORDER BY {column} LIMIT 4"
    )
    values = [row[0] for row in connection.execute(query).fetchall()]
    if len(values) > 2:
        shown = ", ".join(repr(str(value)[:40]) for value in values[:3])
        said = f"label {label.name} has more than two values ({shown}, ...); a classification into"
        raise StepError("LabelNotBinary", f"{said} two classes needs a column with two")
    positive, written = _positive(values, kind)
    absent = "0" if label.absent is AbsentLabel.NEGATIVE else "NULL"
    sql = f"CASE WHEN {column} IS NULL THEN {absent} WHEN {column} = {written} THEN 1 ELSE 0 END"
    return LabelRule(label.name, positive, sql)


def _positive(values: list[object], kind: ColumnType) -> tuple[str, str]:
    """The value that is yes, as text and in SQL. One alone is yes, unless it is 0 or false."""
    if kind is ColumnType.BOOLEAN:
        return "true", "TRUE"
    if kind in NUMERIC:
        greatest = values[-1] if values else 1
        number = 1 if greatest == 0 and len(values) == 1 else greatest
        shown = f"{number:g}" if isinstance(number, float) else str(number)
        return shown, repr(number)
    greatest = values[-1] if values else ""
    shown = str(greatest)
    cast = f" AS {'DATE' if kind is ColumnType.DATE else 'TIMESTAMP'})"
    is_text = kind is ColumnType.STRING
    return shown, text(shown) if is_text else f"CAST({text(shown)}{cast}"


@dataclass(frozen=True, slots=True)
class Labelled:
    """The window of a snapshot, and how many rows have a final label."""

    window: DataWindow
    rows: int
    positive: int


def find_window(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    spec: DatasetSpec,
    rule: LabelRule,
    now: datetime,
) -> Labelled:
    """Find what is mature at `now`, and cut off test and validation. Raises EmptyVersion."""
    moment = quoted(spec.columns.event_time)
    query = f"SELECT min({moment}), max({moment}) FROM {table}"
    start, end = one(connection, query)
    if start is None:
        said = f"no row has a value in the event time column {spec.columns.event_time}"
        raise StepError("EmptyVersion", said)
    cutoff = now - timedelta(seconds=spec.columns.label.mature_after_seconds)
    mature = f"{moment} <= {timestamp(cutoff)}"
    labelled = f"(SELECT {moment} AS t, {rule.sql} AS y FROM {table} WHERE {mature})"
    query = f"SELECT max(t), count(y), COALESCE(sum(y), 0) FROM {labelled}"
    mature_until, rows, positive = one(connection, query)
    if mature_until is None:
        mature_until = start - _INSTANT
    test, validation = _cuts(connection, labelled, rows, spec.split, mature_until)
    window = DataWindow(
        start=rfc3339(start),
        end=rfc3339(end),
        mature_until=rfc3339(mature_until),
        test_start=rfc3339(test),
        validation_start=rfc3339(validation),
    )
    return Labelled(window, rows, int(positive))


def _cuts(
    connection: duckdb.DuckDBPyConnection,
    labelled: str,
    rows: int,
    split: Split,
    mature_until: datetime,
) -> tuple[datetime, datetime]:
    """Where test and validation begin; rows of one instant stay together, in the newer part."""
    after = mature_until + _INSTANT
    test_rows = floor(Decimal(split.test_share) * rows)
    validation_rows = floor(Decimal(split.validation_share) * rows)
    test = _instant(connection, labelled, rows - test_rows) if test_rows else after
    before_test = f"(SELECT * FROM {labelled} WHERE t < {timestamp(test)})"
    (left,) = one(connection, f"SELECT count(y) FROM {before_test}")
    offset = max(left - validation_rows, 0)
    validation = (
        _instant(connection, before_test, offset) if validation_rows and offset < left else test
    )
    return test, validation


def _instant(connection: duckdb.DuckDBPyConnection, labelled: str, place: int) -> datetime:
    query = f"SELECT t FROM {labelled} WHERE y IS NOT NULL ORDER BY t LIMIT 1 OFFSET {place}"
    (moment,) = one(connection, query)
    if not isinstance(moment, datetime):
        raise TypeError(f"an event time is a {type(moment).__name__}")
    return moment
