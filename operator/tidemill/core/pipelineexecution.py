"""plan_pipelineexecution: one run of one pipeline, started at least once, in effect exactly once.

Each attempt is claimed in status first: number, engine, run id, image and pipeline digest. The
start follows from the claim alone. What the engine then tells moves status, at most one write per
change that somebody can see. An attempt that was seen and is gone is judged by its result; it is
never started again. A failure that may pass claims the next attempt, until spec.backoffLimit or
the deadline is reached.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tidemill.api.base import Condition
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.api.v1alpha1.pipelineexecution import (
    Attempt,
    Engine,
    ExecutionState,
    PipelineExecution,
    PipelineExecutionStatus,
)
from tidemill.core import attempts, ir, resultdocument, tasks
from tidemill.core.attempts import OVER, Phase, Problem, StartError, Told
from tidemill.core.conditions import condition, elapsed, find, merge, parse_time, rfc3339
from tidemill.core.identity import FINALIZER, attempt_prefix, namespace_prefix
from tidemill.core.ir import Compiled
from tidemill.core.manifests import job as manifest
from tidemill.core.plan import Body, Delete, EngineCall, Event, Plan
from tidemill.core.resultdocument import Reading

GRACE_SECONDS = 120.0
"""How long after the deadline, or after a deletion, an engine may take to end a run."""
DOUBT_SECONDS = 120.0
"""How long a Kubeflow run is looked for after a start whose answer was lost."""
FRESH_SECONDS = 5.0
"""A claimed start is asked for only this soon after its claim: a process that finds an older claim
cannot know whether the one before it has asked already."""
RESULT_PATIENCE_SECONDS = 600.0
"""How long after the deadline an artifact store may stay away before the result is given up."""

PROGRESS_POLL = 3.0
RESULT_POLL = 10.0
JOB_POLL = 15.0
KUBEFLOW_POLL = 5.0
KUBEFLOW_SLOWEST_POLL = 15.0
PROBLEM_POLL = 15.0

ENDED = (ExecutionState.SUCCEEDED, ExecutionState.FAILED, ExecutionState.CANCELED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the admin has set, as far as executions depend on it."""

    cluster_uid: str
    artifact_root: str
    artifact_secret: str
    steps_image: str
    image_pull_policy: str
    default_engine: Engine
    kubeflow: bool
    """A Kubeflow Pipelines server is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything a decision about an execution may depend on, as of `now`."""

    now: datetime
    execution: PipelineExecution
    setup: Setup
    pipeline: Compiled | Problem | None = None
    """The compiled pipeline. None: not needed in this pass."""
    told: Told | None = None
    """What the engine tells of the claimed attempt. None: it does not know it."""
    trouble: Problem | None = None
    """Why the engine could not be asked."""
    start_error: StartError | None = None
    """Kubeflow: why the last start of this attempt failed."""
    job_uid: str | None = None
    """The Job of the claimed attempt, while it is there."""
    reading: Reading | None = None
    """The attempt's result document. None: not due."""
    tasks: tasks.Tasks | None = None
    """The steps as they stand. None: not due, or not told."""


def plan_pipelineexecution(seen: Observed) -> Plan:
    """Decide what one pass does. The first rule that applies wins:

    1. One being deleted is ended at its engine, then let go.
    2. One that has ended needs nothing more.
    3. One without an attempt is checked, and its first attempt claimed.
    4. What the engine tells of the attempt is followed.
    5. An attempt that was seen and is gone is judged by its result.
    6. An attempt never seen is started.
    """
    status = seen.execution.status
    if seen.execution.metadata.deletion_timestamp is not None:
        return _let_go(seen)
    if status.state in ENDED:
        return Plan(finalizers=()) if _held(seen) else Plan()
    if status.attempt is None:
        return _first(seen)
    if seen.trouble is not None:
        return _unreachable(seen, seen.trouble)
    if seen.told is not None:
        return _follow(seen, seen.told)
    if status.attempt.seen:
        return _vanished(seen)
    return _start(seen, status.attempt)


