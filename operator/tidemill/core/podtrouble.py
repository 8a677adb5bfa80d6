"""Why a model server's pod does not become ready, from its status alone.

The words are the same for as long as the trouble is: a container that waits out its back-off and
one that has just ended again say one thing, so that status is not written at each restart.
"""

import json
import re
from collections.abc import Iterable, Iterator

from tidemill.api.reasons import Reason
from tidemill.core.plan import Body
from tidemill.core.scaling import Trouble

_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_WORD = re.compile(r"^[A-Z][A-Za-z]{1,63}$")
_SECRET = re.compile(r'secret "([^"]+)" not found')
_LONGEST = 300


def trouble_of(pods: Iterable[Body]) -> Trouble | None:
    """The trouble of the first pod by name that has any and is not ready."""
    for pod in sorted(pods, key=lambda item: str(item["metadata"]["name"])):
        found = None if _is_ready(pod) else _trouble(pod)
        if found is not None:
            return found
    return None


def _is_ready(pod: Body) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _trouble(pod: Body) -> Trouble | None:
    if pod["metadata"].get("deletionTimestamp"):
        return None
    for status in _containers(pod):
        found = _waiting(status) or _ended(status)
        if found is not None:
            return found
    for item in pod.get("status", {}).get("conditions") or ():
        if item["type"] == "PodScheduled" and item.get("reason") == "Unschedulable":
            said = str(item.get("message", ""))[:_LONGEST].rstrip(".")
            return Trouble(reason=Reason.UNSCHEDULABLE, message=f"No node takes a pod: {said}.")
    return None


def _containers(pod: Body) -> Iterator[Body]:
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _waiting(status: Body) -> Trouble | None:
    """A container that cannot be started."""
    waiting = status.get("state", {}).get("waiting") or {}
    if waiting.get("reason") in _IMAGE:
        said = f"Image {status.get('image', '')} of container {status['name']} cannot be pulled."
        return Trouble(reason=Reason.IMAGE_UNAVAILABLE, message=said)
    if waiting.get("reason") == "CreateContainerConfigError":
        said = str(waiting.get("message", ""))[:_LONGEST]
        secret = _SECRET.search(said)
        if secret is not None:
            told = f"Secret {secret[1]} does not exist in this namespace: make it."
            return Trouble(reason=Reason.SECRET_MISSING, message=told)
        return Trouble(reason=Reason.CRASH_LOOP, message=f"Container {status['name']}: {said}.")
    return None


def _ended(status: Body) -> Trouble | None:
    """A container that has ended badly, and may be about to be started again."""
    now, before = status.get("state", {}), status.get("lastState", {})
    ended = now.get("terminated") or before.get("terminated")
    if not ended or ended.get("exitCode", 0) == 0:
        return None
    name = status["name"]
    if ended.get("reason") == "OOMKilled":
        said = f"Container {name} used more memory than spec.resources.memory allows."
        return Trouble(reason=Reason.OUT_OF_MEMORY, message=said)
    reason, message = _own_words(str(ended.get("message", "")))
    if reason:
        return Trouble(reason=reason, message=f"Container {name}: {message}")
    said = f"Container {name} ended with exit code {ended.get('exitCode')}; see its log."
    return Trouble(reason=Reason.CRASH_LOOP, message=said)


def _own_words(text: str) -> tuple[str, str]:
    """Reason and message our programs leave behind; empty if there are none."""
    try:
        told = json.loads(text)
        reason, message = str(told["reason"]), str(told["message"])
    except (ValueError, TypeError, KeyError):
        return "", ""
    return (reason, message[:_LONGEST]) if _WORD.match(reason) else ("", "")
