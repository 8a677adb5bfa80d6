"""Whatever happens, and wherever the operator crashes: what must always hold of a rollout.

Hypothesis makes up stories of models, failures, requests and crashes. `World.check` looks at
every child as it is written: the route's weights sum to 100 and never go to a revision without a
ready endpoint, and no running revision's pod template ever changes. Here the status is looked at.
"""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.world import World, spec
from tidemill.core.revisions import spec_hash

STEPS = [5, 50]
REPLICAS = 3

EVENTS = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 400)),
    st.tuples(st.just("pass"), st.just(0)),
    st.tuples(st.just("crash"), st.integers(0, 5)),
    st.tuples(st.just("controllers"), st.just(0)),
    st.tuples(st.just("approve"), st.integers(1, 9)),
    st.tuples(st.just("break"), st.just(0)),
    st.tuples(st.just("mend"), st.just(0)),
    st.tuples(st.just("errors"), st.sampled_from([0.0, 0.5])),
    st.tuples(st.just("traffic"), st.sampled_from([0.0, 10.0])),
    st.tuples(st.just("prometheus"), st.booleans()),
    st.tuples(st.just("scrape"), st.booleans()),
    st.tuples(st.just("gateway"), st.booleans()),
    st.tuples(st.just("replicas"), st.integers(0, 4)),
    st.tuples(st.just("memory"), st.sampled_from(["256Mi", "512Mi"])),
    st.tuples(st.just("paused"), st.booleans()),
    st.tuples(st.just("ask"), st.sampled_from(["promote", "skip", "abort", "retry"])),
)


def happen(world: World, what: str, how: Any) -> None:
    """One event of a story."""
    assert world.metrics is not None
    status = world.status
    role = status.get("candidate") or (status.get("refused") or [None])[-1] or {}
    if what == "wait":
        world.wait(seconds=how)
    elif what == "pass":
        world.step()
    elif what == "crash":
        world.crash_after(how)
    elif what == "controllers":
        world.controllers()
    elif what == "approve":
        if world.get("ModelVersion", f"m{how}") is None:
            world.approve(f"m{how}", dataEnd=f"20{how + 20}-01-01T00:00:00Z")
    elif what == "break" and status.get("candidate"):
        world.broken.add(status["candidate"]["revision"])
    elif what == "mend":
        world.broken.clear()
    elif what == "errors":
        world.metrics.failing = how
    elif what == "traffic":
        world.metrics.rate = how
    elif what == "prometheus":
        world.metrics.down = how
    elif what == "scrape":
        world.metrics.scraped = None if how else set()
    elif what == "gateway":
        world.gateway_answers = how
    elif what == "replicas":
        world.change_spec(replicas=how)
    elif what == "memory":
        world.change_spec(resources={"cpu": "100m", "memory": how})
    elif what == "paused":
        world.change_spec(rollout={**spec()["rollout"], "paused": how})
    elif what == "ask" and role:
        world.request(f"{how}/{role['revision']}")


def look(world: World, before: dict[str, Any]) -> None:
    """What must hold of every status that is written."""
    status = world.status
    stable, candidate = status.get("stable"), status.get("candidate")
    rollout = status.get("rollout")
    assert (candidate is None) == (rollout is None)
    if before.get("stable"):
        assert stable, "what serves is never lost"
    if stable and before.get("stable") and stable["revision"] != before["stable"]["revision"]:
        assert before.get("candidate"), "only a candidate becomes stable"
        assert stable["revision"] == before["candidate"]["revision"]
        assert before["stable"]["revision"] in status["retiring"]
    if candidate and stable:
        assert rollout, "a candidate is there only in a rollout"
        assert candidate["revision"] != stable["revision"]
        assert candidate["weight"] + stable["weight"] == 100
        assert rollout["weight"] in (0, *STEPS)
        now = spec_hash(world.observe().deployment.spec)
        refused = {item["digest"] for item in status["refused"] if item["specHash"] == now}
        assert candidate["digest"] not in refused
    if rollout:
        assert candidate, "a rollout is there only for a candidate"
        same = before.get("rollout") and before["candidate"]["revision"] == candidate["revision"]
        if same and rollout["weight"] > before["rollout"]["weight"]:
            assert rollout["weight"] == STEPS[rollout["step"]], "weights are those of steps"
            assert rollout.get("weightSince") is None, "and count when they are seen"
        if same:
            assert rollout["step"] >= before["rollout"]["step"]
            assert rollout["failures"] >= before["rollout"]["failures"]
    names = [stable and stable["revision"], candidate and candidate["revision"]]
    assert not set(names) & set(status.get("retiring", ()))
    deployments = world.scales()
    if stable and world.get("ControllerRevision", stable["revision"]):
        assert stable["revision"] in deployments or not before.get("stable")


