"""`Store`: objects are written once, read whole, and credentials stay with their role."""

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.steps.failures import StepError
from tidemill.steps.objects import ARTIFACTS, SOURCE, Store, join, plain, sha256


def test_a_document_is_written_once(tmp_path: Path) -> None:
    store, uri = Store(), f"file://{tmp_path}/a/b/result.json"

    assert store.write_once(uri, b"first") is True
    assert store.write_once(uri, b"second") is False
    assert store.read(uri) == b"first"


def test_progress_is_written_again_and_again(tmp_path: Path) -> None:
    store, uri = Store(), f"file://{tmp_path}/progress.json"

    store.overwrite(uri, b"first")
    store.overwrite(uri, b"second")

    assert store.read(uri) == b"second"


def test_publishing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    store, prefix = Store(), f"file://{tmp_path}/v"

    first = store.publish(prefix, "profile.json", b"{}")

    assert store.publish(prefix, "profile.json", b"{}") == first
    assert first == StoredDocument(uri=f"{prefix}/profile.json", digest=sha256(b"{}"))


def test_publishing_other_bytes_finds_a_name_of_their_own(tmp_path: Path) -> None:
    store, prefix = Store(), f"file://{tmp_path}/v"
    store.publish(prefix, "profile.json", b"{}")

    second = store.publish(prefix, "profile.json", b"[]")

    assert second.uri == f"{prefix}/profile-{sha256(b'[]')[7:19]}.json"
    assert (store.read(f"{prefix}/profile.json"), store.read(second.uri)) == (b"{}", b"[]")


def test_a_part_is_sent_once(tmp_path: Path) -> None:
    store, uri = Store(), f"file://{tmp_path}/parts/x.parquet"
    part = tmp_path / "part"
    part.write_bytes(b"12345")
    store.upload_part(uri, part)
    sent = (tmp_path / "parts" / "x.parquet").stat().st_mtime_ns

    store.upload_part(uri, part)

    assert (tmp_path / "parts" / "x.parquet").stat().st_mtime_ns == sent


