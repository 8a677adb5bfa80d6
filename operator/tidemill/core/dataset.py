"""A Dataset: when to read its source, what a read has made, and how it stands.

One read at a time. A cause is claimed in status.active, then its execution is created from the
claim, then what it handed back becomes a DatasetVersion, and only when that is judged is the
cause spent and the next one claimed, in the same write. Causes in order: a changed spec, a
person's request, a drift that waits for data, a retry, the schedule.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tidemill.api.base import Condition
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1 import Dataset, DatasetVersion
from tidemill.api.v1alpha1.dataset import ActiveExecution, DatasetStatus, HandledCause
from tidemill.api.v1alpha1.pipelineexecution import BuiltinIR, ExecutionState
from tidemill.core import approval, openlineage, revocation
from tidemill.core import conditions as c
from tidemill.core.acceptance import is_accepted, is_rejected
from tidemill.core.causes import Cause, handled, key_of_returned, last_spent, shape
from tidemill.core.freshness import fresh
from tidemill.core.identity import stable_hash
from tidemill.core.observed import DatasetObserved, Wish, ended, failure_of
from tidemill.core.plan import Body, Delete, Event, Plan
from tidemill.core.refresh import (
    READ,
    REJECTED,
    SUCCEEDED,
    SUPERSEDED,
    UNCHANGED,
    carry_on,
    refresh_name,
    spec_hash,
    summary_of,
    version_in_use,
    version_named,
    versions_by_age,
)
from tidemill.core.requests import Ignored, Request, read_request
from tidemill.core.retention import Record, newest_first, remove_execution, spent, superfluous
from tidemill.core.schedule import InvalidSchedule, Ticks, look
from tidemill.core.story import tell
from tidemill.core.trouble import Problem
from tidemill.core.upkeep import (
    UPKEEP,
    carry_on_upkeep,
    due_collection,
    due_erasure,
    next_collection,
)

VERBS = {"refresh": False, **approval.VERBS, **revocation.VERBS}
KEEP_EXECUTIONS = 3
BACKOFF = (60, 240, 900)
"""Seconds until a failed read is tried again, by how many have failed in a row."""
MAX_WISHES = 11
QUIET = frozenset({"SourceAvailable", "Fresh"})
"""Conditions whose being well is no news."""

SOURCE_REASONS = frozenset(
    {
        "SourceUnavailable",
        "AccessDenied",
        "EmptyVersion",
        "InvalidQuery",
        "NoObjects",
        "SourceChanged",
        "InvalidUri",
        "ObjectTooLarge",
        "UnreadableObject",
    }
)
"""Failures that are the source's, not ours."""
WAIT_FOR_SPEC = frozenset(
    {
        "ContentErased",
        "DigestMismatch",
        "EmptyVersion",
        "InvalidArguments",
        "InvalidColumnName",
        "InvalidExpectation",
        "InvalidParameters",
        "InvalidPipeline",
        "InvalidQuery",
        "InvalidSelect",
        "InvalidSpec",
        "InvalidSlice",
        "InvalidUri",
        "LabelNotBinary",
        "MissingColumn",
        "ObjectTooLarge",
        "PrepareFailed",
        "ResultInvalid",
        "ResultMissing",
        "ResultTooLarge",
        "TooFewRows",
        "TooLarge",
        "TooManyColumns",
        "TooManyFeatures",
        "TypeMismatch",
        "UnreadableObject",
        "UnsupportedPipeline",
    }
)
"""Failures that another try on the same spec and source would only repeat."""


def plan_dataset(seen: DatasetObserved) -> Plan:
    """Decide a Dataset's next move."""
    dataset = seen.dataset
    if dataset.metadata.deletion_timestamp is not None:
        return Plan()
    status = _restored(seen)
    create: tuple[Body, ...] = ()
    problem: Problem | None = None
    if status.active is not None:
        upkeep = status.active.cause in UPKEEP
        go_on = carry_on_upkeep if upkeep else carry_on
        move = go_on(seen, status, status.active)
        if move.over is not None:
            following = _advance(seen, move.over)
            events = _lineage(seen, status, following)
            return Plan(claim=following.to_wire(), lineage=events)
        create, problem = move.create, move.problem
    else:
        advanced = _advance(seen, status)
        if advanced.active is not None:
            events = _lineage(seen, status, advanced)
            return Plan(claim=advanced.to_wire(), lineage=events)
    status, said = _acknowledge(seen, status)
    problem = _invalid_schedule(seen) or problem
    prunes = _prunes(seen, status)
    pruned = sum(1 for item in prunes if item.kind == "DatasetVersion")
    if pruned:
        status = status.model_copy(update={"pruned": (status.pruned or 0) + pruned})
    told = _conditions(seen, status, problem)
    status = status.model_copy(
        update={
            "observed_generation": dataset.metadata.generation,
            "conditions": c.merge(
                dataset.status.conditions,
                told,
                generation=dataset.metadata.generation,
                now=seen.now,
            ),
        }
    )
    return Plan(
        create=create,
        delete=prunes,
        status=status.to_wire(),
        events=(*said, *tell(dataset.status.conditions, status.conditions, quiet=QUIET)),
        requeue_after=_next_look(seen, status, problem),
    )


