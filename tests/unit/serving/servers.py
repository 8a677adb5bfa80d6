"""Real server processes on localhost, and the plainest of clients."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[3]
NAME = "delays"
REVISION = "delays-81bd07e4"


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ServerProcess:
    """`python -m tidemill.serving` on a free port."""

    def __init__(self, log: Path, **settings: Any) -> None:
        given = {"model_name": NAME, "revision": REVISION, "listen_port": 0, "drain_seconds": 0}
        given |= settings
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TIDEMILL_")},
            **{f"TIDEMILL_{key.upper()}": str(value) for key, value in given.items()},
            "PYTHONPATH": str(ROOT / "operator"),
        }
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tidemill.serving"], stderr=out, stdout=out, env=environment
            )
        self._port = 0

    @property
    def port(self) -> int:
        """The port it listens on, once it does."""
        if not self._port:
            found = wait_for(lambda: re.search(r"on port (\d+)", self.said()) or self._ended())
            assert isinstance(found, re.Match), f"the server ended: {self.said()}"
            self._port = int(found[1])
        return self._port

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def said(self) -> str:
        """All it has logged."""
        return self._log.read_text()

    def wait_ready(self) -> ServerProcess:
        wait_for(lambda: self.get("/v2/health/ready").status == 200)
        return self

    def wait_end(self) -> int:
        """Wait until it has ended, and return its exit code."""
        return self.process.wait(timeout=30)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def infer(self, body: Any, path: str = f"/v2/models/{NAME}/infer", **headers: str) -> Answer:
        """Post an inference request; a dictionary goes as JSON, bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.ask("POST", path, data, {"Content-Type": "application/json", **named})

    def metrics(self) -> dict[str, float]:
        """Return the series by name and labels, such as `requests_total{code="200"}`."""
        series = {}
        for family in text_string_to_metric_families(self.get("/metrics").body.decode()):
            for sample in family.samples:
                labels = ",".join(
                    f'{key}="{value}"' for key, value in sorted(sample.labels.items())
                )
                name = f"{sample.name}{{{labels}}}" if labels else sample.name
                series[name] = sample.value
        return series


def received(connection: socket.socket) -> Answer:
    """Read the answer that comes over a bare connection."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return Answer(response.status, response.headers, response.read())


def wait_for(condition: Any, seconds: float = 30.0) -> Any:
    """Return the condition's first true value; fail if there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := condition():
                return value
        except ConnectionError:
            pass
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")
