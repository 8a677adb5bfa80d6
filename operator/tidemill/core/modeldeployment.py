"""What to do about a ModelDeployment: candidates, rollout, traffic and the watch put together.

One pass computes the status that follows from what is seen. Where it counts, times or points at
something else than before, that status is claimed and nothing else is done. Otherwise children
are derived from it: revisions, Deployments, Services and the route.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from tidemill.api.base import Condition, ConditionStatus
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentStatus, RevisionStatus
from tidemill.api.v1alpha1.modelversion import ModelVersion
from tidemill.core import monitor
from tidemill.core.candidates import Choice, choose
from tidemill.core.conditions import condition, find, merge, rfc3339
from tidemill.core.deploymentchildren import (
    children,
    leftovers,
    record_to_make,
    revision_to_write,
)
from tidemill.core.deploymentconditions import Facts, conditions, story
from tidemill.core.deploymentview import Observed, is_lost, known
from tidemill.core.identity import LABEL_MODELDEPLOYMENT, LABEL_REVISION
from tidemill.core.observed import Unreadable
from tidemill.core.plan import Event, Plan
from tidemill.core.revisions import (
    spec_hash,
)
from tidemill.core.rollout import step_rollout
from tidemill.core.rolloutrequests import answer, released
from tidemill.core.rolloutview import Move, Seen
from tidemill.core.scaling import (
    NONE,
    candidate_pods,
    drained,
    drained_at,
    ended,
)
from tidemill.core.traffic import (
    achieved,
    address,
    in_force,
    routed_condition,
    taken_out,
)

LOOK_AGAIN_SECONDS = 30.0
"""How soon to ask the artifact store or Prometheus again after they could not be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """The claimed part of the status that follows, and how it came about."""

    status: ModelDeploymentStatus
    choice: Choice
    move: Move
    """What to say of the rollout."""
    taken: Move | None = None
    """What the rollout claims now, if it does."""
    told: tuple[Event, ...] = ()


def plan_modeldeployment(observed: Observed) -> Plan:
    """What one pass does for a ModelDeployment."""
    deployment = observed.deployment
    if deployment.metadata.deletion_timestamp is not None:
        return Plan()  # children have an owner and go with it
    course = _course(observed)
    status = _reported(observed, course)
    wire = status.to_wire()
    before = deployment.status
    events = (*story(before.conditions, status.conditions, course.taken), *course.told)
    if _claimed(course.status) != _claimed(before):
        return Plan(claim=_with_conflict(before, status).to_wire(), events=events)
    changed = wire != before.to_wire()
    return Plan(
        apply=children(observed, status),
        create=(*revision_to_write(observed, status), *record_to_make(observed, course.choice)),
        delete=leftovers(observed, status),
        status=wire if changed else None,
        events=events if changed else (),
        requeue_after=_requeue_after(observed, course),
    )


def _course(observed: Observed) -> _Course:
    """What the claimed part of the status is to be next."""
    before = observed.deployment.status
    status, asked, told = answer(observed, before)
    choice = choose(known(observed, status))
    seen = see(observed, status, choice, asked=asked)
    taken = step_rollout(seen)
    claimed = taken.status != status
    status = taken.status
    if status.stable != before.stable and _serves_another(status, before):
        status = _watch_anew(observed, status)
    status = _taken_out(observed, status)
    status = _watched(observed, status)
    if not claimed:
        return _Course(status=status, choice=choice, move=_explained(observed, taken), told=told)
    # What the rollout waits for next is what status says; what it did is told as an Event.
    choice = choose(known(observed, status))
    ahead = step_rollout(see(replace(observed, analysed=None), status, choice))
    return _Course(status=status, choice=choice, move=ahead, taken=taken, told=told)


