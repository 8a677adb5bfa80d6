"""Which rows have a final label, and which are fitted, chosen on and tested.

Times are UTC: in the data without a zone, in documents as RFC 3339 with a Z.
"""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from math import floor

import duckdb

from tidemill.api.v1alpha1.datacolumns import AbsentLabel, Split, SplitBy
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import DataWindow, HashSplit
from tidemill.steps.engine import one, quoted, text
from tidemill.steps.failures import StepError, listing
from tidemill.steps.schema import NUMERIC, ColumnType, Schema

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


class Portion(StrEnum):
    """A part of the rows with a final label."""

    ALL = "All"
    FIT = "Fit"
    VALIDATION = "Validation"
    TEST = "Test"


def where_portion(spec: DatasetSpec, window: DataWindow, schema: Schema, portion: Portion) -> str:
    """SQL: the rows of a portion whose label is final, as a snapshot's window has divided them."""
    moment = quoted(spec.columns.event_time)
    mature = f"{moment} <= {timestamp(naive(window.mature_until))}"
    if portion is Portion.ALL:
        return mature
    if window.hash is not None:
        place, held = bucket(window.hash.columns, schema), window.hash
        test = f"{Decimal(held.test_share)}::DOUBLE"
        both = f"{Decimal(held.test_share) + Decimal(held.validation_share)}::DOUBLE"
        inside = {
            Portion.TEST: f"{place} < {test}",
            Portion.VALIDATION: f"{place} >= {test} AND {place} < {both}",
            Portion.FIT: f"{place} >= {both}",
        }
    else:
        test, validation = (
            timestamp(naive(start or window.end))
            for start in (window.test_start, window.validation_start)
        )
        inside = {
            Portion.TEST: f"{moment} >= {test}",
            Portion.VALIDATION: f"{moment} >= {validation} AND {moment} < {test}",
            Portion.FIT: f"{moment} < {validation}",
        }
    return f"{mature} AND {inside[portion]}"


def bucket(columns: Sequence[str], schema: Schema) -> str:
    """SQL: where in [0, 1) a row belongs by the hash of some columns (see HashSplit).

    Each value is written as text led by its length; whole numbers alike in either type of number,
    times as microseconds since 1970, a missing value as N. Several are joined by |.
    """
    values = " || '|' || ".join(_hashed(name, schema[name]) for name in columns)
    return f"(CAST('0x' || substr(sha256({values}), 1, 13) AS BIGINT) / {float(1 << 52)!r}::DOUBLE)"


def _hashed(name: str, kind: ColumnType) -> str:
    column = quoted(name)
    if kind is ColumnType.TIMESTAMP:
        value = f"CAST(epoch_us({column}) AS VARCHAR)"
    elif kind is ColumnType.NUMBER:
        whole = f"CAST(CAST({column} AS HUGEINT) AS VARCHAR)"
        exact = f"abs({column}) < 1e15 AND {column} = trunc({column})"
        value = f"CASE WHEN {exact} THEN {whole} ELSE CAST({column} AS VARCHAR) END"
    else:
        value = f"CAST({column} AS VARCHAR)"
    return f"COALESCE(length({value}) || ':' || {value}, 'N')"


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
    schema: Schema | None = None,
) -> Labelled:
    """Find what is mature at `now`, and divide it by time or by hash, for which the schema is
    needed. Raises EmptyVersion and MissingColumn.
    """
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
    window = DataWindow(start=rfc3339(start), end=rfc3339(end), mature_until=rfc3339(mature_until))
    if spec.split.by is SplitBy.HASH:
        divided = {"hash": _hash_split(connection, table, spec, rule, schema or {}, mature)}
        return Labelled(window.model_copy(update=divided), rows, int(positive))
    test, validation = _cuts(connection, labelled, rows, spec.split, mature_until)
    cuts = {"test_start": rfc3339(test), "validation_start": rfc3339(validation)}
    return Labelled(window.model_copy(update=cuts), rows, int(positive))


def _hash_split(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    spec: DatasetSpec,
    rule: LabelRule,
    schema: Schema,
    mature: str,
) -> HashSplit:
    """Count what a split by hash makes of the rows with a final label. Raises MissingColumn."""
    group = spec.columns.group
    columns = (group,) if group is not None else spec.columns.key
    gone = [name for name in columns if name not in schema]
    if gone:
        said = f"split by Hash needs {', '.join(gone)}, which the data do not have; they have"
        raise StepError("MissingColumn", f"{said} {listing(list(schema))}")
    test, both = (Decimal(spec.split.test_share), Decimal(spec.split.validation_share))
    both += test
    counts = (
        f"count(*), count(*) FILTER (place < {test}::DOUBLE),"
        f" count(*) FILTER (place < {both}::DOUBLE)"
    )
    rows = f"(SELECT {bucket(columns, schema)} AS place FROM {table} WHERE {mature}"
    rows = f"{rows} AND ({rule.sql}) IS NOT NULL)"
    total, tested, held = one(connection, f"SELECT {counts} FROM {rows}")
    return HashSplit(
        columns=columns,
        test_share=spec.split.test_share,
        validation_share=spec.split.validation_share,
        fit_rows=total - held,
        validation_rows=held - tested,
        test_rows=tested,
    )


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
