"""Whole server processes: how they start or do not, how they end, and what holds meanwhile."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.demo.bad_models import slow_bundle
from tests.unit.serving.bundles import GOLDEN, MadeBundle, request, score
from tests.unit.serving.servers import NAME, ServerProcess, received, wait_for
from tidemill.serving.__main__ import main
from tidemill.serving.failures import Exit
from tidemill.serving.fetch import fetch

Start = Callable[..., ServerProcess]
BODY = json.dumps(request(GOLDEN[:1])).encode()
INFER = f"/v2/models/{NAME}/infer"


# Starting


def test_a_model_that_misses_its_golden_examples_never_gets_ready(
    start: Start, model: bytes, tmp_path: Path
) -> None:
    wrong = [1 - probability for probability in score(model, GOLDEN)]
    MadeBundle(model, probabilities=wrong).write(tmp_path / "bad")
    server = start(model_dir=tmp_path / "bad")

    assert server.wait_end() == Exit.GOLDEN_MISMATCH
    assert server.said().startswith("GoldenMismatch: golden example 0: probability ")


def test_the_kubelet_is_told_why(model: bytes, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    arguments = ["--model-name", NAME, "--model-dir", str(tmp_path)]

    assert main(arguments, log) == Exit.NOT_FOUND
    assert json.loads(log.read_text()) == {
        "reason": "NotFound",
        "message": f"{tmp_path}/bundle.json is not there; fetch the bundle first",
    }


def test_a_port_in_use_is_named(start: Start) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        server = start(listen_port=port)

        assert server.wait_end() == Exit.UNAVAILABLE
    assert server.said() == (
        f"PortUnavailable: port {port} cannot be opened: Address already in use\n"
    )


def test_a_request_log_that_cannot_be_opened_is_said(start: Start, tmp_path: Path) -> None:
    server = start(request_log_uri=(tmp_path / "none").as_uri())

    assert server.wait_end() == Exit.USAGE
    assert server.said().startswith(f"InvalidUri: file://{tmp_path}/none cannot be opened: ")


def test_without_a_revision_the_version_is_the_digest(start: Start, bundle: Path) -> None:
    server = start(revision="").wait_ready()
    digest = json.loads((bundle / "bundle.json").read_text())["model"]["digest"]

    assert server.get(f"/v2/models/{NAME}").json["versions"] == [digest[7:19]]
    assert server.metrics()[f'tidemill_model_info{{digest="{digest}"}}'] == 1


# A slow model


@pytest.fixture(scope="module")
def slow(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose model takes a good while."""
    directory = tmp_path_factory.mktemp("slow")
    made = slow_bundle(None, (bundle / "bundle.json").as_uri(), milliseconds=100)
    fetch(made["uri"], made["digest"], directory)
    return directory


def test_a_slow_model_answers_and_health_and_metrics_do_not_wait(start: Start, slow: Path) -> None:
    server = start(model_dir=slow).wait_ready()
    answers: list[Any] = []
    asking = [threading.Thread(target=lambda: answers.append(server.infer(BODY))) for _ in range(4)]
    for thread in asking:
        thread.start()
    begun = time.perf_counter()
    assert server.get("/v2/health/live").status == 200
    assert server.get("/metrics").status == 200
    answered_after = time.perf_counter() - begun
    assert len(answers) < 4
    for thread in asking:
        thread.join()
    assert answered_after < time.perf_counter() - begun
    assert [answer.status for answer in answers] == [200] * 4
    series = server.metrics()
    assert series['tidemill_request_seconds_bucket{le="0.05"}'] == 0
    assert series["tidemill_request_seconds_count"] == 4


def test_more_requests_than_may_be_in_work_are_refused(start: Start, slow: Path) -> None:
    server = start(model_dir=slow, max_concurrency=2).wait_ready()
    answers: list[Any] = []
    asking = [threading.Thread(target=lambda: answers.append(server.infer(BODY))) for _ in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()

    codes = sorted(answer.status for answer in answers)
    assert set(codes) == {200, 429}
    assert codes.count(200) >= 2
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.json == {"error": "2 requests are in work already; try again"}


# Ending


def test_a_signal_ends_readiness_at_once_and_service_later(start: Start) -> None:
    server = start(drain_seconds=60).wait_ready()
    server.terminate()
    wait_for(lambda: server.get("/v2/health/ready").status == 503)

    assert server.get(f"/v2/models/{NAME}/ready").status == 503
    assert server.get("/v2/health/live").status == 200
    answer = server.infer(BODY)
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    server.terminate()
    assert server.wait_end() == 0


def test_an_interrupt_ends_it_too(start: Start) -> None:
    server = start().wait_ready()
    server.process.send_signal(signal.SIGINT)

    assert server.wait_end() == 0


def test_a_request_in_work_is_finished(start: Start, slow: Path) -> None:
    server = start(model_dir=slow).wait_ready()
    head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode() + BODY)
        for _ in range(2):  # the loop reads what came before it answers what comes twice after
            server.get("/v2/health/live")
        server.terminate()
        answer = received(connection)

    assert answer.status == 200
    assert len(answer.json["outputs"]) == 2
    assert server.wait_end() == 0


