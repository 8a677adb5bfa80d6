"""The operator as a process of its own, as it runs in its pod."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.controlplane import free_ports
from tests.cluster.processes import resident_bytes
from tests.integration.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]


class OperatorProcess:
    """One running operator, with its log in a file."""

    def __init__(
        self,
        kubeconfig: Path,
        log: Path,
        environment: Mapping[str, str],
        command: Sequence[str] = ("-m", "tidemill", "run"),
    ) -> None:
        self.log_path = log
        self.port = free_ports(1)[0]
        self.returncode: int | None = None
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*_die_with_parent(), sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=ROOT,
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("TIDEMILL_")},
                    "PYTHONPATH": f"{ROOT / 'operator'}{os.pathsep}{ROOT}",
                    "KUBECONFIG": str(kubeconfig),
                    "TIDEMILL_METRICS_PORT": str(self.port),
                    **environment,
                },
            )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        self.returncode = self._process.poll()
        return self.returncode is None

    @property
    def rss(self) -> int:
        """Return its resident memory in bytes."""
        return resident_bytes(self.pid)

    def log(self) -> str:
        """Return all it has said."""
        return self.log_path.read_text(errors="replace")

    def lines(self) -> list[dict[str, object]]:
        """Return its log lines, each one JSON object."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def probe(self, path: str) -> tuple[int, str]:
        """Return status and body of one of its own endpoints; status 0 when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that carry these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        total = 0.0
        for line in self.probe("/metrics")[1].splitlines():
            head, _, value = line.rpartition(" ")
            if head.partition("{")[0] == name and all(item in head for item in wanted):
                total += float(value)
        return total

    def is_ready(self) -> bool:
        """Whether it says it is ready; fails when it has ended."""
        assert self.alive, f"the operator ended with {self.returncode}:\n{self.log()[-4000:]}"
        return self.probe("/readyz")[0] == 200

    def wait_ready(self, timeout: float = 30.0) -> "OperatorProcess":
        """Wait until it says it is ready: stores are synced and streams are up."""
        wait_for(self.is_ready, timeout, "readiness of the operator")
        return self

    def wait_leading(self, timeout: float = 30.0) -> "OperatorProcess":
        """Wait until it leads: from then on it writes."""

        def leads() -> bool:
            return self.is_ready() and self.metric("tidemill_operator_leader") == 1.0

        wait_for(leads, timeout, "leadership of the operator")
        return self

    def wait_idle(self, timeout: float = 30.0) -> "OperatorProcess":
        """Wait until nothing is queued or running, as it says itself."""

        def idle() -> bool:
            return self.metric("tidemill_operator_queue_depth") == 0.0

        wait_for(idle, timeout, "an empty queue")
        return self

    def stop(self, timeout: float = 15.0) -> int:
        """End it as a pod is ended, and return its exit code."""
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self.returncode = self._process.wait()
        return self.returncode

    def kill(self) -> None:
        """End it at once, as a lost node would."""
        if self.alive:
            self._process.kill()
        self.returncode = self._process.wait()

    def freeze(self) -> None:
        """Stop the process without ending it."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._process.send_signal(signal.SIGCONT)


def _die_with_parent() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
