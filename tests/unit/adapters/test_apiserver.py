"""`ApiServer`: what it sends, and what each answer becomes."""

import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.unit.adapters.http_server import HttpServer, says, streams
from tidemill.adapters import apiserver
from tidemill.adapters.apiserver import Answer, ApiServer, to_error
from tidemill.adapters.resources import OWN, TYPES
from tidemill.core.plan import Body, Delete
from tidemill.errors import ConflictError, TerminalError, TidemillError, TransientError

SERVICE: Body = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "mill", "namespace": "sea", "uid": "u", "resourceVersion": "5"},
}


class Pass:
    """A connection to the test's server; its token may change."""

    proxy_url = None

    def __init__(self, server: str) -> None:
        self.server = server
        self.token = "first"

    def as_http_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def as_ssl_context(self) -> ssl.SSLContext:
        return ssl.create_default_context()


@pytest.fixture
def credential(server: HttpServer) -> Pass:
    return Pass(server.url)


@pytest.fixture
async def api(credential: Pass) -> AsyncIterator[ApiServer]:
    client = ApiServer(lambda: credential)
    await client.open()
    yield client
    await client.close()


REFUSALS: dict[str, tuple[int, Body, type[TidemillError], str | None]] = {
    "a taken name": (409, {"reason": "AlreadyExists"}, ConflictError, None),
    "an outdated version": (409, {"reason": "Conflict"}, ConflictError, None),
    "a precondition": (412, {}, ConflictError, None),
    "another uid": (
        422,
        {"reason": "Invalid", "details": {"causes": [{"field": "metadata.uid"}]}},
        ConflictError,
        None,
    ),
    "an invalid spec": (
        422,
        {"reason": "Invalid", "details": {"causes": [{"field": "spec.x"}]}},
        TerminalError,
        "Invalid",
    ),
    "a right that is missing": (403, {"reason": "Forbidden"}, TerminalError, "Forbidden"),
    "a namespace that ends": (
        403,
        {"reason": "Forbidden", "details": {"causes": [{"reason": "NamespaceTerminating"}]}},
        TerminalError,
        "NamespaceTerminating",
    ),
    "a quota": (
        403,
        {"reason": "Forbidden", "message": "pods is forbidden: exceeded quota: small"},
        TerminalError,
        "QuotaExceeded",
    ),
    "what is not there": (404, {"reason": "NotFound"}, TerminalError, "NotFound"),
    "a 404 of a proxy": (404, {}, TerminalError, "NotFound"),
    "a malformed request": (400, {"reason": "BadRequest"}, TerminalError, "BadRequest"),
    "an unknown refusal": (418, {}, TerminalError, "Refused"),
    "a credential that is over": (401, {}, TransientError, None),
    "a version that is gone": (410, {"reason": "Expired"}, TransientError, None),
    "too many requests": (429, {}, TransientError, None),
    "a server in trouble": (503, {}, TransientError, None),
}