def see(
    observed: Observed, status: ModelDeploymentStatus, choice: Choice, *, asked: str = ""
) -> Seen:
    """A rollout's view of what was observed."""
    deployment = observed.deployment
    spec, routed = deployment.spec, observed.roads.routed
    stable = observed.pods_of(status.stable.revision) if status.stable is not None else NONE
    candidate = status.candidate
    pods = observed.pods_of(candidate.revision) if candidate is not None else NONE
    view = observed.roads.view
    return Seen(
        now=observed.now,
        generation=deployment.metadata.generation,
        spec_hash=spec_hash(spec),
        replicas=spec.replicas,
        policy=spec.rollout,
        scrape_seconds=observed.platform.scrape_seconds,
        status=status,
        choice=choice,
        asked=asked,
        released=released(status),
        pods=pods,
        wanted=candidate_pods(spec, status, stable, routed=routed),
        scraped=observed.scraped,
        prometheus=observed.platform.prometheus,
        routed=routed,
        in_force=in_force(status, observed.roads, observed.workloads),
        achieved=achieved(status, observed.roads, observed.workloads),
        route_trouble=_route_trouble(observed, status) if view is None or not view.accepted else "",
        analysed=observed.analysed,
    )


def _route_trouble(observed: Observed, status: ModelDeploymentStatus) -> str:
    told = routed_condition(observed.roads, serving=status.stable is not None)
    return told.message if told is not None and told.status is ConditionStatus.FALSE else ""


def _serves_another(status: ModelDeploymentStatus, before: ModelDeploymentStatus) -> bool:
    if status.stable is None or before.stable is None:
        return True
    return status.stable.revision != before.stable.revision


