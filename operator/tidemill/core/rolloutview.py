"""What a rollout's next move depends on, and what a move is."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tidemill.api.v1alpha1.modeldeployment import (
    ModelDeploymentStatus,
    RevisionStatus,
    Rollout,
    RolloutStatus,
)
from tidemill.core.analysis import Analysed
from tidemill.core.candidates import Choice
from tidemill.core.conditions import parse_time
from tidemill.core.scaling import Workload, weight_of


def hold_until(policy: Rollout, rollout: RolloutStatus) -> datetime | None:
    """Until when a step lasts at least; None while the step's weight is not in force."""
    steps = policy.canary.steps
    if rollout.weight_since is None or rollout.step >= len(steps):
        return None
    step = steps[rollout.step]
    if rollout.weight != step.weight:
        return None
    return parse_time(rollout.weight_since) + timedelta(seconds=step.hold_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything the next move of a rollout may depend on, as of `now`."""

    now: datetime
    generation: int
    spec_hash: str
    """Of the spec without replicas; a model is refused under it."""
    replicas: int
    """spec.replicas."""
    policy: Rollout
    scrape_seconds: int
    status: ModelDeploymentStatus
    choice: Choice
    """What should serve."""
    asked: str = ""
    """promote, skip, abort or retry, if a request asks this rollout for it now."""
    released: bool = False
    """A request has asked this candidate up, whether or not rollouts are paused."""
    pods: Workload = Workload()
    """The candidate's."""
    wanted: int = 1
    """How many pods the candidate has to have for its step."""
    scraped: frozenset[str] | None = None
    """Pods Prometheus has two samples of; None: it could not be asked, or was not."""
    prometheus: bool = True
    """Whether there is a Prometheus to ask."""
    routed: bool = True
    """Weights are those of a route, not shares of the pods."""
    in_force: bool = False
    """Requests are seen to be shared as claimed."""
    achieved: int = 0
    """The candidate's share of the requests, in percent, as seen."""
    route_trouble: str = ""
    """What the Gateway says against the route."""
    analysed: Analysed | None = None
    """A measurement that was due, judged."""

    @property
    def rollout(self) -> RolloutStatus:
        """The rollout under way; only asked for where there is one."""
        if self.status.rollout is None:
            raise ValueError("no rollout is under way")
        return self.status.rollout

    @property
    def candidate(self) -> RevisionStatus:
        """The candidate; only asked for where there is one."""
        if self.status.candidate is None:
            raise ValueError("there is no candidate")
        return self.status.candidate

    @property
    def last(self) -> bool:
        """All steps are over; only the pods for all traffic are waited for."""
        return self.rollout.step >= len(self.policy.canary.steps)

    @property
    def place(self) -> str:
        """Which step it is, for messages."""
        return f"step {min(self.rollout.step + 1, self.steps)} of {self.steps}"

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.policy.canary.steps)

    @property
    def reached(self) -> bool:
        """The step's weight is claimed."""
        step_weight = weight_of(self.policy.canary.steps, self.rollout.step)
        return not self.last and self.rollout.weight == step_weight

    @property
    def held(self) -> bool:
        """Nothing may move up."""
        return self.policy.paused and not self.released

    @property
    def hold_until(self) -> datetime | None:
        """Until when the present step lasts at least; None while its weight is not in force."""
        return hold_until(self.policy, self.rollout)

    @property
    def deadline(self) -> datetime:
        """Until when the present step may last."""
        most = timedelta(seconds=self.policy.step_deadline_seconds)
        return parse_time(self.rollout.step_started) + most


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Where the rollout stands next."""

    status: ModelDeploymentStatus
    """To be claimed where it differs from what was seen."""
    complete: bool | None
    """The RolloutComplete condition: no rollout is under way and none was refused."""
    reason: str
    message: str
    again: datetime | None = None
    """When to look again, if no change comes first."""
    told: bool = True
    """Whether what is claimed is worth an Event."""
