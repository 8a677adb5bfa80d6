"""`look`: each case is an expression, a zone and a moment; all ticks are UTC."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.core.schedule import InvalidSchedule, Ticks, look

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NEW_YORK = "America/New_York"
CASES = {
    "a tick of today is due": (
        ("0 5 * * *", NEW_YORK, "2026-01-05T12:00"),
        ("2026-01-05T10:00", "2026-01-06T10:00"),
    ),
    "a tick is due at its very moment": (
        ("0 5 * * *", NEW_YORK, "2026-01-05T10:00"),
        ("2026-01-05T10:00", "2026-01-06T10:00"),
    ),
    "a time of day that daylight saving skips runs at the end of the gap": (
        ("30 2 * * *", NEW_YORK, "2026-03-08T07:00"),
        ("2026-03-08T07:00", "2026-03-09T06:30"),
    ),
    "a moment before the gap's end it is still yesterday's": (
        ("30 2 * * *", NEW_YORK, "2026-03-08T06:59:59"),
        ("2026-03-07T07:30", "2026-03-08T07:00"),
    ),
    "a time of day that occurs twice runs the first time": (
        ("30 1 * * *", NEW_YORK, "2026-11-01T05:30"),
        ("2026-11-01T05:30", "2026-11-02T06:30"),
    ),
    "and not again the second time": (
        ("30 1 * * *", NEW_YORK, "2026-11-01T06:45"),
        ("2026-11-01T05:30", "2026-11-02T06:30"),
    ),
    "every hour is every hour while clocks are set back": (
        ("0 * * * *", NEW_YORK, "2026-11-01T06:59"),
        ("2026-11-01T06:00", "2026-11-01T07:00"),
    ),
    "a leap day waits for its year": (
        ("0 0 29 2 *", "Etc/UTC", "2027-06-01T00:00"),
        ("2024-02-29T00:00", "2028-02-29T00:00"),
    ),
}


@pytest.mark.parametrize(("asked", "wanted"), CASES.values(), ids=CASES)
def test_the_newest_and_the_next_tick(asked: tuple[str, str, str], wanted: tuple[str, str]) -> None:
    expression, zone, now = asked

    ticks = look(expression, zone, after=LONG_AGO, now=utc(now))

    assert ticks == Ticks(due=utc(wanted[0]), next=utc(wanted[1]))


def test_missed_ticks_count_as_one() -> None:
    ticks = look("0 * * * *", "Etc/UTC", after=utc("2026-01-01T00:30"), now=utc("2026-01-09T12:30"))

    assert ticks == Ticks(due=utc("2026-01-09T12:00"), next=utc("2026-01-09T13:00"))


def test_a_tick_that_was_acted_on_is_not_due_again() -> None:
    tick = utc("2026-01-09T12:00")

    ticks = look("0 * * * *", "Etc/UTC", after=tick, now=utc("2026-01-09T12:30"))

    assert ticks == Ticks(due=None, next=utc("2026-01-09T13:00"))


INVALID = {
    "a zone nobody knows": (
        ("0 5 * * *", "Mars/Olympus"),
        "Time zone 'Mars/Olympus' is not in the IANA database; use one such as America/New_York"
        " or Etc/UTC.",
    ),
    "a zone that is a directory": (
        ("0 5 * * *", "America"),
        "Time zone 'America' is not in the IANA database; use one such as America/New_York or"
        " Etc/UTC.",
    ),
    "a zone outside of the database": (
        ("0 5 * * *", "../../etc/passwd"),
        "Time zone '../../etc/passwd' is not in the IANA database; use one such as"
        " America/New_York or Etc/UTC.",
    ),
    "an hour of no day": (
        ("0 25 * * *", "Etc/UTC"),
        "Schedule '0 25 * * *' cannot be read as cron: Bad hour.",
    ),
    "a day of no month": (
        ("0 0 30 2 *", "Etc/UTC"),
        "Schedule '0 0 30 2 *' cannot be read as cron: Bad day-of-month.",
    ),
    "a field for seconds": (
        ("0 0 5 * * *", "Etc/UTC"),
        "Schedule '0 0 5 * * *' has 6 fields; cron takes five: minute, hour, day of month, month,"
        " day of week.",
    ),
}


@pytest.mark.parametrize(("asked", "message"), INVALID.values(), ids=INVALID)
def test_what_cannot_be_read_is_a_value(asked: tuple[str, str], message: str) -> None:
    expression, zone = asked

    assert look(expression, zone, after=LONG_AGO, now=utc("2026-01-05T12:00")) == InvalidSchedule(
        message
    )


@settings(max_examples=60, deadline=None)
@given(
    expression=st.sampled_from(
        ["30 2 * * *", "15,45 1 * * *", "0 */2 * * *", "*/20 * * * *", "5 0 1,15 * *", "0 3 * * 0"]
    ),
    zone=st.sampled_from([NEW_YORK, "Europe/London", "Australia/Lord_Howe", "Etc/UTC"]),
    minutes=st.integers(min_value=0, max_value=525_600),
)
def test_looking_back_agrees_with_walking_forward(expression: str, zone: str, minutes: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    after = now - timedelta(days=40)
    walked = []
    for tick in CronSim(expression, after.astimezone(ZoneInfo(zone))):
        walked.append(tick.astimezone(UTC))
        if walked[-1] > now:
            break

    ticks = look(expression, zone, after=after, now=now)

    due = [tick for tick in walked if after < tick <= now]
    assert ticks == Ticks(due=max(due, default=None), next=min(t for t in walked if t > now))