def _first(seen: Observed) -> Plan:
    """Check what was asked for, and claim the first attempt."""
    spec, meta = seen.execution.spec, seen.execution.metadata
    engine = spec.engine or seen.setup.default_engine
    problem = _refusal(seen, engine)
    if problem is not None and problem.transient:
        until = attempts.deadline(meta.creation_timestamp, spec.active_deadline_seconds)
        if seen.now < until:
            return _wait(seen, problem.reason, problem.message, stuck=True, again=PROBLEM_POLL)
    if problem is not None:
        return _end(seen, ExecutionState.FAILED, problem.reason, problem.message)
    if engine is Engine.KUBEFLOW and not _held(seen):
        return Plan(finalizers=(FINALIZER,), requeue_after=0.0)
    pipeline = seen.pipeline
    return _claim(
        seen,
        Attempt(
            number=1,
            started=rfc3339(seen.now),
            submitted=rfc3339(seen.now) if engine is Engine.KUBEFLOW else None,
        ),
        engine=engine,
        started=rfc3339(seen.now),
        digest=pipeline.digest if isinstance(pipeline, Compiled) else "",
        image=seen.setup.steps_image,
        reason="Pending",
        message=f"Attempt 1 of {spec.backoff_limit + 1} is about to start.",
    )


def _refusal(seen: Observed, engine: Engine) -> Problem | None:
    """Why the execution cannot be run as it is asked for."""
    if engine is Engine.KUBEFLOW and not seen.setup.kubeflow:
        return Problem(
            reason="EngineNotConfigured",
            message="The engine is Kubeflow, but the operator knows no Kubeflow Pipelines server."
            " Leave spec.engine out, or have the admin set TIDEMILL_KUBEFLOW_URL.",
        )
    if not isinstance(seen.pipeline, Compiled):
        return seen.pipeline
    bound = ir.bind(seen.pipeline, _given(seen), "")
    if isinstance(bound, Problem):
        return bound
    problem = ir.pipeline_problem(seen.pipeline)
    if problem is None and engine is Engine.JOB:
        problem = ir.job_problem(seen.pipeline)
    if problem is None and manifest.size(bound) > manifest.LARGEST_CONFIG_MAP:
        return Problem(
            reason="InvalidParameters",
            message=f"All parameters together are larger than {manifest.LARGEST_CONFIG_MAP} bytes;"
            " hand over large values as objects in the artifact store.",
        )
    return problem


def _start(seen: Observed, attempt: Attempt) -> Plan:
    """Start a claimed attempt that the engine does not know."""
    spec, status = seen.execution.spec, seen.execution.status
    if seen.now >= _until(seen):
        return _too_late(seen)
    if attempt.not_before is not None and seen.now < parse_time(attempt.not_before):
        wait = parse_time(attempt.not_before) - seen.now
        return Plan(requeue_after=wait.total_seconds())
    pipeline = seen.pipeline
    if isinstance(pipeline, Problem):
        if pipeline.transient:
            return _wait(
                seen, pipeline.reason, pipeline.message, stuck=True, again=PROBLEM_POLL
            )
        return _end(seen, ExecutionState.FAILED, pipeline.reason, pipeline.message)
    if pipeline is None:
        return Plan(requeue_after=PROBLEM_POLL)
    ours_in_image = status.engine is Engine.JOB and spec.pipeline.builtin is not None
    if pipeline.digest != status.pipeline_digest and not ours_in_image:
        said = (
            f"The pipeline's digest was {status.pipeline_digest} when the execution began and is"
            f" {pipeline.digest} now. Create another execution to run the changed pipeline."
        )
        return _end(seen, ExecutionState.FAILED, "PipelineChanged", said)
    bound = ir.bind(pipeline, _given(seen), f"{_prefix(seen)}/result.json")
    if isinstance(bound, Problem):
        return _end(seen, ExecutionState.FAILED, bound.reason, bound.message)
    if status.engine is Engine.JOB:
        return _start_job(seen, attempt, pipeline, bound)
    return _start_run(seen, attempt, pipeline, bound)