def _lineage(
    seen: DatasetObserved, before: DatasetStatus, after: DatasetStatus
) -> tuple[Body, ...]:
    """What a claim tells of reads: that one was spent, that one begins."""
    told = []
    spent_one = None if before.active is None else handled(after.handled, before.active.cause)
    if before.active is not None and spent_one is not None and before.active.cause not in UPKEEP:
        read = spent_one.outcome in (SUCCEEDED, REJECTED) and after.latest is not None
        version = version_named(seen, after.latest.name) if read and after.latest else None
        failure = None if read else _failure(seen, after)
        trouble = "" if failure is None else failure.message
        told.append(openlineage.ended(seen.dataset, before.active, spent_one, version, trouble))
    if after.active is not None and after.active.cause not in UPKEEP:
        told.append(openlineage.started(seen.dataset, after.active))
    return tuple(told)


def spec_is_read(dataset: Dataset) -> bool:
    """Whether a read by the present spec has ended, well or not."""
    of_spec = handled(dataset.status.handled, "Spec")
    return of_spec is not None and shape(of_spec.key) == spec_hash(dataset.spec)


# --- what is known -----------------------------------------------------------------------------


def _restored(seen: DatasetObserved) -> DatasetStatus:
    """The stored status with its pointers brought up to the records.

    Where the status is new or was lost, what the records prove is taken from them, before
    anything starts: a read whose record exists is not done again. The record of the active read
    counts when that is closed.
    """
    status = seen.dataset.status
    by_age = versions_by_age(seen, but=None if status.active is None else status.active.name)
    by_name = {item.metadata.name: item for item in by_age}
    latest = by_name.get(status.latest.name) if status.latest is not None else None
    if latest is None and by_age:
        latest = by_age[-1]
    anchor = status.schema_anchor
    if anchor is None or anchor not in by_name or revocation.is_erased(by_name[anchor]):
        first = next((item for item in by_age if is_accepted(item)), None)
        gone = anchor is not None and anchor in by_name
        anchor = first.metadata.name if first is not None else None if gone else anchor
    whole = [item for item in by_age if not revocation.is_erased(item)]
    anchor = approval.approved_schema(whole) or anchor
    status = status.model_copy(
        update={
            "latest": None if latest is None else summary_of(latest),
            "accepted": version_in_use(status, latest, by_age),
            "schema_anchor": anchor,
        }
    )
    return status if status.active is not None else _restored_causes(seen, status, latest)


def _restored_causes(
    seen: DatasetObserved, status: DatasetStatus, latest: DatasetVersion | None
) -> DatasetStatus:
    request = _request(seen, status)
    if isinstance(request, Request) and _proven(seen, "Manual", request.token):
        status = status.model_copy(update={"request": request.text})
    key = spec_hash(seen.dataset.spec)
    if handled(status.handled, "Spec") is None:
        name = refresh_name(seen, "Spec", key)
        made = next((item for item in seen.versions if item.spec.execution == name), None)
        if made is not None:
            outcome = REJECTED if is_rejected(made) else SUCCEEDED
            cause = HandledCause(cause="Spec", key=key, at=made.spec.created_at, outcome=outcome)
            status = status.model_copy(update={"handled": (cause, *status.handled)})
    if status.last_read is None and latest is not None:
        status = status.model_copy(
            update={
                "last_read": latest.spec.created_at,
                "source_changed": latest.spec.source_changed,
                "fingerprint": latest.spec.fingerprint,
            }
        )
    return status


# --- causes ------------------------------------------------------------------------------------


