"""What a Kubeflow run tells of an attempt.

A run's `state` may be absent for a moment: then what was known last still holds. A run that was
asked to end sometimes ends as FAILED; its history tells.
"""

from tidemill.core import ir
from tidemill.core.attempts import Phase, Told
from tidemill.core.plan import Body

_PHASES = {
    "PENDING": Phase.WAITING,
    "RUNNING": Phase.RUNNING,
    "PAUSED": Phase.WAITING,
    "CANCELING": Phase.UNKNOWN,
    "SUCCEEDED": Phase.SUCCEEDED,
    "SKIPPED": Phase.SUCCEEDED,
    "FAILED": Phase.FAILED,
    "CANCELED": Phase.CANCELED,
}
_WAITING = {
    "PENDING": ("Pending", "Kubeflow Pipelines has the run and is about to start it."),
    "PAUSED": ("Suspended", "The run is paused in Kubeflow Pipelines; resume it there."),
}
_LONGEST_QUOTE = 400


def read(run: Body) -> Told:
    """Where the attempt stands."""
    state = str(run.get("state", ""))
    phase = _PHASES.get(state, Phase.UNKNOWN)
    canceling = any(item.get("state") == "CANCELING" for item in run.get("state_history") or ())
    given = (run.get("runtime_config") or {}).get("parameters") or {}
    expects = ir.RESULT_URI in given
    if phase is Phase.CANCELED or (phase is Phase.FAILED and canceling):
        said = f"The run {run['run_id']} was ended in Kubeflow Pipelines."
        return Told(phase=Phase.CANCELED, reason="Canceled", message=said)
    if phase is Phase.FAILED:
        return Told(
            phase=phase, reason="StepFailed", message=_why(run), transient=True,
            expects_result=expects,
        )  # fmt: skip
    if phase is Phase.WAITING:
        reason, message = _WAITING[state]
        return Told(phase=phase, reason=reason, message=message, expects_result=expects)
    if phase is Phase.UNKNOWN:
        ending = state == "CANCELING" or canceling
        return Told(phase=phase, reason="Pending", ending=ending, expects_result=expects)
    reason = "Running" if phase is Phase.RUNNING else "Succeeded"
    return Told(phase=phase, reason=reason, expects_result=expects)


def _why(run: Body) -> str:
    """Which tasks failed, and what the server says of it."""
    details = (run.get("run_details") or {}).get("task_details") or ()
    ended = {str(item.get("display_name")) for item in details if item.get("state") == "FAILED"}
    failed = sorted(ended & ir.task_names(ir.of_run(run)))
    said = " ".join(str((run.get("error") or {}).get("message", "")).split())[:_LONGEST_QUOTE]
    where = f" at {', '.join(failed)}" if failed else " before any of its tasks did"
    why = f": {said}" if said else ""
    return f"The run {run['run_id']} failed{where}{why}."
