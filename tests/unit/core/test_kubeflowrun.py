"""What a Kubeflow run tells, on what a real server answered."""

import json
from pathlib import Path

import pytest

from tidemill.core.attempts import Phase, Told
from tidemill.core.kubeflowrun import read
from tidemill.core.plan import Body

RECORDED = Path(__file__).parents[2] / "contract" / "recorded"
RUN = "199325a1-3fbe-5d75-826f-b987c48a71b5"
TERMINATED = "b0adfa1b-812a-4fc0-9c07-9ff433fe60f5"


def recorded(name: str) -> Body:
    run: Body = json.loads((RECORDED / f"get-run-{name}.json").read_text())["response"]
    return run


CASES = {
    "pending": Told(
        phase=Phase.WAITING,
        reason="Pending",
        message="Kubeflow Pipelines has the run and is about to start it.",
    ),
    "running": Told(phase=Phase.RUNNING, reason="Running"),
    "succeeded": Told(phase=Phase.SUCCEEDED, reason="Succeeded"),
    "failed": Told(
        phase=Phase.FAILED,
        reason="StepFailed",
        message=f"The run {RUN} failed at a.",
        transient=True,
    ),
    "canceling": Told(phase=Phase.UNKNOWN, reason="Pending", ending=True),
    "after-terminate": Told(
        phase=Phase.CANCELED,
        reason="Canceled",
        message=f"The run {TERMINATED} was ended in Kubeflow Pipelines.",
    ),
}


@pytest.mark.parametrize(("name", "told"), CASES.items(), ids=CASES)
def test_a_recorded_run(name: str, told: Told) -> None:
    assert read(recorded(name)) == told


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        (None, Phase.UNKNOWN),
        ("RUNTIME_STATE_UNSPECIFIED", Phase.UNKNOWN),
        ("A_STATE_OF_LATER_YEARS", Phase.UNKNOWN),
        ("PAUSED", Phase.WAITING),
        ("SKIPPED", Phase.SUCCEEDED),
        ("CANCELED", Phase.CANCELED),
    ],
)
def test_states_that_were_not_recorded(state: str | None, phase: Phase) -> None:
    run = recorded("pending")
    run.pop("state")
    if state is not None:
        run["state"] = state

    assert read(run).phase is phase
    assert not read(run).ending


def test_a_run_that_was_told_where_its_result_goes_has_to_leave_one() -> None:
    run = recorded("succeeded")
    run["runtime_config"]["parameters"]["tidemill_result_uri"] = "s3://b/result.json"

    assert read(run).expects_result


def test_a_failure_before_any_task_and_the_servers_own_words() -> None:
    run = recorded("failed")
    run["run_details"] = {}
    run["error"] = {"code": 13, "message": "driver failed:\n no such secret"}

    assert read(run).message == (
        f"The run {RUN} failed before any of its tasks did: driver failed: no such secret."
    )
