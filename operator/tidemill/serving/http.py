"""The protocol's REST endpoints as an ASGI application, with metrics.

A short prediction runs on the event loop: handing it to a thread would cost more than it takes. A
long one (many rows, or a slow model) runs in a pool, so that health and metrics always answer.
"""

import asyncio
import logging
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import orjson
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from tidemill import __version__
from tidemill.serving import protocol
from tidemill.serving.counters import Counters
from tidemill.serving.logentry import Entry, Log, in_sample
from tidemill.serving.model import OnnxModel
from tidemill.serving.protocol import Query, RequestError
from tidemill.serving.telemetry import Telemetry

_LOG = logging.getLogger(__name__)
_BODIES_AT_ONCE = 4
_FUTURE = timedelta(minutes=5).total_seconds()
_JSON_TYPES = frozenset((b"", b"application/json", b"application/octet-stream"))
_CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one server takes at most."""

    rows: int
    body_bytes: int
    body_seconds: float
    concurrency: int
    sample: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The model under its name, and who keeps count of what it does."""

    name: str
    revision: str
    model: OnnxModel
    counters: Counters
    telemetry: Telemetry
    registry: CollectorRegistry
    log: Log | None


class Application:
    """The ASGI application. All but long predictions happens on the event loop's thread."""

    def __init__(self, served: Served, limits: Limits, pool: ThreadPoolExecutor) -> None:
        self._served = served
        self._limits = limits
        self._pool = pool
        self._draining = False
        self._working = 0
        self._body_bytes = 0
        self._identity = {"model_name": served.name, "model_version": served.revision}
        self._threshold = served.model.signature.threshold
        model = f"/v2/models/{served.name}"
        version = f"{model}/versions/{served.revision}"
        self._infer_paths = frozenset((f"{model}/infer", f"{version}/infer"))
        self._rest = Starlette(
            routes=self._routes(), exception_handlers={HTTPException: _http_error}
        )

    def drain(self) -> None:
        """Be no longer ready, and let each connection go with its next answer."""
        self._draining = True

    @property
    def draining(self) -> bool:
        """Tell whether the server has been told to end."""
        return self._draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return
        if scope["method"] == "POST" and scope["path"].endswith("/infer"):
            await self._infer(scope, receive, send)
        else:
            await self._rest(scope, receive, self._closing(send) if self._draining else send)

    # Inference

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an inference request and count it, whatever becomes of it."""
        start, arrived_at = time.perf_counter(), time.time()
        code = 500
        self._working += 1
        try:
            code, body, json_length = await self._answer(scope, receive, arrived_at)
            await self._respond(send, code, body, json_length)
        finally:
            self._working -= 1
            self._served.telemetry.request(code, time.perf_counter() - start)

    async def _answer(
        self, scope: Scope, receive: Receive, arrived_at: float
    ) -> tuple[int, bytes, int | None]:
        """Return status code, body and, with binary data, the length of the body's JSON part."""
        try:
            if scope["path"] not in self._infer_paths:
                raise RequestError(404, f"there is no model at {scope['path'][:200]}")
            if self._working > self._limits.concurrency:
                said = f"{self._limits.concurrency} requests are in work already; try again"
                raise RequestError(429, said)
            headers = _headers(scope)
            body = await self._read(headers, receive)
            length = _json_length(headers.get(b"inference-header-content-length"))
            query = protocol.decode(body, length, self._served.model.layout, self._limits.rows)
            header_id = headers.get(b"x-request-id", b"").decode("latin-1")[:256]
            request_id = query.id or header_id or uuid.uuid4().hex
            scores = await self._predict(query)
            decisions = scores >= self._threshold
            answer = protocol.encode(self._identity, request_id, query, scores, decisions)
            self._record(request_id, query, scores, decisions, arrived_at)
        except RequestError as error:
            for feature, count in error.invalid.items():
                self._served.counters.add_invalid(feature, count)
            return error.status, protocol.error_body(str(error)), None
        except Exception:
            _LOG.exception("a request could not be answered")
            return 500, protocol.error_body("internal error; the server's log says more"), None
        return 200, *answer

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Read the body. Raises RequestError if it is too long, too slow or of another type."""
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind not in _JSON_TYPES:
            said = "Content-Type must be application/json"
            raise RequestError(400, f"{said}, or application/octet-stream with binary data")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise RequestError(400, "Content-Encoding must be identity")
        limit = self._limits.body_bytes
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > 15 or int(announced) > limit:
            raise RequestError(413, f"the body is longer than {limit} bytes")
        message = await self._next(receive)
        if not message.get("more_body", False):
            return self._short(bytes(message.get("body", b"")))
        chunks, taken = [], 0
        try:
            while True:
                chunks.append(message.get("body", b""))
                taken += len(chunks[-1])
                self._body_bytes += len(chunks[-1])
                if self._body_bytes > _BODIES_AT_ONCE * limit:
                    raise RequestError(429, "too many long bodies are arriving; try again")
                if taken > limit:
                    raise RequestError(413, f"the body is longer than {limit} bytes")
                if not message.get("more_body", False):
                    return b"".join(chunks)
                message = await self._next(receive)
        finally:
            self._body_bytes -= taken

    def _short(self, body: bytes) -> bytes:
        """Check a body that came in one piece."""
        if len(body) > self._limits.body_bytes:
            raise RequestError(413, f"the body is longer than {self._limits.body_bytes} bytes")
        return body

    async def _next(self, receive: Receive) -> Message:
        """Wait for the next piece of the body."""
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                message = await receive()
        except TimeoutError:
            said = f"the body did not arrive within {self._limits.body_seconds:g} s"
            raise RequestError(400, said) from None
        if message["type"] == "http.disconnect":
            raise RequestError(400, "the sender went away")
        return message

    async def _predict(self, query: Query) -> NDArray[np.float64]:
        if query.batch.rows <= self._served.model.inline_rows:
            return self._served.model.predict(query.batch)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._served.model.predict, query.batch)

    def _record(
        self,
        request_id: str,
        query: Query,
        scores: NDArray[np.float64],
        decisions: NDArray[np.bool_],
        arrived_at: float,
    ) -> None:
        """Count and log one answered request."""
        served = self._served
        served.counters.add(query.batch, scores)
        event_time = query.event_time
        if event_time is None or event_time > arrived_at + _FUTURE:
            event_time = arrived_at  # a time to come would hide all that follow
        served.telemetry.event_time(event_time)
        if served.log is not None and in_sample(request_id, self._limits.sample):
            served.log.offer(
                Entry(request_id, event_time, arrived_at, query.batch, scores, decisions)
            )

    async def _respond(self, send: Send, code: int, body: bytes, json_length: int | None) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        if json_length is not None:
            headers[0] = (b"content-type", b"application/octet-stream")
            headers.append((b"inference-header-content-length", str(json_length).encode()))
        if code == 429:
            headers.append((b"retry-after", b"1"))
        if self._draining:
            headers.append(_CLOSE)
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    # Everything else

    def _routes(self) -> list[Route]:
        model = "/v2/models/{name}"
        version = f"{model}/versions/{{version}}"
        routes = [
            Route("/v2", self._get_server),
            Route("/v2/health/live", self._get_live),
            Route("/v2/health/ready", self._get_ready),
            Route("/metrics", self._get_metrics),
        ]
        for path in (model, version):
            routes.append(Route(path, self._get_model))
            routes.append(Route(f"{path}/ready", self._get_model_ready))
            routes.append(Route(f"{path}/infer", _only_post))
        return routes

    def _closing(self, send: Send) -> Send:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), _CLOSE]
            await send(message)

        return closing

    async def _get_server(self, _: Request) -> Response:
        extensions = list(protocol.EXTENSIONS)
        return _json({"name": "tidemill", "version": __version__, "extensions": extensions})

    async def _get_live(self, _: Request) -> Response:
        return _json({"live": True})

    async def _get_ready(self, _: Request) -> Response:
        return _json({"ready": not self._draining}, 503 if self._draining else 200)

    async def _get_model(self, request: Request) -> Response:
        self._check_model(request)
        served = self._served
        order = [feature.name for feature in served.model.signature.features]
        described = protocol.metadata(served.name, served.revision, served.model.layout, order)
        return _json(described)

    async def _get_model_ready(self, request: Request) -> Response:
        self._check_model(request)
        described = {"name": self._served.name, "ready": not self._draining}
        return _json(described, 503 if self._draining else 200)

    async def _get_metrics(self, request: Request) -> Response:
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._served.registry), headers={"content-type": kind})

    def _check_model(self, request: Request) -> None:
        name = request.path_params["name"]
        version = request.path_params.get("version", self._served.revision)
        if (name, version) != (self._served.name, self._served.revision):
            raise HTTPException(404, f"there is no model at {request.url.path[:200]}")


async def _only_post(_: Request) -> Response:
    raise HTTPException(405, "send inference requests with POST", headers={"allow": "POST"})


def _json(content: object, code: int = 200) -> Response:
    return Response(orjson.dumps(content), code, media_type="application/json")


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  what this handler is registered for
    response = _json({"error": error.detail}, error.status_code)
    response.headers.update(error.headers or {})
    return response


def _headers(scope: Scope) -> dict[bytes, bytes]:
    return dict(scope["headers"])


def _json_length(value: bytes | None) -> int | None:
    if value is None:
        return None
    if not value.isdigit() or len(value) > 15:
        raise RequestError(400, "Inference-Header-Content-Length is not a number")
    return int(value)
