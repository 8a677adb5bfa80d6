"""Live traffic: real flights, asked about through the gateway at a steady rate.

Each answer is written down with its time, status and the model that gave it, so that the story
can say how many failed and how the requests were shared, whatever happens meanwhile.
"""

import asyncio
import itertools
import json
import multiprocessing
import multiprocessing.connection
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow.parquet as pq

EACH = 4
"""Of four flights one is asked about: at a hundred a second twenty seconds are nine days."""


@dataclass(frozen=True)
class Target:
    """Where to ask."""

    address: str
    host: str
    model: str

    @property
    def url(self) -> str:
        """The address of the model's infer endpoint."""
        return f"{self.address}/v2/models/{self.model}/infer"


@dataclass(frozen=True)
class Answer:
    """One answered (or failed) request."""

    at: float
    status: int
    seconds: float
    version: str
    error: str = ""


def rows_of(
    files: list[Path], features: list[str], event_time: str, each: int = 1
) -> Iterator[dict[str, Any]]:
    """Each so-manieth flight of some months in the order they happened, again and again.

    Every time round begins with another flight, so that no two rounds are the same.
    """
    table = pq.read_table(files, columns=[*features, event_time]).sort_by(event_time)
    rows = table.to_pylist()
    for first in itertools.cycle(range(each)):
        yield from rows[first::each]


def request_of(row: dict[str, Any], event_time: str, number: int) -> dict[str, Any]:
    """An Open Inference Protocol v2 request for one flight."""
    inputs = []
    for name, value in row.items():
        if name == event_time:
            continue
        datatype = "BYTES" if isinstance(value, str) else "FP64"
        inputs.append({"name": name, "shape": [1], "datatype": datatype, "data": [value]})
    moment = row[event_time].strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"id": f"r{number}", "parameters": {"event_time": moment}, "inputs": inputs}


@dataclass
class _Sender:
    """Sends at a steady rate; late answers do not slow it down."""

    target: Target
    rate: float
    pipe: multiprocessing.connection.Connection
    rows: Iterator[dict[str, Any]]
    event_time: str
    sent: int = 0
    pending: set[asyncio.Task[None]] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)

    async def run(self) -> None:
        """Send until told to stop; hand over the answers every second."""
        limits = aiohttp.TCPConnector(limit=400)
        async with aiohttp.ClientSession(connector=limits) as session:
            loop = asyncio.get_running_loop()
            due = handed = loop.time()
            while not self._told_to_stop():
                due += 1 / self.rate
                if (ahead := due - loop.time()) > 0:
                    await asyncio.sleep(ahead)
                task = asyncio.create_task(self._ask(session))
                self.pending.add(task)
                task.add_done_callback(self.pending.discard)
                if loop.time() - handed > 1:
                    handed = loop.time()
                    self._hand_over()
            if self.pending:
                await asyncio.wait(self.pending, timeout=15)
        self._hand_over()
        self.pipe.send(None)

    def _told_to_stop(self) -> bool:
        while self.pipe.poll():
            message = self.pipe.recv()
            if message is None:
                return True
            files, features = message
            self.rows = rows_of(files, features, self.event_time, EACH)
        return False

    def _hand_over(self) -> None:
        self.pipe.send(self.answers)
        self.answers = []

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        self.sent += 1
        body = request_of(next(self.rows), self.event_time, self.sent)
        begun = time.time()
        status, version, error = 0, "", ""
        try:
            async with session.post(
                self.target.url,
                data=json.dumps(body),
                headers={"Host": self.target.host, "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=10),
            ) as response:
                status = response.status
                answer = await response.json(content_type=None)
                version = answer.get("model_version", "") if isinstance(answer, dict) else ""
        except (aiohttp.ClientError, TimeoutError, ValueError) as problem:
            status = status if status >= 400 else 0
            error = f"{type(problem).__name__}: {problem}"
        self.answers.append(Answer(begun, status, time.time() - begun, version, error))


def _main(
    pipe: multiprocessing.connection.Connection,
    target: Target,
    rate: float,
    files: list[Path],
    features: list[str],
    event_time: str,
) -> None:
    sender = _Sender(target, rate, pipe, rows_of(files, features, event_time, EACH), event_time)
    asyncio.run(sender.run())


class Traffic:
    """A running stream of requests."""

    def __init__(
        self, target: Target, rate: float, files: list[Path], features: list[str], event_time: str
    ) -> None:
        self.rate = rate
        self.answers: list[Answer] = []
        self._features = features
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(
            target=_main, args=(theirs, target, rate, files, features, event_time), daemon=True
        )
        self._process.start()
        theirs.close()
        # Read all the time: a full pipe would hold the sender up.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while (batch := self._pipe.recv()) is not None:
                self.answers.extend(batch)
        except EOFError:
            return

    def switch(self, files: list[Path]) -> None:
        """From now on send the flights of these months."""
        self._pipe.send((files, self._features))

    def stop(self) -> None:
        """End the stream and wait for the last answers."""
        if not self._process.is_alive():
            return
        self._pipe.send(None)
        self._reader.join(timeout=30)
        self._process.join(timeout=20)

    def between(self, start: float, end: float) -> list[Answer]:
        """The requests sent in a span of time."""
        return [answer for answer in list(self.answers) if start <= answer.at < end]

    def failed(self, start: float, end: float) -> list[Answer]:
        """Those of them that got no answer or an error."""
        return [answer for answer in self.between(start, end) if answer.status != 200]


def shares(answers: list[Answer]) -> Counter[str]:
    """How many requests each model answered."""
    return Counter(answer.version for answer in answers if answer.status == 200)
