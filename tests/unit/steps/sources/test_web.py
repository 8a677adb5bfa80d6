"""One file by HTTP, from servers that behave and from servers that do not."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.steps.sources.webserver import Page, Server, Waits, impatient, web_server
from tidemill.api.v1alpha1.datasource import ObjectsSource
from tidemill.steps.failures import StepError
from tidemill.steps.objects import sha256
from tidemill.steps.sources.client import Client
from tidemill.steps.sources.web import Web

CSV = b"x,y\n1,2\n3,4\n"
TIME = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.fixture
def server() -> Iterator[Server]:
    """An empty server."""
    with web_server() as made:
        yield made


def web(server: Server, path: str = "/a.csv", client: Client | None = None, **spec: Any) -> Web:
    """The source of one page."""
    body = {"uri": server.url(path), **spec}
    return Web(ObjectsSource.model_validate(body), client or impatient())


FINE: dict[str, tuple[str, Page, str | None]] = {
    "an ETag": ("/a.csv", Page(CSV, {"ETag": '"1"', "Last-Modified": TIME}), sha256(b'"1"')),
    "a time": ("/a.csv", Page(CSV, {"Last-Modified": TIME}), sha256(f"{TIME}:12".encode())),
    "neither": ("/a.csv", Page(CSV), None),
    "HEAD is refused": ("/a.csv", Page(CSV, {"ETag": '"1"'}, head=405), sha256(b'"1"')),
    "chunked, without a length": (
        "/a.csv",
        Page(CSV, {"ETag": '"1"'}, chunks=1),
        sha256(b'"1"'),
    ),
    "packed": ("/a.csv.gz", Page(gzip.compress(CSV), {"ETag": '"1"'}), sha256(b'"1"')),
    "packed on the way, though not asked for": (
        "/a.csv",
        Page(gzip.compress(CSV), {"ETag": '"1"', "Content-Encoding": "gzip"}),
        sha256(b'"1"'),
    ),
    "a packed file packed once more on the way": (
        "/a.csv.gz",
        Page(gzip.compress(gzip.compress(CSV)), {"Content-Encoding": "gzip", "ETag": '"1"'}),
        sha256(b'"1"'),
    ),
}


@pytest.mark.parametrize(("path", "page", "seen"), FINE.values(), ids=FINE)
def test_a_file_is_looked_at_and_read(
    server: Server, tmp_path: Path, path: str, page: Page, seen: str | None
) -> None:
    server.pages[path] = page
    source = web(server, path)

    assert source.look().fingerprint == seen
    made = source.read(tmp_path)

    (file,) = made.files
    assert (file.name, file.path.name) == (path[1:], "object-0.csv")
    assert file.path.read_bytes() == CSV
    assert made.fingerprint == (seen or sha256(CSV))


def test_a_look_costs_one_request(server: Server) -> None:
    server.pages["/a.csv"] = Page(CSV, {"ETag": '"1"', "Last-Modified": TIME})

    assert web(server).look().changed == "2026-10-21T07:28:00Z"
    assert server.methods() == ["HEAD"]


BROKEN: dict[str, tuple[Page, str, bool, str]] = {
    "nothing there": (Page(statuses=[404]), "NoObjects", False, "is not there (HTTP 404); check"),
    "refused": (
        Page(statuses=[403]),
        "AccessDenied",
        False,
        "may not be read with the credential given (HTTP 403); check secretRef",
    ),
    "a credential is asked for": (Page(statuses=[401]), "AccessDenied", False, "(HTTP 401)"),
    "down": (
        Page(statuses=[503]),
        "SourceUnavailable",
        True,
        "cannot be reached: it answers HTTP 503",
    ),
    "larger than it may be": (
        Page(b"x" * 1001),
        "ObjectTooLarge",
        False,
        "has more than 1,000 bytes, which is the limit; raise maxBytes if it should be read",
    ),
    "endless": (
        Page(b"x" * 100, chunks=1_000_000),
        "ObjectTooLarge",
        False,
        "has more than 1,000 bytes, which is the limit",
    ),
    "a zip bomb": (
        Page(gzip.compress(b"0" * 100_000)),
        "ObjectTooLarge",
        False,
        "unpacked, has more than 1,000 bytes, which is the limit",
    ),
    "packed and cut short": (
        Page(gzip.compress(CSV)[:-6]),
        "UnreadableObject",
        False,
        "cannot be unpacked: Compressed file ended before the end-of-stream marker was reached",
    ),
    "cut short on the way": (Page(CSV, cut=4), "SourceUnavailable", True, "cannot be reached: "),
    "sent on to a file": (
        Page(statuses=[302], headers={"Location": "file:///etc/passwd"}),
        "InvalidUri",
        False,
        "sends on to file:///etc/passwd, which is no https URL; name the file where it lies",
    ),
    "sent on for ever": (
        Page(statuses=[302], headers={"Location": "/a.csv"}),
        "InvalidUri",
        False,
        "sends on more than 5 times; name the file where it lies",
    ),
    "sent on to the metadata service": (
        Page(statuses=[302], headers={"Location": "http://169.254.169.254/latest/a.csv"}),
        "InvalidUri",
        False,
        "169.254.169.254 is at 169.254.169.254, a link-local, metadata or multicast address, from"
        " which nothing is ever fetched; name another host",
    ),
    "written each time it is read": (
        Page(CSV, changing=True),
        "SourceChanged",
        True,
        "was written while it was read, twice; it will be tried again",
    ),
}


@pytest.mark.parametrize(("page", "reason", "transient", "said"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_read(
    server: Server, tmp_path: Path, page: Page, reason: str, transient: bool, said: str
) -> None:
    server.pages["/a.csv"] = page

    with pytest.raises(StepError) as raised:
        web(server, maxBytes=1000).read(tmp_path)

    assert (raised.value.reason, raised.value.transient) == (reason, transient)
    assert said in str(raised.value)


def test_a_server_that_is_down_for_a_while_is_waited_for(server: Server, tmp_path: Path) -> None:
    server.pages["/a.csv"] = Page(CSV, {"ETag": '"1"'}, statuses=[503, 503, 200])
    waits = Waits()

    assert web(server, client=impatient(waits)).look().fingerprint == sha256(b'"1"')
    assert waits.slept == [1.0, 2.0]


def test_a_server_says_when_to_come_back(server: Server) -> None:
    server.pages["/a.csv"] = Page(CSV, {"Retry-After": "7"}, statuses=[429, 200])
    waits = Waits()

    web(server, client=impatient(waits)).look()

    assert waits.slept == [7.0]


def test_a_slow_server_is_left(server: Server, tmp_path: Path) -> None:
    server.pages["/a.csv"] = Page(b"1\n", chunks=1000, pause=0.02)

    with pytest.raises(StepError) as raised:
        web(server, client=impatient(window=0.1)).read(tmp_path)

    assert (raised.value.reason, raised.value.transient) == ("SourceUnavailable", True)
    assert "is too slow: " in str(raised.value)


def test_a_silent_server_is_left(server: Server, tmp_path: Path) -> None:
    server.pages["/a.csv"] = Page(b"1\n", chunks=2, pause=1.0)

    with pytest.raises(StepError) as raised:
        web(server, client=impatient(silent=0.1)).read(tmp_path)

    assert (raised.value.reason, raised.value.transient) == ("SourceUnavailable", True)


def test_a_server_that_is_gone(tmp_path: Path) -> None:
    with web_server() as server:
        pass

    with pytest.raises(StepError) as raised:
        web(server).look()

    assert (raised.value.reason, raised.value.transient) == ("SourceUnavailable", True)
    assert str(raised.value).endswith("cannot be reached: [Errno 111] Connection refused")


def test_a_credential_goes_to_the_server_it_is_for_and_to_no_other(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_username", "me")
    monkeypatch.setenv("SOURCE_password", "open sesame")
    with web_server() as other:
        other.pages["/b.csv"] = Page(CSV)
        page = Page(statuses=[307], headers={"Location": other.url("/b.csv")})
        server.pages["/a.csv"] = page
        web(server).read(tmp_path)

    assert {told.get("Authorization") for _, _, told in server.asked} == {
        "Basic bWU6b3BlbiBzZXNhbWU="
    }
    assert {told.get("Authorization") for _, _, told in other.asked} == {None}


def test_a_token_is_told_as_such(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_token", "abc\n")
    server.pages["/a.csv"] = Page(CSV)
    web(server).look()

    assert server.asked[0][2]["Authorization"] == "Bearer abc"


URIS = {
    "a wildcard": (
        "https://example.com/*.csv",
        "InvalidUri",
        "https://example.com/*.csv must be one object without wildcards or a query: HTTP has no"
        " listing",
    ),
    "a signed URL": (
        "https://example.com/a.csv?sig=abc",
        "InvalidUri",
        "https://example.com/a.csv must be one object without wildcards or a query: HTTP has no"
        " listing",
    ),
    "a password": (
        "https://me:secret@example.com/a.csv",
        "InvalidUri",
        "https://example.com/a.csv holds a user name or password; put them into the Secret of"
        " secretRef, as username and password",
    ),
    "no format": (
        "https://example.com/a",
        "UnreadableObject",
        "https://example.com/a tells no format: it ends in none of .parquet, .csv, .csv.gz,"
        " .jsonl, .jsonl.gz, .ndjson, .ndjson.gz",
    ),
}


@pytest.mark.parametrize(("uri", "reason", "message"), URIS.values(), ids=URIS)
def test_uris_that_cannot_be(uri: str, reason: str, message: str) -> None:
    with pytest.raises(StepError) as raised:
        Web(ObjectsSource(uri=uri))

    assert (raised.value.reason, str(raised.value)) == (reason, message)
