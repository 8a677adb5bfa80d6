"""The steps of an execution: what the runner or Kubeflow tells of them, and what status keeps.

Status is written when a task's state changes, not when a second has passed: the seconds kept are
those of the last change.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from tidemill.api.documents.results import Progress
from tidemill.api.v1alpha1.pipelineexecution import ExecutionState, TaskStatus
from tidemill.core import ir
from tidemill.core.conditions import parse_time
from tidemill.core.plan import Body

Tasks = tuple[TaskStatus, ...]

MAX_TASKS = 64
_STATES = {"Pending", "Running", "Succeeded", "Failed", "Skipped", "Canceled"}
_KUBEFLOW_STATES = {
    "PENDING": "Pending",
    "RUNNING": "Running",
    "SUCCEEDED": "Succeeded",
    "SKIPPED": "Skipped",
    "FAILED": "Failed",
    "CANCELING": "Canceled",
    "CANCELED": "Canceled",
    "PAUSED": "Pending",
}
# Where a task stands in several runs of a loop, or in the two Workflows of a run that was created
# twice, the state that matters most is shown.
_WEIGHT = ("Failed", "Running", "Canceled", "Pending", "Succeeded", "Skipped")


def from_progress(data: bytes | None) -> Tasks | None:
    """The tasks of progress.json; None if it is not there or makes no sense."""
    if data is None:
        return None
    try:
        progress = Progress.model_validate_json(data)
    except ValidationError:
        return None
    found = []
    for item in progress.tasks[:MAX_TASKS]:
        state = item.get("state")
        if item.get("name") and state in _STATES:
            found.append(_task(str(item["name"]), str(state), item.get("seconds")))
    return tuple(found)


def from_run(run: Body, now: datetime) -> Tasks:
    """The tasks of a Kubeflow run, in the order they started.

    Its task_details list drivers, executors and the Workflow itself beside the pipeline's own
    tasks, in no order; a task that was not reached has no state.
    """
    names = ir.task_names(ir.of_run(run))
    details = (run.get("run_details") or {}).get("task_details") or ()
    grouped: dict[str, list[Body]] = {}
    for detail in details:
        name = detail.get("display_name", "")
        if name in names:
            grouped.setdefault(name, []).append(detail)
    listed = sorted(grouped.items(), key=lambda pair: (_first_start(pair[1]), pair[0]))
    return tuple(_of_run(name, group, now) for name, group in listed)[:MAX_TASKS]


def keep(before: Tasks, seen: Tasks | None) -> Tasks:
    """What status is to say: `before`, unless a task's state has changed."""
    if not seen:
        return before
    unchanged = [(task.name, task.state) for task in before] == [
        (task.name, task.state) for task in seen
    ]
    return before if unchanged else seen


def close(tasks: Tasks, state: ExecutionState) -> Tasks:
    """The tasks of an execution that is over: none of them runs or waits any more."""
    if state is ExecutionState.SUCCEEDED:
        return tasks
    ended = {"Running": state.value, "Pending": "Skipped"}
    return tuple(
        task.model_copy(update={"state": ended.get(task.state, task.state)}) for task in tasks
    )


def _first_start(group: Iterable[Body]) -> str:
    # A task that was not reached has the times of the moment it was listed: put it last.
    return min((str(item.get("start_time", "~")) if item.get("state") else "~") for item in group)


def _of_run(name: str, group: list[Body], now: datetime) -> TaskStatus:
    states = [_KUBEFLOW_STATES.get(item.get("state", ""), "Pending") for item in group]
    state = min(states, key=_WEIGHT.index)
    shown = group[states.index(state)]
    return _task(name, state, None if state == "Pending" else _seconds(shown, now))


def _seconds(detail: Body, now: datetime) -> float | None:
    """How long a task took. An end before the start (1970, year 1) says that it still runs."""
    try:
        start = parse_time(detail["start_time"])
        end = parse_time(detail["end_time"])
    except (KeyError, ValueError, OverflowError):
        return None
    return ((now if end < start else end) - start).total_seconds()


def _task(name: str, state: str, seconds: Any) -> TaskStatus:
    whole = None
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 1e9:
        whole = round(seconds)
    return TaskStatus(name=name[:128], state=state, seconds=whole)
