"""PipelineExecutions on a real API server with a real Job controller; kubelets are played.

No kubelet runs here: a test says by the pod's status what one would have said, and writes the
documents the step would have written. Kubeflow is the stub of tests/contract.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.controlplane import ControlPlane
from tests.contract.kfp_stub import Answer as KfpAnswer
from tests.contract.kfp_stub import KfpStub, refusal, serve
from tests.integration.audit import AuditLog
from tests.integration.conftest import RunOperator, make_namespace
from tests.integration.kubectl import Kubectl, condition
from tests.integration.operator_process import ROOT, OperatorProcess
from tests.integration.waiting import stays, wait_for
from tests.unit.core.executions import compiled, pipeline_spec

pytestmark = pytest.mark.cluster

Body = dict[str, Any]
PIPELINE = compiled(
    pipeline_spec(
        n={"parameterType": "NUMBER_INTEGER"},
        tidemill_result_uri={"parameterType": "STRING"},
    )
)
RESULT = {"kind": "Unchanged", "version": 1, "fingerprint": "f1"}


@dataclass
class Stage:
    """One namespace, one artifact store in a directory, and an operator."""

    kubectl: Kubectl
    audit: AuditLog
    namespace: str
    store: Path
    start: Callable[[], OperatorProcess]

    def create(self, name: str = "small", **spec: Any) -> Body:
        """Make an execution of a small pipeline."""
        return self.kubectl.create(
            {
                "apiVersion": "tidemill.dev/v1alpha1",
                "kind": "PipelineExecution",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {
                    "pipeline": {"inline": PIPELINE.text},
                    "parameters": [{"name": "n", "value": "4"}],
                    **spec,
                },
            }
        )

    def status(self, name: str = "small") -> Body:
        """The execution's status."""
        found = self.kubectl.get("pipelineexecution", name, self.namespace) or {}
        status: Body = found.get("status", {})
        return status

    def ready(self, name: str = "small") -> tuple[str, str]:
        """Reason and message of its Ready condition."""
        found = condition({"status": self.status(name)}, "Ready")
        return found.get("reason", ""), found.get("message", "")

    def wait_state(self, state: str, name: str = "small", timeout: float = 30.0) -> Body:
        """Wait until the execution is in this state."""
        wait_for(lambda: self.status(name).get("state") == state, timeout, f"{name} {state}")
        return self.status(name)

    def wait_reason(self, reason: str, name: str = "small", timeout: float = 30.0) -> str:
        """Wait until Ready has this reason; returns its message."""
        wait_for(lambda: self.ready(name)[0] == reason, timeout, f"{name} {reason}")
        return self.ready(name)[1]

    def jobs(self) -> list[str]:
        """The names of all Jobs."""
        return sorted(job["metadata"]["name"] for job in self.kubectl.all("job", self.namespace))

    def pods(self, job: str) -> list[Body]:
        """The pods of a Job, newest first, those that have ended left out."""
        found = self.kubectl.all("pod", self.namespace, f"job-name={job}")
        return [pod for pod in found if pod["status"].get("phase") in ("Pending", "Running")]

    def pod(self, job: str = "small-1") -> str:
        """Wait for the Job's pod; returns its name."""
        pods: list[Body] = wait_for(lambda: self.pods(job), 30, f"a pod of {job}")
        name: str = pods[0]["metadata"]["name"]
        return name

    def play(self, pod: str, phase: str, state: Body, **status: Any) -> None:
        """Say of a pod what its kubelet would."""
        container = {
            "name": "step", "image": "tidemill/steps:1", "imageID": "", "ready": False,
            "restartCount": 0, "state": state,
        }  # fmt: skip
        whole = {"phase": phase, "containerStatuses": [container], **status}
        self.kubectl.patch("pod", pod, self.namespace, {"status": whole}, "--subresource=status")

    def run_pod(self, pod: str) -> None:
        """Its container runs."""
        self.play(pod, "Running", {"running": {"startedAt": "2026-01-01T00:00:00Z"}})

    def end_pod(self, pod: str, code: int, message: str = "", reason: str = "Error") -> None:
        """Its container has ended."""
        ended = {"exitCode": code, "message": message, "reason": reason}
        self.play(pod, "Failed" if code else "Succeeded", {"terminated": ended})

    def write(self, name: str, document: Any, attempt: int = 1, pex: str = "small") -> str:
        """Write a document of an attempt; returns its digest."""
        uid = (self.kubectl.get("pipelineexecution", pex, self.namespace) or {})["metadata"]["uid"]
        data = json.dumps(document).encode()
        place = self.store / self.cluster / self.namespace / "runs" / uid / str(attempt)
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    @property
    def cluster(self) -> str:
        """The cluster's uid."""
        found = self.kubectl.get("namespace", "kube-system") or {}
        uid: str = found["metadata"]["uid"]
        return uid

    def events(self, name: str = "small") -> set[str]:
        """The reasons of the execution's Events."""
        found = self.kubectl.all("events.events.k8s.io", self.namespace)
        return {item["reason"] for item in found if item.get("regarding", {}).get("name") == name}