def test_the_end_of_an_object(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")

    assert Store().read_end(f"file://{tmp_path}/a", 3) == b"789"
    assert Store().read_end(f"file://{tmp_path}/a", 99) == b"0123456789"


def test_a_damaged_document_is_told(tmp_path: Path) -> None:
    store, uri = Store(), f"file://{tmp_path}/manifest.json"
    store.write_once(uri, b"{}")
    wanted = StoredDocument(uri=uri, digest=sha256(b"something else"))

    with pytest.raises(StepError) as raised:
        store.read_document(wanted)

    assert raised.value.reason == "ArtifactDamaged"
    assert str(raised.value) == (
        f"{uri} is not what was written: its sha256 is {sha256(b'{}')}, not {wanted.digest}"
    )


def test_a_document_beyond_its_limit_is_not_read(tmp_path: Path) -> None:
    store, uri = Store(), f"file://{tmp_path}/large"
    store.write_once(uri, b"x" * 11)

    with pytest.raises(StepError, match="has 11 bytes; at most 10 are read"):
        store.read(uri, limit=10)


class _Refusing(http.server.BaseHTTPRequestHandler):
    """Answers as S3 does when it refuses; keeps what it was asked."""

    status = 403
    code = "InvalidAccessKeyId"
    asked: list[str]

    def do_GET(self) -> None:
        """A listing or an object."""
        type(self).asked.append(self.headers.get("Authorization", ""))
        body = f"<?xml version='1.0'?>\n<Error><Code>{self.code}</Code></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def refusing(status: int, code: str) -> Iterator[tuple[str, list[str]]]:
    """An S3 server that refuses everything; its address and the Authorization headers it saw."""
    asked: list[str] = []
    handler = type("Handler", (_Refusing,), {"status": status, "code": code, "asked": asked})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def set_environment(
    monkeypatch: pytest.MonkeyPatch, prefix: str, endpoint: str, key: str | None
) -> None:
    """The variables of one role."""
    monkeypatch.setenv(f"{prefix}AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv(f"{prefix}AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv(f"{prefix}AWS_REGION", "us-east-1")
    if key is not None:
        monkeypatch.setenv(f"{prefix}AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv(f"{prefix}AWS_SECRET_ACCESS_KEY", f"secret of {key}")


ANSWERS = {
    "a source that is refused": (
        SOURCE, 403, "InvalidAccessKeyId", "AccessDenied", False,
        "s3://tides/a may not be reached with the credential given (InvalidAccessKeyId); check the"
        " source's secretRef",
    ),
    "a store that is refused": (
        ARTIFACTS, 403, "AccessDenied", "StoreAccessDenied", False,
        "s3://tides/a may not be reached with the credential given (AccessDenied); check the"
        " artifact Secret",
    ),
    "a bucket that is not there": (
        SOURCE, 400, "InvalidBucketName", "SourceUnavailable", True,
        "s3://tides/a cannot be reached: InvalidBucketName",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("role", "status", "code", "reason", "transient", "message"), ANSWERS.values(), ids=ANSWERS
)
def test_what_a_server_refuses_is_said(
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    status: int,
    code: str,
    reason: str,
    transient: bool,
    message: str,
) -> None:
    with refusing(status, code) as (endpoint, _):
        set_environment(monkeypatch, role, endpoint, "mine")
        with pytest.raises(StepError) as raised:
            Store(role).list_below("s3://tides/a")

    assert (raised.value.reason, raised.value.transient) == (reason, transient)
    assert str(raised.value) == message


def test_a_source_never_sees_the_artifact_stores_credential(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with refusing(403, "AccessDenied") as (endpoint, asked):
        set_environment(monkeypatch, ARTIFACTS, "http://127.0.0.1:9", "ours")
        set_environment(monkeypatch, SOURCE, endpoint, "theirs")
        before = dict(os.environ)
        with pytest.raises(StepError):
            Store(SOURCE).list_below("s3://tides/a")
        monkeypatch.delenv("SOURCE_AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("SOURCE_AWS_SECRET_ACCESS_KEY")
        with pytest.raises(StepError):
            Store(SOURCE).list_below("s3://tides/a")

    signed, anonymous = asked
    assert "Credential=theirs/" in signed
    assert anonymous == ""
    assert {k: v for k, v in before.items() if k.startswith("AWS_")} == {
        k: v for k, v in os.environ.items() if k.startswith("AWS_")
    }


URIS = {
    "no bucket": ("s3:///a/b", "s3:///a/b names no bucket or host; write it as s3://bucket/path"),
    "a wildcard over HTTP": (
        "https://example.com/*.csv",
        "https://example.com/*.csv must be one object without wildcards or a query: HTTP has no"
        " listing",
    ),
    "a signed URL": (
        "https://example.com/a.csv?X-Amz-Signature=abc",
        "https://example.com/a.csv must be one object without wildcards or a query: HTTP has no"
        " listing",
    ),
}


@pytest.mark.parametrize(("uri", "message"), URIS.values(), ids=URIS)
def test_uris_that_cannot_be(uri: str, message: str) -> None:
    with pytest.raises(StepError) as raised:
        Store(SOURCE).look(uri)

    assert (raised.value.reason, str(raised.value)) == ("InvalidUri", message)


def test_an_object_over_http(tmp_path: Path) -> None:
    handler = type(
        "Handler",
        (http.server.SimpleHTTPRequestHandler,),
        {
            "log_message": lambda *_: None,
            "__init__": lambda self, *args: http.server.SimpleHTTPRequestHandler.__init__(
                self, *args, directory=str(tmp_path)
            ),
        },
    )
    (tmp_path / "a.csv").write_bytes(b"x\n1\n")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        uri = f"http://127.0.0.1:{server.server_address[1]}/a.csv"
        found = Store(SOURCE).look(uri)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert (found.name, found.size) == ("a.csv", 4)


def test_credentials_do_not_show_in_messages() -> None:
    assert plain("see https://me:pw@host/a?sig=1&b=2 now") == "see https://host/a now"
    assert plain("s3://tides/2013-0?.csv") == "s3://tides/2013-0?.csv"


def test_join_needs_no_care_for_slashes() -> None:
    assert join("s3://b/p/", "x", "y") == "s3://b/p/x/y"