def _watch_anew(observed: Observed, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """Begin the standing watch of what has just become stable."""
    baseline = _baseline(observed, status)
    if not baseline and status.episode is not None:
        baseline = status.episode.baseline  # nobody knows better
    return monitor.begin(
        status,
        baseline=baseline,
        watched=observed.platform.prometheus,
        now=observed.now,
    )


def _baseline(observed: Observed, status: ModelDeploymentStatus) -> str:
    """The digest of the baseline profile of what serves."""
    if status.stable is None or status.stable.revision not in observed.revisions:
        return ""
    return observed.revisions[status.stable.revision].profile.digest


def _taken_out(observed: Observed, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """Retiring revisions: when they were seen without weight, and which have ended."""
    drain = observed.deployment.spec.rollout.drain_seconds
    done = set(ended(status, observed.workloads, drain_seconds=drain, now=observed.now))
    if drained(status, drain, observed.now):  # nothing to scale them by: they just go
        done |= {name for name in status.retiring if name not in observed.revisions}
    retiring = tuple(name for name in status.retiring if name not in done)
    since = status.retiring_since if retiring else None
    if retiring and since is None and taken_out(status, observed.roads, observed.workloads):
        since = rfc3339(observed.now)
    return status.model_copy(update={"retiring": retiring, "retiring_since": since})


def _watched(observed: Observed, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """The standing watch after a window, or begun where it could not be before."""
    if status.stable is None or not observed.platform.prometheus:
        return status.model_copy(update={"monitor": None})
    if status.monitor is None:
        return _watch_anew(observed, status)
    reading, same = observed.reading, status.stable == observed.deployment.status.stable
    if reading is None or reading.reason or reading.baseline is None or not same:
        return status
    policy = observed.deployment.spec.monitoring
    shown = monitor.judge(policy, reading, reading.baseline)
    return monitor.step_monitor(status, policy, shown, baseline=_baseline(observed, status))


def _explained(observed: Observed, move: Move) -> Move:
    """A rollout that waits because the candidate's bundle cannot be read says so."""
    candidate = move.status.candidate
    if candidate is None or candidate.revision in observed.revisions:
        return move
    if isinstance(observed.bundle, Unreadable):
        return replace(move, reason=observed.bundle.reason, message=observed.bundle.message)
    return move


def _claimed(status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """The part of a status that is claimed; the rest reports what is seen."""
    return status.model_copy(
        update={
            "observed_generation": -1,
            "conditions": (),
            "replicas": 0,
            "selector": "",
            "url": "",
        }
    )


def _with_conflict(
    before: ModelDeploymentStatus, status: ModelDeploymentStatus
) -> ModelDeploymentStatus:
    """A conflict of names is found where children are written: until then a claim keeps it."""
    stalled = find(before.conditions, "Stalled")
    if stalled is None or stalled.reason != Reason.NAME_CONFLICT:
        return status
    kept = {item.type: item for item in before.conditions if item.reason == stalled.reason}
    others = [item for item in status.conditions if item.type not in (*kept, "Reconciling")]
    held = sorted([*kept.values(), *others], key=lambda item: (item.type != "Ready", item.type))
    return status.model_copy(update={"conditions": tuple(held)})


def _reported(observed: Observed, course: _Course) -> ModelDeploymentStatus:
    """The whole status: what is claimed, and what is seen."""
    deployment, status = observed.deployment, course.status
    metadata, stable = deployment.metadata, status.stable
    pods = observed.pods_of(stable.revision) if stable is not None else NONE
    facts = Facts(
        status=status,
        replicas=deployment.spec.replicas,
        choice=course.choice,
        move=course.move,
        stable=pods,
        revision_missing=is_lost(observed, status),
        routed=_routed(observed, status),
        untrusted=_untrusted(observed.versions, stable),
        monitored=monitor.monitored(
            status,
            deployment.spec.monitoring,
            observed.reading,
            prometheus=observed.platform.prometheus,
        ),
    )
    labels = {LABEL_MODELDEPLOYMENT: metadata.name}
    if stable is not None:
        labels[LABEL_REVISION] = stable.revision
    return status.model_copy(
        update={
            "observed_generation": metadata.generation,
            "conditions": merge(
                deployment.status.conditions,
                conditions(facts),
                generation=metadata.generation,
                now=observed.now,
            ),
            "replicas": pods.pods,
            "selector": ",".join(f"{key}={value}" for key, value in labels.items()),
            "url": address(
                observed.roads,
                observed.gateway,
                name=metadata.name,
                namespace=metadata.namespace,
            ),
        }
    )


def _untrusted(versions: Iterable[ModelVersion], stable: RevisionStatus | None) -> Condition | None:
    """What serves has learned from data that were revoked: told, and left to a person."""
    name = None if stable is None else stable.model_version
    for version in versions:
        told = find(version.status.conditions, "Approved")
        tainted = told is not None and told.reason == Reason.DATA_REVOKED
        if version.metadata.name == name and told is not None and tainted:
            said = (
                f"{told.message} ModelVersion {name} goes on serving; train and approve another"
                " one, or name an older one in spec.model."
            )
            return condition("DataTrusted", False, Reason.DATA_REVOKED, said)
    return None


def _routed(observed: Observed, status: ModelDeploymentStatus) -> Condition | None:
    """The Routed condition. A Gateway that has accepted the route before and has not answered to
    a new weight yet is no news.
    """
    told = routed_condition(observed.roads, serving=status.stable is not None)
    if told is None or told.reason != Reason.ROUTE_PENDING:
        return told
    before = find(observed.deployment.status.conditions, "Routed")
    if before is not None and before.reason == Reason.ROUTE_ACCEPTED:
        return condition("Routed", True, before.reason, before.message)
    return told


def _requeue_after(observed: Observed, course: _Course) -> float | None:
    """Seconds until time alone may change something."""
    status, spec = course.status, observed.deployment.spec
    watch = monitor.next_at(
        status.monitor,
        spec.monitoring,
        scrape_seconds=observed.platform.scrape_seconds,
        now=observed.now,
    )
    drain = drained_at(status, spec.rollout.drain_seconds)
    moments = [course.move.again, watch, drain if drain and drain > observed.now else None]
    unread = (observed.document, observed.bundle)
    failing = observed.reading is not None and observed.reading.reason
    if failing or any(isinstance(item, Unreadable) for item in unread):
        moments.append(observed.now + timedelta(seconds=LOOK_AGAIN_SECONDS))
    waits = [max(0.0, (at - observed.now).total_seconds()) for at in moments if at is not None]
    return min(waits, default=None)