@pytest.fixture
def kfp() -> Iterator[KfpStub]:
    """A Kubeflow Pipelines server."""
    with serve() as stub:
        yield stub


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """The operator's environment."""
    store = tmp_path / "store"
    store.mkdir()
    return {"TIDEMILL_ARTIFACT_ROOT": f"file://{store}"}


@pytest.fixture
def stage(
    controlled_plane: ControlPlane,
    run_operator: RunOperator,
    settings: dict[str, str],
) -> Stage:
    """A namespace and an operator that leads; `start` starts another one."""
    kubectl = Kubectl(controlled_plane.kubeconfig)
    namespace = make_namespace(kubectl)

    def start() -> OperatorProcess:
        env = {**settings, "TIDEMILL_NAMESPACE": namespace, "TIDEMILL_LEASE_NAME": namespace}
        return run_operator(env, plane=controlled_plane).wait_leading()

    store = Path(settings["TIDEMILL_ARTIFACT_ROOT"].removeprefix("file://"))
    return Stage(kubectl, AuditLog(controlled_plane.audit_log), namespace, store, start)


# As a Job


def test_a_pipeline_runs_as_a_job_and_hands_back_its_result(stage: Stage) -> None:
    mark = stage.audit.mark()
    stage.start()
    stage.create()
    pod = stage.pod()
    assert stage.status()["engine"] == "Job"
    assert stage.status()["pipelineDigest"] == PIPELINE.digest

    stage.write("progress.json", {"tasks": [{"name": "step", "state": "Running", "seconds": 1}]})
    stage.run_pod(pod)
    status = stage.wait_state("Running")
    assert status["attempt"]["seen"] is True
    assert status["tasks"] == [{"name": "step", "state": "Running", "seconds": 1}]
    assert condition({"status": status}, "Reconciling")["status"] == "True"

    stage.write("progress.json", {"tasks": [{"name": "step", "state": "Succeeded", "seconds": 2}]})
    digest = stage.write("result.json", RESULT)
    stage.end_pod(pod, 0, json.dumps({"result": digest}), "Completed")
    status = stage.wait_state("Succeeded")

    assert status["result"]["digest"] == digest
    assert status["tasks"] == [{"name": "step", "state": "Succeeded", "seconds": 2}]
    assert stage.ready() == ("Succeeded", "The pipeline succeeded.")
    assert condition({"status": status}, "Reconciling") == {}
    wait_for(lambda: stage.events() == {"Running", "Succeeded"}, 10, "two Events")
    writes = stage.audit.writes(mark)
    assert [w.verb for w in writes if w.resource == "jobs"] == ["create"]
    # Claimed, seen, running, a task's end or the last one: one write each.
    assert 4 <= sum(w.subresource == "status" for w in writes) <= 5


def test_a_job_that_waits_costs_no_request(stage: Stage) -> None:
    operator = stage.start()
    stage.create()
    stage.pod()
    wait_for(lambda: stage.status()["attempt"]["seen"], 10, "the Job seen")
    operator.wait_idle()
    mark = stage.audit.mark()

    def quiet() -> bool:
        asked = [one for one in stage.audit.since(mark) if one.resource != "leases"]
        return not asked

    stays(quiet, 5, "an operator without requests")


