"""The Kubernetes API server: the only module that speaks HTTP to it.

One pooled client for everything. It logs in through a function it is given, reads the credential
again every minute and after a 401, and raises by one table:

    TransientError   no answer, no sense in the answer, 401, 408, 410, 429, 5xx
    ConflictError    409, 412, and 422 about uid or resourceVersion: gather again
    TerminalError    any other 4xx; the reason is the server's, or NamespaceTerminating,
                     QuotaExceeded
"""

import random
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
from pydantic_core import from_json, to_json

from tidemill import __version__
from tidemill.adapters.resources import ResourceType, type_of
from tidemill.core.identity import FIELD_MANAGER
from tidemill.core.plan import Body, Delete
from tidemill.errors import ConflictError, TerminalError, TransientError

USER_AGENT = f"tidemill/{__version__}"
PAGE = 250
"""Objects per page of a list; keeps one answer's decoding within a few milliseconds."""

_REQUEST = aiohttp.ClientTimeout(total=30, connect=10)
# The server sends a bookmark about once a minute: a stream silent for longer is dead.
_WATCH = aiohttp.ClientTimeout(total=None, connect=10, sock_read=150)
_WATCH_SECONDS = (1500, 2100)
_LOGIN_SECONDS = 60.0
_MAX_LINE = 16 * 1024 * 1024
_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_JSON = "application/json"


class Connection(Protocol):
    """Where the API server is and how to be let in; kopf's ConnectionInfo is one."""

    @property
    def server(self) -> str:
        """Its base URL."""
        ...

    @property
    def proxy_url(self) -> str | None:
        """The proxy to use, if any."""
        ...

    def as_http_headers(self) -> dict[str, str]:
        """The Authorization header, or nothing."""
        ...

    def as_ssl_context(self) -> ssl.SSLContext:
        """What to trust, and the client certificate."""
        ...


Login = Callable[[], Connection]
Observe = Callable[[str, str, int, float], None]
"""Told of every answered request: verb, kind, HTTP status (0: none), seconds."""
Fence = Callable[[], None]
"""Called before every write; raises TransientError when we may not write."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    body: Body


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request of somebody else's; `code` 0 is no answer."""

    method: str
    path: str
    watch: bool
    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    verb: str
    method: str
    path: str
    kind: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = _JSON


