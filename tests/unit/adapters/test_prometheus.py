"""`Prometheus`: samples, or an error of ours."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from tests.unit.adapters.http_server import HttpServer, says, streams
from tidemill.adapters import prometheus as module
from tidemill.adapters.prometheus import Prometheus
from tidemill.errors import TerminalError, TransientError
from tidemill.ports import Sample


@pytest.fixture
async def metrics(server: HttpServer) -> AsyncIterator[Prometheus]:
    client = Prometheus(server.url + "/")
    yield client
    await client.close()


def vector(*samples: tuple[dict[str, str], str]) -> dict[str, Any]:
    result = [{"metric": labels, "value": [1.5, value]} for labels, value in samples]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


async def test_an_instant_vector(metrics: Prometheus, server: HttpServer) -> None:
    server.answer = says(vector(({"pod": "a"}, "0.5"), ({}, "+Inf"), ({"pod": "b"}, "NaN")))

    found = await metrics.query("up", datetime(2026, 1, 1, tzinfo=UTC))

    assert found == [Sample({"pod": "a"}, 0.5), Sample({}, float("inf"))]
    assert server.requests == [("POST", "/api/v1/query", {})]
    assert parse_qs(server.bodies[0]) == {
        "query": ["up"], "timeout": ["8s"], "time": ["1767225600.000"],
    }  # fmt: skip


async def test_the_same_query_at_once_is_sent_once(metrics: Prometheus, server: HttpServer) -> None:
    gate = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await gate.wait()
        return web.json_response(vector(({}, "1")))

    server.answer = slow
    asked = [asyncio.create_task(metrics.query("up")) for _ in range(5)]
    other = asyncio.create_task(metrics.query("down"))
    while len(server.requests) < 2:
        await asyncio.sleep(0.001)
    gate.set()

    assert [await one for one in asked] == [[Sample({}, 1.0)]] * 5
    await other
    assert len(server.requests) == 2


async def test_one_that_stops_waiting_does_not_end_the_query_of_others(
    metrics: Prometheus, server: HttpServer
) -> None:
    gate = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await gate.wait()
        return web.json_response(vector())

    server.answer = slow
    first, second = (asyncio.create_task(metrics.query("up")) for _ in range(2))
    while not server.requests:
        await asyncio.sleep(0.001)
    first.cancel()
    gate.set()

    assert await second == []


TROUBLE: dict[str, tuple[Any, int]] = {
    "a server in trouble": ({"status": "error", "error": "storage"}, 503),
    "an error with 200": ({"status": "error"}, 200),
    "no vector in it": ({"status": "success", "data": {}}, 200),
    "a list": ([], 200),
    "a sample without a value": (
        {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}}]}},
        200,
    ),
    "a value that is no number": (vector(({}, "many")), 200),
    "a redirect": ({}, 302),
}


@pytest.mark.parametrize(("body", "status"), TROUBLE.values(), ids=TROUBLE)
async def test_trouble_is_transient(
    metrics: Prometheus, server: HttpServer, body: Any, status: int
) -> None:
    server.answer = says(body, status, {"Location": "/elsewhere"})

    with pytest.raises(TransientError):
        await metrics.query("up")

    assert len(server.requests) == 1


async def test_html_is_transient(metrics: Prometheus, server: HttpServer) -> None:
    server.answer = streams(b"<html>")

    with pytest.raises(TransientError):
        await metrics.query("up")


@pytest.mark.parametrize("status", [400, 422])
async def test_a_query_it_does_not_understand(
    metrics: Prometheus, server: HttpServer, status: int
) -> None:
    server.answer = says({"status": "error", "error": "parse error at char 3\nmore"}, status)

    with pytest.raises(TerminalError) as error:
        await metrics.query("up{")

    assert error.value.reason == "InvalidQuery"
    assert str(error.value) == "Prometheus does not understand a query: parse error at char 3"


async def test_another_type_than_a_vector(metrics: Prometheus, server: HttpServer) -> None:
    server.answer = says(
        {"status": "success", "data": {"resultType": "scalar", "result": [0, "1"]}}
    )

    with pytest.raises(TerminalError, match="a query gives a scalar, no vector"):
        await metrics.query("1")


async def test_an_answer_without_end_is_given_up(
    metrics: Prometheus, server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_ANSWER", 100)
    server.answer = streams(b"[" + b" " * 200)

    with pytest.raises(TransientError, match="more than 100 bytes"):
        await metrics.query("up")


async def test_nobody_there_is_transient(metrics: Prometheus, server: HttpServer) -> None:
    await server.stop()

    with pytest.raises(TransientError):
        await metrics.query("up")

    await server.start()
