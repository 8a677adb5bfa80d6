"""What a Job and its pods tell of an attempt.

Failures are sorted into those that may pass (the node went away, the pod was evicted, nobody
knows why) and those that will not (out of memory, a step that says so).
"""

import json
import re
from datetime import datetime
from typing import Any

from tidemill.core.attempts import Phase, Told
from tidemill.core.conditions import elapsed
from tidemill.core.plan import Body

POD_PATIENCE_SECONDS = 60.0
"""A Job that has had no pod for this long is told of."""
IMAGE_PATIENCE_SECONDS = 300.0
"""An image that cannot be pulled for this long waits for a person."""
ANNOTATION_EXPECTS_RESULT = "tidemill.dev/expects-result"
"""On a Job: "true" if its pipeline has to leave a result document."""

_PULLING = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable")
_MISSING_SECRET = re.compile(r'secret "([^"]+)" not found')
_REASON = re.compile(r"[A-Z][A-Za-z]{1,63}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*": (ErrImagePull: )?')
_SIGNALS = {137: "SIGKILL", 143: "SIGTERM"}
_LONGEST_QUOTE = 400
_STARTING = "Its pod is starting."


def read(job: Body, pods: list[Body], *, now: datetime, memory: str) -> Told:
    """Where the attempt stands. `memory` is spec.resources.memory, for the message."""
    conditions = {
        item["type"]: item
        for item in job.get("status", {}).get("conditions", ())
        if item.get("status") == "True"
    }
    expects = job["metadata"].get("annotations", {}).get(ANNOTATION_EXPECTS_RESULT) == "true"
    newest = sorted(pods, key=_made, reverse=True)
    if "Complete" in conditions:
        ended = [pod for pod in newest if _phase(pod) == "Succeeded"]
        said = _last_words(ended[0]) if ended else {}
        return Told(
            phase=Phase.SUCCEEDED,
            reason="Succeeded",
            expects_result=expects,
            digest=_digest(said),
            image_digest=_image_digest(ended[0]) if ended else None,
        )
    if "Failed" in conditions:
        failed = [pod for pod in newest if _phase(pod) == "Failed"]
        return _failure(job, conditions["Failed"], failed, memory)
    if conditions.keys() & {"SuccessCriteriaMet", "FailureTarget"}:
        # Decided, but the Job controller still waits for a pod to end.
        return Told(phase=Phase.UNKNOWN, reason="Ending")
    alive = [pod for pod in newest if _phase(pod) in ("Pending", "Running") and not _leaving(pod)]
    if alive:
        return _of_pod(alive[0], now)
    return _without_pod(job, newest, now)


def _without_pod(job: Body, pods: list[Body], now: datetime) -> Told:
    name = job["metadata"]["name"]
    if job.get("spec", {}).get("suspend"):
        return _waiting("Suspended", f"The Job {name} is suspended; set its spec.suspend to false.")
    if pods and not _disrupted(pods[0]):
        # It has ended or was taken away, and the Job controller is about to say what follows.
        return Told(phase=Phase.UNKNOWN, reason="Ending")
    if pods:
        return _waiting("PodReplaced", "The pod was disrupted; another one follows.")
    if elapsed(job["metadata"]["creationTimestamp"], now) < POD_PATIENCE_SECONDS:
        return _waiting("Pending", _STARTING)
    return _waiting(
        "PodNotCreated",
        f"The Job {name} could not make its pod for {POD_PATIENCE_SECONDS:.0f} seconds. A quota,"
        " a pod security rule or a missing ServiceAccount may be in the way:"
        f" `kubectl describe job {name}` says which.",
        stuck=True,
    )


def _of_pod(pod: Body, now: datetime) -> Told:
    state = _container(pod).get("state", {})
    if _phase(pod) == "Running" or "running" in state:
        return Told(phase=Phase.RUNNING, reason="Running")
    waiting = state.get("waiting", {})
    reason = waiting.get("reason", "")
    # The kubelet tells the same refusal in two ways, by turns.
    message = _quote(_BACK_OFF.sub("", waiting.get("message", "")))
    if reason in _PULLING or reason == "InvalidImageName":
        image = _container(pod).get("image") or _image(pod)
        waited = elapsed(pod["metadata"]["creationTimestamp"], now)
        said = f"The image {image} cannot be pulled ({message or reason})."
        if reason != "InvalidImageName" and waited < IMAGE_PATIENCE_SECONDS:
            return _waiting("ImageUnavailable", said)
        remedy = " Check the image's name and tag, and that the nodes may pull it."
        return _waiting("ImageUnavailable", said + remedy, stuck=True)
    if reason in ("CreateContainerConfigError", "CreateContainerError"):
        return _misconfigured(pod, message)
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            said = _quote(condition.get("message", ""))
            return _waiting("Unschedulable", f"No node takes the pod: {said}")
    return _waiting("Pending", _STARTING)


def _misconfigured(pod: Body, message: str) -> Told:
    missing = _MISSING_SECRET.search(message)
    if missing is None:
        said = f"The container cannot be made: {message or 'the kubelet does not say why'}."
        return _waiting("PodConfigInvalid", said, stuck=True)
    secret, namespace = missing.group(1), pod["metadata"]["namespace"]
    return _waiting(
        "SecretMissing",
        f"The Secret {secret} is not in namespace {namespace}. Create it with the credential the"
        " step needs (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL); the"
        " pod starts as soon as it is there.",
        stuck=True,
    )


def _failure(job: Body, condition: Body, pods: list[Body], memory: str) -> Told:
    if condition.get("reason") == "DeadlineExceeded":
        return _failed("DeadlineExceeded", "It did not end in time.")
    if not pods:
        said = "The Job failed and its pod is gone, so nobody knows why."
        return _failed("PodLost", said, transient=True)
    pod = pods[0]
    status, words = pod.get("status", {}), _last_words(pod)
    ended = _container(pod).get("state", {}).get("terminated", {})
    digest = _digest(words)
    if ended.get("reason") == "OOMKilled":
        return _failed(
            "OutOfMemory",
            f"The step was ended at its memory limit of {memory}; raise spec.resources.memory.",
        )
    if status.get("reason"):
        evicted = status["reason"] == "Evicted"
        said = _quote(status.get("message", "")) or status["reason"]
        return _failed(
            "Evicted" if evicted else "Interrupted", f"The pod was ended: {said}", transient=True
        )
    if words.get("reason"):
        return _failed(
            words["reason"],
            words["message"] or "The step failed.",
            transient=words["transient"],
            digest=digest,
        )
    code = ended.get("exitCode")
    if ended.get("reason") in ("StartError", "ContainerCannotRun"):
        said = _quote(ended.get("message", "")) or ended["reason"]
        return _failed("PodConfigInvalid", f"The container cannot be started: {said}")
    if code in _SIGNALS:
        said = f"The step was ended by {_SIGNALS[code]}; its node or pod was taken away."
        return _failed("Interrupted", said, transient=True, digest=digest)
    name = job["metadata"]["name"]
    said = f"The step ended with exit code {code}; `kubectl logs job/{name}` shows what it wrote."
    return _failed("StepFailed", said, transient=True, digest=digest)


def _last_words(pod: Body) -> dict[str, Any]:
    """The runner's termination message, as far as it makes sense: result, reason, message,
    transient."""
    ended = _container(pod).get("state", {}).get("terminated", {})
    try:
        said = json.loads(ended.get("message", ""))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    reason, message = said.get("reason"), said.get("message")
    known = isinstance(reason, str) and _REASON.fullmatch(reason)
    return {
        "result": said.get("result"),
        "reason": reason if known else None,
        "message": message[:1024] if isinstance(message, str) else "",
        "transient": said.get("transient") is True,
    }


def _digest(words: dict[str, Any]) -> str | None:
    found = words.get("result")
    return found if isinstance(found, str) and _DIGEST.fullmatch(found) else None


def _container(pod: Body) -> Body:
    statuses: list[Body] = pod.get("status", {}).get("containerStatuses") or [{}]
    return statuses[0]


def _image_digest(pod: Body) -> str | None:
    """What the kubelet pulled: imageID is `<name>@sha256:<hex>`, or the hex of its configuration
    alone where it was never in a registry.
    """
    found = _DIGEST.search(str(_container(pod).get("imageID", "")))
    return None if found is None else found.group()


def _image(pod: Body) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def _phase(pod: Body) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def _disrupted(pod: Body) -> bool:
    return any(
        condition.get("type") == "DisruptionTarget" and condition.get("status") == "True"
        for condition in pod.get("status", {}).get("conditions", ())
    )


def _leaving(pod: Body) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _made(pod: Body) -> tuple[str, str]:
    return (pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"])


def _quote(message: str) -> str:
    return " ".join(message.split())[:_LONGEST_QUOTE]


def _waiting(reason: str, message: str, *, stuck: bool = False) -> Told:
    return Told(phase=Phase.WAITING, reason=reason, message=message, stuck=stuck)


def _failed(
    reason: str, message: str, *, transient: bool = False, digest: str | None = None
) -> Told:
    return Told(
        phase=Phase.FAILED, reason=reason, message=message, transient=transient, digest=digest
    )
