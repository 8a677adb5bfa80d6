"""Which cluster to use, and what it offers: the one named, else kind, else our own node.

with_everything = target.pick(context="staging")
with_everything.gateway, with_everything.s3_endpoint, with_everything.prometheus
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.cluster import addons, gobuild, images, progress
from tests.cluster.commands import ClusterError, output, run
from tests.cluster.layout import DEFAULT_NODE_DIR, cache_dir
from tests.cluster.node import Node

KIND_CLUSTER = "tidemill"
_KIND_IMAGE = "kindest/node:v1.34.3"


class Kind(Enum):
    """The kinds of clusters there are to choose from."""

    CONTEXT = "context"
    KIND = "kind"
    EMBEDDED = "embedded"


@dataclass(frozen=True)
class Cluster:
    """A cluster to use, with everything installed in it."""

    kind: Kind
    endpoints: addons.Endpoints

    @property
    def kubeconfig(self) -> Path:
        """Return the kubeconfig that reaches it."""
        return Path(self.endpoints.kubeconfig)

    @property
    def context(self) -> str:
        """Return the context in that kubeconfig, empty for its current one."""
        return self.endpoints.context

    def load(self, image: str) -> None:
        """Put an image of the local builder into the cluster."""
        if self.kind is Kind.EMBEDDED:
            images.load(Node().runtime, image)
        elif self.kind is Kind.KIND:
            _load_into_kind(image)
        else:
            raise ClusterError(
                f"push {image} to a registry that context {self.context} pulls from, "
                "and name it there"
            )


def choose(context: str, *, docker: bool, kind: bool) -> Kind:
    """Return what to use: what the user named goes before all, kind needs a working Docker."""
    if context:
        return Kind.CONTEXT
    return Kind.KIND if docker and kind else Kind.EMBEDDED


def pick(
    context: str = "",
    kubeconfig: Path | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
) -> Cluster:
    """Return the cluster to use, brought up and furnished where that is ours to do.

    A context counts as named by the argument, or by `TIDEMILL_CONTEXT`; the mere presence of a
    kubeconfig does not, lest a test run in somebody's production.
    """
    named = context or environment.get("TIDEMILL_CONTEXT", "")
    if kubeconfig is not None and not named:
        named = output(
            [gobuild.ensure("kubectl"), "--kubeconfig", kubeconfig, "config", "current-context"]
        ).strip()
    chosen = choose(named, docker=docker_works(), kind=shutil.which("kind") is not None)
    progress.say(f"cluster: {chosen.value}{' ' + named if named else ''}")
    if chosen is Kind.CONTEXT:
        config = kubeconfig or Path(
            environment.get("KUBECONFIG", "").split(":")[0] or Path.home() / ".kube" / "config"
        )
        return Cluster(chosen, addons.install(_foreign(named, config)))
    if chosen is Kind.KIND:
        return Cluster(chosen, addons.install(_kind()))
    return Cluster(chosen, Node(DEFAULT_NODE_DIR).up())


def docker_works() -> bool:
    """Tell whether a Docker engine answers; the command alone does not count."""
    if not shutil.which("docker"):
        return False
    try:
        output(["docker", "info"], timeout=15.0)
    except ClusterError:
        return False
    return True


def _foreign(context: str, kubeconfig: Path) -> addons.Target:
    safe = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in context)
    workdir = cache_dir() / "targets" / safe
    workdir.mkdir(parents=True, exist_ok=True)
    return addons.Target(kubeconfig, workdir, addons.UPSTREAM_IMAGES, context)


def _kind() -> addons.Target:
    workdir = cache_dir() / "targets" / "kind"
    workdir.mkdir(parents=True, exist_ok=True)
    kubeconfig = workdir / "kubeconfig"
    log = cache_dir() / "logs" / "kind.log"
    if KIND_CLUSTER not in output(["kind", "get", "clusters"]).split():
        shutil.rmtree(workdir / "addons", ignore_errors=True)
        with progress.step("kind cluster"):
            run(["kind", "create", "cluster", "--name", KIND_CLUSTER, "--image", _KIND_IMAGE,
                 "--wait", "180s", "--kubeconfig", kubeconfig], log)  # fmt: skip
    run(["kind", "export", "kubeconfig", "--name", KIND_CLUSTER, "--kubeconfig", kubeconfig], log)
    context = f"kind-{KIND_CLUSTER}"
    return addons.Target(kubeconfig, workdir, addons.UPSTREAM_IMAGES, context)


def _load_into_kind(image: str) -> None:
    log = cache_dir() / "logs" / "kind.log"
    if subprocess.run(
        ["docker", "image", "inspect", image], capture_output=True, check=False
    ).returncode:
        archive = images.export(image)
        run(["kind", "load", "image-archive", archive, "--name", KIND_CLUSTER], log)
        archive.unlink()
    else:
        run(["kind", "load", "docker-image", image, "--name", KIND_CLUSTER], log)
