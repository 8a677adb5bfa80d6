"""The operator beside Argo Rollouts v1.10.2: time, writes, CPU and memory.

Both run on the same API server, one after the other, and are driven by the same load. Argo
Rollouts runs without pods, which spares it most of what a canary costs; ours has pods that are
ready at once and a Prometheus that answers, since without them it promotes nothing.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tests.bench import argo, ours
from tests.bench.rig import (
    Api,
    Body,
    Progress,
    Rig,
    all_of,
    background,
    cpu_seconds,
    resident_mib,
    rig,
)
from tests.bench.stand_ins import Pods, Prometheus

OBJECTS = 500
CHANGES = 100
ROUTED = 50
KINDS = 1000
IDLE_SECONDS = 30.0
LIMIT = 300.0
"""The longest any one thing may take, in seconds."""

Numbers = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One controller under test, and how to ask it for things."""

    name: str
    agent: str
    pid: int
    path: str
    """The collection its objects lie in."""
    make: Callable[[int], Body]
    change: Callable[[int], Body] = lambda number: {}
    canary: Body | None = None
    has_status: Callable[[Body], bool] = ours.has_status
    is_ready: Callable[[Body], bool] = lambda body: False
    is_promoted: Callable[[Body], bool] = lambda body: False


@dataclass(frozen=True)
class Usage:
    """What a controller has used since a moment."""

    rig: Rig
    side: Side
    mark: int
    cpu: float
    memory: float

    @classmethod
    def begin(cls, rig_: Rig, side: Side) -> "Usage":
        """Count from now on."""
        cpu, memory = cpu_seconds(side.pid), resident_mib(side.pid)
        return cls(rig_, side, rig_.audit.mark(), cpu, memory)

    async def per(self, count: int, what: str) -> Numbers:
        """What each of so many objects has taken, once the controller rests."""
        await self.rig.settled(self.side.agent)
        writes, events = self.rig.writes(self.mark, self.side.agent)
        return {
            f"writes a {what}": writes / count,
            f"Events a {what}": events / count,
            f"CPU a {what}": 1000 * (cpu_seconds(self.side.pid) - self.cpu) / count,
        }

    def grown(self) -> float:
        """MiB it has grown by."""
        return resident_mib(self.side.pid) - self.memory


async def measure(rig_: Rig, api: Api, side: Side, *, all_of_it: bool = True) -> Numbers:
    """Everything that both controllers are asked to do."""
    progress = Progress(status=side.has_status, ready=side.is_ready, promoted=side.is_promoted)
    async with background(progress.watch(api.follow(side.path))):
        found = await created(rig_, api, side, progress)
        found |= await promoted(rig_, api, side, progress)
    if all_of_it:
        found |= await latency(api, side)
        await rig_.settled(side.agent)
        found |= await idle(rig_, side)
    return found


async def created(rig_: Rig, api: Api, side: Side, progress: Progress) -> Numbers:
    """Create objects and wait until all serve."""
    usage, begun = Usage.begin(rig_, side), time.monotonic()
    await _create(api, side, OBJECTS)
    first = await progress.reached("status", OBJECTS, LIMIT)
    ready = await progress.reached("ready", OBJECTS, LIMIT)
    found = await usage.per(OBJECTS, "create")
    return {
        "to status": first - begun,
        "to ready": ready - begun,
        "memory of objects": usage.grown(),
        **found,
    }


async def promoted(rig_: Rig, api: Api, side: Side, progress: Progress) -> Numbers:
    """Ask all objects for a canary at once and wait until all are promoted."""
    progress.forget()
    usage, begun = Usage.begin(rig_, side), time.monotonic()
    names = [side.make(number)["metadata"]["name"] for number in range(OBJECTS)]
    patch = side.canary or {}
    await all_of([partial(api.merge, f"{side.path}/{name}", patch) for name in names])
    done = await progress.reached("promoted", OBJECTS, LIMIT)
    return {"to promoted": done - begun, **await usage.per(OBJECTS, "canary")}