def _advance(seen: DatasetObserved, status: DatasetStatus) -> DatasetStatus:
    """The status with the next due cause claimed, if there is one and nothing is active."""
    cause = _due(seen, status)
    if status.active is not None or cause is None:
        return status
    update: dict[str, object] = {
        "active": ActiveExecution(
            name=refresh_name(seen, cause.cause, cause.key),
            cause=cause.cause,
            key=cause.key,
            since=c.rfc3339(seen.now),
            for_generation=cause.for_generation,
        )
    }
    if cause.request is not None:
        update["request"] = cause.request
    if cause.tick is not None:
        update["last_tick"] = c.rfc3339(cause.tick)
    return status.model_copy(update=update)


def _due(seen: DatasetObserved, status: DatasetStatus) -> Cause | None:
    """The cause to act on now, the most urgent first."""
    generation = seen.dataset.metadata.generation
    key = spec_hash(seen.dataset.spec)
    of_spec = handled(status.handled, "Spec")
    if of_spec is None or shape(of_spec.key) != key:
        new = key if of_spec is None else _unused_key(seen, key)
        return Cause(cause="Spec", key=new, for_generation=generation)
    request = _request(seen, status)
    if isinstance(request, Request) and request.verb == "refresh":
        return Cause(cause="Manual", key=request.token, request=request.text)
    erasure = due_erasure(seen, request if isinstance(request, Request) else None)
    if erasure is not None:
        return erasure
    open_wishes = _open_wishes(seen, status)
    if open_wishes and not _proven(seen, "Drift", wish_key(open_wishes)):
        return Cause(cause="Drift", key=wish_key(open_wishes))
    retry = _retry(seen, status)
    if retry is not None and retry.at <= seen.now:
        unmet = of_spec.outcome not in READ
        return Cause(cause="Retry", key=retry.of, for_generation=generation if unmet else 0)
    ticks = _ticks(seen, status)
    if ticks is not None and ticks.due is not None:
        tick = c.rfc3339(ticks.due)
        if not _proven(seen, "Schedule", tick):
            return Cause(cause="Schedule", key=tick, tick=ticks.due)
    return due_collection(seen, status)


def _unused_key(seen: DatasetObserved, key: str) -> str:
    """A key of the Spec cause: the hash, or for a spec that came back the hash and generation, so
    that the read it had asked for the first time is not taken for an answer.
    """
    name = refresh_name(seen, "Spec", key)
    met = any(
        item.metadata.name == name and (ended(item) or item.metadata.deletion_timestamp is not None)
        for item in seen.executions
    )
    back = met or _proven(seen, "Spec", key)
    return key_of_returned(key, seen.dataset.metadata.generation) if back else key


def _proven(seen: DatasetObserved, cause: str, key: str) -> bool:
    """Whether a record shows that the cause was acted on, though status has forgotten it."""
    name = refresh_name(seen, cause, key)
    return any(item.spec.execution == name for item in seen.versions)


def _request(seen: DatasetObserved, status: DatasetStatus) -> Request | Ignored | None:
    """The open request. One that waits for the active read does not grow too old meanwhile."""
    stored = seen.dataset.status.active
    asked = seen.now if stored is None else min(seen.now, c.parse_time(stored.since))
    return read_request(seen.dataset.metadata, answered=status.request, now=asked, verbs=VERBS)


def _acknowledge(
    seen: DatasetObserved, status: DatasetStatus
) -> tuple[DatasetStatus, tuple[Event, ...]]:
    request = _request(seen, status)
    if isinstance(request, Request) and request.verb in revocation.VERBS:
        return _acknowledge_revocation(seen, status, request)
    if isinstance(request, Request) and request.verb in approval.VERBS:
        told = approval.answer(request, seen.versions)
        if isinstance(told, Request):
            return status.model_copy(update={"request": told.text}), ()
        request = told  # None: the DatasetVersion's own pass sees the same request
    if not isinstance(request, Ignored):
        return status, ()
    said = Event(reason=Reason.REQUEST_IGNORED, message=request.message, warning=True)
    return status.model_copy(update={"request": request.text}), (said,)


def _acknowledge_revocation(
    seen: DatasetObserved, status: DatasetStatus, request: Request
) -> tuple[DatasetStatus, tuple[Event, ...]]:
    """Answer once all versions that are named say themselves that they are revoked, or erased."""
    wanted = revocation.named(seen.versions, request.target)
    is_done = revocation.is_erased if request.verb == revocation.ERASE else revocation.is_revoked
    if not all(is_done(item) for item in wanted):
        return status, ()
    answered = status.model_copy(update={"request": request.text})
    if wanted:
        return answered, ()
    said = (
        f"Request {request.text!r} was ignored: no version of this Dataset is named"
        f" {request.target} or has that digest."
    )
    return answered, (Event(reason=Reason.REQUEST_IGNORED, message=said, warning=True),)


