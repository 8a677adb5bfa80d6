"""Cron schedules: which tick is due, and when the next one is.

Five fields in an IANA time zone, read as Debian's cron does (by cronsim): a time of day that
daylight saving skips runs at the end of the gap, one that occurs twice runs the first time.
Ticks are whole UTC minutes. Ticks missed while nobody looked count as one, the newest.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

LARGEST_SHIFT = timedelta(hours=3)
"""More than any change of a zone's offset: the part of the wall clock that may run twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """What a schedule says at one moment."""

    due: datetime | None
    """The newest tick after the last one acted on; None if there is none yet."""
    next: datetime | None
    """The first tick after now; None if the expression never comes true again."""


@dataclass(frozen=True, slots=True)
class InvalidSchedule:
    """The expression or the time zone cannot be read; `message` says which and what to do."""

    message: str


def look(
    expression: str, time_zone: str, *, after: datetime, now: datetime
) -> Ticks | InvalidSchedule:
    """Which tick in (after, now] is due, and the next one. `after` in the future counts as now."""
    zone = _zone(time_zone)
    if zone is None:
        return InvalidSchedule(
            f"Time zone {time_zone!r} is not in the IANA database; use one such as"
            " America/New_York or Etc/UTC."
        )
    fields = len(expression.split())
    if fields != 5:
        return InvalidSchedule(
            f"Schedule {expression!r} has {fields} fields; cron takes five: minute, hour, day of"
            " month, month, day of week."
        )
    try:
        newest, following = _newest(expression, zone, now), _next(expression, zone, now)
    except CronSimError as error:
        return InvalidSchedule(f"Schedule {expression!r} cannot be read as cron: {error}.")
    due = newest if newest is not None and newest > after.astimezone(UTC) else None
    return Ticks(due=due, next=following)


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo | None:
    try:
        return UTC if name in ("UTC", "Etc/UTC") else ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # KeyError: ZoneInfoNotFoundError
        return None


def _newest(expression: str, zone: tzinfo, now: datetime) -> datetime | None:
    """The newest tick up to now, itself included.

    Looks back from a little later: where the wall clock is set back, the time of day before now
    on the wall is not all that was before now.
    """
    start = (now + LARGEST_SHIFT).astimezone(zone)
    for tick in CronSim(expression, start, reverse=True):
        moment: datetime = tick.astimezone(UTC)
        if moment <= now:
            return moment
    return None


def _next(expression: str, zone: tzinfo, now: datetime) -> datetime | None:
    for tick in CronSim(expression, now.astimezone(zone)):
        moment: datetime = tick.astimezone(UTC)
        if moment > now:
            return moment
    return None