def _start_job(seen: Observed, attempt: Attempt, pipeline: Compiled, bound: Body) -> Plan:
    spec, status, meta = seen.execution.spec, seen.execution.status, seen.execution.metadata
    builtin = spec.pipeline.builtin
    left = _until(seen) - parse_time(attempt.not_before or attempt.started)
    start = manifest.Start(
        execution=meta.name,
        uid=meta.uid,
        namespace=meta.namespace,
        job=status.run_id or attempts.job_name(meta.name, meta.uid, attempt.number),
        image=status.image,
        image_pull_policy=seen.setup.image_pull_policy,
        builtin=builtin.value if builtin is not None else None,
        parameters=bound,
        result_uri=f"{_prefix(seen)}/result.json",
        progress_uri=f"{_prefix(seen)}/progress.json",
        expects_result=ir.declares_result(pipeline),
        artifact_secret=seen.setup.artifact_secret,
        source_secrets=tuple(ref.name for ref in spec.secret_refs),
        service_account=spec.service_account_name,
        cpu=spec.resources.cpu,
        memory=spec.resources.memory,
        seconds=max(1, int(left.total_seconds())),
    )
    stored = () if builtin is not None else (manifest.pipeline_config_map(start, pipeline.text),)
    large = manifest.parameters_config_map(start)
    parameters = () if large is None else (large,)
    return Plan(create=(*stored, *parameters, manifest.job(start)), requeue_after=JOB_POLL)


def _start_run(seen: Observed, attempt: Attempt, pipeline: Compiled, bound: Body) -> Plan:
    """Ask Kubeflow for the run: claim the asking, then ask, then look for it before asking again.

    Two asks would make two Workflows, so after one whose answer was lost the run is looked for
    for DOUBT_SECONDS first.
    """
    error = seen.start_error
    if error is not None and error.final:
        return _end(seen, ExecutionState.FAILED, error.reason, error.message)
    age = None if attempt.submitted is None else elapsed(attempt.submitted, seen.now)
    not_sent = error is not None and not error.sent
    if age is None or age >= DOUBT_SECONDS or (not_sent and age >= PROBLEM_POLL):
        status = seen.execution.status
        asking = attempt.model_copy(update={"submitted": rfc3339(seen.now)})
        return Plan(claim=status.model_copy(update={"attempt": asking}).to_wire())
    if age < FRESH_SECONDS:
        return Plan(engine=(_create(seen, attempt, pipeline, bound),), requeue_after=2.0)
    if error is not None:
        return _wait(seen, error.reason, error.message, again=KUBEFLOW_POLL)
    said = "The run was asked for; Kubeflow Pipelines does not show it yet."
    return _wait(seen, "StartUnconfirmed", said, again=KUBEFLOW_POLL)


def _create(seen: Observed, attempt: Attempt, pipeline: Compiled, bound: Body) -> EngineCall:
    spec, status, meta = seen.execution.spec, seen.execution.status, seen.execution.metadata
    run_id = status.run_id or attempts.run_id(meta.uid, attempt.number)
    body = {
        "run_id": run_id,
        "display_name": f"{meta.namespace}.{meta.name}-{attempt.number}",
        "description": f"PipelineExecution {meta.namespace}/{meta.name}, uid {meta.uid},"
        f" attempt {attempt.number}",
        "pipeline_spec": ir.for_kubeflow(
            pipeline,
            image=status.image if spec.pipeline.builtin is not None else None,
            cpu=spec.resources.cpu,
            memory=spec.resources.memory,
            artifact_secret=seen.setup.artifact_secret,
            source_secrets=[ref.name for ref in spec.secret_refs],
        ),
        "parameters": bound,
        "service_account": spec.service_account_name,
    }
    return EngineCall(verb="Create", run_id=run_id, body=body)


