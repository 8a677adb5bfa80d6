"""SourceAvailable tells an outage from emptiness, from refusal and from what cannot be read."""

import pytest

from tests.builders import make_dataset
from tests.unit.core.world import World
from tidemill.core import conditions as c

TRIED_AGAIN = {
    "SourceUnavailable": "an outage passes",
    "SourceChanged": "the writer comes to an end",
    "AccessDenied": "a Secret is mended without the spec",
    "NoObjects": "data is on its way",
}
WAITS = {
    "EmptyVersion": "rows come with the schedule",
    "InvalidQuery": "the spec is wrong",
    "InvalidUri": "the spec is wrong",
    "ObjectTooLarge": "the spec says how much is read",
    "UnreadableObject": "a person has to look",
}


@pytest.mark.parametrize("reason", [*TRIED_AGAIN, *WAITS])
def test_the_reason_is_told_apart_and_what_may_pass_is_tried_again(reason: str) -> None:
    world = World()
    world.user(make_dataset())
    world.settle()
    world.fail(reason, f"It is {reason}; do this.")
    world.settle()

    told = c.find(world.dataset().status.conditions, "SourceAvailable")
    assert told is not None
    assert (told.status, told.reason, told.message) == (
        "False",
        reason,
        f"It is {reason}; do this.",
    )
    again = world.once("Dataset", "flights").requeue_after
    assert (again is not None) is (reason in TRIED_AGAIN)