class ApiServer:
    """A client of one API server. `open` first, `close` last."""

    def __init__(
        self,
        login: Login,
        *,
        fence: Fence = lambda: None,
        observe: Observe = lambda verb, kind, code, seconds: None,
    ) -> None:
        self._login = login
        self._fence = fence
        self._observe = observe
        self._connection: Connection | None = None
        self._headers: dict[str, str] = {}
        self._read_at = 0.0
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Log in. Raises TransientError when there is no usable credential."""
        self._refresh()
        if self._connection is None:
            raise TransientError("there is no credential for the API server")
        connector = aiohttp.TCPConnector(
            limit=0, ssl=self._connection.as_ssl_context(), keepalive_timeout=30
        )
        self._session = self._new_session(connector, owner=True)

    async def close(self) -> None:
        """End all requests and connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def server(self) -> str:
        """The API server's base URL."""
        return self._connected.server

    def hosted_session(self, on_answer: Callable[[Answer], None]) -> aiohttp.ClientSession:
        """A session for someone else on the same connections; they close it.

        `on_answer` is told of each request once its status is known, or that there is none.
        """
        self._refresh()
        trace = aiohttp.TraceConfig()

        async def ended(
            session: aiohttp.ClientSession, context: object, done: aiohttp.TraceRequestEndParams
        ) -> None:
            watch = done.url.query.get("watch") == "true"
            on_answer(Answer(done.method, done.url.path, watch, done.response.status))

        async def failed(
            session: aiohttp.ClientSession,
            context: object,
            done: aiohttp.TraceRequestExceptionParams,
        ) -> None:
            watch = done.url.query.get("watch") == "true"
            on_answer(Answer(done.method, done.url.path, watch, 0))

        trace.on_request_end.append(ended)
        trace.on_request_exception.append(failed)
        connector = self._opened.connector
        if connector is None:
            raise TransientError("the client is closed")
        return self._new_session(connector, owner=False, trace=trace, headers=self._headers)

    async def get(self, type_: ResourceType, namespace: str, name: str) -> Body | None:
        """One object as the server has it now, or None."""
        request = _Request(
            verb="get", method="GET", path=type_.path(namespace, name), kind=type_.kind
        )
        try:
            return await self._call(request)
        except TerminalError as error:
            if error.reason == "NotFound":
                return None
            raise

    async def list_all(
        self, type_: ResourceType, namespace: str, selector: str, each: Callable[[Body], None]
    ) -> str:
        """Hand over every object, page by page, and return the list's resourceVersion.

        Raises TerminalError("NotFound") when the kind is not installed.
        """
        params = {"limit": str(PAGE), "labelSelector": selector}
        while True:
            answer = await self._call(
                _Request(
                    verb="list", method="GET", path=type_.path(namespace),
                    kind=type_.kind, params={k: v for k, v in params.items() if v},
                )
            )  # fmt: skip
            for item in answer["items"]:
                item.setdefault("apiVersion", type_.api_version)
                item.setdefault("kind", type_.kind)
                each(item)
            token = answer["metadata"].get("continue")
            if not token:
                return str(answer["metadata"]["resourceVersion"])
            params["continue"] = token

    async def watch(
        self, type_: ResourceType, namespace: str, selector: str, since: str
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes after resourceVersion `since`, until the stream ends, is cut or falls silent.

        What came before is true, so the next watch may go on from its version. Raises
        TransientError when the stream cannot be begun, for garbage and for an ERROR in it.
        """
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),  # noqa: S311
            "labelSelector": selector,
        }
        request = _Request(
            verb="watch", method="GET", path=type_.path(namespace), kind=type_.kind,
            params={k: v for k, v in params.items() if v},
        )  # fmt: skip
        response = await self._send(request, _WATCH)
        try:
            async for line in _lines(response.content):
                yield _parse_event(line)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return
        finally:
            response.close()

    async def apply(self, body: Body, *, force: bool) -> Body:
        """Server-side apply a whole body as manager tidemill; return the stored object."""
        type_, metadata = type_of(body), body["metadata"]
        return await self._write(
            _Request(
                verb="apply", method="PATCH", kind=type_.kind, body=body, content_type=_APPLY,
                path=type_.path(metadata.get("namespace", ""), metadata["name"]),
                params={"fieldManager": FIELD_MANAGER, "force": str(force).lower()},
            )
        )  # fmt: skip

    async def create(self, body: Body, *, fenced: bool = True) -> Body | None:
        """Create an object and return it as stored, or None if one of that name exists.

        Only the Lease itself is written unfenced.
        """
        type_ = type_of(body)
        request = _Request(
            verb="create", method="POST", kind=type_.kind, body=body,
            path=type_.path(body["metadata"].get("namespace", "")),
            params={"fieldManager": FIELD_MANAGER},
        )  # fmt: skip
        try:
            return await self._write(request, fenced=fenced)
        except _ExistsError:
            return None

    async def replace(self, body: Body, subresource: str = "", *, fenced: bool = True) -> Body:
        """Replace an object, or its status, at the uid and resourceVersion the body carries."""
        type_, metadata = type_of(body), body["metadata"]
        return await self._write(
            _Request(
                verb="update", method="PUT", kind=type_.kind, body=body,
                path=type_.path(metadata.get("namespace", ""), metadata["name"], subresource),
                params={"fieldManager": FIELD_MANAGER},
            ),
            fenced=fenced,
        )  # fmt: skip

    async def delete(self, what: Delete) -> Body | None:
        """Delete one object by uid. Returns it when something still holds it, None when gone."""
        type_ = type_of({"apiVersion": what.api_version, "kind": what.kind})
        policy = "Background" if what.background else "Foreground"
        options = {"preconditions": {"uid": what.uid}, "propagationPolicy": policy}
        request = _Request(
            verb="delete", method="DELETE", kind=type_.kind, body=options,
            path=type_.path(what.namespace, what.name),
        )  # fmt: skip
        try:
            answer = await self._write(request)
        except TerminalError as error:
            if error.reason == "NotFound":
                return None
            raise
        return None if answer.get("kind") == "Status" else answer

    async def set_finalizers(self, body: Body, wanted: list[str]) -> Body:
        """Write an object's finalizers if it still is at this resourceVersion."""
        type_, metadata = type_of(body), body["metadata"]
        version = metadata["resourceVersion"]
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/finalizers", "value": wanted},
        ]
        request = _Request(
            verb="patch", method="PATCH", kind=type_.kind, body=patch, content_type=_JSON_PATCH,
            path=type_.path(metadata.get("namespace", ""), metadata["name"]),
            params={"fieldManager": FIELD_MANAGER},
        )  # fmt: skip
        try:
            return await self._write(request)
        except TerminalError as error:
            if error.reason == "Invalid":  # a test of the patch did not hold
                raise ConflictError(str(error)) from error
            raise

    async def _write(self, request: _Request, *, fenced: bool = True) -> Body:
        if fenced:
            self._fence()
        return await self._call(request)

    async def _call(self, request: _Request) -> Body:
        response = await self._send(request, _REQUEST)
        try:
            raw = await response.read()
            answer: Body = from_json(raw, cache_strings="keys")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise TransientError(f"{request.verb} {request.path}: {_said(error)}") from error
        finally:
            response.release()
        return answer

    async def _send(
        self, request: _Request, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        if time.monotonic() - self._read_at > _LOGIN_SECONDS:
            self._refresh()
        response = await self._send_once(request, timeout)
        if response.status == 401:
            response.release()
            self._refresh()
            response = await self._send_once(request, timeout)
        if response.status >= 300:
            raise await _failure(request, response)
        return response

    async def _send_once(
        self, request: _Request, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        headers = {**self._headers, "Accept": _JSON}
        data = None
        if request.body is not None:
            data = to_json(request.body)
            headers["Content-Type"] = request.content_type
        begun, code = time.monotonic(), 0
        try:
            response = await self._opened.request(
                request.method, self._connected.server.rstrip("/") + request.path,
                params=request.params, data=data, headers=headers, timeout=timeout,
                allow_redirects=False, proxy=self._connected.proxy_url,
            )  # fmt: skip
            code = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransientError(f"{request.verb} {request.path}: {_said(error)}") from error
        finally:
            self._observe(request.verb, request.kind, code, time.monotonic() - begun)
        return response

    def _new_session(
        self,
        connector: aiohttp.BaseConnector,
        *,
        owner: bool,
        trace: aiohttp.TraceConfig | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            connector_owner=owner,
            headers={"User-Agent": USER_AGENT, **(headers or {})},
            trace_configs=[trace] if trace else None,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def _refresh(self) -> None:
        """Read the credential again; an unreadable one leaves the last."""
        self._read_at = time.monotonic()
        try:
            self._connection = self._login()
        except Exception as error:  # whatever a login function may raise
            if self._connection is None:
                raise TransientError(f"no credential for the API server: {error}") from error
            return
        self._headers = self._connection.as_http_headers()

    @property
    def _connected(self) -> Connection:
        if self._connection is None:
            raise TransientError("the client is not open")
        return self._connection

    @property
    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise TransientError("the client is not open")
        return self._session


class _ExistsError(ConflictError):
    """409 AlreadyExists."""


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines of any length; aiohttp's own iteration refuses those over 128 KiB."""
    held = bytearray()
    async for chunk in content.iter_any():
        held += chunk
        *whole, rest = bytes(held).split(b"\n") if b"\n" in chunk else [bytes(held)]
        for line in whole:
            if line:
                yield line
        held = bytearray(rest)
        if len(held) > _MAX_LINE:
            raise TransientError(f"a line of the watch is longer than {_MAX_LINE} bytes")


def _parse_event(line: bytes) -> WatchEvent:
    try:
        event = from_json(line, cache_strings="keys")
        type_, body = event["type"], event["object"]
        if type_ == "ERROR":
            raise TransientError(f"the watch ended: {body.get('code')} {body.get('message')}")
        body["metadata"]["resourceVersion"]  # noqa: B018
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TransientError("the watch sent something that is no event") from error
    if type_ not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
        raise TransientError(f"the watch sent an event of unknown type {type_!r}")
    return WatchEvent(type_, body)


async def _failure(
    request: _Request, response: aiohttp.ClientResponse
) -> TransientError | TerminalError:
    try:
        status = from_json(await response.read())
        status = status if isinstance(status, dict) else {}
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        status = {}
    finally:
        response.release()
    return to_error(
        request.verb, request.path, response.status, status, response.headers.get("Retry-After")
    )


def to_error(
    verb: str, path: str, code: int, status: Body, retry_after: str | None = None
) -> TransientError | TerminalError:
    """The error that a refusal stands for: the table at the head of this module."""
    details = status.get("details") or {}
    reason = status.get("reason") or ""
    message = (status.get("message") or f"{verb} {path} was answered with HTTP {code}")[:512]
    if code in (401, 408, 410, 429) or code >= 500:
        return TransientError(message, _seconds(retry_after, details.get("retryAfterSeconds")))
    if code == 409 and reason == "AlreadyExists":
        return _ExistsError(message)
    if code in (409, 412) or (code == 422 and _about_identity(status)):
        return ConflictError(message)
    if code == 403:
        causes = [cause.get("reason") for cause in details.get("causes") or ()]
        if "NamespaceTerminating" in causes:
            return TerminalError("NamespaceTerminating", message)
        if "exceeded quota" in message:
            return TerminalError("QuotaExceeded", message)
    return TerminalError(
        reason or {404: "NotFound", 403: "Forbidden"}.get(code, "Refused"), message
    )


def _about_identity(status: Body) -> bool:
    causes = (status.get("details") or {}).get("causes") or ()
    fields = {cause.get("field") for cause in causes}
    return bool(fields & {"metadata.uid", "metadata.resourceVersion"})


def _seconds(header: str | None, details: object) -> float | None:
    for value in (header, details):
        try:
            if value is not None:
                return max(0.0, float(str(value)))
        except ValueError:
            continue
    return None


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
