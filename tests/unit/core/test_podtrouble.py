"""Why a pod is not ready, in words that stay the same while the trouble does."""

from typing import Any

import pytest

from tidemill.core.podtrouble import trouble_of


def pod(*, name: str = "p1", ready: bool = False, **status: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}, *status.pop("conditions", [])]
    return {"metadata": {"name": name}, "status": {"conditions": conditions, **status}}


def container(name: str = "server", **state: Any) -> dict[str, Any]:
    last = state.pop("last", {})
    return {"name": name, "image": "tidemill/serving:1", "state": state, "lastState": last}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"reason": reason, "message": message}


def ended(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


WORDS = '{"reason": "DigestMismatch", "message": "model.onnx is another one."}'
SAID = "Container fetch: model.onnx is another one."
TROUBLES: dict[str, tuple[dict[str, Any], tuple[str, str] | None]] = {
    "a ready pod has none": (pod(ready=True), None),
    "a pod that just starts has none": (
        pod(containerStatuses=[container(waiting=waiting("PodInitializing"))]), None
    ),
    "an image that is not there": (
        pod(initContainerStatuses=[container("fetch", waiting=waiting("ErrImagePull", "x"))]),
        (
            "ImageUnavailable",
            "Image tidemill/serving:1 of container fetch cannot be pulled.",
        ),
    ),
    "the same while it is waited for": (
        pod(initContainerStatuses=[container("fetch", waiting=waiting("ImagePullBackOff", "y"))]),
        (
            "ImageUnavailable",
            "Image tidemill/serving:1 of container fetch cannot be pulled.",
        ),
    ),
    "a Secret that is not there": (
        pod(
            initContainerStatuses=[
                container(
                    "fetch",
                    waiting=waiting(
                        "CreateContainerConfigError", 'secret "tidemill-artifacts" not found'
                    ),
                )
            ]
        ),
        ("SecretMissing", "Secret tidemill-artifacts does not exist in this namespace: make it."),
    ),
    "a container that cannot be made": (
        pod(
            containerStatuses=[
                container(waiting=waiting("CreateContainerConfigError", "no such key"))
            ]
        ),
        ("CrashLoop", "Container server: no such key."),
    ),
    "a program's own words": (
        pod(initContainerStatuses=[container("fetch", **ended(3, WORDS))]),
        ("DigestMismatch", SAID),
    ),
    "the same words while it is waited for": (
        pod(
            initContainerStatuses=[
                container("fetch", waiting=waiting("CrashLoopBackOff"), last=ended(3, WORDS))
            ]
        ),
        ("DigestMismatch", SAID),
    ),
    "and while it runs again": (
        pod(initContainerStatuses=[container("fetch", running={}, last=ended(3, WORDS))]),
        ("DigestMismatch", SAID),
    ),
    "a program without words": (
        pod(containerStatuses=[container(waiting=waiting("CrashLoopBackOff"), last=ended(139))]),
        ("CrashLoop", "Container server ended with exit code 139; see its log."),
    ),
    "words that are not of our form": (
        pod(containerStatuses=[container(**ended(1, '{"reason": "no word", "message": ""}'))]),
        ("CrashLoop", "Container server ended with exit code 1; see its log."),
    ),
    "a list is no words": (
        pod(containerStatuses=[container(**ended(1, "[1]"))]),
        ("CrashLoop", "Container server ended with exit code 1; see its log."),
    ),
    "too little memory": (
        pod(containerStatuses=[container(**ended(137, "", "OOMKilled"))]),
        (
            "OutOfMemory",
            "Container server used more memory than spec.resources.memory allows.",
        ),
    ),
    "a container that ended well is none": (
        pod(initContainerStatuses=[container("fetch", **ended(0, "", "Completed"))]), None
    ),
    "no room": (
        pod(
            conditions=[
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/1 nodes are available: 1 Insufficient memory.",
                }
            ]
        ),
        (
            "Unschedulable",
            "No node takes a pod: 0/1 nodes are available: 1 Insufficient memory.",
        ),
    ),
    "a pod that is going is nobody's trouble": (
        {
            **pod(containerStatuses=[container(**ended(1))]),
            "metadata": {"name": "p1", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        },
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "said"), TROUBLES.values(), ids=TROUBLES)
def test_trouble(body: dict[str, Any], said: tuple[str, str] | None) -> None:
    found = trouble_of([body])

    assert (found and (found.reason, found.message)) == said


def test_the_first_pod_with_trouble_is_told_of() -> None:
    bad = [pod(name=n, containerStatuses=[container(**ended(int(n)))]) for n in ("3", "2")]

    found = trouble_of([pod(name="1", ready=True), *bad])

    assert found is not None
    assert found.message == "Container server ended with exit code 2; see its log."
