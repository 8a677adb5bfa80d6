"""The operator beside Argo Rollouts v1.10.2: memory, writes, and time to a first status."""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench import argo, ours
from tests.bench.rig import Body, Rig, all_of, cpu_seconds, resident_mib, rig, until

OBJECTS = 500
CHANGES = 100
KINDS = 1000
IDLE_SECONDS = 30.0


@dataclass(frozen=True)
class Side:
    """One of the two controllers in the comparison."""

    name: str
    agent: str
    path: str
    pid: int
    make: Callable[[int], Body]
    change: Callable[[int], Body]
    has_status: Callable[[Body], bool]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    unit: str
    bar: str
    ours: float
    peer: float | None


async def created(rig_: Rig, side: Side, count: int) -> tuple[float, float, float, float, float]:
    """Create objects: seconds until all have a status, writes, Events and CPU ms each, MiB more."""
    mark, cpu, memory = rig_.audit.mark(), cpu_seconds(side.pid), resident_mib(side.pid)
    async with rig_.api() as api:
        begun = time.monotonic()
        await all_of(
            [partial(api.call, "POST", side.path, side.make(number)) for number in range(count)]
        )

        async def all_seen() -> bool:
            items = (await api.call("GET", side.path))["items"]
            return sum(map(side.has_status, items)) >= count

        await until(all_seen, 300, f"a first status of {count} objects of {side.name}")
        took = time.monotonic() - begun
        await settled(rig_, side.agent)
    writes, events = rig_.split(rig_.audit.since(mark, side.agent))
    used = 1000 * (cpu_seconds(side.pid) - cpu) / count
    return took, writes / count, events / count, used, resident_mib(side.pid) - memory


async def settled(rig_: Rig, agent: str, quiet: float = 3.0, limit: float = 120.0) -> None:
    """Wait until a controller has written nothing but Leases for so many seconds."""
    deadline = time.monotonic() + limit
    mark, since = rig_.audit.mark(), time.monotonic()
    while time.monotonic() - since < quiet:
        await asyncio.sleep(0.2)
        if rig_.audit.writes(mark, agent):
            mark, since = rig_.audit.mark(), time.monotonic()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{agent} goes on writing after {limit:.0f} s")


async def latency(rig_: Rig, side: Side) -> tuple[float, float]:
    """Change one object at a time: p50 and p99 of the ms from the change to its status."""
    times: list[float] = []
    async with rig_.api() as api:
        for number in range(CHANGES):
            body = side.make(number)
            path = f"{side.path}/{body['metadata']['name']}"
            begun = time.monotonic()
            await api.merge(path, side.change(number))
            while not side.has_status(await api.call("GET", path)):
                await asyncio.sleep(0.001)
            times.append(1000 * (time.monotonic() - begun))
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


async def idle_requests(rig_: Rig, agent: str) -> float:
    """Requests a second but Leases, at rest."""
    mark = rig_.audit.mark()
    await asyncio.sleep(IDLE_SECONDS)
    seen = [one for one in rig_.audit.since(mark, agent) if one.resource != "leases"]
    return len(seen) / IDLE_SECONDS


async def compare(directory: Path) -> tuple[list[Row], list[list[str]]]:
    """Run both on one API server, one after the other; the comparison and the memory per kind."""
    with rig(directory / "plane") as made:
        peer = await _peer(made, directory)
        mine, kinds = await _mine(made, directory)
    bars = {
        "memory at start": ("MiB", "80"),
        f"{OBJECTS} creates until all have a status": ("s", "0.5 x peer"),
        "writes a create, children included": ("", "4"),
        "Events a create": ("", ""),
        "CPU a create": ("ms", "6"),
        f"memory for {OBJECTS} objects": ("MiB", ""),
        "spec change to status, p50": ("ms", "25"),
        "spec change to status, p99": ("ms", "100"),
        "requests at rest, Leases apart": ("/s", "0"),
    }
    rows = [Row(what, *bars[what], ours=mine[what], peer=peer.get(what)) for what in bars]
    return rows, kinds


