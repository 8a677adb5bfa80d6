"""Where things lie: the cache shared by all clusters, and the state directory of each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
GO_FAMILIES = SOURCE / "go"
MANIFESTS = SOURCE / "manifests"
DEFAULT_NODE_DIR = Path("/var/lib/tidemill-node")


def cache_dir() -> Path:
    """Return the cache directory, which holds nothing that cannot be built again."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "tidemill"
    path.mkdir(parents=True, exist_ok=True)
    return path


def default_control_plane_dir() -> Path:
    """Return the state directory of a control plane for which none was named."""
    return cache_dir() / "control-plane"


@dataclass(frozen=True)
class StateDir:
    """The files of one cluster; nothing of it lies elsewhere, save what the kernel holds."""

    root: Path

    def create(self) -> StateDir:
        """Create the directory, readable to its owner alone: it holds credentials."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in (self.pids, self.logs, self.pki, self.bin):
            path.mkdir(exist_ok=True)
        return self

    @property
    def pids(self) -> Path:
        """Return the directory with one record per process."""
        return self.root / "pids"

    @property
    def logs(self) -> Path:
        """Return the directory of the processes' logs."""
        return self.root / "logs"

    @property
    def pki(self) -> Path:
        """Return the directory of keys, certificates and tokens."""
        return self.root / "pki"

    @property
    def bin(self) -> Path:
        """Return the directory of links to the programs this cluster runs."""
        return self.root / "bin"

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """Return the API server's audit log."""
        return self.root / "audit.log"

    @property
    def state_file(self) -> Path:
        """Return the file that says what was started, with ports."""
        return self.root / "state.json"

    @property
    def node_mark(self) -> Path:
        """Return the file that tells a node's directory from a control plane's."""
        return self.root / "node"

    def log(self, name: str) -> Path:
        """Return the log file of one process."""
        return self.logs / f"{name}.log"
