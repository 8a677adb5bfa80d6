"""The story of an object: each case is a change of conditions and the lines it gives."""

import pytest

from tests.builders import condition
from tidemill.api.base import Condition
from tidemill.core.plan import Event
from tidemill.core.story import tell

READY = condition("Ready", "True", "InUse", "flights-a is in use.")
READ = condition("SourceAvailable", "True", "Read", "The source can be read.")
DOWN = condition("SourceAvailable", "False", "SourceUnavailable", "The store does not answer.")
LAST = condition("Ready", "True", "LastGoodInUse", "The last refresh failed.")

CASES: dict[str, tuple[list[Condition], list[Condition], list[Event]]] = {
    "nothing changed": ([READY, READ], [READY, READ], []),
    "a thing went bad": (
        [READY, READ],
        [LAST, DOWN],
        [
            Event(reason="LastGoodInUse", message="The last refresh failed."),
            Event(reason="SourceUnavailable", message="The store does not answer.", warning=True),
        ],
    ),
    "a thing got well": (
        [LAST, DOWN],
        [LAST, READ],
        [Event(reason="Read", message="The source can be read.")],
    ),
    "other words of Ready are no news": (
        [READY],
        [condition("Ready", "True", "InUse", "flights-b is in use.")],
        [],
    ),
    "other words of a detail are": (
        [DOWN],
        [condition("SourceAvailable", "False", "SourceUnavailable", "Still nothing.")],
        [Event(reason="SourceUnavailable", message="Still nothing.", warning=True)],
    ),
    "what is unknown from the start is no news": (
        [],
        [condition("SourceAvailable", "Unknown", "NotRead")],
        [],
    ),
    "not being ready yet is no warning": (
        [],
        [condition("Ready", "False", "Refreshing", "The first version is being read.")],
        [Event(reason="Refreshing", message="The first version is being read.")],
    ),
    "no longer being ready is one": (
        [READY],
        [condition("Ready", "False", "InvalidSchedule", "Bad hour.")],
        [Event(reason="InvalidSchedule", message="Bad hour.", warning=True)],
    ),
    "the same reason is told once": (
        [],
        [
            condition("Ready", "False", "Refreshing", "The first version is being read."),
            condition("Reconciling", "True", "Refreshing", "flights-1 reads the source."),
        ],
        [Event(reason="Refreshing", message="The first version is being read.")],
    ),
    "stalling is a warning": (
        [READY],
        [READY, condition("Stalled", "True", "ContractBroken", "hours is broken.")],
        [Event(reason="ContractBroken", message="hours is broken.", warning=True)],
    ),
}


@pytest.mark.parametrize(("before", "after", "told"), CASES.values(), ids=CASES)
def test_tell(before: list[Condition], after: list[Condition], told: list[Event]) -> None:
    assert list(tell(before, after)) == told


QUIET = frozenset({"SourceAvailable"})


def test_a_quiet_condition_that_is_well_is_no_news() -> None:
    unknown = condition("SourceAvailable", "Unknown", "NotRead")

    assert tell([unknown], [READ], quiet=QUIET) == ()


def test_it_is_when_it_was_not_well_and_when_it_no_longer_is() -> None:
    assert [event.reason for event in tell([DOWN], [READ], quiet=QUIET)] == ["Read"]
    assert [event.reason for event in tell([READ], [DOWN], quiet=QUIET)] == ["SourceUnavailable"]
