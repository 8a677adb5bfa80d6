"""What a Job and its pods tell: each case says only what differs from a Job that has just begun."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.core.executions import NOW, ago
from tidemill.core.attempts import Phase, Told
from tidemill.core.jobstate import read
from tidemill.core.plan import Body

DIGEST = "sha256:" + "a" * 64


def _job(
    *conditions: tuple[str, str], made: float = 10, expects: str = "true", **spec: Any
) -> Body:
    return {
        "metadata": {
            "name": "churn-1",
            "creationTimestamp": ago(made),
            "annotations": {"tidemill.dev/expects-result": expects},
        },
        "spec": spec,
        "status": {
            "conditions": [
                {"type": type_, "status": "True", "reason": reason} for type_, reason in conditions
            ]
        },
    }


def _pod(phase: str, state: Body | None = None, *, made: float = 5, **status: Any) -> Body:
    name = f"churn-1-{made:.0f}"
    return {
        "metadata": {"name": name, "namespace": "team", "creationTimestamp": ago(made)},
        "spec": {"containers": [{"image": "tidemill/steps:1"}]},
        "status": {
            "phase": phase,
            "containerStatuses": [{"image": "tidemill/steps:1", "state": state or {}}],
            **status,
        },
    }


def _waiting(reason: str, message: str = "", **pod: Any) -> Body:
    return _pod("Pending", {"waiting": {"reason": reason, "message": message}}, **pod)


def _ended(code: int, words: Any = None, reason: str = "Error", **pod: Any) -> Body:
    message = words if isinstance(words, str) else json.dumps(words) if words else ""
    return _pod(
        "Failed", {"terminated": {"exitCode": code, "reason": reason, "message": message}}, **pod
    )


def _wait(reason: str, message: str, *, stuck: bool = False) -> Told:
    return Told(phase=Phase.WAITING, reason=reason, message=message, stuck=stuck)


RUNNING = Told(phase=Phase.RUNNING, reason="Running")
KEEP = Told(phase=Phase.UNKNOWN, reason="Ending")
DISRUPTED = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
PULL = "ErrImagePull"


def _leaving(conditions: list[Body]) -> Body:
    pod = _pod("Running", {"running": {}}, conditions=conditions)
    pod["metadata"]["deletionTimestamp"] = ago(1)
    return pod


NO_SECRET = (
    "The Secret tidemill-artifacts is not in namespace team. Create it with the credential the"
    " step needs (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL); the"
    " pod starts as soon as it is there."
)
UNSCHEDULABLE = [
    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
     "message": "0/1 nodes are available:\n 1 Insufficient memory."}
]  # fmt: skip

WORKING: dict[str, tuple[Body, list[Body], Told]] = {
    "a new Job has no pod yet": (
        _job(), [], _wait("Pending", "Its pod is starting.")),
    "a Job without a pod for a minute says where to look": (
        _job(made=61), [],
        _wait("PodNotCreated",
              "The Job churn-1 could not make its pod for 60 seconds. A quota, a pod security rule"
              " or a missing ServiceAccount may be in the way: `kubectl describe job churn-1` says"
              " which.", stuck=True)),
    "a suspended Job": (
        _job(suspend=True), [],
        _wait("Suspended", "The Job churn-1 is suspended; set its spec.suspend to false.")),
    "a pod that starts": (_job(), [_waiting("ContainerCreating")],
                          _wait("Pending", "Its pod is starting.")),
    "a pod that runs": (_job(), [_pod("Running", {"running": {}})], RUNNING),
    "a pod that is disrupted and not yet replaced": (
        _job(), [_leaving(DISRUPTED)],
        _wait("PodReplaced", "The pod was disrupted; another one follows.")),
    "a pod that is taken away at the deadline": (_job(), [_leaving([])], KEEP),
    "a pod that was disrupted and has ended": (
        _job(), [_pod("Failed", conditions=DISRUPTED)],
        _wait("PodReplaced", "The pod was disrupted; another one follows.")),
    "a pod that has ended, and the Job does not say so yet": (_job(), [_ended(1)], KEEP),
    "the newest pod counts": (
        _job(), [_pod("Failed", made=50), _pod("Running", {"running": {}}, made=5)], RUNNING),
    "no node takes it": (
        _job(), [_pod("Pending", conditions=UNSCHEDULABLE)],
        _wait("Unschedulable",
              "No node takes the pod: 0/1 nodes are available: 1 Insufficient memory.")),
    "a Secret is missing": (
        _job(), [_waiting("CreateContainerConfigError", 'secret "tidemill-artifacts" not found')],
        _wait("SecretMissing", NO_SECRET, stuck=True)),
    "a container that cannot be configured": (
        _job(), [_waiting("CreateContainerConfigError", "image will run as root")],
        _wait("PodConfigInvalid", "The container cannot be made: image will run as root.",
              stuck=True)),
    "an image that cannot be pulled is waited for": (
        _job(), [_waiting(PULL, "not found", made=100)],
        _wait("ImageUnavailable", "The image tidemill/steps:1 cannot be pulled (not found).")),
    "the same refusal told in the other way": (
        _job(),
        [_waiting("ImagePullBackOff", 'Back-off pulling image "x": ErrImagePull: not found')],
        _wait("ImageUnavailable", "The image tidemill/steps:1 cannot be pulled (not found).")),
    "after five minutes a person is needed": (
        _job(), [_waiting("ImagePullBackOff", "", made=301)],
        _wait("ImageUnavailable",
              "The image tidemill/steps:1 cannot be pulled (ImagePullBackOff). Check the image's"
              " name and tag, and that the nodes may pull it.", stuck=True)),
    "an image name that is none needs a person at once": (
        _job(), [_waiting("InvalidImageName", "cannot parse")],
        _wait("ImageUnavailable",
              "The image tidemill/steps:1 cannot be pulled (cannot parse). Check the image's name"
              " and tag, and that the nodes may pull it.", stuck=True)),
    "decided, but a pod still ends": (_job(("FailureTarget", "PodFailurePolicy")), [], KEEP),
    "succeeded, but not yet complete": (_job(("SuccessCriteriaMet", "")), [], KEEP),
}  # fmt: skip


@pytest.mark.parametrize(("job", "pods", "told"), WORKING.values(), ids=WORKING)
def test_a_job_under_way(job: Body, pods: list[Body], told: Told) -> None:
    assert read(job, pods, now=NOW, memory="1Gi") == told


def _succeeded(words: str) -> Body:
    return _pod("Succeeded", {"terminated": {"exitCode": 0, "message": words}})


COMPLETE: dict[str, tuple[str, list[Body], bool, str | None]] = {
    "with the digest of its result": (
        "true", [_succeeded(json.dumps({"result": DIGEST}))], True, DIGEST),
    "with words that are no JSON": ("true", [_succeeded("done")], True, None),
    "with a digest that is none": ("true", [_succeeded('{"result": "abc"}')], True, None),
    "whose pod is gone": ("true", [], True, None),
    "of a pipeline that leaves no result": ("false", [_succeeded("")], False, None),
}  # fmt: skip


@pytest.mark.parametrize(("expects", "pods", "wanted", "digest"), COMPLETE.values(), ids=COMPLETE)
def test_a_complete_job(expects: str, pods: list[Body], wanted: bool, digest: str | None) -> None:
    job = _job(("SuccessCriteriaMet", ""), ("Complete", ""), expects=expects)

    assert read(job, pods, now=NOW, memory="1Gi") == Told(
        phase=Phase.SUCCEEDED, reason="Succeeded", expects_result=wanted, digest=digest
    )


IMAGES = {
    "pulled from a registry": (f"registry.test/steps@{DIGEST}", DIGEST),
    "known to the node alone": (DIGEST, DIGEST),
    "not told": ("", None),
}


@pytest.mark.parametrize(("image", "digest"), IMAGES.values(), ids=IMAGES)
def test_the_image_that_ran_is_told(image: str, digest: str | None) -> None:
    pod = _succeeded("")
    pod["status"]["containerStatuses"][0]["imageID"] = image
    job = _job(("Complete", ""), expects="true")

    assert read(job, [pod], now=NOW, memory="1Gi").image_digest == digest


LIMIT = ("Failed", "BackoffLimitExceeded")
FAILED: dict[str, tuple[tuple[str, str], list[Body], str, str, bool, str | None]] = {
    "out of memory": (
        LIMIT, [_ended(137, reason="OOMKilled")], "OutOfMemory",
        "The step was ended at its memory limit of 1Gi; raise spec.resources.memory.",
        False, None),
    "evicted": (
        LIMIT, [_pod("Failed", reason="Evicted", message="The node was low on memory. ")],
        "Evicted", "The pod was ended: The node was low on memory.", True, None),
    "ended with its node": (
        LIMIT, [_pod("Failed", reason="NodeShutdown")],
        "Interrupted", "The pod was ended: NodeShutdown", True, None),
    "ended by a signal": (
        LIMIT, [_ended(143)], "Interrupted",
        "The step was ended by SIGTERM; its node or pod was taken away.", True, None),
    "the step says why": (
        LIMIT, [_ended(1, {"reason": "NoObjects", "message": "None.", "result": DIGEST})],
        "NoObjects", "None.", False, DIGEST),
    "the step says that it may pass": (
        LIMIT, [_ended(1, {"reason": "SourceUnavailable", "message": "x", "transient": True})],
        "SourceUnavailable", "x", True, None),
    "the step says no reason we could show": (
        LIMIT, [_ended(1, {"reason": "not a reason", "message": "x"})], "StepFailed",
        "The step ended with exit code 1; `kubectl logs job/churn-1` shows what it wrote.",
        True, None),
    "nobody says why": (
        LIMIT, [_ended(2, "Traceback ...")], "StepFailed",
        "The step ended with exit code 2; `kubectl logs job/churn-1` shows what it wrote.",
        True, None),
    "a container that cannot start": (
        LIMIT, [_ended(128, 'exec: "python": not found', reason="StartError")],
        "PodConfigInvalid", 'The container cannot be started: exec: "python": not found',
        False, None),
    "its pod is gone": (
        LIMIT, [], "PodLost", "The Job failed and its pod is gone, so nobody knows why.",
        True, None),
    "its time is over": (
        ("Failed", "DeadlineExceeded"), [], "DeadlineExceeded", "It did not end in time.",
        False, None),
    "the newest failure counts": (
        LIMIT, [_ended(2, made=50), _ended(137, reason="OOMKilled", made=5)], "OutOfMemory",
        "The step was ended at its memory limit of 1Gi; raise spec.resources.memory.",
        False, None),
}  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "pods", "reason", "message", "transient", "digest"), FAILED.values(), ids=FAILED
)
def test_a_failed_job(
    condition: tuple[str, str],
    pods: list[Body],
    reason: str,
    message: str,
    transient: bool,
    digest: str | None,
) -> None:
    assert read(_job(condition), pods, now=NOW, memory="1Gi") == Told(
        phase=Phase.FAILED, reason=reason, message=message, transient=transient, digest=digest
    )


def test_the_steps_log_is_never_told() -> None:
    told = read(_job(LIMIT), [_ended(1, "AWS_SECRET_ACCESS_KEY=hunter2")], now=NOW, memory="1Gi")

    assert "hunter2" not in told.message


RECORDED = json.loads((Path(__file__).parent / "recorded" / "jobs.json").read_text())
"""What a real Job controller and kubelet (Kubernetes 1.34) said of Jobs as we make them."""
THEN = datetime.fromisoformat("2026-11-21T11:51:00+00:00")
REAL = {
    "good": (Phase.SUCCEEDED, "Succeeded"),
    "bad": (Phase.FAILED, "PipelineFailed"),
    "oom": (Phase.FAILED, "OutOfMemory"),
    "slow": (Phase.FAILED, "DeadlineExceeded"),
    "killed": (Phase.FAILED, "PodLost"),
    "nosecret": (Phase.WAITING, "SecretMissing"),
    "noimage": (Phase.WAITING, "ImageUnavailable"),
}


@pytest.mark.parametrize(("name", "phase", "reason"), [(k, *v) for k, v in REAL.items()])
def test_a_real_job(name: str, phase: Phase, reason: str) -> None:
    told = read(RECORDED[name]["job"], RECORDED[name]["pods"], now=THEN, memory="512Mi")

    assert (told.phase, told.reason) == (phase, reason)
    assert (told.digest is not None) is (name == "good")