def _follow(seen: Observed, told: Told) -> Plan:
    """Do as the engine tells."""
    if told.phase in OVER:
        return _settle(seen, told)
    late = (seen.now - _until(seen)).total_seconds()
    if late >= GRACE_SECONDS:
        return _too_late(seen)
    calls: tuple[EngineCall, ...] = ()
    if late >= 0 and seen.execution.status.engine is Engine.KUBEFLOW and not told.ending:
        calls = (EngineCall(verb="Terminate", run_id=seen.execution.status.run_id or ""),)
    if told.phase is Phase.UNKNOWN:
        return _unknown(seen, calls)
    if told.phase is Phase.WAITING:
        plan = _wait(seen, told.reason, told.message, stuck=told.stuck, again=_poll(seen, told))
    else:
        plan = _run(seen, told)
    return Plan(
        engine=calls, status=plan.status, events=plan.events, requeue_after=plan.requeue_after
    )


def _unknown(seen: Observed, calls: tuple[EngineCall, ...]) -> Plan:
    """The engine does not say: keep what was known, but remember that it knows the attempt."""
    status = seen.execution.status
    again = KUBEFLOW_POLL if status.engine is Engine.KUBEFLOW else JOB_POLL
    if status.attempt is None or status.attempt.seen:
        return Plan(engine=calls, requeue_after=again)
    found = status.attempt.model_copy(update={"seen": True})
    return Plan(
        engine=calls,
        status=status.model_copy(update={"attempt": found}).to_wire(),
        requeue_after=again,
    )


def _run(seen: Observed, told: Told) -> Plan:
    status, spec = seen.execution.status, seen.execution.spec
    number = status.attempt.number if status.attempt is not None else 1
    what = "the Job" if status.engine is Engine.JOB else "the Kubeflow run"
    said = f"Attempt {number} of {spec.backoff_limit + 1} runs as {what} {status.run_id}."
    began = status.state is not ExecutionState.RUNNING
    return Plan(
        status=_status(seen, ExecutionState.RUNNING, _ready(False, "Running", said)),
        events=(*_retold(seen), *((Event(reason="Running", message=said),) if began else ())),
        requeue_after=_poll(seen, told),
    )


def _wait(
    seen: Observed, reason: str, message: str, *, again: float, stuck: bool = False
) -> Plan:
    """Say what is waited for. `stuck`: a person has to do something."""
    before = find(seen.execution.status.conditions, "Ready")
    new = before is None or before.reason != reason
    told = (Event(reason=reason, message=message, warning=True),) if new and stuck else ()
    ready = _ready(False, reason, message)
    return Plan(
        status=_status(seen, ExecutionState.PENDING, ready, stuck=stuck),
        events=(*_retold(seen), *told),
        requeue_after=again,
    )


def _retold(seen: Observed) -> tuple[Event, ...]:
    """A later attempt is seen for the first time: tell why the one before it was not the last."""
    attempt = seen.execution.status.attempt
    before = find(seen.execution.status.conditions, "Ready")
    if attempt is None or attempt.seen or seen.told is None or before is None:
        return ()
    if before.reason != "Retrying":
        return ()
    return (Event(reason=before.reason, message=before.message, warning=True),)


def _unreachable(seen: Observed, trouble: Problem) -> Plan:
    """The engine cannot be asked: keep the state, say so, give up when all grace is used."""
    if (seen.now - _until(seen)).total_seconds() >= GRACE_SECONDS:
        return _too_late(seen)
    status = seen.execution.status
    ready = _ready(False, trouble.reason, trouble.message)
    state = status.state or ExecutionState.PENDING
    return Plan(
        status=_status(seen, state, ready, stuck=not trouble.transient),
        requeue_after=KUBEFLOW_SLOWEST_POLL,
    )


