"""plan_pipelineexecution: one run of one pipeline, started at least once, in effect exactly once.

Each attempt is claimed in status first: number, engine, run id, image and pipeline digest. The
start follows from the claim alone. What the engine then tells moves status, at most one write per
change that somebody can see. An attempt that was seen and is gone is judged by its result; it is
never started again. A failure that may pass claims the next attempt, until spec.backoffLimit or
the deadline is reached.
"""

from dataclasses import replace
from datetime import timedelta

from tidemill.api.v1alpha1.pipelineexecution import Attempt, Engine, ExecutionState
from tidemill.core import attempts, ir, resultdocument
from tidemill.core.attempts import OVER, Phase, Problem, Told
from tidemill.core.conditions import elapsed, rfc3339
from tidemill.core.executionstart import DOUBT_SECONDS, PROBLEM_POLL, start
from tidemill.core.executionstatus import (
    claim,
    end,
    ready_condition,
    retold,
    succeed,
    too_late,
    trouble_condition,
    wait,
    working,
)
from tidemill.core.executionview import ENDED, Observed, given, held, tenant_prefix, until
from tidemill.core.identity import FINALIZER
from tidemill.core.ir import Compiled
from tidemill.core.manifests import job as manifest
from tidemill.core.plan import EngineCall, Event, Plan
from tidemill.core.resultdocument import Reading

GRACE_SECONDS = 120.0
"""How long after the deadline, or after a deletion, an engine may take to end a run."""
RESULT_PATIENCE_SECONDS = 600.0
"""How long after the deadline an artifact store may stay away before the result is given up."""

PROGRESS_POLL = 3.0
RESULT_POLL = 10.0
JOB_POLL = 15.0
KUBEFLOW_POLL = 5.0
KUBEFLOW_SLOWEST_POLL = 15.0


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
        return Plan(finalizers=()) if held(seen) else Plan()
    if status.attempt is None:
        return _first(seen)
    if seen.trouble is not None:
        return _unreachable(seen, seen.trouble)
    if seen.told is not None:
        return _follow(seen, seen.told)
    if status.attempt.seen:
        return _vanished(seen)
    return start(seen, status.attempt)


def _first(seen: Observed) -> Plan:
    """Check what was asked for, and claim the first attempt."""
    spec = seen.execution.spec
    engine = spec.engine or seen.setup.default_engine
    problem = _refusal(seen, engine)
    if problem is not None and problem.transient and seen.now < until(seen):
        return wait(seen, problem.reason, problem.message, stuck=True, again=PROBLEM_POLL)
    if problem is not None:
        return end(seen, ExecutionState.FAILED, problem.reason, problem.message)
    if engine is Engine.KUBEFLOW and not held(seen):
        return Plan(finalizers=(FINALIZER,), requeue_after=0.0)
    pipeline = seen.pipeline
    return claim(
        seen,
        Attempt(number=1, started=rfc3339(seen.now)),
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
    bound = ir.bind(seen.pipeline, given(seen), "")
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


def _follow(seen: Observed, told: Told) -> Plan:
    """Do as the engine tells."""
    if told.phase in OVER:
        return _settle(seen, told)
    late = (seen.now - until(seen)).total_seconds()
    if late >= GRACE_SECONDS:
        return too_late(seen)
    calls: tuple[EngineCall, ...] = ()
    if late >= 0 and seen.execution.status.engine is Engine.KUBEFLOW and not told.ending:
        calls = (EngineCall(verb="Terminate", run_id=seen.execution.status.run_id or ""),)
    if told.phase is Phase.UNKNOWN:
        return _unknown(seen, calls)
    if told.phase is Phase.WAITING:
        plan = wait(seen, told.reason, told.message, stuck=told.stuck, again=_poll(seen, told))
    else:
        plan = _run(seen, told)
    return replace(plan, engine=calls)


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
        status=working(seen, ExecutionState.RUNNING, ready_condition(False, "Running", said)),
        events=(*retold(seen), *((Event(reason="Running", message=said),) if began else ())),
        requeue_after=_poll(seen, told),
    )


def _unreachable(seen: Observed, trouble: Problem) -> Plan:
    """The engine cannot be asked: keep the state, say so, give up when all grace is used."""
    if (seen.now - until(seen)).total_seconds() >= GRACE_SECONDS:
        return too_late(seen)
    status = seen.execution.status
    stuck = not trouble.transient
    ready = trouble_condition(seen, trouble.reason, trouble.message, stuck=stuck)
    state = status.state or ExecutionState.PENDING
    return Plan(
        status=working(seen, state, ready, stuck=stuck),
        requeue_after=KUBEFLOW_SLOWEST_POLL,
    )


