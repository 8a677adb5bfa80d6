"""Profiles: histograms over bins that are fixed from then on, and each one's noise floor.

Counting is written once, as narwhals lazy frames, and runs out of core on DuckDB; what memory it
takes depends on columns, bins and hours covered, not on rows. A column of at most 4,096 different
values is counted value by value (and hour by hour where that stays small) in one scan, from which
all else follows exactly. Of others DuckDB is asked for edges, which it finds by a sketch where
there are more than a million values; and of all for approximate counts of different values.

Numbers are compared as float32, which is what a model and its server see; edges are float32
values. An empty text is a missing one, as in a model's input.
"""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, inf
from typing import Any

import duckdb
import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tidemill.api.documents.profile import MAX_BINS, FeatureProfile, Profile, ValueType
from tidemill.core.drift import js_distance
from tidemill.steps import values
from tidemill.steps.engine import one, quoted, single_threaded, text
from tidemill.steps.schema import ColumnType
from tidemill.steps.windows import naive, rfc3339

WINDOWS = {"3600": 1, "86400": 24, "604800": 168}
"""Window length in seconds, as the profile's keys say it -> in hours."""
LEAST_ROWS = 500
"""A window with fewer rows says nothing of noise."""
PREDICTION_BINS = 20
_FEW = 24
_EXACT_ROWS = 1_000_000
_LONGEST_VALUE = 256
_RARE_MOST = 10_000
_RARE_BYTES = 131072
_MANY = 4096
"""A column of so many different values, or fewer, is counted value by value."""
_MOST_GROUPS = 1_000_000
"""Values are told apart by hour where that makes no more groups than this, or of numbers twice as
many: they are held in memory, a text with up to a kilobyte."""
_HOUR = "hour of the data"
_BIN = "bin"
_COUNT = "count"
_Facts = dict[tuple[str, str], float | None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A column to profile."""

    name: str
    kind: ColumnType
    feature: bool = True
    """Features get a noise floor, and their rare values are kept."""


def profile(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    event_time: str,
    subjects: Sequence[Subject],
    prediction: FeatureProfile | None = None,
) -> Profile:
    """Profile some columns of a table (SQL). The event time decides the windows of the floors."""
    moment = quoted(event_time)
    query = f"SELECT count(*), min({moment}), max({moment}) FROM {table}"
    rows, start, end = one(connection, query)
    hours = 0 if start is None else int((end - start).total_seconds() // 3600) + 1
    view = _View(connection, table, event_time, start, subjects)
    distinct = view.distinct_counts()
    counted = {
        item.name: view.by_value(item, distinct[item.name], min(rows, hours * distinct[item.name]))
        for item in subjects
    }
    facts = view.facts([item for item in subjects if counted[item.name] is None])
    texts = sum(1 for item in subjects if item.kind is ColumnType.STRING and item.feature)
    budget = _RARE_BYTES // max(texts, 1)
    found = tuple(
        _text(view, item, counted[item.name], facts, distinct[item.name], hours, budget)
        if item.kind is ColumnType.STRING
        else _number(view, item, counted[item.name], facts, distinct[item.name], rows, hours)
        for item in subjects
    )
    return Profile(
        rows=rows,
        start="" if start is None else rfc3339(start),
        end="" if end is None else rfc3339(end),
        features=found,
        prediction=prediction,
    )


def _as_number(item: Subject) -> str:
    """SQL of a column as the number that is counted."""
    column = quoted(item.name)
    if item.kind in (ColumnType.TIMESTAMP, ColumnType.DATE):
        return f"CAST(epoch(CAST({column} AS TIMESTAMP)) AS DOUBLE)"
    if item.kind is ColumnType.BOOLEAN:
        return f"CAST(CAST({column} AS INTEGER) AS DOUBLE)"
    return f"CAST(TRY_CAST({column} AS FLOAT) AS DOUBLE)"


class _View:
    """The subjects as numbers and texts, and the hour since the first row.

    The columns have names of ours (`column`), so that no name in the data can be in the way.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: str,
        event_time: str,
        start: datetime | None,
        subjects: Sequence[Subject],
    ) -> None:
        self.connection = connection
        self.subjects = subjects
        self._places = {item.name: f"column {place}" for place, item in enumerate(subjects)}
        first = text(str(start)) if start is not None else "NULL"
        since = f"epoch({quoted(event_time)}) - epoch(CAST({first} AS TIMESTAMP))"
        # Rows without an event time belong to no window: theirs is the hour -1.
        self._hour = f"COALESCE(CAST(floor(({since}) / 3600) AS BIGINT), -1) AS {quoted(_HOUR)}"
        self._table = table

    def column(self, item: Subject) -> str:
        """What a subject is called here."""
        return self._places[item.name]

    def sql(self, *subjects: Subject) -> str:
        """SQL of the hour and some subjects. What is asked of one column names that one alone: a
        query is planned with all columns it names, wanted or not.
        """
        columns = (
            f"NULLIF({quoted(item.name)}, '') AS {quoted(self.column(item))}"
            if item.kind is ColumnType.STRING
            else f"{_as_number(item)} AS {quoted(self.column(item))}"
            for item in subjects
        )
        return f"(SELECT {', '.join([self._hour, *columns])} FROM {self._table})"

    def lazy(self, *subjects: Subject) -> nw.LazyFrame[Any]:
        """The same as a frame."""
        frame: nw.LazyFrame[Any] = nw.from_native(
            self.connection.sql(f"SELECT * FROM {self.sql(*subjects)}")
        )
        return frame

    def distinct_counts(self) -> dict[str, int]:
        """How many different values each column has, approximately."""
        if not self.subjects:
            return {}
        counts = ", ".join(
            f"approx_count_distinct({quoted(self.column(i))})" for i in self.subjects
        )
        row = one(self.connection, f"SELECT {counts} FROM {self.sql(*self.subjects)}")
        return dict(zip((item.name for item in self.subjects), row, strict=True))

    def facts(self, subjects: Sequence[Subject]) -> _Facts:
        """(column, fact) -> value: missing of all; minimum, maximum, mean, deviation of numbers."""
        wanted: dict[tuple[str, str], nw.Expr] = {}
        for item in subjects:
            column = nw.col(self.column(item))
            wanted[item.name, "missing"] = column.null_count()
            if item.kind is not ColumnType.STRING:
                wanted[item.name, "minimum"] = column.min()
                wanted[item.name, "maximum"] = column.max()
                wanted[item.name, "mean"] = column.mean()
                wanted[item.name, "deviation"] = column.std(ddof=0)
        if not wanted:
            return {}
        named = {f"fact {place}": fact for place, fact in enumerate(wanted.values())}
        row = self.lazy(*subjects).select(**named).collect().row(0)
        return {
            key: None if value is None else float(value)
            for key, value in zip(wanted, row, strict=True)
        }

    def by_value(self, item: Subject, distinct: int, groups: float) -> values.Values | None:
        """How often each value came, in each hour if that makes few groups; in one scan. None
        where there may be too many values.
        """
        if distinct > _MANY:
            return None
        name, lazy = self.column(item), self.lazy(item)
        if item.kind is ColumnType.STRING:
            # Those that are too long stay so, and are in no bin whatever they go on with.
            cut = nw.col(name).str.slice(0, _LONGEST_VALUE + 1)
            by_hour, lazy = groups <= _MOST_GROUPS, lazy.select(nw.col(_HOUR), cut)
        else:
            by_hour = groups <= 2 * _MOST_GROUPS
        keys = [_HOUR, name] if by_hour else [name]
        frame = lazy.group_by(*keys).agg(nw.len().alias(_COUNT)).collect().to_arrow()
        return values.read(frame, name, _COUNT, _HOUR if by_hour else None)

    def quantiles(self, item: Subject, size: int) -> list[float]:
        """The inner 24-quantiles; of more than a million values by a sketch, on one thread so
        that they depend on the data alone.
        """
        column = quoted(self.column(item))
        shares = [place / MAX_BINS for place in range(1, MAX_BINS)]
        function = "approx_quantile" if size > _EXACT_ROWS else "quantile_disc"
        with single_threaded(self.connection):
            (found,) = one(
                self.connection, f"SELECT {function}({column}, {shares}) FROM {self.sql(item)}"
            )
        return list(found or ())

    def counts(self, item: Subject, where: nw.Expr, bin_of: nw.Expr) -> dict[str, Any]:
        """Hour, bin and count of every bin of every hour that has any."""
        frame = (
            self.lazy(item)
            .filter(where)
            .select(nw.col(_HOUR), bin_of.alias(_BIN))
            .group_by(_HOUR, _BIN)
            .agg(nw.len().alias(_COUNT))
            .collect()
            .to_arrow()
        )
        return {key: frame[key] for key in (_HOUR, _BIN, _COUNT)}

    def in_bins(self, item: Subject, base: FeatureProfile) -> dict[Any, int]:
        """How many values there are in each bin of another profile, each by one that lies in it;
        of the texts in no bin by None, which stands for no category.
        """
        column = nw.col(self.column(item))
        lows: tuple[float, ...] = ()
        if base.type is ValueType.NUMBER:
            bin_of, lows = _bin_of(column, base.edges), (-inf, *base.edges)
        else:
            bin_of = _category_of(column, base)
        frame = (
            self.lazy(item)
            .filter(~column.is_null())
            .select(bin_of.alias(_BIN))
            .group_by(_BIN)
            .agg(nw.len().alias(_COUNT))
            .collect()
        )
        places, counts = frame.get_column(_BIN).to_list(), frame.get_column(_COUNT).to_list()
        values = [lows[place] for place in places] if lows else places
        return dict(zip(values, counts, strict=True))


