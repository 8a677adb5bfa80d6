"""A reverse proxy before the API server that counts, kills, refuses, delays and cuts.

The operator is pointed at it by a kubeconfig of its own. What it asks is passed on with the real
credential; rules look at each request first and may have something else happen to it. Renewals of
Leases are passed on and never counted as writes.
"""

import asyncio
import contextlib
import json
import re
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.cluster.controlplane import ControlPlane

Body = dict[str, Any]
_PATH = re.compile(
    r"^/(?:api|apis/[^/]+)/[^/]+(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^/]+))?$"
)
_BUILTIN = re.compile(r"--pipeline=builtin:(\S+)")
_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OWN_HEADERS = {"host", "authorization", "content-length", "accept-encoding", "connection"}
_BUFFER = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request of the operator."""

    verb: str
    """get, list, watch, create, update, patch or delete."""
    resource: str
    """The plural."""
    namespace: str
    name: str
    subresource: str
    body: Body
    label: str
    """What is written, the same in every namespace: `create Job evaluate-1`; else empty."""
    turn: int
    """The how-manieth write of this label in its namespace, from one; 0 for what is no write."""

    @property
    def is_write(self) -> bool:
        """Whether it may change something other than a Lease."""
        return self.turn > 0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to a request instead of being passed on and answered."""

    seconds: float = 0.0
    """Wait so long first."""
    code: int = 0
    """Answer this, and pass nothing on."""
    retry_after: int | None = None
    """The answer's Retry-After."""
    tell: bool = True
    """Pass the API server's answer on; if not, the connection is closed without one."""
    then: Callable[[], None] | None = None
    """Called when the API server has done it: before the answer is passed on if that is not to
    happen, else right after."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A request and what was answered; 0 when nothing was."""

    asked: Asked
    code: int
    at: float
    """time.monotonic() of the API server's answer."""
    invented: bool
    """The proxy refused it; the API server has never seen it."""


Rule = Callable[[Asked], Fault | None]


