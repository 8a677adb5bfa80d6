"""`fresh`: what is told of a source's age, and `last_change`: when it is counted from."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from tidemill.core.freshness import fresh, last_change
from tidemill.core.trouble import Problem

NOW = datetime(2026, 1, 10, tzinfo=UTC)
LATELY, LONG_AGO = "2026-01-09T00:00:00Z", "2026-01-01T00:00:00Z"
LIMIT = 2 * 86400
DOWN = Problem(reason="SourceUnavailable", message="The store does not answer.")
REFUSED = Problem(reason="AccessDenied", message="The store refuses the credential.")
EMPTY = Problem(reason="NoObjects", message="Nothing lies there.")
STALE = f"{LONG_AGO}, which is longer ago than freshWithinSeconds: 172800."


@dataclass(frozen=True)
class Case:
    told: tuple[str, str, str]
    changed: str | None = LATELY
    outage: Problem | None = field(default=None)


CASES = {
    "a source that changed lately": Case(
        ("True", "SourceChanged", f"The source changed at {LATELY}.")
    ),
    "one that changed lately and is down": Case(
        ("True", "SourceChanged", f"The source changed at {LATELY}."), outage=DOWN
    ),
    "one that stands still": Case(
        (
            "False",
            "SourceStale",
            f"The source has not changed since {STALE} Look whether what fills it still runs.",
        ),
        changed=LONG_AGO,
    ),
    "one that is down for long": Case(
        (
            "False",
            "SourceUnavailable",
            f"The source was last seen to change at {STALE} It cannot be read:"
            " The store does not answer.",
        ),
        changed=LONG_AGO,
        outage=DOWN,
    ),
    "one that refuses us for long": Case(
        (
            "False",
            "AccessDenied",
            f"The source was last seen to change at {STALE} It cannot be read:"
            " The store refuses the credential.",
        ),
        changed=LONG_AGO,
        outage=REFUSED,
    ),
    "one that has been empty for long": Case(
        (
            "False",
            "NoObjects",
            f"The source was last seen to change at {STALE} It cannot be read: Nothing lies there.",
        ),
        changed=LONG_AGO,
        outage=EMPTY,
    ),
    "one that was never read": Case(
        ("Unknown", "NotRead", "It is not known when the source last changed."), changed=None
    ),
    "one that was down from the start": Case(
        (
            "Unknown",
            "SourceUnavailable",
            "It is not known when the source last changed. The store does not answer.",
        ),
        changed=None,
        outage=DOWN,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_fresh(case: Case) -> None:
    told = fresh(within=LIMIT, changed=case.changed, outage=case.outage, now=NOW)

    assert told is not None
    assert (told.status, told.reason, told.message) == case.told


def test_nothing_is_told_without_a_limit() -> None:
    assert fresh(within=None, changed=LONG_AGO, outage=None, now=NOW) is None


CHANGES = {
    "what the source says": (("a", "b", True), "a"),
    "new content of a source that says nothing": ((None, "b", True), "read"),
    "the same content of a source that says nothing": ((None, "b", False), "b"),
    "nothing is known": ((None, None, False), None),
}


@pytest.mark.parametrize(("given", "wanted"), CHANGES.values(), ids=CHANGES)
def test_last_change(given: tuple[str | None, str | None, bool], wanted: str | None) -> None:
    told, before, is_new = given

    assert last_change(told, before, "read", is_new=is_new) == wanted
