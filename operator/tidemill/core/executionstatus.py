"""What status comes to say of an execution, and the plans that only say something.

Ready is True once it has succeeded. Reconciling is there while it works, Stalled while a person has
to do something or when it has failed: kstatus and Argo CD read these two.
"""

from dataclasses import replace

from tidemill.api.base import Condition
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.api.v1alpha1.pipelineexecution import (
    Attempt,
    Engine,
    ExecutionState,
    PipelineExecutionStatus,
)
from tidemill.core import attempts, tasks
from tidemill.core.attempts import OVER
from tidemill.core.conditions import condition, find, merge, rfc3339
from tidemill.core.executionview import Observed, held
from tidemill.core.plan import Body, Delete, Event, Plan

REWORDED = frozenset({"EngineUnreachable", "ImageUnavailable", "ResultUnreadable", "Unschedulable"})
"""Reasons whose message quotes a kubelet, a scheduler or a client: a new wording is no news."""


def wait(seen: Observed, reason: str, message: str, *, again: float, stuck: bool = False) -> Plan:
    """Say what is waited for. `stuck`: a person has to do something."""
    before = find(seen.execution.status.conditions, "Ready")
    new = before is None or before.reason != reason
    told = (Event(reason=reason, message=message, warning=True),) if new and stuck else ()
    ready = trouble_condition(seen, reason, message, stuck=stuck)
    return Plan(
        status=working(seen, ExecutionState.PENDING, ready, stuck=stuck),
        events=(*retold(seen), *told),
        requeue_after=again,
    )


def retold(seen: Observed) -> tuple[Event, ...]:
    """A later attempt is seen for the first time: tell why the one before it was not the last."""
    attempt = seen.execution.status.attempt
    before = find(seen.execution.status.conditions, "Ready")
    if attempt is None or attempt.seen or seen.told is None or before is None:
        return ()
    if before.reason != "Retrying":
        return ()
    return (Event(reason=before.reason, message=before.message, warning=True),)


def succeed(seen: Observed, result: StoredDocument | None) -> Plan:
    """The end everybody hopes for."""
    number = seen.execution.status.attempt.number if seen.execution.status.attempt else 1
    said = "The pipeline succeeded." if number == 1 else f"Attempt {number} succeeded."
    return over(seen, ExecutionState.SUCCEEDED, ready_condition(True, "Succeeded", said), result)


def end(seen: Observed, state: ExecutionState, reason: str, message: str) -> Plan:
    """The end without a result."""
    return over(seen, state, ready_condition(False, reason, message), None)


def too_late(seen: Observed) -> Plan:
    """The deadline is over: nothing of this execution may go on."""
    meta, status = seen.execution.metadata, seen.execution.status
    seconds = seen.execution.spec.active_deadline_seconds
    before = find(status.conditions, "Ready")
    said = f"It did not end within {seconds} seconds (spec.activeDeadlineSeconds)."
    if before is not None and before.reason not in ("Pending", "Running"):
        said += f" Last: {before.message}"
    plan = end(seen, ExecutionState.FAILED, "DeadlineExceeded", said)
    if seen.job_uid is None or (seen.told is not None and seen.told.phase in OVER):
        return plan
    left_over = Delete(
        api_version="batch/v1",
        kind="Job",
        namespace=meta.namespace,
        name=status.run_id or "",
        uid=seen.job_uid,
    )
    return replace(plan, delete=(left_over,))


def over(
    seen: Observed, state: ExecutionState, ready: Condition, result: StoredDocument | None
) -> Plan:
    """The last status: nothing of the execution runs, waits or is tried again."""
    failed = state is not ExecutionState.SUCCEEDED
    conditions = [ready]
    if failed:
        conditions.append(condition("Stalled", True, ready.reason, ready.message))
    shown = tasks.keep(seen.execution.status.tasks, seen.tasks)
    status = restated(seen, conditions).model_copy(
        update={
            "state": state,
            "ended": rfc3339(seen.now),
            "result": result,
            "tasks": tasks.close(shown, state),
            "image_digest": None if seen.told is None else seen.told.image_digest,
        }
    )
    return Plan(
        status=status.to_wire(),
        events=(Event(reason=ready.reason, message=ready.message, warning=failed),),
        # The next pass lets the finalizer go: that write and this one never race.
        requeue_after=0.0 if held(seen) else None,
    )


def claim(
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
    """Claim an attempt: written before anything is started for it."""
    meta = seen.execution.metadata
    run_id = (
        attempts.job_name(meta.name, meta.uid, attempt.number)
        if engine is Engine.JOB
        else attempts.run_id(meta.uid, attempt.number)
    )
    wanted = [
        ready_condition(False, reason, message),
        condition("Reconciling", True, reason, message),
    ]
    status = restated(seen, wanted).model_copy(
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


def working(
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
    return restated(seen, conditions).model_copy(update=changed).to_wire()


def restated(seen: Observed, wanted: list[Condition]) -> PipelineExecutionStatus:
    """The status with other conditions, everything else as it was."""
    before, generation = seen.execution.status, seen.execution.metadata.generation
    merged = merge(before.conditions, wanted, generation=generation, now=seen.now)
    return before.model_copy(update={"observed_generation": generation, "conditions": merged})


def trouble_condition(seen: Observed, reason: str, message: str, *, stuck: bool) -> Condition:
    """Ready is False for a reason somebody else words anew each time: as of the transition."""
    before = find(seen.execution.status.conditions, "Ready")
    told_so = find(seen.execution.status.conditions, "Stalled") is not None
    if before is not None and before.reason == reason and told_so is stuck and reason in REWORDED:
        message = before.message
    return ready_condition(False, reason, message)


def ready_condition(status: bool, reason: str, message: str) -> Condition:
    """The Ready condition; its reason and message are what `kubectl get` shows."""
    return condition("Ready", status, reason, message)
