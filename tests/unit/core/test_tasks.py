"""The steps of an execution, from progress.json and from recorded runs."""

import json
from datetime import UTC, datetime

import pytest

from tests.unit.core.test_kubeflowrun import recorded
from tidemill.api.v1alpha1.pipelineexecution import ExecutionState, TaskStatus
from tidemill.core.tasks import close, from_progress, from_run, keep

NOW = datetime(2026, 11, 21, 9, 50, 0, tzinfo=UTC)


def task(name: str, state: str, seconds: int | None = None) -> TaskStatus:
    return TaskStatus(name=name, state=state, seconds=seconds)


RUNS = {
    "pending": (),
    "running": (),
    "succeeded": (task("a", "Succeeded", 52), task("b", "Succeeded", 32)),
    "failed": (task("a", "Failed", 62), task("b", "Pending")),
}


@pytest.mark.parametrize(("name", "tasks"), RUNS.items(), ids=RUNS)
def test_drivers_executors_and_workflows_are_no_tasks(
    name: str, tasks: tuple[TaskStatus, ...]
) -> None:
    assert from_run(recorded(name), NOW) == tasks


def test_a_task_that_runs_is_timed_up_to_now() -> None:
    run = recorded("succeeded")
    for item in run["run_details"]["task_details"]:
        if item.get("display_name") == "b":
            item |= {"state": "RUNNING", "start_time": "2026-11-21T09:49:00Z",
                     "end_time": "0001-01-01T00:00:00Z"}  # fmt: skip

    assert task("b", "Running", 60) in from_run(run, NOW)


@pytest.mark.parametrize(
    ("data", "tasks"),
    [
        (None, None),
        (b"{", None),
        (b'{"tasks": 7}', None),
        (b"{}", ()),
        (
            json.dumps({"tasks": [
                {"name": "load", "state": "Succeeded", "seconds": 1.6},
                {"name": "fit", "state": "Running", "seconds": -1},
                {"name": "odd", "state": "Exploded"},
                {"state": "Running"},
            ]}).encode(),
            (task("load", "Succeeded", 2), task("fit", "Running")),
        ),
    ],
    ids=["none", "half a document", "another document", "nothing yet", "tasks and nonsense"],
)  # fmt: skip
def test_progress(data: bytes | None, tasks: tuple[TaskStatus, ...] | None) -> None:
    assert from_progress(data) == tasks


BEFORE = (task("load", "Running", 3), task("fit", "Pending"))


def test_status_moves_when_a_state_does_not_when_a_second_passes() -> None:
    later = (task("load", "Running", 6), task("fit", "Pending"))
    done = (task("load", "Succeeded", 7), task("fit", "Running", 0))

    assert keep(BEFORE, later) == BEFORE
    assert keep(BEFORE, done) == done
    assert keep(BEFORE, None) == BEFORE
    assert keep(BEFORE, ()) == BEFORE


@pytest.mark.parametrize(
    ("state", "load", "fit"),
    [
        (ExecutionState.SUCCEEDED, "Running", "Pending"),
        (ExecutionState.FAILED, "Failed", "Skipped"),
        (ExecutionState.CANCELED, "Canceled", "Skipped"),
    ],
)
def test_nothing_runs_in_an_execution_that_is_over(
    state: ExecutionState, load: str, fit: str
) -> None:
    assert [item.state for item in close(BEFORE, state)] == [load, fit]