def wish_key(wishes: tuple[Wish, ...]) -> str:
    """The key of the read that these drift episodes ask for.

    One episode is its own key. Of several the key holds a short hash each, so that a read made
    for some is not repeated when others are met.
    """
    keys = sorted({wish.key for wish in wishes})
    if len(keys) == 1:
        return keys[0]
    if len(keys) <= MAX_WISHES:
        return "+".join(stable_hash(key, 10) for key in keys)
    return stable_hash(keys)


def _open_wishes(seen: DatasetObserved, status: DatasetStatus) -> tuple[Wish, ...]:
    """The wishes that the version in use does not meet, if any of them has not been read for."""
    version = version_named(seen, status.accepted.name if status.accepted is not None else None)
    until = None if version is None else c.parse_time(version.spec.window.mature_until)
    unmet = tuple(wish for wish in seen.wishes if until is None or until <= wish.after)
    of_drift = handled(status.handled, "Drift")
    if not unmet or (of_drift is not None and of_drift.key == wish_key(unmet)):
        return ()
    read_for = set() if of_drift is None else {of_drift.key, *of_drift.key.split("+")}
    new = any(
        wish.key not in read_for and stable_hash(wish.key, 10) not in read_for for wish in unmet
    )
    return unmet if new else ()


@dataclass(frozen=True, slots=True)
class _Retry:
    of: str
    """The execution that failed."""
    at: datetime
    failures: int
    """How many reads in a row have failed, as far as their executions are kept."""


def _retry(seen: DatasetObserved, status: DatasetStatus) -> _Retry | None:
    """When the last read is to be tried again; None if it did not fail, or only a change of the
    spec or of the source can help.
    """
    last = _failed(status)
    if last is None or last.outcome in WAIT_FOR_SPEC:
        return None
    failures = _failures(seen)
    again = c.parse_time(last.at) + timedelta(seconds=BACKOFF[min(failures, len(BACKOFF)) - 1])
    return _Retry(refresh_name(seen, last.cause, last.key), again, failures)


def _failures(seen: DatasetObserved) -> int:
    count = 0
    for item in newest_first(seen.executions):
        if item.spec.pipeline.builtin is BuiltinIR.DATASET_ERASE:
            continue
        if item.status.state is ExecutionState.SUCCEEDED:
            break
        count += 1
    return max(1, count)


def _failed(status: DatasetStatus) -> HandledCause | None:
    """The last read, if it failed. One that a changed spec cut short did not."""
    last = last_spent([item for item in status.handled if item.cause not in UPKEEP])
    return None if last is None or last.outcome in (*READ, SUPERSEDED) else last


def _ticks(seen: DatasetObserved, status: DatasetStatus) -> Ticks | None:
    """What the schedule says; None without one, while suspended, or if it cannot be read."""
    refresh = seen.dataset.spec.refresh
    if refresh.schedule is None or refresh.suspend:
        return None
    ticks = _look(seen, status)
    return ticks if isinstance(ticks, Ticks) else None


def _look(seen: DatasetObserved, status: DatasetStatus) -> Ticks | InvalidSchedule | None:
    refresh = seen.dataset.spec.refresh
    if refresh.schedule is None:
        return None
    since = status.last_tick or seen.dataset.metadata.creation_timestamp or c.rfc3339(seen.now)
    after = min(seen.now, c.parse_time(since))
    return look(refresh.schedule, refresh.time_zone, after=after, now=seen.now)


def _invalid_schedule(seen: DatasetObserved) -> Problem | None:
    ticks = _look(seen, seen.dataset.status)
    if not isinstance(ticks, InvalidSchedule):
        return None
    return Problem(reason=Reason.INVALID_SCHEDULE, message=ticks.message, unready=True)


# --- how it stands -----------------------------------------------------------------------------


