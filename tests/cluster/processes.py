"""Long-running processes, recorded so that they can be found and ended after any crash.

A record holds the pid and the process's start time: a pid that the kernel gave to somebody else
meanwhile is never signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.commands import ClusterError, tail, wait_until
from tests.cluster.layout import StateDir


@dataclass(frozen=True)
class Record:
    """One started process."""

    name: str
    pid: int
    start_time: int
    argv: tuple[str, ...]

    @property
    def alive(self) -> bool:
        """Tell whether this very process still runs."""
        return start_time(self.pid) == self.start_time

    @property
    def memory_bytes(self) -> int:
        """Return the resident memory, 0 when it has ended."""
        return resident_bytes(self.pid) if self.alive else 0


def start_time(pid: int) -> int | None:
    """Return when a process started in clock ticks since boot; None for the dead and zombies."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in brackets and may itself hold brackets and blanks.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process, 0 when it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class Processes:
    """The processes of one state directory."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        die_with_parent: bool = False,
    ) -> Record:
        """Start a process in a session of its own, with its output in its log."""
        words = tuple(str(word) for word in argv)
        log = self._state.log(name).open("ab")
        with log:
            child = subprocess.Popen(
                [*_parent_bond(die_with_parent), *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **(env or {})}, start_new_session=True,
            )  # fmt: skip
        self._children[name] = child
        record = Record(name, child.pid, start_time(child.pid) or 0, words)
        self._path(name).write_text(json.dumps(asdict(record)))
        return record

    def get(self, name: str) -> Record | None:
        """Return the record of a process, running or not."""
        try:
            fields = json.loads(self._path(name).read_text())
            return Record(fields["name"], fields["pid"], fields["start_time"],
                          tuple(fields["argv"]))  # fmt: skip
        except (OSError, ValueError, KeyError):
            return None

    def all(self) -> list[Record]:
        """Return every recorded process, by name."""
        names = sorted(path.stem for path in self._state.pids.glob("*.json"))
        return [record for name in names if (record := self.get(name))]

    def alive(self, name: str) -> bool:
        """Tell whether a process runs."""
        child = self._children.get(name)
        if child is not None:
            child.poll()  # reaps it, if it has ended
        record = self.get(name)
        return record is not None and record.alive

    def check(self, name: str) -> None:
        """Raise, with the end of its log, when a process has ended."""
        if not self.alive(name):
            log = self._state.log(name)
            raise ClusterError(f"{name} ended; the end of {log}:\n{tail(log)}")

    def stop(self, name: str, *, timeout: float = 10.0, force: bool = False) -> None:
        """End a process and its group: politely, after `timeout` (or with `force`) by SIGKILL."""
        record = self.get(name)
        if record is None:
            return
        if self.alive(name):
            signal_group(record.pid, signal.SIGKILL if force else signal.SIGTERM)
            try:
                wait_until(lambda: not self.alive(name), f"end of {name}",
                           timeout=timeout, interval=0.02)  # fmt: skip
            except ClusterError:
                signal_group(record.pid, signal.SIGKILL)
                wait_until(lambda: not self.alive(name), f"end of {name} by SIGKILL", timeout=10.0)
        self._children.pop(name, None)
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._state.pids / f"{name}.json"


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a session leader's whole group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def end_pid(pid: int, *, timeout: float = 5.0) -> None:
    """Kill one process that is not ours to reap and wait until it is gone."""
    begun = start_time(pid)
    if begun is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: start_time(pid) != begun, f"end of process {pid}", timeout=timeout)


def _parent_bond(die_with_parent: bool) -> list[str]:
    """Return the prefix that has the kernel kill the child when we die, however we die.

    The kernel means the thread that forked, so only the main thread may ask for it: a child of
    a short-lived thread would die at once.
    """
    if not die_with_parent or threading.current_thread() is not threading.main_thread():
        return []
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