@pytest.mark.parametrize(
    ("code", "reason", "words", "document", "wanted"),
    [
        (137, "OOMKilled", None, None, "OutOfMemory"),
        (1, "Error", {"reason": "AccessDenied", "message": "No key."}, None, "AccessDenied"),
        (1, "Error", None, {"kind": "Failure", "reason": "NoObjects", "message": "None."},
         "NoObjects"),
        (0, "Completed", {}, None, "ResultMissing"),
    ],
    ids=["out of memory", "the pod's last words", "a Failure document", "no result"],
)  # fmt: skip
def test_what_fails_for_good(
    stage: Stage, code: int, reason: str, words: Any, document: Any, wanted: str
) -> None:
    stage.start()
    stage.create()
    pod = stage.pod()
    if document is not None:
        stage.write("result.json", document)
    stage.run_pod(pod)
    stage.end_pod(pod, code, json.dumps(words) if words is not None else "", reason)

    status = stage.wait_state("Failed")

    assert stage.ready()[0] == wanted
    assert condition({"status": status}, "Stalled")["reason"] == wanted
    assert stage.jobs() == ["small-1"]
    wait_for(lambda: wanted in stage.events(), 10, "the Event")


def test_a_document_other_than_the_pod_announced_is_not_believed(stage: Stage) -> None:
    stage.start()
    stage.create()
    pod = stage.pod()
    stage.write("result.json", RESULT)
    stage.run_pod(pod)
    stage.end_pod(pod, 0, json.dumps({"result": "sha256:" + "0" * 64}), "Completed")

    stage.wait_state("Failed")

    assert stage.ready()[0] == "ResultInvalid"


def test_a_disrupted_pod_is_replaced_within_the_attempt(stage: Stage) -> None:
    stage.start()
    stage.create()
    first = stage.pod()
    stage.run_pod(first)
    stage.wait_state("Running")
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    stage.play(
        first, "Failed", {"terminated": {"exitCode": 143, "reason": "Error"}},
        conditions=[disrupted],
    )  # fmt: skip

    second: str = wait_for(
        lambda: next(
            (p["metadata"]["name"] for p in stage.pods("small-1")
             if p["metadata"]["name"] != first), None
        ), 30, "another pod"
    ) or ""  # fmt: skip
    stage.run_pod(second)
    digest = stage.write("result.json", RESULT)
    stage.end_pod(second, 0, json.dumps({"result": digest}), "Completed")
    status = stage.wait_state("Succeeded")

    assert status["attempt"]["number"] == 1
    assert stage.jobs() == ["small-1"]


def test_a_failure_that_may_pass_is_tried_again_after_a_while(stage: Stage) -> None:
    stage.start()
    stage.create(backoffLimit=1)
    first = stage.pod()
    stage.run_pod(first)
    stage.wait_state("Running")
    stage.end_pod(first, 1)
    said = stage.wait_reason("Retrying")
    assert said.startswith("Attempt 1 of 2 failed (StepFailed): The step ended with exit code 1")
    assert stage.jobs() == ["small-1"]

    second = stage.pod("small-2")
    stage.run_pod(second)
    digest = stage.write("result.json", RESULT, attempt=2)
    stage.end_pod(second, 0, json.dumps({"result": digest}), "Completed")
    status = stage.wait_state("Succeeded")

    assert status["attempt"]["number"] == 2
    assert "/2/result.json" in status["result"]["uri"]
    assert stage.jobs() == ["small-1", "small-2"]
    wait_for(lambda: "Retrying" in stage.events(), 10, "the Event of the first failure")


def test_a_missing_secret_is_named_and_heals(stage: Stage) -> None:
    stage.start()
    stage.create()
    pod = stage.pod()
    message = 'secret "tidemill-artifacts" not found'
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": message}}
    stage.play(pod, "Pending", waiting)
    said = stage.wait_reason("SecretMissing")
    assert said.startswith(f"The Secret tidemill-artifacts is not in namespace {stage.namespace}.")
    assert condition({"status": stage.status()}, "Stalled")["status"] == "True"

    stage.run_pod(pod)
    stage.wait_state("Running")

    assert condition({"status": stage.status()}, "Stalled") == {}


@pytest.mark.parametrize("left", [False, True], ids=["without a result", "with its result"])
def test_a_job_that_is_gone_is_judged_by_its_result_and_never_made_again(
    stage: Stage, left: bool
) -> None:
    stage.start()
    stage.create()
    stage.run_pod(stage.pod())
    stage.wait_state("Running")
    if left:
        stage.write("result.json", RESULT)

    mark = stage.audit.mark()
    stage.kubectl.delete("job", "small-1", stage.namespace, "--cascade=background")

    stage.wait_state("Succeeded" if left else "Failed")
    assert stage.ready()[0] == ("Succeeded" if left else "RunVanished")
    assert not [w for w in stage.audit.writes(mark) if w.resource == "jobs"]


