"""The model server beside the twenty lines anybody would write: Starlette around ONNX Runtime.

The bare server has the same HTTP stack, reads the same body and runs the same model, but checks,
counts and logs nothing: what ours costs more is the price of the protocol, the drift counters and
the bounds. `python -m tests.bench.serving_bench`; exits with 1 where a limit is missed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson
import uvicorn
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import GradientBoostingClassifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.rig import cpu_seconds, resident_mib
from tests.unit.serving.bundles import GOLDEN, NUMBERS, MadeBundle, request, train
from tests.unit.serving.servers import NAME, ROOT, ServerProcess, wait_for

MOST_MILLISECONDS = 2.0
LEAST_PER_CORE = 1500.0
ROUNDS = 3


@dataclass(frozen=True)
class Load:
    """How one measurement asks."""

    rows: int
    connections: int
    requests: int


@dataclass(frozen=True)
class Measured:
    """What one server did under one load."""

    per_second: float
    per_core: float
    """Requests per second of the server's own CPU time."""
    median: float
    """Milliseconds, as the client sees it."""
    high: float
    """The 99th percentile."""


LOADS = (Load(1, 1, 2000), Load(1, 8, 6000), Load(100, 2, 1500), Load(5000, 1, 60))


async def ask(port: int, payload: bytes, count: int, times: list[float]) -> None:
    """Send one request after the other over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    for _ in range(count):
        begun = time.perf_counter()
        writer.write(payload)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            raise RuntimeError(head.decode())
        await reader.readexactly(int(length[1]))
        times.append(time.perf_counter() - begun)
    writer.close()


async def measure(pid: int, port: int, load: Load) -> Measured:
    """Put one load on one server."""
    body = json.dumps(request((GOLDEN * load.rows)[: load.rows], id="bench")).encode()
    head = f"POST /v2/models/{NAME}/infer HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    payload = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    await ask(port, payload, 50, [])
    times: list[float] = []
    cpu, begun = cpu_seconds(pid), time.perf_counter()
    each = load.requests // load.connections
    await asyncio.gather(*(ask(port, payload, each, times) for _ in range(load.connections)))
    took, cpu = time.perf_counter() - begun, cpu_seconds(pid) - cpu
    times.sort()
    middle, high = times[len(times) // 2], times[int(len(times) * 0.99)]
    return Measured(len(times) / took, len(times) / cpu, middle * 1e3, high * 1e3)


def bare(model: Path) -> None:
    """Serve a model with nothing around it; says its port on stdout."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options)

    async def infer(asked: Request) -> Response:
        document = orjson.loads(await asked.body())
        feeds: dict[str, Any] = {}
        for entry in document["inputs"]:
            kind = np.float32 if entry["name"] in NUMBERS else object
            values = ["" if v is None and kind is object else v for v in entry["data"]]
            feeds[entry["name"]] = np.array(values, dtype=kind).reshape(-1, 1)
        scores = session.run(["probabilities"], feeds)[0][:, 1].tolist()
        answer = {"id": document["id"], "outputs": [{"name": "probability", "data": scores}]}
        return Response(orjson.dumps(answer), media_type="application/json")

    app = Starlette(routes=[Route(f"/v2/models/{NAME}/infer", infer, methods=["POST"])])
    uvicorn.run(app, port=0, loop="uvloop", http="httptools", access_log=False)


def start_bare(model: Path, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start the bare server and return it with its port."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"}
    argv = [sys.executable, "-m", "tests.bench.serving_bench", "bare", str(model)]
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, env=environment)
    found = wait_for(lambda: re.search(r"127\.0\.0\.1:(\d+)", log.read_text()))
    return process, int(found[1])


def compare(directory: Path) -> tuple[list[tuple[Load, Measured, Measured]], list[str]]:
    """Measure both servers in turn; return the best of some rounds, and what missed a limit."""
    made = MadeBundle(train(GradientBoostingClassifier(n_estimators=100, random_state=7)))
    made.write(directory / "bundle")
    ours = ServerProcess(directory / "ours.log", model_dir=str(directory / "bundle")).wait_ready()
    process, port = start_bare(directory / "bundle" / "model.onnx", directory / "bare.log")
    lines = []
    try:
        for load in LOADS:
            rounds = [
                (
                    asyncio.run(measure(ours.process.pid, ours.port, load)),
                    asyncio.run(measure(process.pid, port, load)),
                )
                for _ in range(ROUNDS)
            ]
            best = [min((pair[side] for pair in rounds), key=lambda m: m.median) for side in (0, 1)]
            lines.append((load, best[0], best[1]))
        Console().print(f"memory of ours: {resident_mib(ours.process.pid):.0f} MiB")
    finally:
        ours.kill()
        process.kill()
        process.wait()
    missed = []
    single, busy = lines[0][1], lines[1][1]
    if single.median > MOST_MILLISECONDS:
        missed.append(f"one row takes {single.median:.2f} ms; at most {MOST_MILLISECONDS:g}")
    if busy.per_core < LEAST_PER_CORE:
        missed.append(f"{busy.per_core:.0f} requests/s per core; at least {LEAST_PER_CORE:g}")
    return lines, missed


def main() -> int:
    """Print the table; return 1 where a limit is missed."""
    if sys.argv[1:2] == ["bare"]:
        bare(Path(sys.argv[2]))
        return 0
    out = Console(soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as directory:
        lines, missed = compare(Path(directory))
    table = Table("rows", "connections", "server", "requests/s", "per core", "p50 ms", "p99 ms")
    for load, *both in lines:
        for name, got in zip(("tidemill", "bare"), both, strict=True):
            numbers = [f"{got.per_second:.0f}", f"{got.per_core:.0f}"]
            times = [f"{got.median:.2f}", f"{got.high:.2f}"]
            table.add_row(str(load.rows), str(load.connections), name, *numbers, *times)
    out.print("The model server beside bare Starlette and ONNX Runtime, 100 trees, 5 features")
    out.print(table)
    for line in missed:
        out.print(f"LIMIT MISSED: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