def _vanished(seen: Observed) -> Plan:
    """The attempt was seen and is gone: its result decides."""
    reading = seen.reading
    if reading is None or (reading.trouble is not None and reading.trouble.transient):
        return _unread(seen, reading)
    checked = resultdocument.check(reading, tenant_prefix(seen))
    if checked.document is not None:
        return succeed(seen, checked.document)
    if checked.failure is not None:
        failure = checked.failure
        return _fail(seen, failure.reason, failure.message, transient=failure.transient)
    what = "Job" if seen.execution.status.engine is Engine.JOB else "Kubeflow run"
    said = (
        f"The {what} {seen.execution.status.run_id} was there and is gone, and it left no valid"
        " result. Somebody has deleted it; create another execution to run the pipeline again."
    )
    return end(seen, ExecutionState.FAILED, "RunVanished", said)


def _settle(seen: Observed, told: Told) -> Plan:
    """The attempt has ended: read its result, and decide whether there is another one."""
    late = seen.now >= until(seen)
    if told.phase is Phase.CANCELED:
        if late:
            return too_late(seen)
        return end(seen, ExecutionState.CANCELED, told.reason, told.message)
    reading = seen.reading
    if reading is not None and reading.trouble is not None and reading.trouble.transient:
        # A failed attempt's own words will do; a success is worth nothing without its result.
        if told.phase is Phase.SUCCEEDED or told.digest is not None:
            return _unread(seen, reading)
        reading = None
    if told.phase is Phase.FAILED:
        return _failed(seen, told, reading)
    if reading is None:
        return succeed(seen, None)
    if reading.trouble is not None:
        return end(seen, ExecutionState.FAILED, reading.trouble.reason, reading.trouble.message)
    checked = resultdocument.check(reading, tenant_prefix(seen))
    if checked.failure is not None:
        failure = checked.failure
        return _fail(seen, failure.reason, failure.message, transient=failure.transient)
    if checked.problem is not None:
        return end(seen, ExecutionState.FAILED, checked.problem.reason, checked.problem.message)
    return succeed(seen, checked.document)


def _failed(seen: Observed, told: Told, reading: Reading | None) -> Plan:
    """A failed attempt; a Failure document knows better than the engine why."""
    if reading is not None and reading.data is not None:
        failure = resultdocument.check(reading, tenant_prefix(seen)).failure
        if failure is not None:
            return _fail(seen, failure.reason, failure.message, transient=failure.transient)
    if told.reason == "DeadlineExceeded":
        return too_late(seen)
    return _fail(seen, told.reason, told.message, transient=told.transient)


def _unread(seen: Observed, reading: Reading | None) -> Plan:
    """The artifact store does not answer: wait for it, within reason."""
    if reading is None or reading.trouble is None:
        return Plan(requeue_after=RESULT_POLL)
    trouble = reading.trouble
    if (seen.now - until(seen)).total_seconds() >= RESULT_PATIENCE_SECONDS:
        return end(seen, ExecutionState.FAILED, trouble.reason, trouble.message)
    state = seen.execution.status.state or ExecutionState.RUNNING
    ready = trouble_condition(seen, trouble.reason, trouble.message, stuck=False)
    return Plan(status=working(seen, state, ready), requeue_after=RESULT_POLL)


def _fail(seen: Observed, reason: str, message: str, *, transient: bool) -> Plan:
    """An attempt has failed: claim the next one, or end."""
    spec, meta, status = seen.execution.spec, seen.execution.metadata, seen.execution.status
    number = status.attempt.number if status.attempt is not None else 1
    again = attempts.next_start(
        number, limit=spec.backoff_limit, uid=meta.uid, now=seen.now, until=until(seen)
    )
    if not transient:
        return end(seen, ExecutionState.FAILED, reason, message)
    if again is None:
        tried = f" (attempt {number} of {spec.backoff_limit + 1}, the last)" if number > 1 else ""
        return end(seen, ExecutionState.FAILED, reason, f"{message.rstrip('.')}{tried}.")
    # Rounded up: a stored time has whole seconds, and no attempt starts before it.
    again = again.replace(microsecond=0) + timedelta(seconds=1)
    return claim(
        seen,
        Attempt(number=number + 1, started=rfc3339(seen.now), not_before=rfc3339(again)),
        engine=status.engine or Engine.JOB,
        started=status.started or rfc3339(seen.now),
        digest=status.pipeline_digest,
        image=status.image,
        reason="Retrying",
        message=f"Attempt {number} of {spec.backoff_limit + 1} failed ({reason}):"
        f" {message.rstrip('.')}. The next one starts at {rfc3339(again)}.",
    )


def _let_go(seen: Observed) -> Plan:
    """Deletion: a Job goes with its owner; a Kubeflow run is ended first, within GRACE_SECONDS."""
    meta, status = seen.execution.metadata, seen.execution.status
    if not held(seen):
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


def _poll(seen: Observed, told: Told) -> float:
    """Seconds until the engine is asked again."""
    status = seen.execution.status
    if status.engine is Engine.JOB:
        return PROGRESS_POLL if told.phase is Phase.RUNNING else JOB_POLL
    since = status.attempt.started if status.attempt is not None else status.started
    age = elapsed(since, seen.now) if since is not None else 0.0
    return min(KUBEFLOW_SLOWEST_POLL, max(KUBEFLOW_POLL, age / 20))
