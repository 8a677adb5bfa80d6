"""A small HTTP server whose answers a test writes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """Serves on a free port of loopback; each request is noted and given to `answer`."""

    def __init__(self) -> None:
        self.answer: Answer = refuse
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query)))
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.text())
        return await self.answer(request)


async def refuse(request: web.Request) -> web.StreamResponse:
    """Answer with 500 and no sense."""
    return web.Response(status=500, text="<html>oops</html>")


def says(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Answer always the same JSON."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return answer


def streams(*chunks: bytes, cut: bool = False) -> Answer:
    """Answer with chunks, then end the stream, or cut the connection."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0.01)
        if cut and request.transport is not None:
            request.transport.abort()
        return response

    return answer