@pytest.mark.parametrize(("code", "status", "kind", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_becomes(
    code: int, status: Body, kind: type[TidemillError], reason: str | None
) -> None:
    error = to_error("update", "/api/v1/x", code, status)

    assert isinstance(error, kind)
    assert getattr(error, "reason", None) == reason
    assert isinstance(error, ConflictError) is (kind is ConflictError)


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [("7", None, 7.0), (None, 3, 3.0), ("7", 3, 7.0), ("soon", None, None), (None, None, None)],
)
def test_the_time_a_server_asks_for(
    header: str | None, details: int | None, seconds: float | None
) -> None:
    status = {"details": {"retryAfterSeconds": details}} if details is not None else {}

    error = to_error("get", "/", 429, status, header)

    assert isinstance(error, TransientError) and error.retry_after == seconds


def test_an_answer_without_words_is_named_by_its_code() -> None:
    assert str(to_error("get", "/api", 503, {})) == "get /api was answered with HTTP 503"


async def test_every_request_says_who_asks(api: ApiServer, server: HttpServer) -> None:
    server.answer = says(SERVICE)

    await api.get(TYPES["Service"], "sea", "mill")

    assert server.requests == [("GET", "/api/v1/namespaces/sea/services/mill", {})]
    assert server.headers[0]["User-Agent"] == "tidemill/0.1.0"
    assert server.headers[0]["Authorization"] == "Bearer first"


async def test_what_is_not_there_is_none(api: ApiServer, server: HttpServer) -> None:
    server.answer = says({"reason": "NotFound"}, 404)

    assert await api.get(TYPES["Service"], "sea", "mill") is None


async def test_a_list_comes_in_pages_and_its_items_know_their_kind(
    api: ApiServer, server: HttpServer
) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        more = request.query.get("continue")
        item = {"metadata": {"name": more or "first"}}
        about = {"resourceVersion": "9", "continue": "" if more else "second"}
        return web.json_response({"metadata": about, "items": [item]})

    server.answer = page
    seen: list[Body] = []

    version = await api.list_all(OWN["Dataset"], "", "a=b", seen.append)

    assert version == "9"
    assert [(item["kind"], item["metadata"]["name"]) for item in seen] == [
        ("Dataset", "first"),
        ("Dataset", "second"),
    ]
    assert server.requests[0] == (
        "GET",
        "/apis/tidemill.dev/v1alpha1/datasets",
        {"limit": "250", "labelSelector": "a=b"},
    )


async def test_apply_is_server_side_with_our_manager(api: ApiServer, server: HttpServer) -> None:
    server.answer = says(SERVICE)

    await api.apply(SERVICE, force=True)

    assert server.requests == [
        (
            "PATCH",
            "/api/v1/namespaces/sea/services/mill",
            {"fieldManager": "tidemill", "force": "true"},
        )
    ]
    assert server.headers[0]["Content-Type"] == "application/apply-patch+yaml"


async def test_creating_a_taken_name_is_none(api: ApiServer, server: HttpServer) -> None:
    server.answer = says({"reason": "AlreadyExists"}, 409)

    assert await api.create(SERVICE) is None


async def test_a_delete_names_the_uid(api: ApiServer, server: HttpServer) -> None:
    server.answer = says({"kind": "Status", "status": "Success"})
    what = Delete(api_version="v1", kind="Service", namespace="sea", name="mill", uid="u")

    assert await api.delete(what) is None
    assert json.loads(server.bodies[0]) == {
        "preconditions": {"uid": "u"},
        "propagationPolicy": "Background",
    }


async def test_a_delete_that_must_wait_gives_the_object(api: ApiServer, server: HttpServer) -> None:
    server.answer = says(SERVICE)
    what = Delete(api_version="v1", kind="Service", namespace="sea", name="mill", uid="u")

    assert await api.delete(what) == SERVICE


async def test_finalizers_are_written_only_at_the_version_seen(
    api: ApiServer, server: HttpServer
) -> None:
    server.answer = says({"reason": "Invalid", "message": "testing value failed"}, 422)

    with pytest.raises(ConflictError):
        await api.set_finalizers(SERVICE, ["ours"])

    assert json.loads(server.bodies[0]) == [
        {"op": "test", "path": "/metadata/uid", "value": "u"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "5"},
        {"op": "add", "path": "/metadata/finalizers", "value": ["ours"]},
    ]


async def test_nothing_is_written_past_the_fence(server: HttpServer, credential: Pass) -> None:
    def fence() -> None:
        raise TransientError("not now")

    api = ApiServer(lambda: credential, fence=fence)
    await api.open()
    server.answer = says(SERVICE)
    what = Delete(api_version="v1", kind="Service", namespace="sea", name="mill", uid="u")
    writes: list[Any] = [
        api.apply(SERVICE, force=False), api.create(SERVICE), api.replace(SERVICE, "status"),
        api.delete(what), api.set_finalizers(SERVICE, []),
    ]  # fmt: skip

    for write in writes:
        with pytest.raises(TransientError, match="not now"):
            await write

    assert server.requests == []
    await api.replace(SERVICE, fenced=False)
    assert len(server.requests) == 1
    await api.close()


async def test_an_expired_token_is_read_again(
    api: ApiServer, server: HttpServer, credential: Pass
) -> None:
    async def strict(request: web.Request) -> web.StreamResponse:
        known = request.headers["Authorization"] == "Bearer second"
        return web.json_response(SERVICE if known else {}, status=200 if known else 401)

    server.answer, credential.token = strict, "second"

    assert await api.get(TYPES["Service"], "sea", "mill") == SERVICE


async def test_a_token_nobody_takes_is_transient(api: ApiServer, server: HttpServer) -> None:
    server.answer = says({}, 401)

    with pytest.raises(TransientError):
        await api.get(TYPES["Service"], "sea", "mill")

    assert len(server.requests) == 2


async def test_no_sense_and_no_answer_are_transient(
    api: ApiServer, server: HttpServer, credential: Pass
) -> None:
    async def garbage(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    server.answer = garbage
    with pytest.raises(TransientError):
        await api.get(TYPES["Service"], "sea", "mill")
    await server.stop()
    with pytest.raises(TransientError):
        await api.get(TYPES["Service"], "sea", "mill")
    await server.start()


async def test_a_redirect_is_not_followed(api: ApiServer, server: HttpServer) -> None:
    server.answer = says({}, 302, {"Location": "/elsewhere"})

    with pytest.raises(TidemillError):
        await api.get(TYPES["Service"], "sea", "mill")

    assert len(server.requests) == 1


async def test_an_unknown_kind_is_refused_before_it_is_sent(
    api: ApiServer, server: HttpServer
) -> None:
    with pytest.raises(TerminalError, match="v1 Secret is not a kind we manage"):
        await api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {}}, force=False)

    assert server.requests == []