def _vanished(seen: Observed) -> Plan:
    """The attempt was seen and is gone: its result decides."""
    reading = seen.reading
    if reading is None or (reading.trouble is not None and reading.trouble.transient):
        return _unread(seen, reading)
    checked = resultdocument.check(reading, _namespace_prefix(seen))
    if checked.document is not None:
        return _succeed(seen, checked.document)
    if checked.failure is not None:
        failure = checked.failure
        return _fail(seen, failure.reason, failure.message, transient=failure.transient)
    what = "Job" if seen.execution.status.engine is Engine.JOB else "Kubeflow run"
    said = (
        f"The {what} {seen.execution.status.run_id} was there and is gone, and it left no valid"
        " result. Somebody has deleted it; create another execution to run the pipeline again."
    )
    return _end(seen, ExecutionState.FAILED, "RunVanished", said)


def _settle(seen: Observed, told: Told) -> Plan:
    """The attempt has ended: read its result, and decide whether there is another one."""
    late = seen.now >= _until(seen)
    if told.phase is Phase.CANCELED:
        if late:
            return _too_late(seen)
        return _end(seen, ExecutionState.CANCELED, told.reason, told.message)
    reading = seen.reading
    if reading is not None and reading.trouble is not None and reading.trouble.transient:
        # A failed attempt's own words will do; a success is worth nothing without its result.
        if told.phase is Phase.SUCCEEDED or told.digest is not None:
            return _unread(seen, reading)
        reading = None
    if told.phase is Phase.FAILED:
        return _failed(seen, told, reading)
    if reading is None:
        return _succeed(seen, None)
    if reading.trouble is not None:
        return _end(seen, ExecutionState.FAILED, reading.trouble.reason, reading.trouble.message)
    checked = resultdocument.check(reading, _namespace_prefix(seen))
    if checked.failure is not None:
        failure = checked.failure
        return _fail(seen, failure.reason, failure.message, transient=failure.transient)
    if checked.problem is not None:
        return _end(seen, ExecutionState.FAILED, checked.problem.reason, checked.problem.message)
    return _succeed(seen, checked.document)


def _failed(seen: Observed, told: Told, reading: Reading | None) -> Plan:
    """A failed attempt; a Failure document knows better than the engine why."""
    if reading is not None and reading.data is not None:
        failure = resultdocument.check(reading, _namespace_prefix(seen)).failure
        if failure is not None:
            return _fail(seen, failure.reason, failure.message, transient=failure.transient)
    if told.reason == "DeadlineExceeded":
        return _too_late(seen)
    return _fail(seen, told.reason, told.message, transient=told.transient)


def _unread(seen: Observed, reading: Reading | None) -> Plan:
    """The artifact store does not answer: wait for it, within reason."""
    if reading is None or reading.trouble is None:
        return Plan(requeue_after=RESULT_POLL)
    trouble = reading.trouble
    if (seen.now - _until(seen)).total_seconds() >= RESULT_PATIENCE_SECONDS:
        return _end(seen, ExecutionState.FAILED, trouble.reason, trouble.message)
    state = seen.execution.status.state or ExecutionState.RUNNING
    ready = _ready(False, trouble.reason, trouble.message)
    return Plan(status=_status(seen, state, ready), requeue_after=RESULT_POLL)