def _prunes(seen: DatasetObserved, status: DatasetStatus) -> tuple[Delete, ...]:
    """Executions that have served, reads that nobody waits for any more, and old versions."""
    active = set() if status.active is None else {status.active.name}
    orphans = tuple(
        remove_execution(item)
        for item in seen.executions
        if not ended(item)
        and item.metadata.name not in active
        and item.metadata.deletion_timestamp is None
    )
    used = {*seen.used}
    for kept in (status.latest, status.accepted):
        used |= set() if kept is None else {kept.name}
    used |= set() if status.schema_anchor is None else {status.schema_anchor}
    drift = seen.dataset.spec.contract.drift
    used |= {drift.version} if drift is not None and drift.version is not None else set()
    records = [
        Record(
            kind="DatasetVersion",
            namespace=item.metadata.namespace,
            name=item.metadata.name,
            uid=item.metadata.uid,
            created_at=item.spec.created_at,
            parents=() if item.spec.parent is None else (item.spec.parent,),
            deleting=item.metadata.deletion_timestamp is not None,
        )
        for item in seen.versions
    ]
    limit = seen.dataset.spec.version_history_limit
    # While a read is under way its record may be on its way too: nothing is thrown away then.
    old = () if status.active is not None else superfluous(records, used=used, keep=limit)
    return (*orphans, *spent(seen.executions, active=active, keep=KEEP_EXECUTIONS), *old)


def _conditions(
    seen: DatasetObserved, status: DatasetStatus, problem: Problem | None
) -> list[Condition]:
    told = [
        _ready(seen, status, problem),
        _source_available(seen, status),
        _accepted_condition(seen, status),
    ]
    fresh = _fresh(seen, status)
    stalled = _stalled(seen, status, problem)
    reconciling = None if stalled is not None else _reconciling(seen, status)
    return [*told, *(item for item in (fresh, stalled, reconciling) if item is not None)]


def _failure(seen: DatasetObserved, status: DatasetStatus) -> Problem | None:
    """Why the last read failed, in the words of its execution, or as they were told before."""
    last = _failed(status)
    if last is None:
        return None
    name = refresh_name(seen, last.cause, last.key)
    execution = next((item for item in seen.executions if item.metadata.name == name), None)
    if execution is not None and execution.status.state is not ExecutionState.SUCCEEDED:
        return Problem(reason=last.outcome, message=failure_of(execution)[1])
    for item in seen.dataset.status.conditions:
        if item.reason == last.outcome and item.message:
            return Problem(reason=last.outcome, message=item.message)
    message = f"PipelineExecution {name} succeeded, but its result cannot be used."
    return Problem(reason=last.outcome, message=message)


def _ready(seen: DatasetObserved, status: DatasetStatus, problem: Problem | None) -> Condition:
    used = version_named(seen, None if status.accepted is None else status.accepted.name)
    failure = _failure(seen, status)
    if problem is not None and (problem.unready or used is None):
        return c.condition("Ready", False, problem.reason, problem.message)
    if used is None:
        return _not_ready_yet(seen, status, failure)
    facts = f"{used.spec.rows:,} rows, events up to {used.spec.window.end}"
    name = used.metadata.name
    if status.latest is not None and status.latest.name != name:
        said = f"{status.latest.name} was not accepted; {name} stays in use: {facts}."
        return c.condition("Ready", True, Reason.LAST_GOOD_IN_USE, said)
    if failure is not None:
        said = f"The last refresh failed ({failure.reason}); {name} stays in use: {facts}."
        return c.condition("Ready", True, Reason.LAST_GOOD_IN_USE, said)
    return c.condition("Ready", True, Reason.IN_USE, f"{name} is in use: {facts}.")


def _not_ready_yet(
    seen: DatasetObserved, status: DatasetStatus, failure: Problem | None
) -> Condition:
    latest = version_named(seen, None if status.latest is None else status.latest.name)
    if failure is not None:
        return c.condition("Ready", False, failure.reason, failure.message)
    if latest is not None and status.active is None:
        verdict = c.find(latest.status.conditions, "Accepted")
        if verdict is not None:
            said = f"{latest.metadata.name}: {verdict.message}"
            return c.condition("Ready", False, verdict.reason, said)
    return c.condition("Ready", False, Reason.REFRESHING, "The first version is being read.")


def _source_available(seen: DatasetObserved, status: DatasetStatus) -> Condition:
    kind, failure = "SourceAvailable", _failure(seen, status)
    if failure is not None and failure.reason in SOURCE_REASONS:
        said = failure.message
        good = f"It was last read with success at {status.last_read}."
        if status.last_read is not None and not said.endswith(good):
            said = f"{said} {good}"
        return c.condition(kind, False, failure.reason, said)
    if failure is not None:
        before = c.find(seen.dataset.status.conditions, kind)
        if before is not None:
            return before
    if status.last_read is None:
        return c.condition(kind, None, Reason.NOT_READ, "The source has not been read yet.")
    return c.condition(kind, True, Reason.READ, "The source can be read.")


