"""Kills the operator, by SIGKILL, at random moments, while the story is told."""

import random
import signal
import threading
import time
from dataclasses import dataclass, field
from os import kill
from pathlib import Path

from tests.demo.kubectl import Kubectl


def processes_of_pod(uid: str) -> list[int]:
    """The pids of a pod's processes on this machine, the pause process left out."""
    found = []
    marks = (uid, uid.replace("-", "_"))
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            groups = (entry / "cgroup").read_text()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if any(mark in groups for mark in marks) and b"tidemill" in command:
            found.append(int(entry.name))
    return found


@dataclass
class OperatorKiller:
    """Ends the operator's process `times` times, at random moments `low` to `high` seconds apart.

    Where its process is on another machine, the pod is deleted without grace instead.
    """

    kubectl: Kubectl
    times: int
    low: float
    high: float
    seed: int = 0
    killed: list[float] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; a kill under way is finished."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def _run(self) -> None:
        chance = random.Random(self.seed)
        while len(self.killed) < self.times:
            if self._stop.wait(chance.uniform(self.low, self.high)):
                return
            if self._kill():
                self.killed.append(time.time())

    def _kill(self) -> bool:
        selector = "app.kubernetes.io/component=operator"
        pods = self.kubectl.list("pods", "-l", selector)
        done = False
        for pod in pods:
            pids = processes_of_pod(pod["metadata"]["uid"])
            for pid in pids:
                kill(pid, signal.SIGKILL)
            if not pids:
                name = pod["metadata"]["name"]
                self.kubectl.run("delete", "pod", name, "--grace-period=0", "--force", check=False)
            done = True
        return done