def _bin_of(column: nw.Expr, edges: Sequence[float]) -> nw.Expr:
    """The bin of a number: how many edges it has reached, found by halving, not one by one."""

    def between(first: int, last: int) -> nw.Expr:
        if first == last:
            return nw.lit(first)
        middle = (first + last) // 2
        below, above = between(first, middle), between(middle + 1, last)
        return nw.when(column < edges[middle]).then(below).otherwise(above)

    return between(0, len(edges)).cast(nw.Int64)


def _category_of(column: nw.Expr, base: FeatureProfile) -> nw.Expr:
    """A text, or where it is a rare one the first of those; null for one that is in no bin."""
    found = nw.lit(None, nw.String)
    if base.rare:
        found = nw.when(column.is_in(base.rare)).then(nw.lit(base.rare[0])).otherwise(found)
    if base.categories:
        found = nw.when(column.is_in(base.categories)).then(column).otherwise(found)
    return found


def _number(
    view: _View,
    item: Subject,
    counted: values.Values | None,
    facts: _Facts,
    distinct: int,
    rows: int,
    hours: int,
) -> FeatureProfile:
    known = _facts_of(item, facts) if counted is None else _facts_by_value(counted)
    if counted is not None and len(counted.values) <= _FEW:
        distinct, edges = len(counted.values), tuple(counted.values[1:])
    else:
        size = rows - int(known["missing"] or 0)
        found = view.quantiles(item, size) if counted is None else counted.quantiles(MAX_BINS)
        found = [float(np.float32(value)) for value in found]
        least = known["minimum"]
        edges = tuple(edge for edge in sorted(set(found)) if least is None or edge > least)
    if counted is not None and counted.hours is not None:
        places = np.searchsorted(np.array(edges), counted.values, side="right")
        grid = _Grid(_groups(counted, places), len(edges) + 1)
    else:
        column = nw.col(view.column(item))
        grid = _Grid(view.counts(item, ~column.is_null(), _bin_of(column, edges)), len(edges) + 1)
    return FeatureProfile(
        name=item.name,
        type=ValueType.NUMBER,
        edges=edges,
        counts=grid.total,
        missing=int(known["missing"] or 0),
        minimum=known["minimum"],
        maximum=known["maximum"],
        mean=_short(known["mean"]),
        deviation=_short(known["deviation"]),
        distinct=distinct,
        noise_floor=grid.floors(hours) if item.feature else {},
    )


