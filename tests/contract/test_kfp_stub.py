"""The stub answers every recorded request as the real server did, but for ids and times."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.kfp_stub import KfpStub, recording, serve

EXPERIMENT = "98d1b989-d2e4-4c69-8af6-0a520b87bed8"
RUN = "199325a1-3fbe-5d75-826f-b987c48a71b5"
TERMINATED = "b0adfa1b-812a-4fc0-9c07-9ff433fe60f5"
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")

Body = dict[str, Any]


@pytest.fixture
def stub() -> Iterator[KfpStub]:
    with serve() as running:
        yield running


def _with_experiment(stub: KfpStub) -> None:
    made = stub.answer("POST", "/apis/v2beta1/experiments", {"display_name": "tidemill"})
    held = stub.experiments.pop(made.body["experiment_id"])
    stub.experiments[EXPERIMENT] = {**held, "experiment_id": EXPERIMENT}


def _with_run(stub: KfpStub) -> None:
    _with_experiment(stub)
    request = recording("create-run-with-client-run-id")["request"]
    stub.answer(request["method"], request["path"], request["body"])


def _with_terminated(stub: KfpStub) -> None:
    _with_run(stub)
    stub.runs[TERMINATED] = {**stub.runs[RUN], "run_id": TERMINATED}
    stub.answer("POST", f"/apis/v2beta1/runs/{TERMINATED}:terminate", None)


def _with_deleted(stub: KfpStub) -> None:
    _with_terminated(stub)
    stub.answer("DELETE", f"/apis/v2beta1/runs/{TERMINATED}", None)


def _with_running(stub: KfpStub) -> None:
    _with_run(stub)
    stub.runs[TERMINATED] = {**stub.runs[RUN], "run_id": TERMINATED}


def _with_played(name: str) -> Any:
    def bring(stub: KfpStub) -> None:
        _with_run(stub)
        stub.play(RUN, name)

    return bring


def _nothing(stub: KfpStub) -> None:
    return None


CASES = {
    "healthz": _nothing,
    "create-experiment": _nothing,
    "create-experiment-again": _with_experiment,
    "create-run-with-client-run-id": _with_experiment,
    "create-run-duplicate": _with_run,
    "create-run-bad-spec": _with_experiment,
    "create-run-unknown-experiment": _with_experiment,
    "create-run-unknown-parameter": _with_experiment,
    "get-run-missing": _with_experiment,
    "get-run-pending": _with_run,
    "get-run-running": _with_played("get-run-running"),
    "get-run-failed": _with_played("get-run-failed"),
    "get-run-deleted": _with_deleted,
    "list-runs-by-display-name": _with_run,
    "terminate-run": _with_running,
    "terminate-run-again": _with_terminated,
    "terminate-run-missing": _with_run,
    "delete-run": _with_terminated,
}


def _plain(value: Any, ids: bool) -> Any:
    """Times are any time; the experiment just made has any id."""
    text = _TIME.sub("<time>", json.dumps(value, sort_keys=True))
    return json.loads(re.sub(r'"experiment_id": "[^"]+"', '"experiment_id": ""', text) if ids
                      else text)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_request_gets_the_recorded_answer(stub: KfpStub, name: str) -> None:
    CASES[name](stub)
    told = recording(name)
    request = told["request"]

    answer = stub.answer(request["method"], request["path"], request["body"])

    made = name == "create-experiment"
    assert answer.status == told["status"]
    assert _plain(answer.body, made) == _plain(told["response"], made)


def test_a_duplicate_create_makes_a_second_workflow(stub: KfpStub) -> None:
    _with_run(stub)
    request = recording("create-run-duplicate")["request"]

    stub.answer(request["method"], request["path"], request["body"])

    assert stub.workflows[RUN] == 2
