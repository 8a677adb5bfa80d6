"""A proxy before the API server that does what networks and servers do on bad days.

Plain HTTP on loopback; the administrator's token is put in on the way. What goes wrong is set by
assigning the hooks: `refuse` before a request is sent on, `lose` after it was answered, `line` for
each line of a watch; `end_watches` ends all that are open, if asked with a last line.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web

from tests.background import Background
from tests.cluster.controlplane import ControlPlane

Refusal = tuple[int, dict[str, Any], dict[str, str]]
_DROPPED = ("Host", "Authorization", "Content-Length", "Transfer-Encoding", "Accept-Encoding")


class FaultProxy:
    """One proxy, in a thread of its own."""

    def __init__(self, plane: ControlPlane) -> None:
        self.refuse: Callable[[str, str], Refusal | None] = lambda method, path: None
        """Method and path: an answer instead of the server's, as status, body and headers."""
        self.lose: Callable[[str, str, int], bool] = lambda method, path, status: False
        """Method, path and the server's status: whether to cut the line instead of answering."""
        self.line: Callable[[str, bytes], bytes | None] = lambda path, line: line
        """Path and line of a watch: what to send on; None for nothing."""
        self._plane = plane
        self._background = Background()
        self._watches: dict[web.StreamResponse, asyncio.Event] = {}
        self.url = ""

    def __enter__(self) -> "FaultProxy":
        self._background.__enter__()
        self._background.enter(self._served())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._background.__exit__(kind, error, trace)

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads through this proxy."""
        cluster = {"name": "proxy", "cluster": {"server": self.url}}
        context = {"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [cluster],
                    "users": [{"name": "proxy", "user": {}}],
                    "contexts": [context],
                    "current-context": "proxy",
                }
            )
        )
        return path

    def end_watches(self, last: bytes | None = None, *, of: str = "") -> int:
        """End the open watches whose path holds `of`; returns how many."""

        async def end() -> int:
            chosen = [item for item in self._watches if of in getattr(item, "path", "")]
            for response in chosen:
                if last is not None:
                    await response.write(last)
                self._watches[response].set()
            return len(chosen)

        return self._background.run(end())

    @asynccontextmanager
    async def _served(self) -> AsyncIterator[None]:
        context = ssl.create_default_context(cafile=str(self._plane.certificate))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"Authorization": f"Bearer {self._plane.token}"},
            auto_decompress=False,
        )
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield
        finally:
            for ended in self._watches.values():
                ended.set()
            await runner.cleanup()
            await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        refused = self.refuse(request.method, request.path)
        if refused is not None:
            status, body, headers = refused
            return web.json_response(body, status=status, headers=headers)
        headers_ = {k: v for k, v in request.headers.items() if k not in _DROPPED}
        data = await request.read()
        async with self._session.request(
            request.method, self._plane.server + str(request.rel_url), headers=headers_,
            data=data or None, skip_auto_headers=("Content-Type", "Accept-Encoding"),
        ) as answer:  # fmt: skip
            if request.query.get("watch") == "true" and answer.status == 200:
                return await self._stream(request, answer)
            body_ = await answer.read()
            if self.lose(request.method, request.path, answer.status):
                assert request.transport is not None
                request.transport.abort()
            return web.Response(body=body_, status=answer.status, content_type="application/json")

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse()
        response.path = request.path  # type: ignore[attr-defined]
        await response.prepare(request)
        ended = self._watches[response] = asyncio.Event()
        copy = asyncio.create_task(self._copy(request.path, answer, response))
        end = asyncio.create_task(ended.wait())
        try:
            await asyncio.wait({copy, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            copy.cancel()
            end.cancel()
            await asyncio.gather(copy, end, return_exceptions=True)
            del self._watches[response]
            answer.close()
        return response

    async def _copy(
        self, path: str, answer: aiohttp.ClientResponse, response: web.StreamResponse
    ) -> None:
        held = b""
        async for chunk in answer.content.iter_any():
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                passed = self.line(path, line)
                if passed is not None:
                    await response.write(passed + b"\n")
