"""The conditions of a ModelDeployment, and the story its events tell.

Ready is True while stable serves, whatever a rollout does. Reconciling is there only for what a
change of spec started; a retrained challenger that loses is normal work. Messages carry what was
true at the last transition, so that status is written when something has happened and not before.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tidemill.api.base import Condition, ConditionStatus
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentStatus
from tidemill.core.candidates import Choice
from tidemill.core.conditions import condition, find
from tidemill.core.plan import Event
from tidemill.core.rolloutview import Move
from tidemill.core.scaling import Workload
from tidemill.core.story import tell

_ROLLOUT = "RolloutComplete"
_WARNINGS = frozenset(
    {
        Reason.ABORTED,
        Reason.ANALYSIS_ERROR,
        Reason.ANALYSIS_FAILED,
        Reason.CANDIDATE_UNAVAILABLE,
        Reason.DEADLINE_EXCEEDED,
        Reason.NO_DATA,
        Reason.PROGRESS_DEADLINE_EXCEEDED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the conditions are computed from."""

    status: ModelDeploymentStatus
    """The status they will stand in."""
    replicas: int
    """spec.replicas."""
    choice: Choice
    move: Move
    """Where the rollout stands."""
    stable: Workload
    """The stable revision's pods."""
    revision_missing: bool
    """Stable's ControllerRevision is gone, and its Deployment too."""
    routed: Condition | None
    monitored: Condition
    untrusted: Condition | None = None
    """What serves has learned from revoked data."""


def conditions(facts: Facts) -> tuple[Condition, ...]:
    """All of them."""
    available = _available(facts)
    ready = _ready(facts, available)
    if facts.status.stable is None:
        available = condition("Available", False, ready.reason, ready.message)
    found = [
        ready,
        available,
        condition(_ROLLOUT, facts.move.complete, facts.move.reason, facts.move.message),
        facts.monitored,
    ]
    if facts.routed is not None:
        found.append(facts.routed)
    if facts.untrusted is not None:
        found.append(facts.untrusted)
    stalled = _stalled(facts)
    if stalled is not None:
        return (*found, stalled)
    rollout = facts.status.rollout
    if rollout is not None and rollout.from_git:
        found.append(condition("Reconciling", True, facts.move.reason, facts.move.message))
    return tuple(found)


def _ready(facts: Facts, available: Condition) -> Condition:
    stable = facts.status.stable
    if stable is None:
        return condition("Ready", False, facts.move.reason, facts.move.message)
    if available.status is not ConditionStatus.TRUE:
        return condition("Ready", False, available.reason, available.message)
    if facts.routed is not None and facts.routed.status is not ConditionStatus.TRUE:
        return condition("Ready", False, facts.routed.reason, facts.routed.message)
    said = f"{stable.model_version} serves."
    if facts.choice.note:
        said = f"{said} {facts.choice.note}"
    return condition("Ready", True, Reason.SERVING, said)


def _available(facts: Facts) -> Condition:
    stable = facts.status.stable
    if stable is None:
        return condition("Available", False, Reason.NO_PODS_READY, "Nothing serves yet.")
    if facts.stable.endpoints:
        said = "Pods of the stable revision are ready."
        return condition("Available", True, Reason.PODS_READY, said)
    if facts.revision_missing:
        said = (
            f"ControllerRevision {stable.revision} is gone, and nothing is left to make it from:"
            " change spec.model, or approve another model."
        )
        return condition("Available", False, Reason.REVISION_MISSING, said)
    if facts.replicas == 0:
        said = "spec.replicas is 0: no pods are asked for."
        return condition("Available", True, Reason.SCALED_TO_ZERO, said)
    trouble = facts.stable.trouble
    if trouble is not None:
        return condition("Available", False, trouble.reason, trouble.message)
    said = f"No pod of {stable.revision} is ready."
    return condition("Available", False, Reason.NO_PODS_READY, said)


def _stalled(facts: Facts) -> Condition | None:
    """What only a person can mend."""
    if facts.choice.stalled:
        return condition("Stalled", True, facts.choice.reason, facts.choice.message)
    if facts.routed is not None and facts.routed.reason in (
        Reason.GATEWAY_API_MISSING,
        Reason.HOSTNAME_CONFLICT,
    ):
        return condition("Stalled", True, facts.routed.reason, facts.routed.message)
    first = facts.status.stable is None
    if first and facts.move.reason == Reason.PROGRESS_DEADLINE_EXCEEDED:
        return condition("Stalled", True, facts.move.reason, facts.move.message)
    if facts.revision_missing:
        item = _available(facts)
        return condition("Stalled", True, item.reason, item.message)
    return None


def story(
    before: Iterable[Condition], after: Iterable[Condition], move: Move | None
) -> tuple[Event, ...]:
    """The events of a change: what the rollout did, then what else became different.

    `move` is what the rollout claims now, if it does. While it only waits, each kind of waiting
    is told once.
    """
    old, new = list(before), list(after)
    told: list[Event] = []
    was, now = find(old, _ROLLOUT), find(new, _ROLLOUT)
    if move is not None:
        told += [_event(move.reason, move.message)] if move.told else []
    elif now is not None and (was is None or was.reason != now.reason):
        told.append(_event(now.reason, now.message))
    others = tell(
        [item for item in old if item.type not in (_ROLLOUT, "Reconciling")],
        [item for item in new if item.type not in (_ROLLOUT, "Reconciling")],
    )
    said = {event.reason for event in told} | {event.message for event in told}
    told += [item for item in others if item.reason not in said and item.message not in said]
    return tuple(told)


def _event(reason: str, message: str) -> Event:
    return Event(reason=str(reason), message=message, warning=reason in _WARNINGS)