def _facts_of(item: Subject, facts: _Facts) -> dict[str, float | None]:
    return {fact: value for (name, fact), value in facts.items() if name == item.name}


def _facts_by_value(counted: values.Values) -> dict[str, float | None]:
    found = counted.values
    return {
        "missing": counted.missing,
        "minimum": found[0] if found else None,
        "maximum": found[-1] if found else None,
        "mean": counted.mean,
        "deviation": counted.deviation,
    }


def _groups(counted: values.Values, bins: NDArray[np.int64]) -> dict[str, Any]:
    """Hour, bin and count of each group, from the bin of each value; -1 is none."""
    places = bins[counted.places]
    kept = places >= 0
    hours = np.zeros(0, dtype=np.int64) if counted.hours is None else counted.hours[kept]
    return {_HOUR: hours, _BIN: places[kept], _COUNT: counted.counts[kept]}


def _short(value: float | None) -> float | None:
    """Nine digits: what is left of a sum whose order of terms is not fixed."""
    return None if value is None else float(f"{value:.9g}")


def _most_frequent(view: _View, item: Subject, counted: values.Values | None) -> list[str]:
    """The most frequent texts that are not too long, the most frequent first."""
    most = _RARE_MOST + MAX_BINS
    if counted is not None:
        pairs = zip(counted.values, counted.totals.tolist(), strict=True)
        short = [(-count, text_) for text_, count in pairs if len(text_) <= _LONGEST_VALUE]
        return [text_ for _, text_ in sorted(short)[:most]]
    name = view.column(item)
    column = nw.col(name)
    return (
        view.lazy(item)
        .filter(~column.is_null() & (column.str.len_chars() <= _LONGEST_VALUE))
        .group_by(name)
        .agg(nw.len().alias(_COUNT))
        .sort(_COUNT, name, descending=[True, False])
        .head(most)
        .collect()
        .get_column(name)
        .to_list()
    )