def _fail(seen: Observed, reason: str, message: str, *, transient: bool) -> Plan:
    """An attempt has failed: claim the next one, or end."""
    spec, meta, status = seen.execution.spec, seen.execution.metadata, seen.execution.status
    number = status.attempt.number if status.attempt is not None else 1
    start = attempts.next_start(
        number, limit=spec.backoff_limit, uid=meta.uid, now=seen.now, until=_until(seen)
    )
    if not transient:
        return _end(seen, ExecutionState.FAILED, reason, message)
    if start is None:
        tried = f" (attempt {number} of {spec.backoff_limit + 1}, the last)" if number > 1 else ""
        return _end(seen, ExecutionState.FAILED, reason, f"{message.rstrip('.')}{tried}.")
    # Rounded up: a stored time has whole seconds, and no attempt starts before it.
    start = start.replace(microsecond=0) + timedelta(seconds=1)
    return _claim(
        seen,
        Attempt(number=number + 1, started=rfc3339(seen.now), not_before=rfc3339(start)),
        engine=status.engine or Engine.JOB,
        started=status.started or rfc3339(seen.now),
        digest=status.pipeline_digest,
        image=status.image,
        reason="Retrying",
        message=f"Attempt {number} of {spec.backoff_limit + 1} failed ({reason}):"
        f" {message.rstrip('.')}. The next one starts at {rfc3339(start)}.",
    )


def _too_late(seen: Observed) -> Plan:
    """The deadline is over: nothing of this execution may go on."""
    meta, status, seconds = (
        seen.execution.metadata,
        seen.execution.status,
        seen.execution.spec.active_deadline_seconds,
    )
    before = find(status.conditions, "Ready")
    said = f"It did not end within {seconds} seconds (spec.activeDeadlineSeconds)."
    if before is not None and before.reason not in ("Pending", "Running"):
        said += f" Last: {before.message}"
    plan = _end(seen, ExecutionState.FAILED, "DeadlineExceeded", said)
    left_over = (
        ()
        if seen.job_uid is None or (seen.told is not None and seen.told.phase in OVER)
        else (
            Delete(
                api_version="batch/v1",
                kind="Job",
                namespace=meta.namespace,
                name=status.run_id or "",
                uid=seen.job_uid,
            ),
        )
    )
    return Plan(
        delete=left_over, status=plan.status, events=plan.events, requeue_after=plan.requeue_after
    )


def _succeed(seen: Observed, result: StoredDocument | None) -> Plan:
    number = seen.execution.status.attempt.number if seen.execution.status.attempt else 1
    said = "The pipeline succeeded." if number == 1 else f"Attempt {number} succeeded."
    return _over(seen, ExecutionState.SUCCEEDED, _ready(True, "Succeeded", said), result)


def _end(seen: Observed, state: ExecutionState, reason: str, message: str) -> Plan:
    return _over(seen, state, _ready(False, reason, message), None)


def _over(
    seen: Observed, state: ExecutionState, ready: Condition, result: StoredDocument | None
) -> Plan:
    failed = state is not ExecutionState.SUCCEEDED
    conditions = [ready]
    if failed:
        conditions.append(condition("Stalled", True, ready.reason, ready.message))
    shown = tasks.keep(seen.execution.status.tasks, seen.tasks)
    status = _base(seen, conditions).model_copy(
        update={
            "state": state,
            "ended": rfc3339(seen.now),
            "result": result,
            "tasks": tasks.close(shown, state),
        }
    )
    return Plan(
        status=status.to_wire(),
        events=(Event(reason=ready.reason, message=ready.message, warning=failed),),
        # The next pass lets the finalizer go: that write and this one never race.
        requeue_after=0.0 if _held(seen) else None,
    )


def _let_go(seen: Observed) -> Plan:
    """Deletion: a Job goes with its owner; a Kubeflow run is ended first, within GRACE_SECONDS."""
    meta, status = seen.execution.metadata, seen.execution.status
    if not _held(seen):
        return Plan()
    over = status.attempt is None or status.state in ENDED or status.engine is not Engine.KUBEFLOW
    if over or elapsed(meta.deletion_timestamp or "", seen.now) >= GRACE_SECONDS:
        return Plan(finalizers=())
    if seen.trouble is not None:
        return Plan(requeue_after=KUBEFLOW_POLL)
    if seen.told is None:
        asked = status.attempt.submitted if status.attempt is not None else None
        in_doubt = asked is not None and elapsed(asked, seen.now) < DOUBT_SECONDS
        if in_doubt and status.attempt is not None and not status.attempt.seen:
            return Plan(requeue_after=KUBEFLOW_POLL)
        return Plan(finalizers=())
    if seen.told.phase in OVER:
        return Plan(finalizers=())
    call = EngineCall(verb="Terminate", run_id=status.run_id or "")
    return Plan(engine=() if seen.told.ending else (call,), requeue_after=KUBEFLOW_POLL)


