"""How far a version's columns are from those of the version before: counted in that one's bins."""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import duckdb

from tidemill.api.documents.profile import FeatureProfile, Profile, ValueType
from tidemill.core.drift import js_distance, noise_floor_for
from tidemill.steps.engine import one, quoted, text
from tidemill.steps.windows import naive

_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Distance:
    """How far one column is from what it was."""

    distance: float
    """The Jensen-Shannon distance, natural logarithm."""
    floor: float
    """The earlier version's noise floor for windows up to this version's length."""
    unknown: int = 0
    """Texts that the earlier version does not have."""

    @property
    def beyond_noise(self) -> bool:
        """Whether it is farther than windows of the earlier version were from their own whole."""
        return self.distance > self.floor


def compare(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    now: Profile,
    before: Profile,
    names: Sequence[str],
) -> dict[str, Distance]:
    """Column -> distance, for those of the named columns that both have as the same type."""
    old = {item.name: item for item in before.features if item.name in set(names)}
    same = [
        old[item.name]
        for item in now.features
        if item.name in old and old[item.name].type is item.type
    ]
    seconds = _seconds(now)
    counted = {
        **_numbers(connection, table, [i for i in same if i.type is ValueType.NUMBER]),
        **{
            item.name: _texts(connection, table, item)
            for item in same
            if item.type is ValueType.CATEGORY
        },
    }
    found = {}
    for item in same:
        counts = counted[item.name]
        bins = [counts.get(place, 0) for place in range(len(item.counts))]
        distance = js_distance(item.counts, bins)
        if distance is not None:
            floor = noise_floor_for(seconds, item.noise_floor)
            found[item.name] = Distance(distance, floor, counts.get(_UNKNOWN, 0))
    return found


def _seconds(profile: Profile) -> int:
    if not profile.start or not profile.end:
        return 0
    length = naive(profile.end) - naive(profile.start) + timedelta(hours=1)
    return int(length.total_seconds())


def _numbers(
    connection: duckdb.DuckDBPyConnection, table: str, items: Sequence[FeatureProfile]
) -> dict[str, Mapping[int, int]]:
    """Counts by bin of all numbers, in one scan. Compared as float32, as profiles are."""
    if not items:
        return {}
    asked = []
    for item in items:
        column = f"CAST(TRY_CAST({quoted(item.name)} AS FLOAT) AS DOUBLE)"
        steps = [f"CAST({column} >= {edge!r}::DOUBLE AS INTEGER)" for edge in item.edges]
        place = " + ".join(steps) if steps else f"CASE WHEN {column} IS NOT NULL THEN 0 END"
        asked.append(f"histogram({place})")
    row = one(connection, f"SELECT {', '.join(asked)} FROM {table}")
    return {item.name: counts or {} for item, counts in zip(items, row, strict=True)}


def _texts(
    connection: duckdb.DuckDBPyConnection, table: str, item: FeatureProfile
) -> Mapping[int, int]:
    """Counts by bin of one text; -1 for those that are in none."""
    column = f"NULLIF({quoted(item.name)}, '')"
    chosen = "".join(
        f" WHEN {text(value)} THEN {place}" for place, value in enumerate(item.categories)
    )
    rare = ", ".join(text(value) for value in item.rare)
    other = f"CASE WHEN {column} IN ({rare}) THEN {len(item.categories)} ELSE {_UNKNOWN} END"
    place = f"CASE {column}{chosen} ELSE {other if rare else _UNKNOWN} END" if chosen else "-1"
    query = f"SELECT {place} AS place, count(*) FROM {table} WHERE {column} IS NOT NULL GROUP BY 1"
    return {int(place): int(count) for place, count in connection.execute(query).fetchall()}