def test_killed_at_any_moment_it_makes_one_job(stage: Stage) -> None:
    def claimed(name: str) -> bool:
        return "attempt" in stage.status(name)

    def job_seen(name: str) -> bool:
        return f"{name}-1" in stage.jobs() and bool(stage.status(name)["attempt"]["seen"])

    operator = stage.start()
    for number in range(2):
        name = f"small{number}"
        stage.create(name)
        wait_for(partial(claimed, name), 10, "a claim", 0.0)
        operator.kill()
        operator = stage.start()
        wait_for(partial(job_seen, name), 30, "its Job seen")

    assert stage.jobs() == [f"small{number}-1" for number in range(2)]
    for number in range(2):
        assert stage.status(f"small{number}")["attempt"]["number"] == 1


def test_one_that_is_deleted_takes_its_job_and_config_maps_along(stage: Stage) -> None:
    stage.start()
    stage.create()
    stage.pod()
    owned = "tidemill.dev/execution=small"
    assert stage.kubectl.all("configmap", stage.namespace, owned)

    stage.kubectl.delete("pipelineexecution", "small", stage.namespace)

    def nothing_left() -> bool:
        kinds = ("pipelineexecution", "job", "configmap")
        return not any(stage.kubectl.all(k, stage.namespace, owned) for k in kinds[1:]) and (
            stage.kubectl.get(kinds[0], "small", stage.namespace) is None
        )

    wait_for(nothing_left, 30, "everything gone")


def test_a_pipeline_in_a_config_map_is_waited_for_copied_and_run(stage: Stage) -> None:
    stage.start()
    stage.create(pipeline={"configMapRef": {"name": "mine", "key": "p.yaml"}})
    said = stage.wait_reason("PipelineMissing")
    assert said == (
        "The ConfigMap mine in spec.pipeline.configMapRef is not there; create it in"
        f" {stage.namespace}."
    )

    stage.kubectl.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "mine", "namespace": stage.namespace},
            "data": {"p.yaml": PIPELINE.text},
        }
    )
    stage.pod()

    copies = stage.kubectl.all("configmap", stage.namespace, "tidemill.dev/execution=small")
    assert [item["data"] for item in copies] == [{"pipeline.yaml": PIPELINE.text}]
    assert stage.status()["pipelineDigest"] == PIPELINE.digest


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        ({"parameters": [{"name": "m", "value": "1"}]}, "InvalidParameters",
         "spec.parameters has m, which the pipeline does not declare; it has: n,"
         " tidemill_result_uri."),
        ({"pipeline": {"inline": "a: &x 1\nb: *x"}}, "InvalidPipeline",
         "The pipeline cannot be used: it uses YAML aliases, which a compiled pipeline never"
         " does."),
        ({"engine": "Kubeflow"}, "EngineNotConfigured",
         "The engine is Kubeflow, but the operator knows no Kubeflow Pipelines server. Leave"
         " spec.engine out, or have the admin set TIDEMILL_KUBEFLOW_URL."),
    ],
    ids=["an unknown parameter", "a YAML bomb", "no Kubeflow"],
)  # fmt: skip
def test_what_cannot_be_run_says_so(stage: Stage, spec: Body, reason: str, message: str) -> None:
    stage.start()
    stage.create(**spec)

    stage.wait_state("Failed")

    assert stage.ready() == (reason, message)
    assert stage.jobs() == []


def test_a_strangers_job_of_the_same_name_is_not_touched(stage: Stage) -> None:
    container = {"name": "x", "image": "busybox"}
    pod = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    stage.kubectl.create(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "small-1", "namespace": stage.namespace},
            "spec": {"template": pod},
        }
    )
    stage.start()
    stage.create()

    said = stage.wait_reason("NameConflict")

    assert said.startswith("Job small-1 exists and does not belong to this PipelineExecution")
    job = stage.kubectl.get("job", "small-1", stage.namespace) or {}
    assert "ownerReferences" not in job["metadata"]


# With the real runner in the pod's place


PLAIN = """
from kfp import compiler, dsl

@dsl.component(base_image="python:3.11", install_kfp_package=False)
def double(n: int) -> int:
    if n < 0:
        raise ValueError("n is negative")
    return 2 * n

@dsl.component(base_image="python:3.11", install_kfp_package=False)
def check(n: int):
    import os
    assert n == 8, n
    assert os.environ["AWS_REGION"] == "us-east-1"

@dsl.pipeline(name="plain")
def plain(n: int):
    check(n=double(n=n).output)

compiler.Compiler().compile(plain, "plain.yaml")
"""


