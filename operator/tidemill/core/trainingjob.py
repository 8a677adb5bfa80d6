"""A TrainingJob: when to train, what a run has made, and how it stands.

One run at a time. A run is claimed in status.active with its data and its champion, then trains
in one execution and is judged in a second one that is ours alone; what that measured becomes a
ModelVersion named by the run, and when its gates have spoken the run is closed and the next cause
claimed, in the same write. Where the champion changed meanwhile, only the judging is repeated.
"""

from dataclasses import replace

from tidemill.api.base import Condition
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1 import ModelVersion
from tidemill.api.v1alpha1.dataset import HandledCause
from tidemill.api.v1alpha1.trainingjob import (
    ModelSummary,
    PastRun,
    PendingTrigger,
    Run,
    Stage,
    TrainingJobStatus,
)
from tidemill.core import conditions as c
from tidemill.core.acceptance import is_accepted
from tidemill.core.causes import Cause, handled, key_of_returned, shape
from tidemill.core.identity import execution_name
from tidemill.core.observed import TrainingJobObserved, ended
from tidemill.core.plan import Delete, Event, Plan
from tidemill.core.requests import Ignored, Request, read_request
from tidemill.core.retention import Record, remove_execution, spent, superfluous
from tidemill.core.retraining import (
    Answer,
    Data,
    Episode,
    Retraining,
    answer_triggers,
    started_today,
)
from tidemill.core.revocation import is_revoked
from tidemill.core.run import (
    APPROVED,
    JUDGED,
    MAX_HISTORY,
    REFUSED,
    SUPERSEDED,
    Move,
    carry_on,
    champion_of,
    execution_named,
    last_approved,
    model_named,
    models_by_age,
    names_of,
    numbers,
    outcome_of,
    rounded,
    run_name_of,
    spec_hash,
)
from tidemill.core.story import tell
from tidemill.core.trouble import Problem

VERBS = {"retrain": False, "approve": True}
KEEP_EXECUTIONS = 6
"""Two for each of the last three runs."""
MAX_STARTED = 64


def plan_trainingjob(seen: TrainingJobObserved) -> Plan:
    """Decide a TrainingJob's next move."""
    job = seen.job
    if job.metadata.deletion_timestamp is not None:
        return Plan()
    status = _restored(seen)
    move = Move()
    if status.active is not None:
        move = carry_on(seen, status, status.active)
        if move.claim is not None:
            return Plan(claim=move.claim.to_wire())
        if move.over is not None:
            return Plan(claim=_advance(seen, move.over).to_wire())
    else:
        advanced = _advance(seen, status)
        if advanced.active is not None:
            return Plan(claim=advanced.to_wire())
    answer = _answer(seen, status)
    status, said = _acknowledge(seen, status)
    status = _with_triggers(status, answer)
    problem = _spec_problem(seen, answer) or move.problem
    generation = job.metadata.generation
    told = c.merge(
        job.status.conditions,
        _conditions(seen, status, problem),
        generation=generation,
        now=seen.now,
    )
    status = status.model_copy(update={"observed_generation": generation, "conditions": told})
    story = (*said, *_story(seen, status, move, answer), *_transitions(seen, told))
    return Plan(
        create=move.create,
        delete=_prunes(seen, status),
        status=status.to_wire(),
        events=story,
        requeue_after=_next_look(seen, status, answer, problem),
    )


# --- what is known -----------------------------------------------------------------------------


def _restored(seen: TrainingJobObserved) -> TrainingJobStatus:
    """The stored status with the approved model brought up to the records.

    Where the status is new or was lost, what the records prove is taken from them, before
    anything starts: a job made again with the spec it had does not train again.
    """
    status, models = seen.job.status, models_by_age(seen)
    approved = last_approved(models)
    summary = None if approved is None else _summary(approved)
    status = status.model_copy(update={"approved": summary})
    request = _request(seen, status)
    if isinstance(request, Request) and _is_made(seen, "Manual", request.token):
        status = status.model_copy(update={"request": request.text})
    if not models or status.observed_generation != -1 or status.active is not None:
        return status
    key = spec_hash(seen.job.spec)
    same = [item for item in models if item.spec.spec_hash == key]
    of_spec = tuple(
        HandledCause(cause="Spec", key=key, at=item.spec.created_at, outcome=outcome_of(item))
        for item in same[-1:]
    )
    history = tuple(_remembered(item) for item in reversed(models[-MAX_HISTORY:]))
    made = [c.parse_time(item.spec.created_at) for item in models]
    today = tuple(c.rfc3339(moment) for moment in started_today(made, seen.now))
    return status.model_copy(
        update={
            "handled": (*of_spec, *status.handled),
            "history": status.history or history,
            "started_at": status.started_at or today[-MAX_STARTED:],
        }
    )


