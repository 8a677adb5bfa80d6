"""The program of a Job's pod: what it leaves behind, whatever the pipeline does."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.steps import users_pipelines as users
from tests.unit.steps.small import HASH, NOW, Place, spec, table
from tidemill.api.base import Model
from tidemill.api.documents.arguments import RefreshArguments
from tidemill.api.documents.results import (
    RESULT,
    Candidate,
    Evaluation,
    Failure,
    Published,
    Snapshot,
)
from tidemill.steps import run_pipeline
from tidemill.steps.objects import sha256_of_file

ROOT = Path(__file__).parents[3]


class Pod:
    """One attempt: where it leaves its documents, and how it is started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.termination = directory / "termination-log"
        self.result = directory / "runs" / "1" / "result.json"
        self.progress = directory / "runs" / "1" / "progress.json"

    def arguments(self, pipeline: str) -> list[str]:
        """The command line."""
        return [
            f"--pipeline={pipeline}",
            f"--result-uri=file://{self.result}",
            f"--progress-uri=file://{self.progress}",
        ]

    def environment(self, parameters: dict[str, Any]) -> dict[str, str]:
        """A pod's environment: no HOME, and a TMPDIR of its own."""
        scratch = self.directory / "tmp"
        scratch.mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "operator"),
            "TMPDIR": str(scratch),
            "TIDEMILL_PARAMETERS": json.dumps(parameters),
            "TIDEMILL_TERMINATION_LOG": str(self.termination),
        }

    def command(self, pipeline: str) -> list[str]:
        """What the pod runs."""
        return [sys.executable, "-m", "tidemill.steps.run_pipeline", *self.arguments(pipeline)]

    def run(self, pipeline: str, parameters: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run it as a process of its own."""
        return subprocess.run(
            self.command(pipeline),
            env=self.environment(parameters),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def said(self) -> dict[str, Any]:
        """The termination message."""
        said: dict[str, Any] = json.loads(self.termination.read_text())
        return said

    def document(self) -> Any:
        """The result."""
        return RESULT.validate_json(self.result.read_bytes())

    def states(self) -> dict[str, str]:
        """Task -> state, as progress.json says."""
        tasks = json.loads(self.progress.read_text())["tasks"]
        return {task["name"]: task["state"] for task in tasks}


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """An attempt that has left nothing yet."""
    return Pod(tmp_path)


Main = Callable[[str, dict[str, Any]], int]


@pytest.fixture
def main(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> Iterator[Main]:
    """The same, within the test's own process."""
    handler = signal.getsignal(signal.SIGTERM)

    def run(pipeline: str, parameters: dict[str, Any]) -> int:
        for name, value in pod.environment(parameters).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(tempfile, "tempdir", None)
        return run_pipeline.main(pod.arguments(pipeline))

    yield run
    signal.signal(signal.SIGTERM, handler)


def wire(arguments: Model) -> dict[str, str]:
    """The parameters of our own pipelines."""
    return {"arguments": arguments.model_dump_json(by_alias=True)}


def test_the_three_pipelines_from_table_to_bundle(place: Place) -> None:
    place.put("all.parquet", table())
    made, candidate, evaluation = _loop(place)

    assert made.rows == 1200
    assert made == place.snapshot()
    assert candidate == place.train(made)
    assert evaluation.metrics[0].metric == "roc_auc"
    assert evaluation.champion is None


def _loop(place: Place) -> tuple[Snapshot, Candidate, Evaluation]:
    refresh = RefreshArguments(
        dataset="small", spec=spec(place.uri), store=place.store, contract_hash=HASH, now=NOW
    )
    made = _ran(Pod(place.scratch()), "dataset-refresh", refresh)
    assert isinstance(made, Snapshot)
    candidate = _ran(Pod(place.scratch()), "train-tabular", place.train_arguments(made))
    assert isinstance(candidate, Candidate)
    judge = place.evaluate_arguments(made, candidate)
    evaluation = _ran(Pod(place.scratch()), "evaluate", judge)
    assert isinstance(evaluation, Evaluation)
    return made, candidate, evaluation


def _ran(pod: Pod, name: str, arguments: Model) -> Any:
    done = pod.run(f"builtin:{name}", wire(arguments))
    assert done.returncode == 0, done.stdout + done.stderr
    assert pod.said() == {"result": sha256_of_file(pod.result)}
    assert set(pod.states().values()) == {"Succeeded"}
    # Nothing is left in TMPDIR, and nothing was written beside it.
    assert list((pod.directory / "tmp").iterdir()) == []
    assert {path.name for path in pod.directory.iterdir()} == {"tmp", "runs", "termination-log"}
    return pod.document()


def test_a_step_that_knows_why_it_cannot_go_on(place: Place, pod: Pod) -> None:
    refresh = RefreshArguments(
        dataset="small", spec=spec(place.uri), store=place.store, contract_hash=HASH, now=NOW
    )

    done = pod.run("builtin:dataset-refresh", wire(refresh))

    failure = pod.document()
    assert isinstance(failure, Failure)
    assert failure.reason == "NoObjects"
    assert done.returncode == 1
    assert pod.said() == {
        "reason": "NoObjects",
        "message": failure.message,
        "transient": False,
    }
    assert pod.states() == {"dataset-refresh": "Failed"}


def test_a_users_pipeline_without_a_result_gets_one(main: Main, pod: Pod) -> None:
    code = main(f"file:{users.compiled(users.sums, pod.directory)}", {"one": 1})

    assert code == 0
    assert pod.document() == Published()
    assert pod.said() == {"result": sha256_of_file(pod.result)}
    assert set(pod.states().values()) == {"Succeeded"}


def test_a_users_pipeline_publishes_its_metrics(main: Main, pod: Pod) -> None:
    code = main(f"file:{users.compiled(users.publishes, pod.directory)}", {"one": 1})

    assert code == 0
    assert pod.document() == Published(metrics={"answer": 0.42})


def test_the_installation_of_kfp_is_left_out(main: Main, pod: Pod) -> None:
    assert main(f"file:{users.compiled(users.installs_kfp, pod.directory)}", {"one": 1}) == 0


FAILING = {
    "a task that fails": (
        users.fails,
        {"text": "bad"},
        "PipelineFailed",
        "task fail failed: ValueError: no good: bad",
    ),
    "a task that is killed": (
        users.vanishes,
        {},
        "OutOfMemory",
        "task vanish was killed (exit code 137), most likely because it reached its memory limit;"
        " raise resources.memory",
    ),
    "no result where one was to be": (
        users.silent,
        {},
        "ResultMissing",
        "the pipeline succeeded and left no result document at its tidemill_result_uri; end it with"
        " tidemill.pipelines.components.publish_result",
    ),
    "something else than a result": (
        users.babbles,
        {},
        "ResultInvalid",
        "the result document is not valid: Unable to extract tag using discriminator 'kind'",
    ),
    "packages that the image does not have": (
        users.installs,
        {"one": 1},
        "UnsupportedPipeline",
        "The Job engine cannot run this pipeline: with-packages installs polars==1.0, requests when"
        " it starts. Build a step image that has it, or set spec.engine: Kubeflow.",
    ),
    "a container component": (
        users.contains,
        {},
        "UnsupportedPipeline",
        "The Job engine cannot run this pipeline: container is a container component. It runs"
        " lightweight Python components only; set spec.engine: Kubeflow.",
    ),
}


@pytest.mark.parametrize(
    ("pipeline", "parameters", "reason", "message"), FAILING.values(), ids=FAILING
)
def test_failures_are_said(
    main: Main, pod: Pod, pipeline: Any, parameters: dict[str, Any], reason: str, message: str
) -> None:
    code = main(f"file:{users.compiled(pipeline, pod.directory)}", parameters)

    assert code == 1
    assert pod.said() == {"reason": reason, "message": message, "transient": False}
    if reason != "ResultInvalid":
        assert pod.document() == Failure(reason=reason, message=message)


def test_the_kubeflow_engines_settings_are_refused(main: Main, pod: Pod) -> None:
    file = users.compiled(users.sums, pod.directory)
    settings = {"deploymentSpec": {"executors": {"exec-add": {"nodeSelector": {"a": "b"}}}}}
    file.write_text(
        f"{file.read_text()}\n---\n{json.dumps({'platforms': {'kubernetes': settings}})}\n"
    )

    assert main(f"file:{file}", {"one": 1}) == 1
    assert pod.said()["reason"] == "UnsupportedPipeline"


UNREADABLE: dict[str, tuple[str, dict[str, Any], str]] = {
    "a pipeline that is not there": ("builtin:nothing", {}, "InvalidPipeline"),
    "a place of another kind": ("https://example.com/x.yaml", {}, "InvalidPipeline"),
}


@pytest.mark.parametrize(("pipeline", "parameters", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read(
    main: Main, pod: Pod, pipeline: str, parameters: dict[str, Any], reason: str
) -> None:
    assert main(pipeline, parameters) == 1
    assert pod.said()["reason"] == pod.document().reason == reason


@pytest.mark.parametrize("written", ["{", "[1]", '"x"'])
def test_parameters_that_are_none(
    main: Main, pod: Pod, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    file = pod.directory / "parameters.json"
    file.write_text(written)
    monkeypatch.setenv("TIDEMILL_PARAMETERS_FILE", str(file))

    assert main("builtin:evaluate", {}) == 1
    assert pod.said()["reason"] == "InvalidParameters"


def test_parameters_from_a_file(main: Main, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    file = pod.directory / "parameters.json"
    file.write_text('{"one": 5}')
    monkeypatch.setenv("TIDEMILL_PARAMETERS_FILE", str(file))

    assert main(f"file:{users.compiled(users.sums, pod.directory)}", {}) == 0


def test_a_result_of_an_earlier_pod_is_kept(main: Main, pod: Pod) -> None:
    pod.result.parent.mkdir(parents=True)
    pod.result.write_text('{"kind": "Published", "metrics": {"a": 1}}')

    assert main(f"file:{users.compiled(users.fails, pod.directory)}", {"text": "x"}) == 0
    assert pod.said() == {"result": sha256_of_file(pod.result)}
    assert not pod.progress.exists()


def test_a_failure_of_an_earlier_pod_is_kept(main: Main, pod: Pod) -> None:
    pod.result.parent.mkdir(parents=True)
    pod.result.write_text('{"kind": "Failure", "reason": "NoObjects", "message": "nothing"}')

    assert main(f"file:{users.compiled(users.sums, pod.directory)}", {"one": 1}) == 1
    assert pod.said() == {"reason": "NoObjects", "message": "nothing", "transient": False}


def test_secrets_do_not_show(main: Main, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")

    main(f"file:{users.compiled(users.fails, pod.directory)}", {"text": "hunter2hunter2"})

    assert pod.said()["message"] == "task fail failed: ValueError: no good: ***"
    assert "hunter2hunter2" not in pod.result.read_text()


def test_a_long_message_fits_the_termination_message() -> None:
    failure = Failure(reason="PipelineFailed", message="ü" * 1024)

    message = run_pipeline.Ending(failure=failure).message()

    assert 3000 < len(message) <= 4096
    assert json.loads(message)["reason"] == "PipelineFailed"


def test_a_pod_that_is_taken_away_ends_at_once(pod: Pod) -> None:
    file = users.compiled(users.sums, pod.directory)
    with subprocess.Popen(
        pod.command(f"file:{file}"),
        env=pod.environment({"one": 1}),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        deadline = time.monotonic() + 60
        while not pod.progress.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)

    assert process.returncode == 143
    assert not pod.result.exists()


HIDE = """
import sys
from pathlib import Path

class Hidden:
    names = ("pandas", "kopf", "aiohttp", "starlette", "uvicorn", "prometheus_client", "orjson")
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
from tests.unit.steps.small import Place
place = Place(Path(sys.argv[1]), spent=100)
made = place.snapshot()
candidate = place.train(made)
print(place.evaluate(made, candidate).metrics[0].metric)
"""


def test_steps_need_only_what_their_image_has(place: Place) -> None:
    """Of what this environment has besides: no pandas, no operator, no server."""
    place.put("all.csv", table())

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HIDE, str(place.root)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.stdout == "roc_auc\n", done.stderr
