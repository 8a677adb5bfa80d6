"""Argo Rollouts v1.10.2, the named peer, as a process: github.com/argoproj/argo-rollouts."""

import subprocess
from pathlib import Path

from tests.bench.rig import Body, Rig
from tests.cluster import gobuild

MODULE = "github.com/argoproj/argo-rollouts"
AGENT = "argo-rollouts"
"""Go clients name themselves after their binary."""
NAMESPACE = "peer"
PATH = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/rollouts"
LIMITS_LIFTED = ("--qps=1000", "--burst=2000")


def install(rig: Rig) -> None:
    """Its CRDs, and the namespaces of its lease and of the load."""
    folder = gobuild.module_dir("argo-rollouts", MODULE) / "manifests" / "crds"
    for name in sorted(folder.glob("*-crd.yaml")):
        rig.kubectl("apply", "--server-side", "-f", str(name))
    rig.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    rig.kubectl("create", "namespace", "argo-rollouts")
    rig.kubectl("create", "namespace", NAMESPACE)


def start(rig: Rig, log: Path, *limits: str) -> subprocess.Popen[bytes]:
    """Run it with these limits of its client, or with its own."""
    command = [
        str(gobuild.ensure("argo-rollouts")),
        f"--kubeconfig={rig.plane.kubeconfig}",
        "--namespace=argo-rollouts",
        "--leader-elect=false",
        "--metricsPort=18090",
        "--healthzPort=18091",
        "--loglevel=warn",
        *limits,
    ]
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    rig.started.append(process)
    return process


def rollout(number: int) -> Body:
    """A Rollout of three steps without pods."""
    name = f"r{number}"
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"canary": {"steps": [{"setWeight": w} for w in (5, 25, 50)]}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "server", "image": "example.com/server:1"}]},
            },
        },
    }


def change(number: int) -> Body:
    """A change of spec that asks for no rollout."""
    return {"spec": {"progressDeadlineSeconds": 700 + number}}


def canary() -> Body:
    """A change of spec that asks for a rollout."""
    containers = [{"name": "server", "image": "example.com/server:2"}]
    return {"spec": {"template": {"spec": {"containers": containers}}}}


def has_status(body: Body) -> bool:
    """Whether it has looked at this generation."""
    seen = (body.get("status") or {}).get("observedGeneration")
    return str(seen) == str(body["metadata"]["generation"])


def is_ready(body: Body) -> bool:
    """Whether what spec asks for serves."""
    status = body.get("status") or {}
    return has_status(body) and status.get("phase") == "Healthy"


def is_promoted(body: Body) -> bool:
    """Whether the rollout to the second image is over."""
    status = body.get("status") or {}
    image = body["spec"]["template"]["spec"]["containers"][0]["image"]
    same = status.get("stableRS") == status.get("currentPodHash")
    return image.endswith(":2") and is_ready(body) and same
