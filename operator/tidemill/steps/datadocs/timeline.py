"""A version's rows over event time: how they are divided, and how many labels are positive."""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

from dataclasses import dataclass
from datetime import datetime

import duckdb

from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import DataWindow
from tidemill.steps.engine import quoted
from tidemill.steps.schema import Schema
from tidemill.steps.windows import LabelRule, Portion, naive, where_portion

MOST_BUCKETS = 60
_HOUR, _DAY = 3600, 86400
_UNITS = (
    ("hour", _HOUR),
    ("day", _DAY),
    ("week", 7 * _DAY),
    ("month", 30 * _DAY),
    ("quarter", 91 * _DAY),
    ("year", 365 * _DAY),
    ("decade", 3652 * _DAY),
    ("century", 36524 * _DAY),
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The rows of one stretch of event time."""

    start: datetime
    """UTC without a zone."""
    fit: int = 0
    validation: int = 0
    test: int = 0
    waiting: int = 0
    """Rows whose label is not final yet, or that have none."""
    positive: int = 0
    """Rows with a final label of the positive class."""

    @property
    def labelled(self) -> int:
        """Rows with a final label."""
        return self.fit + self.validation + self.test

    @property
    def rows(self) -> int:
        """All rows."""
        return self.labelled + self.waiting


@dataclass(frozen=True, slots=True)
class Timeline:
    """The buckets that have rows, the oldest first."""

    unit: str
    """hour, day, week, month, quarter, year, decade or century."""
    buckets: tuple[Bucket, ...]


def unit_for(seconds: float) -> str:
    """The shortest unit that cuts a time span into no more than MOST_BUCKETS."""
    fitting = (name for name, length in _UNITS if seconds / length <= MOST_BUCKETS - 1)
    return next(fitting, "century")


def divide(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    spec: DatasetSpec,
    rule: LabelRule,
    schema: Schema,
    window: DataWindow,
) -> Timeline:
    """Count a table's rows (SQL) by event time, label and part of the split."""
    span = (naive(window.end) - naive(window.start)).total_seconds()
    unit = unit_for(span)
    moment = quoted(spec.columns.event_time)
    labelled = f"({rule.sql}) IS NOT NULL"

    def rows(portion: Portion) -> str:
        inside = where_portion(spec, window, schema, portion)
        return f"count(*) FILTER ({labelled} AND {inside})"

    final = f"{labelled} AND {where_portion(spec, window, schema, Portion.ALL)}"
    query = f"""
        SELECT date_trunc('{unit}', {moment}),
            {rows(Portion.FIT)}, {rows(Portion.VALIDATION)}, {rows(Portion.TEST)},
            count(*) FILTER (NOT ({final})),
            COALESCE(sum({rule.sql}) FILTER ({final}), 0)
        FROM {table} WHERE {moment} IS NOT NULL GROUP BY 1 ORDER BY 1
    """
    found = connection.execute(query).fetchall()
    buckets = tuple(
        Bucket(_moment(start), *(int(count) for count in counts)) for start, *counts in found
    )
    return Timeline(unit, buckets[-2 * MOST_BUCKETS :])


def _moment(start: object) -> datetime:
    if isinstance(start, datetime):
        return start
    return datetime.fromisoformat(str(start))