def _claim(
    seen: Observed,
    attempt: Attempt,
    *,
    engine: Engine,
    started: str,
    digest: str,
    image: str,
    reason: str,
    message: str,
) -> Plan:
    meta = seen.execution.metadata
    run_id = (
        attempts.job_name(meta.name, meta.uid, attempt.number)
        if engine is Engine.JOB
        else attempts.run_id(meta.uid, attempt.number)
    )
    wanted = [
        _ready(False, reason, message),
        condition("Reconciling", True, reason, message),
    ]
    status = _base(seen, wanted).model_copy(
        update={
            "state": ExecutionState.PENDING,
            "engine": engine,
            "attempt": attempt,
            "run_id": run_id,
            "started": started,
            "tasks": (),
            "image": image,
            "pipeline_digest": digest,
        }
    )
    return Plan(claim=status.to_wire())


def _status(
    seen: Observed, state: ExecutionState, ready: Condition, *, stuck: bool = False
) -> Body:
    """The status of an execution that still works."""
    before = seen.execution.status
    conditions = [ready, condition("Reconciling", True, ready.reason, ready.message)]
    if stuck:
        conditions = [ready, condition("Stalled", True, ready.reason, ready.message)]
    attempt = before.attempt
    if attempt is not None and seen.told is not None and not attempt.seen:
        attempt = attempt.model_copy(update={"seen": True})
    changed = {
        "state": state,
        "attempt": attempt,
        "tasks": tasks.keep(before.tasks, seen.tasks),
    }
    return _base(seen, conditions).model_copy(update=changed).to_wire()


def _base(seen: Observed, wanted: list[Condition]) -> PipelineExecutionStatus:
    before, generation = seen.execution.status, seen.execution.metadata.generation
    merged = merge(before.conditions, wanted, generation=generation, now=seen.now)
    return before.model_copy(update={"observed_generation": generation, "conditions": merged})


def _ready(status: bool, reason: str, message: str) -> Condition:
    return condition("Ready", status, reason, message)


def _poll(seen: Observed, told: Told) -> float:
    """Seconds until the engine is asked again."""
    status = seen.execution.status
    if status.engine is Engine.JOB:
        return PROGRESS_POLL if told.phase is Phase.RUNNING else JOB_POLL
    since = status.attempt.started if status.attempt is not None else status.started
    age = elapsed(since, seen.now) if since is not None else 0.0
    return min(KUBEFLOW_SLOWEST_POLL, max(KUBEFLOW_POLL, age / 20))


def _held(seen: Observed) -> bool:
    return FINALIZER in seen.execution.metadata.finalizers


def _until(seen: Observed) -> datetime:
    execution = seen.execution
    started = execution.status.started or execution.metadata.creation_timestamp
    return attempts.deadline(started, execution.spec.active_deadline_seconds)


def _given(seen: Observed) -> list[tuple[str, str]]:
    return [(item.name, item.value) for item in seen.execution.spec.parameters]


def _prefix(seen: Observed) -> str:
    meta, status = seen.execution.metadata, seen.execution.status
    number = status.attempt.number if status.attempt is not None else 1
    root, cluster = seen.setup.artifact_root, seen.setup.cluster_uid
    return attempt_prefix(root, cluster, meta.namespace, meta.uid, number)


def _namespace_prefix(seen: Observed) -> str:
    namespace = seen.execution.metadata.namespace
    return namespace_prefix(seen.setup.artifact_root, seen.setup.cluster_uid, namespace)
