"""What to do about a ModelDeployment: candidates, rollout, traffic and the watch put together.

One pass computes the status that follows from what is seen. Where it counts, times or points at
something else than before, that status is claimed and nothing else is done. Otherwise children
are derived from it: revisions, Deployments, Services and the route.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tidemill.api.base import Condition, ConditionStatus
from tidemill.api.documents.bundle import Bundle
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1 import ModelDeployment, ModelVersion
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentStatus
from tidemill.core import monitor
from tidemill.core.analysis import Analysed
from tidemill.core.candidates import Choice, Known, choose, model_of
from tidemill.core.conditions import condition, find, merge, rfc3339
from tidemill.core.deploymentconditions import Facts, conditions, story
from tidemill.core.identity import LABEL_MODELDEPLOYMENT, LABEL_REVISION
from tidemill.core.manifests import routing, serving
from tidemill.core.manifests.records import model_version_body
from tidemill.core.observed import Unreadable
from tidemill.core.plan import Body, Delete, Event, Plan
from tidemill.core.requests import Ignored, Request, read_request
from tidemill.core.revisions import (
    Model,
    Revision,
    controller_revision,
    next_number,
    revision_name,
    shape,
    spec_hash,
    superfluous,
)
from tidemill.core.rollout import Move, Seen, step_rollout
from tidemill.core.scaling import (
    NONE,
    Workload,
    candidate_pods,
    drained,
    drained_at,
    ended,
    replicas,
)
from tidemill.core.traffic import (
    Roads,
    achieved,
    address,
    in_force,
    routed_condition,
    selected,
    shares,
    taken_out,
)

VERBS: Mapping[str, bool] = {"promote": True, "skip": True, "abort": True, "retry": True}
"""What may be requested; all of it names a revision."""
LOOK_AGAIN_SECONDS = 30.0
"""How soon to ask the artifact store or Prometheus again after they could not be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What the admin has set, as far as model servers go."""

    image: str
    pull_policy: str
    secret: str
    """The Secret with the namespace's credential for the artifact store."""
    prefix: str
    """Everything of this namespace in the artifact store lies under this prefix."""
    scrape_seconds: int
    prometheus: bool
    """Whether there is a Prometheus to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A live Deployment or Service of a revision."""

    api_version: str
    kind: str
    name: str
    uid: str
    revision: str
    deleting: bool
    template: Body = field(default_factory=dict)
    """Of a Deployment: its pod template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything a ModelDeployment's next move may depend on."""

    now: datetime
    deployment: ModelDeployment
    platform: Platform
    training_job_exists: bool = False
    versions: tuple[ModelVersion, ...] = ()
    """The ModelVersions of the namespace that may be meant; see candidates.Known."""
    document: Bundle | Unreadable | None = None
    """The bundle to import, where spec names one and its record is not there."""
    bundle: Bundle | Unreadable | None = None
    """The bundle of the revision that has no ControllerRevision yet; see `unwritten`."""
    revisions: Mapping[str, Revision] = field(default_factory=dict)
    workloads: Mapping[str, Workload] = field(default_factory=dict)
    """By revision."""
    children: tuple[Child, ...] = ()
    """Live Deployments and Services of revisions."""
    route_uid: str = ""
    """uid of the HTTPRoute, if it is ours."""
    roads: Roads = field(default_factory=Roads)
    gateway: Body | None = None
    scraped: frozenset[str] | None = None
    """The candidate's pods Prometheus has two samples of; None: not asked, or no answer."""
    analysed: Analysed | None = None
    reading: monitor.Reading | None = None
    """A window of the standing watch that is due."""

    @property
    def owner(self) -> serving.Owner:
        """The owner of all children."""
        metadata = self.deployment.metadata
        return serving.Owner(name=metadata.name, namespace=metadata.namespace, uid=metadata.uid)

    def pods_of(self, revision: str) -> Workload:
        """A revision's pods."""
        return self.workloads.get(revision, NONE)


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
        apply=_children(observed, status),
        create=(*_revision_to_write(observed, status), *_record(observed, course.choice)),
        delete=_leftovers(observed, status),
        status=wire if changed else None,
        events=events if changed else (),
        requeue_after=_requeue_after(observed, course),
    )