async def latency(api: Api, side: Side) -> Numbers:
    """Change one object at a time: the ms from the change until its status is seen."""
    times: list[float] = []
    seen: asyncio.Queue[tuple[str, float]] = asyncio.Queue()

    async def watch() -> None:
        async for _, body in api.follow(side.path):
            if side.has_status(body):
                seen.put_nowait((_state(body), time.monotonic()))

    async with background(watch()):
        for number in range(CHANGES):
            path = f"{side.path}/{side.make(number % OBJECTS)['metadata']['name']}"
            begun = time.monotonic()
            wanted = _state(await api.merge(path, side.change(number)))
            async with asyncio.timeout(LIMIT):
                while (got := await seen.get())[0] != wanted:
                    pass
            times.append(1000 * (got[1] - begun))
    return {
        "latency p50": statistics.median(times),
        "latency p99": statistics.quantiles(times, n=100)[98],
    }


def _state(body: Body) -> str:
    return f"{body['metadata']['name']} {body['metadata']['generation']}"


async def idle(rig_: Rig, side: Side) -> Numbers:
    """Requests a second but Leases, and CPU, at rest."""
    mark, cpu = rig_.audit.mark(), cpu_seconds(side.pid)
    await asyncio.sleep(IDLE_SECONDS)
    seen = [one for one in rig_.audit.since(mark, side.agent) if one.resource != "leases"]
    return {
        "idle requests": len(seen) / IDLE_SECONDS,
        "idle CPU": 100 * (cpu_seconds(side.pid) - cpu) / IDLE_SECONDS,
    }


async def _create(api: Api, side: Side, count: int) -> None:
    await all_of([partial(api.call, "POST", side.path, side.make(n)) for n in range(count)])


@dataclass(frozen=True)
class Result:
    """All that was measured."""

    mine: Numbers
    peer: Numbers
    """Argo Rollouts without its client's limits."""
    limited: Numbers
    """Argo Rollouts as it comes."""
    kinds: Mapping[str, Numbers]
    """Objects of each kind of ours."""


async def compare(directory: Path) -> Result:
    """Run both on one API server, one after the other; then each kind of ours."""
    with rig(directory / "plane") as made:
        async with made.api() as api:
            argo.install(made)
            limited = await _peer(made, api, directory, all_of_it=False)
            peer = await _peer(made, api, directory, *argo.LIMITS_LIFTED)
            pods = Pods(api)
            async with Prometheus(pods) as prometheus, background(pods.run()):
                operator = ours.Operator(made, directory, prometheus.url)
                mine, kinds = await _mine(made, api, operator)
    return Result(mine, peer, limited, kinds)


async def _peer(
    rig_: Rig, api: Api, directory: Path, *limits: str, all_of_it: bool = True
) -> Numbers:
    process = argo.start(rig_, directory / "argo.log", *limits)
    await asyncio.sleep(5)
    start = resident_mib(process.pid)
    side = Side(
        name="Argo Rollouts",
        agent=argo.AGENT,
        pid=process.pid,
        path=argo.PATH,
        make=argo.rollout,
        change=argo.change,
        canary=argo.canary(),
        has_status=argo.has_status,
        is_ready=argo.is_ready,
        is_promoted=argo.is_promoted,
    )
    found = await measure(rig_, api, side, all_of_it=all_of_it)
    process.terminate()
    process.wait(timeout=20)
    await api.call("DELETE", argo.PATH)
    await api.call("DELETE", f"/apis/apps/v1/namespaces/{argo.NAMESPACE}/replicasets")
    return {"memory at start": start, **found}


async def _mine(
    rig_: Rig, api: Api, operator: ours.Operator
) -> tuple[Numbers, Mapping[str, Numbers]]:
    models = {name: operator.store_model(name) for name in ("old", "new")}
    process = operator.start()
    try:
        start = resident_mib(process.pid)
        for namespace in ("ours", "routed", *(_namespace(plural) for plural in MAKERS)):
            rig_.kubectl("create", "namespace", namespace)
            for name, bundle in models.items():
                record = ours.model_version(name, namespace, bundle)
                await api.call("POST", _path(namespace, "modelversions"), record)
        found = {"memory at start": start}
        found |= await measure(rig_, api, _deployments(process.pid, "ours"))
        found |= await _routed(rig_, api, process.pid)
        kinds = {plural: await _kind(rig_, api, process.pid, plural) for plural in MAKERS}
        found["idle CPU with all kinds"] = await _idle_cpu(process.pid)
        found["memory with all kinds"] = resident_mib(process.pid)
        found["most memory"] = resident_mib(process.pid, "VmHWM")
    finally:
        process.stop()
    return {**found, **await _restarted(rig_, operator)}, kinds