def _accepted_condition(seen: DatasetObserved, status: DatasetStatus) -> Condition:
    latest = version_named(seen, None if status.latest is None else status.latest.name)
    if latest is None:
        return c.condition("Accepted", None, Reason.NO_VERSION, "There is no version yet.")
    verdict = c.find(latest.status.conditions, "Accepted")
    name = latest.metadata.name
    if verdict is None:
        return c.condition("Accepted", None, Reason.NOT_JUDGED, f"{name} is not judged yet.")
    told = {"True": True, "False": False}.get(verdict.status)
    return c.condition("Accepted", told, verdict.reason, f"{name}: {verdict.message}")


def _fresh(seen: DatasetObserved, status: DatasetStatus) -> Condition | None:
    failure = _failure(seen, status)
    return fresh(
        within=seen.dataset.spec.refresh.fresh_within_seconds,
        changed=status.source_changed,
        outage=failure if failure is not None and failure.reason in SOURCE_REASONS else None,
        now=seen.now,
    )


def _unmet_spec(seen: DatasetObserved, status: DatasetStatus) -> HandledCause | None:
    """The present spec's cause, if it is spent and has brought no accepted version."""
    of_spec = handled(status.handled, "Spec")
    if of_spec is None or shape(of_spec.key) != spec_hash(seen.dataset.spec):
        return None
    latest = version_named(seen, None if status.latest is None else status.latest.name)
    if of_spec.outcome == REJECTED and latest is not None and latest.status.approved is not None:
        return None  # what it has brought is accepted after all
    return None if of_spec.outcome in (SUCCEEDED, UNCHANGED) else of_spec


def _stalled(
    seen: DatasetObserved, status: DatasetStatus, problem: Problem | None
) -> Condition | None:
    if problem is not None:
        return c.condition("Stalled", True, problem.reason, problem.message)
    unmet = _unmet_spec(seen, status)
    if unmet is None:
        return None
    if unmet.outcome == REJECTED:
        verdict = _accepted_condition(seen, status)
        return c.condition("Stalled", True, verdict.reason, verdict.message)
    failure, retry = _failure(seen, status), _retry(seen, status)
    if failure is None or (retry is not None and retry.failures < len(BACKOFF)):
        return None
    return c.condition("Stalled", True, failure.reason, failure.message)


def _reconciling(seen: DatasetObserved, status: DatasetStatus) -> Condition | None:
    """True only for work that a change of spec has asked for."""
    active, generation = status.active, seen.dataset.metadata.generation
    if active is not None and active.for_generation == generation:
        said = f"PipelineExecution {active.name} reads the source by the present spec."
        return c.condition("Reconciling", True, Reason.REFRESHING, said)
    if active is not None and not spec_is_read(seen.dataset):
        said = f"The present spec waits for PipelineExecution {active.name} to end."
        return c.condition("Reconciling", True, Reason.REFRESHING, said)
    failure = _failure(seen, status)
    if _unmet_spec(seen, status) is not None and failure is not None:
        said = f"The source is tried again: {failure.message}"
        return c.condition("Reconciling", True, Reason.PROGRESSING_WITH_RETRY, said)
    return None


def _next_look(
    seen: DatasetObserved, status: DatasetStatus, problem: Problem | None
) -> float | None:
    """Seconds until something becomes due by time alone."""
    if problem is not None and problem.look_again is not None:
        return problem.look_again
    moments = []
    ticks = _ticks(seen, status)
    if status.active is None:
        if ticks is not None and ticks.next is not None:
            moments.append(ticks.next)
        retry = _retry(seen, status)
        if retry is not None:
            moments.append(retry.at)
        collection = next_collection(seen, status)
        if collection is not None:
            moments.append(collection)
    within = seen.dataset.spec.refresh.fresh_within_seconds
    if within is not None and status.source_changed is not None:
        stale = c.parse_time(status.source_changed) + timedelta(seconds=within + 1)
        if stale > seen.now:
            moments.append(stale)
    if not moments:
        return None
    return max(0.0, (min(moments) - seen.now).total_seconds())