def line(type_: str, version: int, **more: str) -> bytes:
    body = {"metadata": {"name": "mill", "resourceVersion": str(version), **more}}
    return json.dumps({"type": type_, "object": body}).encode() + b"\n"


async def watched(api: ApiServer) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    async for event in api.watch(TYPES["Service"], "", "a=b", "7"):
        found.append((event.type, event.body["metadata"]["resourceVersion"]))
    return found


async def test_a_watch_reads_lines_however_they_are_cut(api: ApiServer, server: HttpServer) -> None:
    whole = line("ADDED", 8, padding="x" * 300_000) + line("BOOKMARK", 9) + line("DELETED", 10)
    server.answer = streams(whole[:5], whole[5:300_100], whole[300_100:])

    assert await watched(api) == [("ADDED", "8"), ("BOOKMARK", "9"), ("DELETED", "10")]
    query = server.requests[0][2]
    assert (query["resourceVersion"], query["allowWatchBookmarks"]) == ("7", "true")
    assert "sendInitialEvents" not in query


@pytest.mark.parametrize("rest", [b"", line("MODIFIED", 9)[:20]], ids=["between", "within a line"])
async def test_a_watch_that_is_cut_has_told_all_that_was_whole(
    api: ApiServer, server: HttpServer, rest: bytes
) -> None:
    server.answer = streams(line("ADDED", 8), rest, cut=True)

    assert await watched(api) == [("ADDED", "8")]


@pytest.mark.parametrize(
    "bad",
    [
        b'{"type":"ERROR","object":{"code":410,"message":"too old"}}\n',
        b'{"type":"ERROR","object":{"code":500,"message":"oops"}}\n',
        b"<html>\n",
        b"[]\n",
        b'{"type":"ADDED","object":{}}\n',
        line("MELTED", 9),
    ],
    ids=["410", "500", "garbage", "a list", "no metadata", "unknown type"],
)
async def test_a_watch_that_goes_wrong_is_transient(
    api: ApiServer, server: HttpServer, bad: bytes
) -> None:
    server.answer = streams(line("ADDED", 8), bad)

    with pytest.raises(TransientError):
        await watched(api)


async def test_a_line_without_end_is_given_up(
    api: ApiServer, server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apiserver, "_MAX_LINE", 1000)
    server.answer = streams(b"x" * 2000, b"y")

    with pytest.raises(TransientError, match="longer than 1000 bytes"):
        await watched(api)


async def test_a_refused_watch_is_an_error(api: ApiServer, server: HttpServer) -> None:
    server.answer = says({"message": "too old resource version"}, 410)

    with pytest.raises(TransientError, match="too old"):
        await watched(api)


async def test_a_session_for_others_shares_login_and_tells_of_answers(
    api: ApiServer, server: HttpServer
) -> None:
    told: list[Answer] = []
    server.answer = says({}, 201)

    session = api.hosted_session(told.append)
    async with session.get(f"{server.url}/apis/x?watch=true"):
        pass
    async with session.get(f"{server.url}/apis/x"):
        pass
    with pytest.raises(aiohttp.ClientError):
        await session.get("http://127.0.0.1:1/apis/y")
    await session.close()

    assert told == [
        Answer("GET", "/apis/x", True, 201),
        Answer("GET", "/apis/x", False, 201),
        Answer("GET", "/apis/y", False, 0),
    ]
    assert server.headers[0]["Authorization"] == "Bearer first"
    assert server.headers[0]["User-Agent"] == "tidemill/0.1.0"
    server.answer = says(SERVICE)
    assert await api.get(TYPES["Service"], "sea", "mill") == SERVICE


async def test_without_a_credential_it_does_not_open() -> None:
    def nobody() -> Pass:
        raise FileNotFoundError("no kubeconfig")

    with pytest.raises(TransientError, match="no kubeconfig"):
        await ApiServer(nobody).open()
