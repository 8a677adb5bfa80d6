"""From a cluster to a place where the story can begin: images, chart, namespace, secrets, data."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from obstore.store import S3Store

from tests.demo.console import Narrator, StoryError
from tests.demo.kubectl import Kubectl

ROOT = Path(__file__).parents[2]
NAMESPACE = "flights"
SYSTEM = "tidemill-system"
RELEASE = "tidemill"
TAG = "dev"
CODE = "operator/tidemill"
IMAGES = {
    "operator": (CODE, "operator/requirements/kubeflow.txt"),
    "steps": (
        f"{CODE}/__init__.py",
        f"{CODE}/api",
        f"{CODE}/core",
        f"{CODE}/pipelines",
        f"{CODE}/steps",
        "operator/requirements/steps.txt",
    ),
    "serving": (
        f"{CODE}/__init__.py",
        f"{CODE}/api",
        f"{CODE}/serving",
        "operator/requirements/serving.txt",
    ),
}
"""Each image and what it is made from: a change elsewhere does not build it again."""


@dataclass(frozen=True)
class S3:
    """An S3 server that the host and the pods reach under one address."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    def bucket(self, name: str) -> S3Store:
        """A bucket, from the host."""
        return S3Store(
            name,
            endpoint=self.endpoint,
            access_key_id=self.access_key,
            secret_access_key=self.secret_key,
            region=self.region,
            client_options={"allow_http": True},
        )

    def environment(self) -> dict[str, str]:
        """The keys of a Secret that gives a pod access."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
        }


def image(name: str) -> str:
    """The full name of one of our images as built here."""
    return f"localhost/tidemill/{name}:{TAG}"


def secret(name: str, namespace: str, values: dict[str, str]) -> dict[str, object]:
    """A Secret's body."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": values,
    }


def namespace_body(name: str) -> dict[str, object]:
    """A namespace under the restricted Pod Security standard."""
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": level}}


def install_chart(
    out: Narrator, kubectl: Kubectl, helm: str, s3: S3, prometheus_url: str, build: str
) -> None:
    """Install or upgrade the chart and wait for the operator.

    `build` tells one build of the operator's image from the next: the tag stays the same.
    """
    for name in (SYSTEM, NAMESPACE):
        kubectl.apply(namespace_body(name), "--server-side")
    kubectl.at(SYSTEM).apply(
        secret("tidemill-artifacts", SYSTEM, s3.environment()), "--server-side"
    )
    kubectl.apply(secret("tidemill-artifacts", NAMESPACE, s3.environment()), "--server-side")
    kubectl.apply(secret("tides", NAMESPACE, s3.environment()), "--server-side")
    values = {
        "image.repository": image("operator").rsplit(":", 1)[0],
        "image.tag": TAG,
        "stepsImage": image("steps"),
        "servingImage": image("serving"),
        "artifactStore.root": "s3://artifacts/tidemill",
        "artifactStore.secretName": "tidemill-artifacts",
        "prometheus.url": prometheus_url,
        "prometheus.scrapeSeconds": "5",
        "podAnnotations.build": build,
    }
    command = [helm, f"--kubeconfig={kubectl.kubeconfig}"]
    if kubectl.context:
        command.append(f"--kube-context={kubectl.context}")
    command += ["upgrade", "--install", RELEASE, str(ROOT / "charts" / "tidemill")]
    command += [f"--namespace={SYSTEM}", "--wait", "--timeout=180s"]
    command += [f"--set={key}={value}" for key, value in values.items()]
    with out.working("helm install"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StoryError(f"helm: {done.stderr.strip()}")