def _text(
    view: _View,
    item: Subject,
    counted: values.Values | None,
    facts: _Facts,
    distinct: int,
    hours: int,
    budget: int,
) -> FeatureProfile:
    found = _most_frequent(view, item, counted)
    categories, others = found[: MAX_BINS - 1], found[MAX_BINS - 1 :]
    if not item.feature and distinct > _RARE_MOST // 10:
        others = []
    rare = _within(others, budget)
    places = {value: place for place, value in enumerate(categories)}
    places |= dict.fromkeys(rare, len(categories))
    if counted is not None and counted.hours is not None:
        bins = np.array([places.get(value, -1) for value in counted.values], dtype=np.int64)
        groups = _groups(counted, bins)
    else:
        groups = _count_texts(view, item, categories, rare)
    grid = _Grid(groups, len(categories) + bool(rare))
    missing = facts[item.name, "missing"] if counted is None else counted.missing
    return FeatureProfile(
        name=item.name,
        type=ValueType.CATEGORY,
        categories=tuple(categories),
        rare=rare,
        counts=grid.total,
        missing=int(missing or 0),
        distinct=len(found) if len(found) < _RARE_MOST else distinct,
        noise_floor=grid.floors(hours) if item.feature else {},
    )


def _count_texts(
    view: _View, item: Subject, categories: Sequence[str], rare: Sequence[str]
) -> dict[str, Any]:
    if not categories:
        return {_HOUR: [], _BIN: [], _COUNT: []}
    column = nw.col(view.column(item))
    top = nw.when(column.is_in(categories)).then(column).otherwise(nw.lit(None))
    found = view.counts(item, column.is_in([*categories, *rare]), top)
    places = pc.index_in(found[_BIN], pa.array(categories, found[_BIN].type))
    return {**found, _BIN: pc.fill_null(places, len(categories))}


