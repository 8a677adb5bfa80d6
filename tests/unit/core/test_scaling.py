"""How many pods: for a weight, for a role, and on the way out."""

from typing import Any

import pytest

from tests.builders import at, sha, stamp
from tests.unit.world import NAME, spec
from tidemill.api.v1alpha1 import ModelDeployment
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus
from tidemill.core import scaling
from tidemill.core.scaling import Workload

SHARES = {
    "a little of two pods is one": (5, 2, True, 1),
    "a half of two is one": (50, 2, True, 1),
    "a half of three is two: rounded up": (50, 3, True, 2),
    "a quarter of ten is three": (25, 10, True, 3),
    "all is all": (100, 4, True, 4),
    "beside no pods there are none": (50, 0, True, 0),
    "without a route a half is as many as stable has": (50, 4, False, 4),
    "a quarter of the pods beside six is two": (25, 6, False, 2),
    "a twentieth beside two cannot be less than one": (5, 2, False, 1),
    "more than a half stays at as many": (75, 2, False, 2),
}


@pytest.mark.parametrize(("weight", "stable", "routed", "pods"), SHARES.values(), ids=SHARES)
def test_share(weight: int, stable: int, routed: bool, pods: int) -> None:
    assert scaling.share(weight, stable, routed=routed) == pods


def given(**more: Any) -> ModelDeploymentSpec:
    return ModelDeployment.parse({"metadata": {"name": NAME}, "spec": spec(**more)}).spec


def role(name: str) -> dict[str, Any]:
    return {"revision": name, "modelVersion": name, "digest": sha(name)}


def rolling(step: int = 0, weight: int = 0, **more: Any) -> ModelDeploymentStatus:
    return ModelDeploymentStatus.model_validate(
        {
            "stable": role("old"),
            "candidate": role("new"),
            "rollout": {"step": step, "weight": weight, "stepStarted": stamp()},
            **more,
        }
    )


FOUR = given(replicas=4)
OLD = {"old": Workload(asked=4, pods=4, ready=4)}

REPLICAS = {
    "alone, stable has what spec says": (
        FOUR, ModelDeploymentStatus.model_validate({"stable": role("old")}), OLD, {"old": 4}
    ),
    "the first model gets all its pods": (
        FOUR,
        ModelDeploymentStatus.model_validate(
            {"candidate": role("new"), "rollout": {"stepStarted": stamp()}}
        ),
        {}, {"new": 4},
    ),
    "a candidate gets the pods of its step before the weight": (
        FOUR, rolling(), OLD, {"old": 4, "new": 1}
    ),
    "the next step's pods come while the weight is the last one's": (
        FOUR, rolling(step=1, weight=5), OLD, {"old": 4, "new": 2}
    ),
    "after the last step it gets all": (
        FOUR, rolling(step=2, weight=50), OLD, {"old": 4, "new": 4}
    ),
    "a weight that went down keeps its pods until it is gone": (
        given(
            replicas=4,
            rollout={"canary": {"steps": [{"weight": 50}, {"weight": 5}]}},
        ),
        rolling(step=1, weight=50), OLD, {"old": 4, "new": 2},
    ),
    "stable does not shrink during a rollout": (
        given(replicas=2), rolling(weight=5), OLD, {"old": 4, "new": 1}
    ),
    "but grows": (given(replicas=6), rolling(step=1), OLD, {"old": 6, "new": 3}),
    "after a rollout it shrinks": (
        given(replicas=2), ModelDeploymentStatus.model_validate({"stable": role("old")}), OLD,
        {"old": 2},
    ),
    "scaled to zero there is no candidate": (
        given(replicas=0), rolling(), {}, {"old": 0, "new": 0}
    ),
    "what is taken out keeps its pods while it may get requests": (
        FOUR,
        ModelDeploymentStatus.model_validate({"stable": role("new"), "retiring": ["old"]}),
        OLD, {"new": 4, "old": 4},
    ),
    "and while it drains": (
        FOUR,
        ModelDeploymentStatus.model_validate(
            {"stable": role("new"), "retiring": ["old"], "retiringSince": stamp(seconds=1)}
        ),
        OLD, {"new": 4, "old": 4},
    ),
    "then it has none": (
        FOUR,
        ModelDeploymentStatus.model_validate(
            {"stable": role("new"), "retiring": ["old"], "retiringSince": stamp()}
        ),
        OLD, {"new": 4, "old": 0},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("of", "status", "live", "wanted"), REPLICAS.values(), ids=REPLICAS)
def test_replicas(
    of: ModelDeploymentSpec,
    status: ModelDeploymentStatus,
    live: dict[str, Workload],
    wanted: dict[str, int],
) -> None:
    found = scaling.replicas(of, status, live, routed=True, now=at(seconds=10))

    assert found == wanted


READY = {
    "all are ready": (Workload(asked=2, pods=2, ready=2, endpoints=frozenset("ab")), True),
    "more are ready": (Workload(asked=3, pods=3, ready=3, endpoints=frozenset("abc")), True),
    "one is missing": (Workload(asked=2, pods=2, ready=1, endpoints=frozenset("a")), False),
    "nobody sends to one yet": (
        Workload(asked=2, pods=2, ready=2, endpoints=frozenset("a")), False
    ),
    "fewer were asked for": (Workload(asked=1, pods=2, ready=2, endpoints=frozenset("ab")), False),
    "the status is of before": (
        Workload(asked=2, pods=2, ready=2, settled=False, endpoints=frozenset("ab")), False
    ),
}  # fmt: skip


@pytest.mark.parametrize(("workload", "ready"), READY.values(), ids=READY)
def test_ready_for_two(workload: Workload, ready: bool) -> None:
    assert workload.ready_for(2) is ready


DRAINED = ModelDeploymentStatus.model_validate(
    {"stable": role("new"), "retiring": ["old"], "retiringSince": stamp()}
)
ENDED = {
    "drained and empty": (DRAINED, Workload(), 10, ("old",)),
    "not drained": (DRAINED, Workload(), 9, ()),
    "still seen with weight": (
        DRAINED.model_copy(update={"retiring_since": None}),
        Workload(),
        10,
        (),
    ),
    "a pod is still there": (DRAINED, Workload(asked=0, pods=1), 10, ()),
    "pods are asked for": (DRAINED, Workload(asked=1, pods=0), 10, ()),
    "the status is of before": (DRAINED, Workload(settled=False), 10, ()),
}


@pytest.mark.parametrize(("status", "workload", "after", "names"), ENDED.values(), ids=ENDED)
def test_ended(
    status: ModelDeploymentStatus, workload: Workload, after: float, names: tuple[str, ...]
) -> None:
    live = {"old": workload}

    found = scaling.ended(status, live, drain_seconds=10, now=at(seconds=after))

    assert found == names


def test_the_drain_ends_at_a_known_time() -> None:
    assert scaling.drained_at(DRAINED, 10) == at(seconds=10)
    assert scaling.drained_at(DRAINED.model_copy(update={"retiring_since": None}), 10) is None
