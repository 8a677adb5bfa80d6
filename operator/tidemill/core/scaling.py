"""How many pods each revision has.

Stable has what spec asks for and never shrinks during a rollout. A candidate has its share before
its weight rises. A revision that was taken out keeps its pods until it is drained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor

from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus, Step
from tidemill.core.conditions import elapsed, parse_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a pod does not become ready."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A revision's Deployment and endpoints, as they are."""

    asked: int = 0
    """spec.replicas of the Deployment."""
    pods: int = 0
    """How many pods there are."""
    ready: int = 0
    """How many of them are ready."""
    settled: bool = True
    """The Deployment's status is about its present spec."""
    endpoints: frozenset[str] = frozenset()
    """The ready pods behind the revision's Service."""
    trouble: Trouble | None = None
    """Why some pod is not ready."""

    def ready_for(self, wanted: int) -> bool:
        """Whether so many pods are ready, and known to be by whoever sends them requests."""
        enough = min(self.asked, self.ready, len(self.endpoints)) >= wanted
        return self.settled and enough


NONE = Workload()
"""A revision without pods."""


def share(weight: int, stable: int, *, routed: bool) -> int:
    """How many pods a candidate needs for a weight in percent beside `stable` pods.

    With a route: max(1, ceil(stable x weight / 100)), enough for its share of the requests.
    Without, the weight *is* its share of the pods: the number that comes nearest, not less than
    that and at most as many as stable has.
    """
    if stable == 0:
        return 0
    needed = max(1, ceil(stable * weight / 100))
    if routed or weight >= 100:
        return needed
    nearest = floor(stable * weight / (100 - weight) + 0.5)
    return min(stable, max(needed, nearest))


def stable_pods(spec: ModelDeploymentSpec, status: ModelDeploymentStatus, stable: Workload) -> int:
    """How many pods stable has: what spec asks for, and no fewer than it has during a rollout."""
    if status.rollout is None:
        return spec.replicas
    return max(spec.replicas, stable.asked)


def candidate_pods(
    spec: ModelDeploymentSpec, status: ModelDeploymentStatus, stable: Workload, *, routed: bool
) -> int:
    """How many pods the candidate has to have for its step, and for the weight it has now."""
    rollout = status.rollout
    if rollout is None:
        return 0
    steps = spec.rollout.canary.steps
    if status.stable is None or rollout.step >= len(steps):
        return spec.replicas
    beside = stable_pods(spec, status, stable)
    weight = max(rollout.weight, weight_of(steps, rollout.step))
    return share(weight, beside, routed=routed)


def weight_of(steps: tuple[Step, ...], step: int) -> int:
    """The weight of a step, in percent; all traffic after the last."""
    return steps[step].weight if step < len(steps) else 100


def drained_at(status: ModelDeploymentStatus, drain_seconds: int) -> datetime | None:
    """When the retiring revisions will be drained; None while they are not seen without weight."""
    if not status.retiring or status.retiring_since is None:
        return None
    return parse_time(status.retiring_since) + timedelta(seconds=drain_seconds)


def drained(status: ModelDeploymentStatus, drain_seconds: int, now: datetime) -> bool:
    """Whether the retiring revisions have been without weight for long enough."""
    since = status.retiring_since
    return since is not None and elapsed(since, now) >= drain_seconds


def replicas(
    spec: ModelDeploymentSpec,
    status: ModelDeploymentStatus,
    workloads: Mapping[str, Workload],
    *,
    routed: bool,
    now: datetime,
) -> Mapping[str, int]:
    """How many pods each revision is to have now."""
    wanted: dict[str, int] = {}
    over = drained(status, spec.rollout.drain_seconds, now)
    for name in status.retiring:
        wanted[name] = 0 if over else workloads.get(name, NONE).asked
    stable = NONE
    if status.stable is not None:
        stable = workloads.get(status.stable.revision, NONE)
        wanted[status.stable.revision] = stable_pods(spec, status, stable)
    if status.candidate is not None:
        wanted[status.candidate.revision] = candidate_pods(spec, status, stable, routed=routed)
    return wanted


def ended(
    status: ModelDeploymentStatus,
    workloads: Mapping[str, Workload],
    *,
    drain_seconds: int,
    now: datetime,
) -> tuple[str, ...]:
    """The retiring revisions that are drained and have no pods left."""
    if not drained(status, drain_seconds, now):
        return ()
    empty = (name for name in status.retiring if _is_empty(workloads.get(name, NONE)))
    return tuple(empty)


def _is_empty(workload: Workload) -> bool:
    return workload.settled and workload.asked == 0 and workload.pods == 0
