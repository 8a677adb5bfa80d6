"""containerd: its configuration, the images in it, and the end of everything it runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.cluster import downloads, progress
from tests.cluster.commands import ClusterError, output, run, wait_until
from tests.cluster.layout import StateDir
from tests.cluster.processes import Processes, end_pid, start_time

_CGROUPS = Path("/sys/fs/cgroup")
_CGROUP = "tidemill"


class Runtime:
    """The containerd of one state directory."""

    def __init__(self, state: StateDir, processes: Processes) -> None:
        self._state = state
        self._processes = processes
        self._volatile = state.root / "run"

    @property
    def socket(self) -> Path:
        """Return the socket that the kubelet and `ctr` speak to."""
        return self._volatile / "containerd.sock"

    @property
    def addresses(self) -> Path:
        """Return where CNI keeps the pods' addresses."""
        return self._volatile / "cni-addresses"

    def start(self, pause_image: str) -> None:
        """Start containerd, unless it runs, and wait until it answers."""
        if not self._processes.alive("containerd"):
            self._volatile.mkdir(exist_ok=True)
            config = self._state.root / "containerd.toml"
            config.write_text(self._config(pause_image))
            self._processes.start(
                "containerd", ["containerd", "--config", config], env={"GOGC": "60"}
            )
        wait_until(self._answers, "readiness of containerd", timeout=30.0)

    def images(self) -> set[str]:
        """Return the names of the images the node holds."""
        return set(self._ctr("images", "ls", "-q").split())

    def import_archive(self, archive: Path) -> None:
        """Import an image archive."""
        argv: list[str | Path] = ["ctr", "-a", self.socket, "-n", "k8s.io"]
        argv += ["images", "import", archive]
        run(argv, self._state.log("images"))

    def import_once(self, archive: Path, image: str) -> None:
        """Import an archive unless this very one was imported as this image before."""
        if not self.holds(image, archive.name):
            with progress.step(f"load {image}"):
                self.import_archive(archive)
            self.remember(archive.name)

    def holds(self, image: str, archive: str) -> bool:
        """Tell whether the node holds an image, and holds it from this archive."""
        return (self._state.root / "imported" / archive).exists() and image in self.images()

    def remember(self, archive: str) -> None:
        """Note that an archive was imported."""
        mark = self._state.root / "imported" / archive
        mark.parent.mkdir(exist_ok=True)
        mark.touch()

    def end_pods(self) -> None:
        """End every container: first a word, after five seconds SIGKILL."""
        pids = cgroup_pids()
        for pid in pids:
            _signal(pid, signal.SIGTERM)
        try:
            wait_until(lambda: not cgroup_pids() & pids, "end of the pods", timeout=5.0)
        except ClusterError:
            for pid in cgroup_pids():
                end_pid(pid)

    def end_shims(self) -> None:
        """End the containers' parents, which outlive containerd by design."""
        for pid in shim_pids(self.socket):
            end_pid(pid)

    def _answers(self) -> bool:
        self._processes.check("containerd")
        try:
            self._ctr("version")
        except ClusterError:
            return False
        return True

    def _ctr(self, *words: str) -> str:
        return output(["ctr", "-a", self.socket, "-n", "k8s.io", *words])

    def _config(self, pause_image: str) -> str:
        cni = self._state.root / "cni"
        return f"""\
version = 2
root = "{self._state.root / "containerd"}"
state = "{self._volatile / "containerd"}"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = "{self.socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  # Without CAP_SYS_RESOURCE nobody may lower a score; every pod would fail.
  restrict_oom_score_adj = true
  # All mounts lie under the state directory, where `down` finds them.
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{downloads.CNI_PLUGINS}"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "runc"
        SystemdCgroup = false
"""


def create_cgroup() -> str:
    """Make the cgroup that will hold all pods, in every hierarchy, and return its name.

    A cgroup of our own is how `down` finds all that pods run, whoever else has pods here.
    """
    for hierarchy in _hierarchies():
        folder = hierarchy / _CGROUP
        folder.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # a cgroup v1 cpuset is born empty
            path = folder / name
            if (hierarchy / name).exists() and path.exists() and not path.read_text().strip():
                path.write_text((hierarchy / name).read_text())
    return f"/{_CGROUP}"


def cgroup_pids() -> set[int]:
    """Return the processes of all pods."""
    pids = set()
    for hierarchy in _hierarchies():
        for path in (hierarchy / _CGROUP).rglob("cgroup.procs"):
            try:
                pids |= {int(pid) for pid in path.read_text().split()}
            except OSError:
                continue  # the cgroup, or its owner, ended meanwhile
    return {pid for pid in pids if start_time(pid) is not None}


def cgroup_memory() -> int:
    """Return the memory all pods use, in bytes."""
    for relative in (f"memory/{_CGROUP}/memory.stat", f"{_CGROUP}/memory.stat"):
        try:
            text = (_CGROUPS / relative).read_text()
        except OSError:
            continue
        fields = dict(line.split() for line in text.splitlines())
        return int(fields.get("total_rss", fields.get("anon", 0)))
    return 0


def remove_cgroup() -> None:
    """Remove the pods' cgroup, whose processes have ended."""
    for hierarchy in _hierarchies():
        top = hierarchy / _CGROUP
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                continue  # the kernel is still burying somebody; an empty cgroup harms nobody


def shim_pids(socket: Path) -> list[int]:
    """Return the containers' parents, known by the socket of their containerd."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "containerd-shim" in words[0] and str(socket) in words:
            found.append(int(folder.name))
    return found


def unmount_below(folder: Path) -> None:
    """Unmount everything below a directory, the innermost first."""
    prefix = f"{folder}/"
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    below = [point for point in points if point.startswith(prefix)]
    for point in sorted(below, key=len, reverse=True):
        try:
            output(["umount", "--lazy", "--", point])
        except ClusterError as error:
            progress.say(f"        {error}")


def _hierarchies() -> list[Path]:
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [path for path in _CGROUPS.iterdir() if (path / "cgroup.procs").exists()]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
