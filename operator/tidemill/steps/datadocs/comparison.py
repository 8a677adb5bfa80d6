"""How far a version's columns are from those of the version before: counted in that one's bins."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from tidemill.api.documents.profile import Profile, ValueType
from tidemill.core.drift import js_distance, noise_floor_for
from tidemill.steps.profiles import Subject, recount, seconds_of
from tidemill.steps.schema import ColumnType


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
    event_time: str,
    subjects: Sequence[Subject],
    now: Profile,
    before: Profile,
) -> dict[str, Distance]:
    """Column -> distance, for those of the subjects that both versions have as one type."""
    old = {item.name: item for item in before.features}
    same = [
        item
        for item in subjects
        if item.name in old
        and (old[item.name].type is ValueType.CATEGORY) == (item.kind is ColumnType.STRING)
    ]
    counted = recount(connection, table, event_time, same, old, now)
    found = {}
    for item in same:
        base, (counts, unknown) = old[item.name], counted[item.name]
        distance = js_distance(base.counts, counts)
        if distance is not None:
            floor = noise_floor_for(seconds_of(now), base.noise_floor)
            found[item.name] = Distance(distance, floor, unknown)
    return found