def run_container(stage: Stage, job: str, directory: Path) -> tuple[int, str]:
    """Run the command of a Job's container here, as its pod would: exit code and last words."""
    body = stage.kubectl.get("job", job, stage.namespace) or {}
    spec = body["spec"]["template"]["spec"]["containers"][0]
    words = directory / "termination-log"
    files = {}
    for item in stage.kubectl.all("configmap", stage.namespace, "tidemill.dev/execution=small"):
        for key, text in item["data"].items():
            (directory / key).write_text(text)
            files[f"/pipeline/{key}"] = str(directory / key)
    arguments = [part.partition("=") for part in spec["args"]]
    done = subprocess.run(
        [sys.executable, *spec["command"][1:],
         *(f"{name}={_placed(value, files)}" for name, _, value in arguments)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "operator"),
            **{item["name"]: item["value"].replace("$$", "$") for item in spec["env"]},
            "TMPDIR": str(directory),
            "TIDEMILL_TERMINATION_LOG": str(words),
            "AWS_REGION": "us-east-1",
        },
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    return done.returncode, words.read_text() if words.exists() else done.stderr


def _placed(value: str, files: dict[str, str]) -> str:
    for place, file in files.items():
        value = value.replace(place, file)
    return value


@pytest.mark.parametrize(
    ("n", "state", "reason"), [(4, "Succeeded", "Succeeded"), (-1, "Failed", "PipelineFailed")]
)
def test_the_runner_does_what_the_job_says(
    stage: Stage, tmp_path: Path, n: int, state: str, reason: str
) -> None:
    (tmp_path / "plain.py").write_text(PLAIN)
    subprocess.run([sys.executable, "-W", "ignore", "plain.py"], cwd=tmp_path, check=True)
    inline = (tmp_path / "plain.yaml").read_text()
    stage.start()
    stage.create(
        pipeline={"inline": inline}, parameters=[{"name": "n", "value": str(n)}], backoffLimit=0
    )
    pod = stage.pod()
    stage.run_pod(pod)
    stage.wait_state("Running")

    code, words = run_container(stage, "small-1", tmp_path)
    stage.end_pod(pod, code, words, "Completed" if code == 0 else "Error")
    status = stage.wait_state(state)

    assert stage.ready()[0] == reason, stage.ready()
    assert {task["name"]: task["state"] for task in status["tasks"]} == (
        {"double": "Succeeded", "check": "Succeeded"}
        if n > 0
        else {"double": "Failed", "check": "Skipped"}
    )
    assert ("result" in status) is (state == "Succeeded")


# In Kubeflow


@pytest.fixture
def kubeflow(stage: Stage, kfp: KfpStub, settings: dict[str, str]) -> Stage:
    """A stage whose operator knows a Kubeflow Pipelines server."""
    settings["TIDEMILL_KUBEFLOW_URL"] = kfp.url
    return stage


def the_run(kfp: KfpStub) -> str:
    """Wait for the one run there is; returns its id."""
    return str(wait_for(lambda: next(iter(kfp.runs), None), 30, "a run"))


def test_a_pipeline_runs_in_kubeflow_and_hands_back_its_result(
    kubeflow: Stage, kfp: KfpStub
) -> None:
    kubeflow.start()
    kubeflow.create(engine="Kubeflow")
    run = the_run(kfp)
    assert kubeflow.status()["runId"] == run
    sent = kfp.runs[run]
    assert sent["display_name"] == f"{kubeflow.namespace}.small-1"
    assert sent["runtime_config"]["parameters"]["n"] == 4
    assert sent["runtime_config"]["parameters"]["tidemill_result_uri"].endswith("/1/result.json")
    held = kubeflow.kubectl.get("pipelineexecution", "small", kubeflow.namespace) or {}
    assert held["metadata"]["finalizers"] == ["tidemill.dev/execution"]

    kfp.set_state(run, None)
    kfp.set_state(run, "RUNNING")
    kubeflow.wait_state("Running")
    kfp.set_state(run, None)
    kubeflow.write("result.json", RESULT)
    kfp.set_state(run, "SUCCEEDED")
    status = kubeflow.wait_state("Succeeded")

    assert status["result"]["uri"].endswith("/1/result.json")
    assert kfp.workflows == {run: 1}

    def let_go() -> bool:
        found = kubeflow.kubectl.get("pipelineexecution", "small", kubeflow.namespace) or {}
        return "finalizers" not in found["metadata"]

    wait_for(let_go, 10, "no finalizer")