def known(observed: Observed, status: ModelDeploymentStatus) -> Known:
    """What a choice of model depends on."""
    stable = status.stable
    return Known(
        name=observed.deployment.metadata.name,
        spec=observed.deployment.spec,
        prefix=observed.platform.prefix,
        stable=stable,
        stable_revision=observed.revisions.get(stable.revision) if stable is not None else None,
        training_job_exists=observed.training_job_exists,
        versions=observed.versions,
        document=observed.document,
        refused=status.refused,
    )


def unwritten(
    name: str,
    deployment: ModelDeployment,
    revisions: Mapping[str, Revision],
    versions: Iterable[ModelVersion],
) -> tuple[str, Model] | None:
    """The claimed revision without a ControllerRevision, if it can be written down now.

    The candidate's, or stable's where somebody deleted it: the model is known from its record or
    another revision, and the pods' shape is what spec says.
    """
    shaped = shape(deployment.spec)
    models = {item.metadata.name: model_of(item) for item in versions}
    models.update({item.model.version: item.model for item in revisions.values()})
    for role in (deployment.status.candidate, deployment.status.stable):
        if role is None or role.revision in revisions:
            continue
        model = models.get(role.model_version)
        if model is not None and revision_name(name, model.digest, shaped) == role.revision:
            return role.revision, model
    return None


def _course(observed: Observed) -> _Course:
    """What the claimed part of the status is to be next."""
    before = observed.deployment.status
    status, asked, told = _answer(observed, before)
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
        released=_released(status),
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


def _released(status: ModelDeploymentStatus) -> bool:
    """Whether the last request asked the candidate up, paused or not."""
    if status.request is None or status.candidate is None:
        return False
    asked = status.request.partition("@")[0]
    return asked in {f"{verb}/{status.candidate.revision}" for verb in ("promote", "skip")}


def _answer(
    observed: Observed, status: ModelDeploymentStatus
) -> tuple[ModelDeploymentStatus, str, tuple[Event, ...]]:
    """Answer an open request: the status with it answered, what it asks, what to tell."""
    request = read_request(
        observed.deployment.metadata, answered=status.request, now=observed.now, verbs=VERBS
    )
    if request is None:
        return status, "", ()
    status = status.model_copy(update={"request": request.text})
    if isinstance(request, Ignored):
        return status, "", (_ignored(request.message),)
    if request.verb == "retry":
        return _retry(status, request)
    why = _why_not(status, request)
    if why:
        said = f"Request {request.text!r} was ignored: {why}."
        return status, "", (_ignored(said),)
    return status, request.verb, ()


def _retry(
    status: ModelDeploymentStatus, request: Request
) -> tuple[ModelDeploymentStatus, str, tuple[Event, ...]]:
    """Let a refused revision, or one that ended without a verdict, be tried again now."""
    kept = tuple(item for item in status.refused if item.revision != request.target)
    past = status.last_rollout
    undecided = (
        past is not None and past.outcome == "Inconclusive" and past.revision == request.target
    )
    if len(kept) == len(status.refused) and not undecided:
        said = f"Request {request.text!r} was ignored: {request.target} was not refused."
        return status, "", (_ignored(said),)
    said = f"A request lets revision {request.target} be tried again."
    status = status.model_copy(update={"refused": kept})
    return status, "retry", (Event(reason=Reason.RETRIED, message=said),)


def _why_not(status: ModelDeploymentStatus, request: Request) -> str:
    """Why promote, skip or abort cannot be done."""
    candidate = status.candidate
    if candidate is None:
        return "no rollout is under way"
    if candidate.revision != request.target:
        return f"the candidate is {candidate.revision}, not {request.target}"
    if status.stable is None and request.verb != "abort":
        return "the first model takes all traffic without steps"
    return ""


def _ignored(message: str) -> Event:
    return Event(reason=Reason.REQUEST_IGNORED, message=message, warning=True)


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
        revision_missing=_is_lost(observed, status),
        routed=_routed(observed, status),
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


def _is_lost(observed: Observed, status: ModelDeploymentStatus) -> bool:
    """Stable's ControllerRevision and Deployment are gone, and cannot be made again."""
    stable = status.stable
    if stable is None or stable.revision in observed.revisions:
        return False
    if any(x.revision == stable.revision and x.kind == "Deployment" for x in observed.children):
        return False
    found = unwritten(
        observed.deployment.metadata.name,
        observed.deployment,
        observed.revisions,
        observed.versions,
    )
    return found is None or found[0] != stable.revision


