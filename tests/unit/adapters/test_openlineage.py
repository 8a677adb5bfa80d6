"""`OpenLineage`: events are sent, or dropped and counted, and nobody waits."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.unit.adapters.http_server import HttpServer, says
from tidemill.adapters.openlineage import OpenLineage


@asynccontextmanager
async def sender(url: str, told: Callable[[str], None], **more: Any) -> AsyncIterator[OpenLineage]:
    one = OpenLineage(url, told=told, pauses=(0.0, 0.0), **more)
    work = asyncio.create_task(one.run())
    yield one
    work.cancel()
    await one.close()


async def test_an_event_is_sent_as_it_is(server: HttpServer) -> None:
    server.answer, told = says({}, 201), list[str]()

    async with sender(server.url + "/", told.append, token="secret") as one:
        one.offer({"eventType": "START"})
        await one.drain()

    assert server.requests == [("POST", "/api/v1/lineage", {})]
    assert json.loads(server.bodies[0]) == {"eventType": "START"}
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert told == ["Sent"]


async def test_without_a_token_none_is_sent(server: HttpServer) -> None:
    server.answer = says({})

    async with sender(server.url, lambda outcome: None) as one:
        one.offer({})
        await one.drain()

    assert "Authorization" not in server.headers[0]


REFUSALS = {
    "an endpoint that is in trouble is asked again": (503, 3),
    "and one that is busy": (429, 3),
    "one that does not want it is not": (422, 1),
    "a redirect is not followed": (302, 1),
}


@pytest.mark.parametrize(("status", "asked"), REFUSALS.values(), ids=REFUSALS)
async def test_what_is_not_taken_is_dropped(server: HttpServer, status: int, asked: int) -> None:
    server.answer, told = says({}, status, {"Location": "/elsewhere"}), list[str]()

    async with sender(server.url, told.append) as one:
        one.offer({})
        await one.drain()

    assert len(server.requests) == asked
    assert told == ["Dropped"]


async def test_an_endpoint_that_is_well_again_gets_the_event(server: HttpServer) -> None:
    told = list[str]()

    async def stumbles(request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=500 if len(server.requests) == 1 else 200)

    server.answer = stumbles
    async with sender(server.url, told.append) as one:
        one.offer({})
        await one.drain()

    assert told == ["Sent"]


async def test_an_endpoint_that_is_not_there_blocks_nobody() -> None:
    told = list[str]()

    async with sender("http://127.0.0.1:9", told.append) as one:
        one.offer({})
        await one.drain()

    assert told == ["Dropped"]


async def test_more_than_fit_are_dropped_at_once() -> None:
    told = list[str]()
    one = OpenLineage("http://127.0.0.1:9", told=told.append, most=2)

    for _ in range(5):
        one.offer({})

    assert told == ["Dropped"] * 3
