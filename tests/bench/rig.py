"""A real API server with an audit log, and one controller under test beside it."""

import asyncio
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from tests.cluster.controlplane import ControlPlane
from tests.integration.audit import AuditLog, Request
from tests.integration.conftest import install_crds
from tests.integration.kubectl import Kubectl

Body = dict[str, Any]
TICKS = 100


class Controller(Protocol):
    """A running controller."""

    @property
    def pid(self) -> int:
        """Its process."""
        ...


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclass
class Api:
    """A few raw requests, many at once, under a user agent of the load's own."""

    server: str
    token: str
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Api":
        trust = ssl.create_default_context()
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
        self._session = aiohttp.ClientSession(
            base_url=self.server,
            headers={"Authorization": f"Bearer {self.token}", "User-Agent": "load"},
            connector=aiohttp.TCPConnector(ssl=trust, limit=20),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: Body | None = None, kind: str = "") -> Body:
        """One request; fails on any answer that is not a success."""
        if self._session is None:
            raise RuntimeError("the session is not open")
        headers = {"Content-Type": kind or "application/json"}
        async with self._session.request(method, path, json=body, headers=headers) as answer:
            found: Body = await answer.json()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {found.get('message')}")
            return found

    async def merge(self, path: str, patch: Body) -> Body:
        """A merge patch."""
        return await self.call("PATCH", path, patch, "application/merge-patch+json")


async def all_of(jobs: Sequence[Callable[[], Awaitable[object]]], at_once: int = 20) -> None:
    """Run jobs, so many at a time."""
    gate = asyncio.Semaphore(at_once)

    async def run(job: Callable[[], Awaitable[object]]) -> None:
        async with gate:
            await job()

    await asyncio.gather(*(run(job) for job in jobs))


async def until(look: Callable[[], Awaitable[bool]], seconds: float, what: str) -> float:
    """Look until it holds; the seconds it took."""
    begun = time.monotonic()
    while not await look():
        if time.monotonic() - begun > seconds:
            raise TimeoutError(f"{what} took longer than {seconds:.0f} s")
        await asyncio.sleep(0.05)
    return time.monotonic() - begun


@dataclass
class Rig:
    """The API server and what is asked of it."""

    plane: ControlPlane
    kubectl: Kubectl
    audit: AuditLog
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def api(self) -> Api:
        """Raw requests to it."""
        return Api(self.plane.server, self.plane.token)

    def split(self, requests: Sequence[Request]) -> tuple[int, int]:
        """Writes and, apart from them, Events."""
        events = sum(one.is_write and one.resource == "events" for one in requests)
        writes = sum(one.is_write and one.resource not in ("events", "leases") for one in requests)
        return writes, events


@contextmanager
def rig(directory: Path) -> Iterator[Rig]:
    """Start it, with the CRDs and kube-controller-manager; end everything afterwards."""
    with ControlPlane(directory, audit=True, controllers=True) as plane:
        kubectl = Kubectl(plane.kubeconfig)
        install_crds(kubectl)
        made = Rig(plane, kubectl, AuditLog(plane.audit_log))
        try:
            yield made
        finally:
            for process in made.started:
                process.terminate()
                process.wait(timeout=20)