def _revision_to_write(observed: Observed, status: ModelDeploymentStatus) -> tuple[Body, ...]:
    """The ControllerRevision of a claimed revision that has none yet."""
    deployment = observed.deployment.model_copy(update={"status": status})
    name = deployment.metadata.name
    found = unwritten(name, deployment, observed.revisions, observed.versions)
    if found is None or not isinstance(observed.bundle, Bundle):
        return ()
    revision, model = found
    running = [x.template for x in observed.children if x.revision == revision and x.template]
    return (
        controller_revision(
            observed.owner,
            name=revision,
            number=next_number(observed.revisions.values()),
            model=model,
            document=observed.bundle,
            spec=deployment.spec,
            # Where its pods run already, what they run is the truth.
            template=running[0] if running else _template(observed, revision, model),
        ),
    )


def _template(observed: Observed, revision: str, model: Model) -> Body:
    spec, platform = observed.deployment.spec, observed.platform
    name = observed.deployment.metadata.name
    return serving.pod_template(
        serving.ServerPod(
            deployment=name,
            revision=revision,
            image=platform.image,
            pull_policy=platform.pull_policy,
            secret=platform.secret,
            bundle_uri=model.bundle.uri,
            bundle_digest=model.bundle.digest,
            resources=spec.resources,
            request_log=spec.request_log,
            log_uri=f"{platform.prefix}/requests/{name}",
        )
    )


def _record(observed: Observed, choice: Choice) -> tuple[Body, ...]:
    """The ModelVersion of an imported bundle."""
    if choice.record is None:
        return ()
    metadata = observed.deployment.metadata
    marks = {LABEL_MODELDEPLOYMENT: metadata.name}
    return (model_version_body(metadata.namespace, choice.record_name, choice.record, marks),)


def _live(status: ModelDeploymentStatus) -> tuple[str, ...]:
    """The revisions that have pods or may have some."""
    roles = (role.revision for role in (status.stable, status.candidate) if role is not None)
    return (*roles, *status.retiring)


def _children(observed: Observed, status: ModelDeploymentStatus) -> tuple[Body, ...]:
    """Services, Deployments, the disruption budget and the route, in this order."""
    owner, roads = observed.owner, observed.roads
    wanted = replicas(
        observed.deployment.spec, status, observed.workloads, routed=roads.routed, now=observed.now
    )
    written = [
        observed.revisions[name]
        for name in _live(status)
        if name in observed.revisions and not observed.revisions[name].deleting
    ]
    bodies = [serving.service(owner, item.name) for item in written]
    if written:
        bodies.append(serving.entry_service(owner, selected(status, routed=roads.routed)))
    bodies += [
        serving.deployment(owner, item.name, item.template, wanted[item.name]) for item in written
    ]
    if status.stable is not None:
        bodies.append(serving.disruption_budget(owner, status.stable.revision))
        if roads.open and roads.route is not None:
            bodies.append(_route(observed, status, {item.name for item in written}))
    return tuple(bodies)


def _route(observed: Observed, status: ModelDeploymentStatus, served: set[str]) -> Body:
    """The route, with a backend for each revision that has a Service."""
    owner, roads = observed.owner, observed.roads
    if roads.route is None:
        raise ValueError("spec.route is not set")
    there = served | {x.revision for x in observed.children if x.kind == "Service"}
    ref = roads.route.gateway_ref
    return routing.http_route(
        owner,
        gateway=ref.name,
        gateway_namespace=ref.namespace or owner.namespace,
        hostnames=roads.hostnames,
        weights={name: weight for name, weight in shares(status).items() if name in there},
    )


def _leftovers(observed: Observed, status: ModelDeploymentStatus) -> tuple[Delete, ...]:
    """What is not needed any more; a Service goes when no live route points to it."""
    namespace, live = observed.owner.namespace, _live(status)
    routed = observed.roads.view.weights if observed.roads.view is not None else {}
    gone = [
        Delete(
            api_version=child.api_version,
            kind=child.kind,
            namespace=namespace,
            name=child.name,
            uid=child.uid,
        )
        for child in observed.children
        if child.revision not in live
        and not child.deleting
        and not (child.kind == "Service" and child.name in routed)
    ]
    if observed.route_uid and (status.stable is None or not observed.roads.open):
        gone.append(
            Delete(
                api_version=routing.API_VERSION,
                kind="HTTPRoute",
                namespace=namespace,
                name=observed.owner.name,
                uid=observed.route_uid,
            )
        )
    used = {*live, *(child.revision for child in observed.children)}
    return (
        *gone,
        *superfluous(observed.revisions.values(), used=used, namespace=namespace),
    )


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