def seconds_of(profile: Profile) -> int:
    """How much event time a snapshot spans, as windows of a noise floor count it: whole hours."""
    if not profile.start:
        return 0
    span = naive(profile.end) - naive(profile.start)
    return (int(span.total_seconds()) // 3600 + 1) * 3600


def recount(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    event_time: str,
    subjects: Sequence[Subject],
    bins: Mapping[str, FeatureProfile],
    own: Profile,
) -> dict[str, tuple[tuple[int, ...], int]]:
    """Count a table's columns (SQL) in the bins of other profiles.

    Column -> the counts of its bins, and how many of its texts are in none of them. `own` is the
    table's own profile: what it knows value by value is not counted again.
    """
    view = _View(connection, table, event_time, None, subjects)
    known = {item.name: item for item in own.features}
    found = {}
    for item in subjects:
        base = bins[item.name]
        known_by = _values_of(known[item.name], own.rows)
        if known_by is None:
            counted = view.by_value(item, known[item.name].distinct or 0, inf)
            known_by = view.in_bins(item, base) if counted is None else counted.as_dict()
        found[item.name] = _recounted(base, known_by)
    return found


def _values_of(feature: FeatureProfile, rows: int) -> dict[Any, int] | None:
    """How often each value came, where a profile knows that."""
    if feature.type is ValueType.NUMBER:
        if feature.minimum is None or feature.distinct != len(feature.edges) + 1:
            return None
        return dict(zip((feature.minimum, *feature.edges), feature.counts, strict=True))
    if feature.rare or sum(feature.counts) + feature.missing != rows:
        return None
    return dict(zip(feature.categories, feature.counts, strict=True))


def _recounted(base: FeatureProfile, values: Mapping[Any, int]) -> tuple[tuple[int, ...], int]:
    counts, unknown = [0] * len(base.counts), 0
    places: dict[Any, int] = {value: place for place, value in enumerate(base.categories)}
    places |= dict.fromkeys(base.rare, len(base.categories))
    for value, count in values.items():
        numeric = base.type is ValueType.NUMBER
        place = bisect_right(base.edges, value) if numeric else places.get(value)
        if place is None:
            unknown += count
        else:
            counts[place] += count
    return tuple(counts), unknown


def _within(values: Sequence[str], budget: int) -> tuple[str, ...]:
    """As many of the values as fit the budget of bytes, and are allowed."""
    kept = []
    for value in values[:_RARE_MOST]:
        budget -= len(value.encode()) + 3
        if budget < 0:
            break
        kept.append(value)
    return tuple(kept)


class _Grid:
    """Counts by hour and bin."""

    def __init__(self, found: Mapping[str, Any], bins: int) -> None:
        self.bins = bins
        self.hours: NDArray[np.int64] = np.asarray(found[_HOUR], dtype=np.int64)
        self.places: NDArray[np.int64] = np.asarray(found[_BIN], dtype=np.int64)
        self.counts: NDArray[np.int64] = np.asarray(found[_COUNT], dtype=np.int64)

    @property
    def total(self) -> tuple[int, ...]:
        """How many fell into each bin."""
        sums = np.zeros(self.bins, dtype=np.int64)
        np.add.at(sums, self.places, self.counts)
        return tuple(int(count) for count in sums)

    def floors(self, hours: int) -> dict[str, float]:
        """Window length -> the largest distance of such a window from the whole.

        Windows follow each other from the first row on; one that the data end within is left
        out: it is shorter than it claims.
        """
        whole = self.total
        floors = {}
        for length, span in WINDOWS.items():
            windows, place = np.unique(self.hours // span, return_inverse=True)
            sums = np.zeros((len(windows), self.bins), dtype=np.int64)
            np.add.at(sums, (place, self.places), self.counts)
            complete = (windows >= 0) & ((windows + 1) * span <= hours)
            full = sums[complete & (sums.sum(axis=1) >= LEAST_ROWS)]
            distances = [js_distance(whole, row.tolist()) or 0.0 for row in full]
            if distances:
                # Upwards: no window of these very data may lie above its own floor.
                floors[length] = ceil(max(distances) * 1e6) / 1e6
        return floors


def predictions_profile(
    probabilities: NDArray[np.float64], seconds: NDArray[np.int64]
) -> FeatureProfile:
    """Profile a model's probabilities in 20 equal bins on [0, 1]; `seconds` are event times."""
    edges = tuple(place / PREDICTION_BINS for place in range(1, PREDICTION_BINS))
    places = np.searchsorted(np.array(edges), probabilities, side="right")
    hours = (seconds - seconds.min()) // 3600 if len(seconds) else seconds
    keys, counts = np.unique(hours * PREDICTION_BINS + places, return_counts=True)
    found = {_HOUR: keys // PREDICTION_BINS, _BIN: keys % PREDICTION_BINS, _COUNT: counts}
    grid = _Grid(found, PREDICTION_BINS)
    return FeatureProfile(
        name="prediction",
        type=ValueType.NUMBER,
        edges=edges,
        counts=grid.total,
        minimum=float(probabilities.min()) if len(probabilities) else None,
        maximum=float(probabilities.max()) if len(probabilities) else None,
        mean=_short(float(probabilities.mean())) if len(probabilities) else None,
        deviation=_short(float(probabilities.std())) if len(probabilities) else None,
        noise_floor=grid.floors(int(hours.max()) + 1 if len(hours) else 0),
    )
