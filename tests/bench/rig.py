"""A real API server with an audit log and no limits in the way; what to ask and measure there."""

import asyncio
import json
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.cluster import gobuild
from tests.cluster.controlplane import ControlPlane
from tests.integration.audit import AuditLog
from tests.integration.conftest import install_crds
from tests.integration.kubectl import Kubectl

Body = dict[str, Any]
TICKS = 100
_BUFFER = 1 << 24


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int, what: str = "VmRSS") -> float:
    """Resident memory of a process; with VmHWM the most there has been."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
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
            connector=aiohttp.TCPConnector(ssl=trust, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            read_bufsize=_BUFFER,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: Body | None = None, kind: str = "") -> Body:
        """One request; fails on any answer that is not a success."""
        headers = {"Content-Type": kind or "application/json"}
        async with self._opened().request(method, path, json=body, headers=headers) as answer:
            found: Body = await answer.json()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {found.get('message')}")
            return found

    async def merge(self, path: str, patch: Body) -> Body:
        """A merge patch."""
        return await self.call("PATCH", path, patch, "application/merge-patch+json")

    async def follow(self, path: str, **query: str) -> AsyncIterator[tuple[str, Body]]:
        """What is there and every change of it, as type and object, until cancelled.

        A stream the server ends, as it does where a CRD has just changed, is begun anew.
        """
        asked = {"watch": "true", **query}
        while True:
            async with self._opened().get(path, params=asked) as answer:
                answer.raise_for_status()
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise RuntimeError(f"watch of {path}: {event['object'].get('message')}")
                    yield event["type"], event["object"]

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the session is not open")
        return self._session


class Progress:
    """When each object of a collection was first seen to meet each of some conditions."""

    def __init__(self, **conditions: Callable[[Body], bool]) -> None:
        self._conditions = conditions
        self._seen: dict[str, dict[str, float]] = {name: {} for name in conditions}
        self._news = asyncio.Event()
        self._troubles: list[BaseException] = []

    async def watch(self, events: AsyncIterator[tuple[str, Body]]) -> None:
        """Look at all changes until cancelled."""
        async for _, body in events:
            now, name = time.monotonic(), body["metadata"]["name"]
            for condition, holds in self._conditions.items():
                if name not in self._seen[condition] and holds(body):
                    self._seen[condition][name] = now
                    self._news.set()

    async def reached(self, condition: str, count: int, seconds: float) -> float:
        """Wait until so many objects have met a condition; when the last of them did."""
        times = self._seen[condition]
        try:
            async with asyncio.timeout(seconds):
                while len(times) < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            seen = ", ".join(f"{len(some)} {name}" for name, some in self._seen.items())
            said = f"not {count} {condition} within {seconds:.0f} s, but {seen}"
            raise TimeoutError(said) from error
        return max(times.values(), default=time.monotonic())

    def count(self, condition: str) -> int:
        """How many objects have met a condition."""
        return len(self._seen[condition])

    def forget(self) -> None:
        """Begin anew."""
        for times in self._seen.values():
            times.clear()


@asynccontextmanager
async def background(*works: Awaitable[None]) -> AsyncIterator[None]:
    """Run some things that never end beside a block; one that fails ends the block."""
    async with asyncio.TaskGroup() as group:

        async def run(work: Awaitable[None]) -> None:
            await work

        tasks = [group.create_task(run(work)) for work in works]
        await asyncio.sleep(0)
        yield
        for task in tasks:
            task.cancel()


async def all_of(jobs: Sequence[Callable[[], Awaitable[object]]], at_once: int = 20) -> None:
    """Run jobs, so many at a time."""
    gate = asyncio.Semaphore(at_once)

    async def run(job: Callable[[], Awaitable[object]]) -> None:
        async with gate:
            await job()

    await asyncio.gather(*(run(job) for job in jobs))


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

    def writes(self, mark: int, agent: str) -> tuple[int, int]:
        """Writes of a controller since a mark, and, apart from them, Events."""
        found = self.audit.writes(mark, agent)
        events = sum(one.resource == "events" for one in found)
        return len(found) - events, events

    async def settled(self, agent: str, quiet: float = 3.0, limit: float = 300.0) -> None:
        """Wait until a controller has written nothing but Leases for so many seconds."""
        deadline = time.monotonic() + limit
        mark, since = self.audit.mark(), time.monotonic()
        while time.monotonic() - since < quiet:
            await asyncio.sleep(0.25)
            now = self.audit.mark()
            if self.audit.writes(mark, agent):
                since = time.monotonic()
            mark = now
            if time.monotonic() > deadline:
                raise TimeoutError(f"{agent} goes on writing after {limit:.0f} s")


def _start_replica_sets(plane: ControlPlane) -> None:
    """The one controller Argo Rollouts leans on, with none of its usual limits."""
    plane.processes.start(
        "kube-controller-manager",
        [
            gobuild.ensure("kube-controller-manager"),
            f"--kubeconfig={plane.kubeconfig}",
            "--controllers=replicaset-controller",
            "--concurrent-replicaset-syncs=20",
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
            f"--secure-port={plane.ports.controller_manager}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={plane.state.pki / 'controller-manager'}",
            "--leader-elect=false",
        ],
        die_with_parent=True,
    )


def _install_gateway_api(kubectl: Kubectl) -> None:
    folder = gobuild.module_dir("envoy-gateway", "sigs.k8s.io/gateway-api") / "config"
    for path in sorted((folder / "crd" / "standard").glob("gateway.networking*.yaml")):
        kubectl("apply", "--server-side", "-f", str(path))
    kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")


@contextmanager
def rig(directory: Path) -> Iterator[Rig]:
    """Start it, with all CRDs and a controller of ReplicaSets; end everything afterwards."""
    with ControlPlane(directory, audit=True) as plane:
        kubectl = Kubectl(plane.kubeconfig)
        install_crds(kubectl)
        _install_gateway_api(kubectl)
        _start_replica_sets(plane)
        made = Rig(plane, kubectl, AuditLog(plane.audit_log))
        try:
            yield made
        finally:
            for process in made.started:
                process.terminate()
                process.wait(timeout=20)