def test_a_connection_left_open_does_not_hold_up_the_end(start: Start) -> None:
    server = start().wait_ready()
    with socket.create_connection(("127.0.0.1", server.port)) as idle:
        server.terminate()

        assert server.wait_end() == 0
        assert idle.recv(1) == b""


class Clients:
    """Clients that keep their connections and send to whichever server is in service."""

    def __init__(self, servers: list[ServerProcess], count: int) -> None:
        self.servers = servers
        self.answered: list[tuple[int, int]] = []
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        connections: dict[int, http.client.HTTPConnection] = {}
        while not self._stop.is_set():
            serving = self.servers
            server = serving[number % len(serving)]
            number += 1
            if server.port not in connections:
                made = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
                connections[server.port] = made
            connection = connections[server.port]
            try:
                connection.request("POST", INFER, BODY, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                self.answered.append((response.status, server.port))
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
        for connection in connections.values():
            connection.close()


def test_no_request_fails_while_a_server_is_replaced(start: Start) -> None:
    old = start(drain_seconds=0.5).wait_ready()
    stays = start().wait_ready()
    with Clients([old, stays], 6) as clients:
        wait_for(lambda: len(clients.answered) > 200)
        old.terminate()
        # As a Service does it: the endpoint leaves only after somebody saw it unready.
        wait_for(lambda: old.get("/v2/health/ready").status == 503)
        seen = len(clients.answered)
        wait_for(lambda: len(clients.answered) > seen + 100)
        clients.servers = [stays]
        assert old.wait_end() == 0
        seen = len(clients.answered)
        wait_for(lambda: len(clients.answered) > seen + 200)

    assert clients.failed == []
    assert {status for status, _ in clients.answered} == {200}
    assert {port for _, port in clients.answered} == {old.port, stays.port}


# The request log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    directory = tmp_path / "requests"
    directory.mkdir()
    return directory


def logged(directory: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(directory.rglob("*.parquet")):
        yield from pq.read_table(BytesIO(path.read_bytes())).to_pylist()


def test_the_log_is_whole_once_the_server_has_ended(start: Start, log: Path, model: bytes) -> None:
    server = start(request_log_uri=log.as_uri(), pod_name="delays-x").wait_ready()
    for number in range(20):
        body = request(GOLDEN, id=f"r{number}", parameters={"event_time": 1357034400})
        assert server.infer(body).status == 200
    assert server.infer(b"{").status == 400
    assert server.metrics()["tidemill_log_dropped_total"] == 0
    server.terminate()
    assert server.wait_end() == 0

    rows = list(logged(log))
    assert [row["id"] for row in rows] == [f"r{n}/{row}" for n in range(20) for row in range(3)]
    assert [row["probability"] for row in rows] == score(model, GOLDEN) * 20
    assert [row["carrier"] for row in rows[:3]] == ["UA", "EV", None]
    assert {row["event_time"].isoformat() for row in rows} == {"2013-01-01T10:00:00+00:00"}
    (path,) = log.rglob("*.parquet")
    assert path.name.startswith("delays-x-")


def test_a_sample_is_the_same_on_two_servers(start: Start, log: Path) -> None:
    for name in ("a", "b"):
        (log / name).mkdir()
        server = start(request_log_uri=(log / name).as_uri(), request_log_sample=0.5).wait_ready()
        for number in range(40):
            server.infer(request(GOLDEN[:1], id=f"r{number}"))
        server.terminate()
        assert server.wait_end() == 0

    kept = [[row["id"] for row in logged(log / name)] for name in ("a", "b")]
    assert kept[0] == kept[1]
    assert 8 < len(kept[0]) < 32


def test_a_full_log_drops_rows_and_fails_no_request(start: Start, log: Path) -> None:
    server = start(request_log_uri=log.as_uri(), request_log_queue=2).wait_ready()
    answers = [server.infer(request(GOLDEN[:1])) for _ in range(5)]

    assert [answer.status for answer in answers] == [200] * 5
    assert server.metrics()["tidemill_log_dropped_total"] == 3