async def _measure(rig_: Rig, side: Side) -> dict[str, float]:
    names = (
        f"{OBJECTS} creates until all have a status",
        "writes a create, children included",
        "Events a create",
        "CPU a create",
        f"memory for {OBJECTS} objects",
    )
    found = dict(zip(names, await created(rig_, side, OBJECTS), strict=True))
    p50, p99 = await latency(rig_, side)
    found["spec change to status, p50"], found["spec change to status, p99"] = p50, p99
    await settled(rig_, side.agent)
    found["requests at rest, Leases apart"] = await idle_requests(rig_, side.agent)
    return found


async def _peer(rig_: Rig, directory: Path) -> dict[str, float]:
    argo.install(rig_)
    rig_.kubectl("create", "namespace", "peer")
    process = argo.start(rig_, directory / "argo.log")
    await asyncio.sleep(5)
    start = resident_mib(process.pid)
    side = Side(
        "Argo Rollouts",
        argo.AGENT,
        argo.PATH.format(namespace="peer"),
        process.pid,
        lambda n: argo.rollout(f"r{n}", "peer", "example/server:1"),
        lambda n: {"spec": {"minReadySeconds": 1 + n}},
        argo.has_status,
    )
    found = await _measure(rig_, side)
    process.terminate()
    process.wait(timeout=20)
    rig_.kubectl("delete", "namespace", "peer", "--wait=false")
    return {"memory at start": start, **found}


async def _mine(rig_: Rig, directory: Path) -> tuple[dict[str, float], list[list[str]]]:
    (directory / "artifacts").mkdir()
    operator = ours.start(rig_, directory / "operator.log", directory / "artifacts")
    try:
        start = resident_mib(operator.pid)
        rig_.kubectl("create", "namespace", "ours")
        rig_.kubectl.create(ours.model_version("model", "ours", 1))
        side = Side(
            "Tidemill",
            ours.AGENT,
            ours.GROUP_PATH.format(namespace="ours", plural="modeldeployments"),
            operator.pid,
            lambda n: ours.model_deployment(f"d{n}", "ours", "model"),
            lambda n: {"spec": {"rollout": {"analysis": {"periodSeconds": 31 + n}}}},
            ours.has_status,
        )
        found = await _measure(rig_, side)
        return {"memory at start": start, **found}, await _kinds(rig_, operator.pid)
    finally:
        operator.stop()


async def _kinds(rig_: Rig, pid: int) -> list[list[str]]:
    """Memory and writes for 1,000 objects of each kind, children included."""
    makers: dict[str, Callable[[int], Body]] = {
        "datasets": lambda n: ours.dataset(f"s{n}", "kinds-datasets"),
        "trainingjobs": lambda n: ours.training_job(f"t{n}", "kinds-trainingjobs", "none"),
        "modeldeployments": lambda n: ours.model_deployment(
            f"d{n}", "kinds-modeldeployments", "none"
        ),
        "modelversions": lambda n: ours.model_version(f"m{n}", "kinds-modelversions", n),
        "pipelineexecutions": lambda n: ours.execution(f"e{n}", "kinds-pipelineexecutions"),
    }
    rows = []
    for plural, make in makers.items():
        namespace = f"kinds-{plural}"
        rig_.kubectl("create", "namespace", namespace)
        side = Side(
            plural,
            ours.AGENT,
            ours.GROUP_PATH.format(namespace=namespace, plural=plural),
            pid,
            make,
            lambda n: {},
            ours.has_status,
        )
        took, writes, events, used, memory = await created(rig_, side, KINDS)
        rows.append(
            [
                plural,
                f"{memory:.1f}",
                f"{writes:.1f}",
                f"{events:.1f}",
                f"{used:.1f}",
                f"{took:.1f}",
            ]
        )
    return rows