def _remembered(model: ModelVersion) -> PastRun:
    return PastRun(
        name=model.metadata.name,
        cause=model.spec.cause,
        dataset_version=model.spec.dataset_version,
        started=model.spec.created_at,
        ended=model.spec.created_at,
        outcome=outcome_of(model),
        message=numbers(model)[:512],
    )


def _summary(model: ModelVersion) -> ModelSummary:
    first = model.spec.metrics[0] if model.spec.metrics else None
    return ModelSummary(
        name=model.metadata.name,
        metric="" if first is None else first.metric,
        value="" if first is None else first.value or "",
    )


def last_data(status: TrainingJobStatus, models: list[ModelVersion]) -> str | None:
    """The DatasetVersion the last run learned from, or the active one learns from; of a run cut
    short by a new spec nothing was learned. `models` are sorted by age.
    """
    if status.active is not None:
        return status.active.dataset_version
    for past in status.history:
        if past.outcome != SUPERSEDED:
            return past.dataset_version
    return models[-1].spec.dataset_version if models else None


# --- causes ------------------------------------------------------------------------------------


def _is_made(seen: TrainingJobObserved, cause: str, key: str) -> bool:
    """Whether the run of this cause has a record, though status may have forgotten it."""
    name = run_name_of(seen, cause, key)
    return any(item.metadata.name == name for item in seen.models)


def _request(seen: TrainingJobObserved, status: TrainingJobStatus) -> Request | Ignored | None:
    """The open request. One that waits for the active run does not grow too old meanwhile."""
    stored = seen.job.status.active
    asked = seen.now if stored is None else min(seen.now, c.parse_time(stored.since))
    return read_request(seen.job.metadata, answered=status.request, now=asked, verbs=VERBS)


def _acknowledge(
    seen: TrainingJobObserved, status: TrainingJobStatus
) -> tuple[TrainingJobStatus, tuple[Event, ...]]:
    """Answer a request that starts no run: one that is ignored, or an approval."""
    request = _request(seen, status)
    if isinstance(request, Ignored):
        said = Event(reason=Reason.REQUEST_IGNORED, message=request.message, warning=True)
        return status.model_copy(update={"request": request.text}), (said,)
    if not isinstance(request, Request) or request.verb != "approve":
        return status, ()
    answered = status.model_copy(update={"request": request.text})
    if any(item.spec.digest == request.target for item in seen.models):
        return answered, ()  # the ModelVersion's own pass sees the same request
    message = f"Request {request.text!r} was ignored: no model of this job has that digest."
    return answered, (Event(reason=Reason.REQUEST_IGNORED, message=message, warning=True),)


def _retraining(seen: TrainingJobObserved, status: TrainingJobStatus) -> Retraining:
    job = seen.job
    created = job.metadata.creation_timestamp or c.rfc3339(seen.now)
    ends = [c.parse_time(item.ended) for item in status.history[:1]]
    version = _data(seen)[0]
    return Retraining(
        now=seen.now,
        retrain=job.spec.retrain,
        created=c.parse_time(created),
        last_tick=None if status.last_tick is None else c.parse_time(status.last_tick),
        last_ended=ends[0] if ends else None,
        started=tuple(c.parse_time(item) for item in status.started_at),
        running=status.active is not None,
        data=version,
        pinned=job.spec.dataset_ref.version is not None,
        last_data=last_data(status, models_by_age(seen)),
        learned=_learned(seen),
        unseen_share=seen.unseen_share,
        episode=_episode(seen),
        spent=frozenset((item.cause, item.key) for item in status.handled)
        | (
            frozenset()
            if status.active is None
            else frozenset({(status.active.cause, status.active.key)})
        ),
        pending=status.pending,
    )


def _learned(seen: TrainingJobObserved) -> str | None:
    """The data of the newest model made by the present spec."""
    key = spec_hash(seen.job.spec)
    same = [item for item in models_by_age(seen) if item.spec.spec_hash == key]
    return same[-1].spec.dataset_version if same else None


def _episode(seen: TrainingJobObserved) -> Episode | None:
    """The confirmed drift of the one deployment that follows this job."""
    if len(seen.followers) != 1:
        return None
    follower = seen.followers[0]
    episode = follower.status.episode
    if episode is None:
        return None
    return Episode(
        key=f"{follower.metadata.uid}/{episode.number}",
        data_after=c.parse_time(episode.data_after),
    )