def _path(namespace: str, plural: str) -> str:
    return ours.GROUP_PATH.format(namespace=namespace, plural=plural)


def _namespace(plural: str) -> str:
    return f"kinds-{plural}"


def _deployments(pid: int, namespace: str, **spec: object) -> Side:
    return Side(
        name="Tidemill",
        agent=ours.AGENT,
        pid=pid,
        path=_path(namespace, "modeldeployments"),
        make=lambda number: ours.model_deployment(f"d{number}", namespace, "old", **spec),
        change=ours.change,
        canary=ours.canary("new"),
        is_ready=ours.is_ready,
        is_promoted=ours.is_promoted,
    )


async def _routed(rig_: Rig, api: Api, pid: int) -> Numbers:
    """What creates and canaries write where an HTTPRoute carries the weights."""
    side = _deployments(pid, "routed")

    def make(number: int) -> Body:
        route = {"gatewayRef": {"name": "public"}, "hostnames": [f"d{number}.example.com"]}
        return ours.model_deployment(f"d{number}", "routed", "old", route=route)

    side = replace(side, make=make)
    progress = Progress(ready=side.is_ready, promoted=side.is_promoted)
    async with background(progress.watch(api.follow(side.path))):
        usage = Usage.begin(rig_, side)
        await _create(api, side, ROUTED)
        await progress.reached("ready", ROUTED, LIMIT)
        found = await usage.per(ROUTED, "create")
        progress.forget()
        usage = Usage.begin(rig_, side)
        paths = [f"{side.path}/d{number}" for number in range(ROUTED)]
        await all_of([partial(api.merge, path, side.canary or {}) for path in paths])
        await progress.reached("promoted", ROUTED, LIMIT)
        found |= await usage.per(ROUTED, "canary")
    return {f"routed: {name}": value for name, value in found.items()}


MAKERS: Mapping[str, Callable[[str, str], Body]] = {
    "datasets": ours.dataset,
    "trainingjobs": ours.training_job,
    "modeldeployments": lambda name, namespace: ours.model_deployment(name, namespace, "old"),
    "datasetversions": ours.dataset_version,
    "modelversions": lambda name, namespace: ours.model_version(
        name, namespace, {"uri": f"s3://tides/{name}/bundle.json", "digest": ours.digest(name)}
    ),
    "pipelineexecutions": ours.execution,
}
"""An object of each kind, by name and namespace."""


async def _kind(rig_: Rig, api: Api, pid: int, plural: str) -> Numbers:
    """Memory, writes and CPU of so many objects of a kind, children included."""
    namespace = _namespace(plural)
    side = Side(
        name=plural,
        agent=ours.AGENT,
        pid=pid,
        path=_path(namespace, plural),
        make=lambda number: MAKERS[plural](f"o{number}", namespace),
    )
    progress = Progress(status=side.has_status)
    usage, begun = Usage.begin(rig_, side), time.monotonic()
    async with background(progress.watch(api.follow(side.path))):
        await _create(api, side, KINDS)
        seen = await progress.reached("status", KINDS, LIMIT)
    found = await usage.per(KINDS, "create")
    return {"to status": seen - begun, "memory": usage.grown() * 1000 / KINDS, **found}


async def _idle_cpu(pid: int) -> float:
    cpu = cpu_seconds(pid)
    await asyncio.sleep(IDLE_SECONDS)
    return 100 * (cpu_seconds(pid) - cpu) / IDLE_SECONDS


async def _restarted(rig_: Rig, operator: ours.Operator) -> Numbers:
    """Start it again with all of that there: seconds until it rests, what it writes and takes."""
    mark, begun = rig_.audit.mark(), time.monotonic()
    process = operator.start()
    try:
        process.wait_idle(LIMIT)
        took = time.monotonic() - begun
        await rig_.settled(ours.AGENT)
        writes, events = rig_.writes(mark, ours.AGENT)
        memory = resident_mib(process.pid)
    finally:
        process.stop()
    return {"restart": took, "restart writes": writes + events, "restart memory": memory}