@dataclass
class Proxy:
    """Stands before one control plane. Used inside one event loop; the log may be read anywhere."""

    plane: ControlPlane
    rules: tuple[Rule, ...] = ()
    """The first that says something decides. Replaced as a whole, never changed."""
    log: list[Done] = field(default_factory=list)
    url: str = ""
    troubles: list[Exception] = field(default_factory=list)
    """What the proxy itself has failed of; a test that ends with one proves nothing."""
    _turns: Counter[tuple[str, str]] = field(default_factory=Counter)
    _watches: dict[web.StreamResponse, Callable[[], None]] = field(default_factory=dict)
    _session: aiohttp.ClientSession | None = None
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> "Proxy":
        trust = ssl.create_default_context(cafile=str(self.plane.certificate))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
            read_bufsize=_BUFFER,
        )
        app = web.Application(client_max_size=_BUFFER)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def write_kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads here and return its path."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "chaos", "cluster": {"server": self.url}}],
            "users": [{"name": "chaos", "user": {"token": "none"}}],
            "contexts": [{"name": "chaos", "context": {"cluster": "chaos", "user": "chaos"}}],
            "current-context": "chaos",
        }
        path.write_text(json.dumps(document))
        return path

    def writes(self, namespace: str = "", since: int = 0) -> list[Done]:
        """Writes the API server has carried out, of one namespace or of all."""
        return [
            done
            for done in self.log[since:]
            if done.asked.is_write
            and 200 <= done.code < 300
            and not done.invented
            and namespace in ("", done.asked.namespace)
        ]

    @property
    def watching(self) -> int:
        """How many watches are open."""
        return len(self._watches)

    async def cut(self, last_words: Body | None = None) -> int:
        """Close every open watch, as a load balancer may at any time; returns how many.

        With `last_words` the stream tells them first, such as that its version is too old.
        """
        streams, self._watches = self._watches, {}
        for told, hang_up in streams.items():
            if last_words is not None:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    await told.write(json.dumps(last_words).encode() + b"\n")
            hang_up()
        return len(streams)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except (aiohttp.ClientError, OSError):
            return _hang_up(request)  # the operator has gone
        except Exception as error:
            self.troubles.append(error)
            raise

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        asked = self._read(request, data)
        fault = next((found for rule in self.rules if (found := rule(asked)) is not None), Fault())
        if fault.seconds:
            await asyncio.sleep(fault.seconds)
        if fault.code:
            self._note(asked, fault.code, invented=True)
            return _refusal(fault)
        try:
            async with self._forward(request, data) as answer:
                if asked.verb == "watch" and answer.status == 200:
                    self._note(asked, 200)
                    return await self._stream(request, answer)
                content = await answer.read()
        except (aiohttp.ClientError, OSError):
            self._note(asked, 0)
            return _hang_up(request)
        self._note(asked, answer.status)
        if not fault.tell:
            if fault.then is not None:
                fault.then()
            return _hang_up(request)
        told = web.Response(status=answer.status, body=content, headers=_answered(answer))
        if fault.then is not None:
            await told.prepare(request)
            await told.write_eof()
            fault.then()
        return told

    @contextlib.asynccontextmanager
    async def _forward(
        self, request: web.Request, data: bytes
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("the proxy is not started")
        kept = {k: v for k, v in request.headers.items() if k.lower() not in _OWN_HEADERS}
        async with self._session.request(
            request.method,
            f"{self.plane.server}{request.rel_url}",
            data=data or None,
            headers={**kept, "Authorization": f"Bearer {self.plane.token}"},
            skip_auto_headers=("Content-Type", "Accept-Encoding", "User-Agent"),
        ) as answer:
            yield answer

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        told = web.StreamResponse(status=answer.status, headers=_answered(answer))
        await told.prepare(request)

        def hang_up() -> None:
            answer.close()
            if request.transport is not None:
                request.transport.close()

        self._watches[told] = hang_up
        try:
            async for chunk in answer.content.iter_any():
                await told.write(chunk)
        except (aiohttp.ClientError, OSError):
            pass  # one end has gone
        finally:
            self._watches.pop(told, None)
        return told

    def _read(self, request: web.Request, data: bytes) -> Asked:
        found = _PATH.match(request.path)
        part = found.groupdict(default="") if found else dict.fromkeys(_PATH.groupindex, "")
        body = _parsed(data)
        verb = _WRITES.get(request.method) or (
            "watch" if request.query.get("watch") == "true" else "get" if part["name"] else "list"
        )
        label, turn = "", 0
        if request.method in _WRITES and part["resource"] != "leases":
            label = label_of(verb, part["resource"], part["name"], part["subresource"], body)
            self._turns[part["namespace"], label] += 1
            turn = self._turns[part["namespace"], label]
        return Asked(
            verb=verb,
            resource=part["resource"],
            namespace=part["namespace"],
            name=part["name"],
            subresource=part["subresource"],
            body=body,
            label=label,
            turn=turn,
        )

    def _note(self, asked: Asked, code: int, *, invented: bool = False) -> None:
        self.log.append(Done(asked=asked, code=code, at=time.monotonic(), invented=invented))


def label_of(verb: str, resource: str, name: str, subresource: str, body: Body) -> str:
    """What a write is, without the names and hashes that differ from namespace to namespace."""
    kind = body.get("kind", resource)
    spec = body.get("spec") or {}
    if kind == "Event":
        about = body.get("regarding") or {}
        return f"{verb} Event {about.get('kind')} {body.get('reason')}"
    what = ""
    if kind == "PipelineExecution":
        what = spec["pipeline"].get("builtin", "")
    elif kind == "Job":
        args = spec["template"]["spec"]["containers"][0]["args"]
        found = _BUILTIN.search(" ".join(args))
        number = str(body["metadata"]["name"]).rpartition("-")[2]
        what = f"{found[1] if found else 'pipeline'}-{number}"
    words = ("status" if subresource == "status" else verb, kind, what)
    return " ".join(word for word in words if word)


def plans(done: Iterable[Done]) -> list[tuple[str, int]]:
    """The writes of a run as (label, turn), in their order."""
    return [(one.asked.label, one.asked.turn) for one in done]


def _parsed(data: bytes) -> Body:
    try:
        body = json.loads(data)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _answered(answer: aiohttp.ClientResponse) -> dict[str, str]:
    names = ("Content-Type", "Retry-After")
    return {name: answer.headers[name] for name in names if name in answer.headers}


def _refusal(fault: Fault) -> web.Response:
    reasons = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 503: "ServiceUnavailable"}
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "refused by the test",
        "reason": reasons.get(fault.code, "InternalError"),
        "code": fault.code,
    }
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return web.json_response(body, status=fault.code, headers=headers)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()