def _answer(seen: TrainingJobObserved, status: TrainingJobStatus) -> Answer:
    """What to do about the triggers; before the first run there are none."""
    asked = _retraining(seen, status)
    answer = answer_triggers(asked)
    untried = handled(status.handled, "Spec") is None and status.active is None
    if untried or len(seen.followers) > 1:
        return Answer(invalid=answer.invalid)
    while answer.start is not None and _is_made(seen, answer.start.cause, answer.start.key):
        known = {*asked.spent, (answer.start.cause, answer.start.key)}
        asked = replace(asked, spent=frozenset(known))
        answer = answer_triggers(asked)
    return answer


def _data(seen: TrainingJobObserved) -> tuple[Data | None, str]:
    """What a run would learn from, or what is missing."""
    ref, version = seen.job.spec.dataset_ref, seen.version
    if seen.dataset is None:
        return None, f"Dataset {ref.name} does not exist; create it in this namespace."
    if version is None and ref.version is not None:
        return None, f"DatasetVersion {ref.version} does not exist."
    if version is None:
        return None, f"Dataset {ref.name} has no accepted version yet."
    if version.spec.dataset_ref.name != ref.name:
        made_by = version.spec.dataset_ref.name
        return None, f"DatasetVersion {ref.version} is of Dataset {made_by}, not of {ref.name}."
    if ref.version is not None and not is_accepted(version):
        return None, f"DatasetVersion {ref.version} is not accepted."
    if is_revoked(version):
        return None, f"DatasetVersion {version.metadata.name} was revoked."
    return Data(
        name=version.metadata.name,
        digest=version.spec.digest,
        mature_until=c.parse_time(version.spec.window.mature_until),
    ), ""


def _advance(seen: TrainingJobObserved, status: TrainingJobStatus) -> TrainingJobStatus:
    """The status with the next due cause claimed, if there is one and nothing is active."""
    if status.active is not None:
        return status
    cause, (data, _) = _due(seen, status), _data(seen)
    if cause is None or data is None:
        return status
    now = c.rfc3339(seen.now)
    started = started_today([c.parse_time(item) for item in status.started_at], seen.now)
    update: dict[str, object] = {
        "active": Run(
            name=run_name_of(seen, cause.cause, cause.key),
            cause=cause.cause,
            key=cause.key,
            since=now,
            dataset_version=data.name,
            champion=champion_of(seen),
            for_generation=cause.for_generation,
            spec_hash=spec_hash(seen.job.spec),
        ),
        "started_at": (*(c.rfc3339(item) for item in started), now)[-MAX_STARTED:],
        "pending": tuple(item for item in status.pending if item.cause != cause.cause),
    }
    if cause.request is not None:
        update["request"] = cause.request
    if cause.tick is not None:
        update["last_tick"] = c.rfc3339(cause.tick)
    return status.model_copy(update=update)


def _due(seen: TrainingJobObserved, status: TrainingJobStatus) -> Cause | None:
    """The cause to act on now, the most urgent first."""
    if len(seen.followers) > 1 or _data(seen)[0] is None:
        return None
    key, of_spec = spec_hash(seen.job.spec), handled(status.handled, "Spec")
    if of_spec is None or shape(of_spec.key) != key:
        generation = seen.job.metadata.generation
        new = key if of_spec is None else _unused_key(seen, key)
        return Cause(cause="Spec", key=new, for_generation=generation)
    request = _request(seen, status)
    if isinstance(request, Request) and request.verb == "retrain":
        return Cause(cause="Manual", key=request.token, request=request.text)
    start = _answer(seen, status).start
    return None if start is None else Cause(cause=start.cause, key=start.key, tick=start.tick)


def _unused_key(seen: TrainingJobObserved, key: str) -> str:
    """A key of the Spec cause: the hash, or for a spec that came back the hash and generation, so
    that the run it had asked for the first time is not taken for an answer.
    """
    meta = seen.job.metadata
    old = execution_name(meta.name, kind="train", uid=meta.uid, cause="Spec", key=key)
    before = execution_named(seen, old)
    met = before is not None and (ended(before) or before.metadata.deletion_timestamp is not None)
    back = met or _is_made(seen, "Spec", key)
    return key_of_returned(key, meta.generation) if back else key


# --- how it stands -----------------------------------------------------------------------------


def _with_triggers(status: TrainingJobStatus, answer: Answer) -> TrainingJobStatus:
    """What is held back, and which episode waits for data the Dataset should look for."""
    wants = answer.wants
    return status.model_copy(
        update={
            "pending": answer.pending,
            "wants_data_after": None if wants is None else c.rfc3339(wants.data_after),
            "wants_data_for": None if wants is None else wants.key,
        }
    )


