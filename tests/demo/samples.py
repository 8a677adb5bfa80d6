"""The samples a user would apply, and the one thing the demo changes in them: times."""

from pathlib import Path
from typing import Any

import yaml

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"

PATCHES: dict[str, dict[str, Any]] = {
    "Dataset": {},
    "TrainingJob": {"retrain": {"cooldownSeconds": 20}},
    "ModelDeployment": {
        "rollout": {
            "canary": {
                "steps": [
                    {"weight": 5, "holdSeconds": 20},
                    {"weight": 25, "holdSeconds": 20},
                    {"weight": 50, "holdSeconds": 20},
                ]
            },
            "analysis": {"periodSeconds": 5},
            "drainSeconds": 5,
        },
        "monitoring": {"windowSeconds": 20, "eventSeconds": 604800},
    },
}
"""Minutes for weeks. Nothing but times differs from the samples (`only_times` checks it)."""

TIMES = (
    "cooldownSeconds",
    "holdSeconds",
    "periodSeconds",
    "drainSeconds",
    "windowSeconds",
    "eventSeconds",
)


def read() -> dict[str, dict[str, Any]]:
    """kind -> the sample object."""
    bodies: dict[str, dict[str, Any]] = {}
    for path in sorted(SAMPLES.glob("*.yaml")):
        for body in yaml.safe_load_all(path.read_text()):
            if body and body["kind"] in PATCHES:
                bodies[body["kind"]] = body
    return bodies


def merged(body: Any, patch: Any) -> Any:
    """A body with a patch laid over it; lists are replaced."""
    if isinstance(body, dict) and isinstance(patch, dict):
        return {
            key: merged(body.get(key), patch[key]) if key in patch else body[key]
            for key in [*body, *(key for key in patch if key not in body)]
        }
    return patch


def patched() -> dict[str, dict[str, Any]]:
    """kind -> the sample with the demo's times."""
    return {
        kind: {**body, "spec": merged(body["spec"], PATCHES[kind])} for kind, body in read().items()
    }


def only_times(body: Any, changed: Any, path: str = "") -> list[str]:
    """The paths at which two bodies differ in something that is not a time."""
    if isinstance(body, dict) and isinstance(changed, dict):
        return [
            found
            for key in {*body, *changed}
            for found in only_times(body.get(key), changed.get(key), f"{path}.{key}")
        ]
    if isinstance(body, list) and isinstance(changed, list) and len(body) == len(changed):
        return [
            found
            for index, (one, other) in enumerate(zip(body, changed, strict=True))
            for found in only_times(one, other, f"{path}[{index}]")
        ]
    if body == changed or path.rsplit(".", 1)[-1] in TIMES:
        return []
    return [path]
