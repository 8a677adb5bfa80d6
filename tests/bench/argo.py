"""Argo Rollouts v1.10.2, the named peer, as a process: github.com/argoproj/argo-rollouts."""

import subprocess
from pathlib import Path

from tests.bench.rig import Body, Rig
from tests.cluster import gobuild

MODULE = "github.com/argoproj/argo-rollouts"
AGENT = "argo-rollouts"
"""Go clients name themselves after their binary."""
PATH = "/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts"


def install(rig: Rig) -> None:
    """Its CRDs, and the namespace of its lease."""
    folder = gobuild.module_dir("argo-rollouts", MODULE) / "manifests" / "crds"
    for name in sorted(folder.glob("*-crd.yaml")):
        rig.kubectl("apply", "--server-side", "-f", str(name))
    rig.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    rig.kubectl("create", "namespace", "argo-rollouts")


def start(rig: Rig, log: Path) -> subprocess.Popen[bytes]:
    """Run it without client-side throttling, its fastest setting."""
    command = [
        str(gobuild.ensure("argo-rollouts")),
        f"--kubeconfig={rig.plane.kubeconfig}",
        "--namespace=argo-rollouts",
        "--leader-elect=false",
        "--metricsPort=18090",
        "--healthzPort=18091",
        "--loglevel=warn",
        "--qps=1000",
        "--burst=2000",
    ]
    process = subprocess.Popen(command, stdout=log.open("wb"), stderr=subprocess.STDOUT)
    rig.started.append(process)
    return process


def rollout(name: str, namespace: str, image: str) -> Body:
    """A Rollout of three steps without pods."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"canary": {"steps": [{"setWeight": w} for w in (5, 25, 50)]}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "server", "image": image}]},
            },
        },
    }


def has_status(body: Body) -> bool:
    """Whether it has looked at this generation."""
    seen = (body.get("status") or {}).get("observedGeneration")
    return str(seen) == str(body["metadata"]["generation"])


def is_promoted(body: Body) -> bool:
    """Whether the rollout to the newest template is over."""
    status = body.get("status") or {}
    return has_status(body) and status.get("phase") == "Healthy"