def _spec_problem(seen: TrainingJobObserved, answer: Answer) -> Problem | None:
    """What in the spec, or in who refers to it, cannot be acted on."""
    if answer.invalid is not None:
        return Problem(reason=Reason.INVALID_SCHEDULE, message=answer.invalid, unready=True)
    if len(seen.followers) > 1:
        names = ", ".join(sorted(item.metadata.name for item in seen.followers))
        message = (
            f"Several ModelDeployments follow this TrainingJob ({names}), so nobody can say whose"
            " model is the champion. Let all but one name a modelVersionRef."
        )
        return Problem(reason=Reason.SEVERAL_FOLLOWERS, message=message, unready=True)
    return None


def _conditions(
    seen: TrainingJobObserved, status: TrainingJobStatus, problem: Problem | None
) -> list[Condition]:
    accepted = c.condition("Accepted", True, Reason.SPEC_ACCEPTED, "The spec can be acted on.")
    if problem is not None and problem.unready:
        accepted = c.condition("Accepted", False, problem.reason, problem.message)
    told = [
        _ready(seen, status, problem),
        accepted,
        _trained(status),
        _approved(seen, status),
    ]
    stalled = _stalled(seen, status, problem)
    active = status.active
    if stalled is not None:
        told.append(stalled)
    elif active is not None and active.for_generation == seen.job.metadata.generation:
        told.append(c.condition("Reconciling", True, Reason.TRAINING, _training(active)))
    elif active is None and not _is_spec_met(seen, status):
        missing = _data(seen)[1]
        told.append(c.condition("Reconciling", True, Reason.DEPENDENCY_NOT_READY, missing))
    return told


def _training(run: Run) -> str:
    verb = "is being judged, trained on" if run.stage is Stage.EVALUATE else "trains on"
    return f"Run {run.name} ({run.cause}) {verb} {run.dataset_version}."


def _ready(
    seen: TrainingJobObserved, status: TrainingJobStatus, problem: Problem | None
) -> Condition:
    if problem is not None and (problem.unready or status.approved is None):
        return c.condition("Ready", False, problem.reason, problem.message)
    if status.approved is not None:
        model = status.approved
        value = f": {model.metric} {rounded(model.value)}" if model.value else ""
        said = f"{model.name} is approved{value}."
        return c.condition("Ready", True, Reason.MODEL_APPROVED, said)
    if seen.job.spec.ready_when == "Accepted":
        said = "The spec can be acted on; readyWhen asks for no more."
        return c.condition("Ready", True, Reason.SPEC_ACCEPTED, said)
    if status.active is not None:
        return c.condition("Ready", False, Reason.TRAINING, _training(status.active))
    missing = _data(seen)[1]
    if missing and not _is_spec_met(seen, status):
        return c.condition("Ready", False, Reason.DEPENDENCY_NOT_READY, missing)
    last = _last_run(status)
    if last is None:
        return c.condition("Ready", False, Reason.TRAINING, "The first run is about to start.")
    return c.condition("Ready", False, last.outcome, _told(last))


def _is_spec_met(seen: TrainingJobObserved, status: TrainingJobStatus) -> bool:
    of_spec = handled(status.handled, "Spec")
    return of_spec is not None and shape(of_spec.key) == spec_hash(seen.job.spec)


def _last_run(status: TrainingJobStatus) -> PastRun | None:
    return next((item for item in status.history if item.outcome != SUPERSEDED), None)


def _told(past: PastRun) -> str:
    return f"Run {past.name} ({past.cause}): {past.outcome}. {past.message}"


def _trained(status: TrainingJobStatus) -> Condition:
    last = _last_run(status)
    if last is None:
        return c.condition("Trained", None, Reason.NO_RUN, "No run has ended yet.")
    return c.condition("Trained", last.outcome in JUDGED, last.outcome, _told(last))


def _approved(seen: TrainingJobObserved, status: TrainingJobStatus) -> Condition:
    newest = models_by_age(seen)[-1:]
    name = status.approved.name if status.approved is not None else None
    if name is None and newest:
        name = newest[0].metadata.name
    model = model_named(seen, name)
    verdict = None if model is None else c.find(model.status.conditions, "Approved")
    if verdict is None:
        return c.condition("Approved", None, Reason.NO_MODEL, "No model has been judged yet.")
    told = {"True": True, "False": False}.get(verdict.status)
    return c.condition("Approved", told, verdict.reason, f"{name}: {verdict.message}")