class Watched(World):
    """A world that looks at each status as it is written."""

    def _write_status(self, status: dict[str, Any]) -> None:
        before = self.status
        super()._write_status(status)
        look(self, before)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(st.lists(EVENTS, min_size=5, max_size=30), st.booleans())
def test_every_story_ends_well(story: list[tuple[str, Any]], routed: bool) -> None:
    given_ = spec(replicas=REPLICAS) if routed else spec(replicas=REPLICAS, route=None)
    world = Watched(given_)
    world.approve("m0", dataEnd="2013-01-01T00:00:00Z")
    world.settle()
    for what, how in story:
        happen(world, what, how)

    # Whatever is broken is mended: it comes to rest, with one revision and no leftovers.
    assert world.metrics is not None
    world.broken.clear()
    world.metrics.failing, world.metrics.rate = 0.0, 10.0
    world.metrics.down, world.metrics.scraped, world.gateway_answers = False, None, True
    world.change_spec(replicas=REPLICAS, rollout=spec()["rollout"])
    world.controllers()
    world.wait(hours=6)

    status = world.status
    assert "candidate" not in status, status
    assert status["retiring"] == []
    assert world.scales() == {status["stable"]["revision"]: REPLICAS}
    if routed:
        assert world.weights() == {status["stable"]["revision"]: 100}
    assert world.condition("Ready")[0] == "True"


@pytest.mark.parametrize("writes", range(12))
def test_a_crash_after_any_write_of_a_canary_loses_and_doubles_nothing(writes: int) -> None:
    """Each pass of a whole canary is cut off after so many writes and taken up by another."""
    world = Watched(spec(replicas=REPLICAS))
    world.approve("m0", dataEnd="2013-01-01T00:00:00Z")
    world.settle()
    world.approve("m1", dataEnd="2021-01-01T00:00:00Z")
    for _ in range(400):
        world.crash_after(writes % 3)
        world.crash_after(writes % 4 + 1)
        world.controllers()
        world.wait(seconds=1)
        if world.status["stable"]["modelVersion"] == "m1" and not world.status["retiring"]:
            break

    assert world.status["stable"]["modelVersion"] == "m1"
    assert world.status["lastRollout"]["outcome"] == "Promoted"
    creates = [item for item in world.writes if item.startswith("create ControllerRevision")]
    assert len(creates) == len(set(creates)) == 2
    told = [item.reason for item in world.events]
    assert told.count("Promoted") <= 1


def test_a_conflict_counts_a_measurement_once() -> None:
    """A claim that meets a conflict is gathered and decided again, with the same answer."""
    world = World().serving()
    assert world.metrics is not None
    world.approve("m1", dataEnd="2021-01-01T00:00:00Z")
    world.settle()
    world.change_spec(
        rollout={**spec()["rollout"], "analysis": {**spec()["rollout"]["analysis"],
                                                   "failureLimit": 3}},
    )  # fmt: skip
    world.settle()
    world.metrics.failing = 0.5
    world.now += timedelta(seconds=45)

    first, second = world.plan(), world.plan()

    assert first.claim == second.claim
    assert first.claim is not None
    assert first.claim["rollout"]["failures"] == 1
    world.step()
    assert world.plan().claim is None
    assert world.observe().analysed is None, "it is not asked for again"
