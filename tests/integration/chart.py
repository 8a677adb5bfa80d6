"""The chart, rendered by the real helm."""

import subprocess
from pathlib import Path

import yaml

from tests.cluster import gobuild
from tests.integration.kubectl import Body

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "tidemill"
RELEASE = "tidemill"
NAMESPACE = "tidemill-system"
# Built without a version stamp, helm takes an old Kubernetes for granted.
KUBERNETES = "1.34.0"


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    """Run helm and return what became of it."""
    return subprocess.run(
        [str(gobuild.ensure("helm")), *words], capture_output=True, text=True, check=False
    )


def render(*settings: str) -> str:
    """The chart's manifests with some values set, as YAML. Raises AssertionError on a refusal."""
    chosen = [word for item in settings for word in ("--set", item)]
    done = helm(
        "template", RELEASE, str(CHART), f"--namespace={NAMESPACE}",
        f"--kube-version={KUBERNETES}", *chosen,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(*settings: str) -> list[Body]:
    """The chart's objects with some values set."""
    return [body for body in yaml.safe_load_all(render(*settings)) if body]


def one(bodies: list[Body], kind: str, name: str = RELEASE) -> Body:
    """The object of a kind and name."""
    return next(
        body for body in bodies if body["kind"] == kind and body["metadata"]["name"] == name
    )