@pytest.mark.parametrize("fault", ["lost", "late"], ids=["lost", "later than the time-out"])
def test_a_create_whose_answer_is_lost_makes_one_workflow(
    kubeflow: Stage, kfp: KfpStub, fault: str
) -> None:
    kfp.fail("POST", "/runs$", **{fault: True})
    kubeflow.start()
    kubeflow.create(engine="Kubeflow")
    if fault == "late":
        wait_for(lambda: kubeflow.ready()[0] == "EngineUnreachable", 60, "a lost answer")
        kfp.released.set()

    run = the_run(kfp)
    wait_for(lambda: kubeflow.status()["attempt"]["seen"], 30, "the run seen")

    assert kfp.workflows == {run: 1}


def test_killed_at_any_moment_it_makes_one_workflow(kubeflow: Stage, kfp: KfpStub) -> None:
    operator = kubeflow.start()
    kubeflow.create(engine="Kubeflow")
    run = the_run(kfp)
    operator.kill()
    kubeflow.start()
    wait_for(lambda: kubeflow.status()["attempt"]["seen"], 30, "the run seen")

    assert kfp.workflows == {run: 1}


def test_a_refused_run_fails_with_the_servers_words(kubeflow: Stage, kfp: KfpStub) -> None:
    answer = KfpAnswer(400, refusal(3, "Invalid input error: no such thing"))
    kfp.fail("POST", "/runs$", answer=answer)
    kubeflow.start()
    kubeflow.create(engine="Kubeflow")

    kubeflow.wait_state("Failed")

    assert kubeflow.ready() == (
        "InvalidRun",
        "Kubeflow Pipelines refuses the run: Invalid input error: no such thing",
    )


def test_a_forbidden_server_is_waited_for_and_heals(kubeflow: Stage, kfp: KfpStub) -> None:
    kfp.token = "another"
    kubeflow.start()
    kubeflow.create(engine="Kubeflow")
    said = kubeflow.wait_reason("Unauthorized")
    assert "projected token" in said
    assert condition({"status": kubeflow.status()}, "Stalled")["reason"] == "Unauthorized"

    kfp.token = None

    the_run(kfp)


def test_deletion_ends_the_run_first(kubeflow: Stage, kfp: KfpStub) -> None:
    kubeflow.start()
    kubeflow.create(engine="Kubeflow")
    run = the_run(kfp)
    kfp.set_state(run, "RUNNING")
    kubeflow.wait_state("Running")

    kubeflow.kubectl.delete("pipelineexecution", "small", kubeflow.namespace)
    wait_for(lambda: kfp.runs[run].get("state") == "CANCELING", 10, "a terminated run")
    assert kubeflow.kubectl.get("pipelineexecution", "small", kubeflow.namespace) is not None
    kfp.set_state(run, "CANCELED")

    def gone() -> bool:
        return kubeflow.kubectl.get("pipelineexecution", "small", kubeflow.namespace) is None

    wait_for(gone, 20, "the execution gone")


def test_a_run_ended_by_hand_is_canceled_and_a_deleted_one_has_vanished(
    kubeflow: Stage, kfp: KfpStub
) -> None:
    kubeflow.start()
    kubeflow.create("ended", engine="Kubeflow")
    run = the_run(kfp)
    wait_for(lambda: kubeflow.status("ended")["attempt"]["seen"], 30, "the run seen")
    kfp.set_state(run, "CANCELED")
    kubeflow.wait_state("Canceled", "ended")

    kubeflow.create("lost", engine="Kubeflow")
    second = str(wait_for(lambda: next((r for r in kfp.runs if r != run), None), 30, "a run"))
    wait_for(lambda: kubeflow.status("lost").get("attempt", {}).get("seen"), 30, "the run seen")
    kfp.answer("DELETE", f"/apis/v2beta1/runs/{second}", None)
    kubeflow.wait_state("Failed", "lost")

    assert kubeflow.ready("lost")[0] == "RunVanished"
    assert kfp.workflows[second] == 1