def _stalled(
    seen: TrainingJobObserved, status: TrainingJobStatus, problem: Problem | None
) -> Condition | None:
    """A spec that has brought no approved model stays so until it, or its gates, change."""
    if problem is not None:
        return c.condition("Stalled", True, problem.reason, problem.message)
    of_spec = handled(status.handled, "Spec")
    if of_spec is None or not _is_spec_met(seen, status):
        return None
    key = spec_hash(seen.job.spec)
    made = [item for item in models_by_age(seen) if item.spec.spec_hash == key]
    if any(outcome_of(item) == APPROVED for item in made):
        return None
    last = _last_run(status)
    if made and outcome_of(made[-1]) == REFUSED:
        verdict = c.find(made[-1].status.conditions, "Approved")
        said = f"{made[-1].metadata.name}: {'' if verdict is None else verdict.message}"
        return c.condition("Stalled", True, Reason.REFUSED, said)
    if not made and last is not None and last.outcome not in JUDGED:
        return c.condition("Stalled", True, last.outcome, _told(last))
    return None


def _story(
    seen: TrainingJobObserved, status: TrainingJobStatus, move: Move, answer: Answer
) -> tuple[Event, ...]:
    """The start of a run that no condition tells of, and triggers newly held back."""
    told = []
    run = status.active
    starts = any(body["kind"] == "PipelineExecution" for body in move.create)
    if run is not None and starts and run.cause != "Spec" and run.stage is Stage.TRAIN:
        against = f" against {run.champion}" if run.champion is not None else ""
        told.append(Event(reason=Reason.TRAINING, message=f"{_training(run)[:-1]}{against}."))
    known = {(item.cause, item.key) for item in seen.job.status.pending}
    for item in status.pending:
        if (item.cause, item.key) not in known:
            told.append(Event(reason=item.reason, message=_held(seen, item, answer)))
    return tuple(told)


def _transitions(seen: TrainingJobObserved, after: tuple[Condition, ...]) -> tuple[Event, ...]:
    """What to say of changed conditions. Approved says what the ModelVersion's own Events do."""
    before = (item for item in seen.job.status.conditions if item.type != "Approved")
    told = (item for item in after if item.type != "Approved")
    return tell(before, told, quiet=frozenset({"Accepted"}))


def _held(seen: TrainingJobObserved, item: PendingTrigger, answer: Answer) -> str:
    what = f"{item.cause} would start a run"
    until = f" until {c.rfc3339(answer.lifts)}" if answer.lifts is not None else ""
    retrain = seen.job.spec.retrain
    why = {
        Reason.SUSPENDED: "retrain.suspend is true",
        Reason.RUN_ACTIVE: "a run is under way",
        Reason.COOLDOWN_ACTIVE: f"cooldownSeconds: {retrain.cooldown_seconds} holds it back{until}",
        Reason.DAILY_LIMIT_REACHED: f"maxPerDay: {retrain.max_per_day} is reached{until}",
        Reason.WAITING_FOR_DATA: "no accepted version has new final labels of the drifted time yet",
    }[Reason(item.reason)]
    return f"{what}; {why}."


def _prunes(seen: TrainingJobObserved, status: TrainingJobStatus) -> tuple[Delete, ...]:
    """Executions that have served, runs that nobody waits for any more, and old models."""
    run = status.active
    active = set() if run is None else set(names_of(seen, run))
    orphans = tuple(
        remove_execution(item)
        for item in seen.executions
        if not ended(item)
        and item.metadata.name not in active
        and item.metadata.deletion_timestamp is None
    )
    old = spent(seen.executions, active=active, keep=KEEP_EXECUTIONS)
    if run is not None:  # its record may be on its way: nothing is thrown away meanwhile
        return (*orphans, *old)
    used = {*seen.used, *(item.metadata.name for item in models_by_age(seen)[-1:])}
    used |= set() if status.approved is None else {status.approved.name}
    records = [
        Record(
            kind="ModelVersion",
            namespace=item.metadata.namespace,
            name=item.metadata.name,
            uid=item.metadata.uid,
            created_at=item.spec.created_at,
            parents=tuple(
                name for name in (item.spec.champion, item.spec.same_model_as) if name is not None
            ),
            deleting=item.metadata.deletion_timestamp is not None,
        )
        for item in seen.models
    ]
    limit = seen.job.spec.limits.version_history_limit
    return (*orphans, *old, *superfluous(records, used=used, keep=limit))


def _next_look(
    seen: TrainingJobObserved,
    status: TrainingJobStatus,
    answer: Answer,
    problem: Problem | None,
) -> float | None:
    """Seconds until something becomes due by time alone."""
    if problem is not None and problem.look_again is not None:
        return problem.look_again
    if status.active is not None or answer.again is None:
        return None
    return max(0.0, (answer.again - seen.now).total_seconds())
