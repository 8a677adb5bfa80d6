"""Fetching: all of a bundle or nothing of it, and one line that says why not."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.serving.bundles import MadeBundle, digest
from tidemill.serving import stores
from tidemill.serving.bundles import read_bundle
from tidemill.serving.failures import Exit
from tidemill.serving.fetch import main


class Fetcher:
    """Runs the command and keeps what it said."""

    def __init__(self, source: Path, to: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.source = source
        self.to = to
        self.log = to.parent / "termination-log"
        self.log.touch()
        self._capsys = capsys

    def run(self, uri: str | None = None, wanted: str | None = None) -> tuple[int, str]:
        """Fetch and return exit code and stderr."""
        bundle = self.source / "bundle.json"
        given = wanted or digest(bundle.read_bytes())
        arguments = ["--bundle", uri or bundle.as_uri(), "--digest", given, "--to", str(self.to)]
        code = main(arguments, self.log)
        return code, self._capsys.readouterr().err

    def left(self) -> list[str]:
        """Return what stands in the directory."""
        return sorted(path.name for path in self.to.iterdir()) if self.to.exists() else []


@pytest.fixture
def fetcher(model: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fetcher:
    MadeBundle(model).write(tmp_path / "source")
    return Fetcher(tmp_path / "source", tmp_path / "models", capsys)


def test_a_bundle_is_fetched_whole_and_can_be_served(fetcher: Fetcher, model: bytes) -> None:
    code, said = fetcher.run()

    assert (code, said) == (0, f"fetched model.onnx ({digest(model)}) to {fetcher.to}\n")
    assert fetcher.left() == ["bundle.json", "model.onnx", "profile.json"]
    assert read_bundle(fetcher.to).model == model
    assert fetcher.log.read_text() == ""


def test_a_second_fetch_downloads_no_model_again(fetcher: Fetcher) -> None:
    fetcher.run()
    before = (fetcher.to / "model.onnx").stat().st_mtime_ns
    (fetcher.source / "model.onnx").unlink()

    assert fetcher.run()[0] == 0
    assert (fetcher.to / "model.onnx").stat().st_mtime_ns == before


def test_what_a_torn_fetch_left_is_made_good(fetcher: Fetcher, model: bytes) -> None:
    fetcher.to.mkdir()
    (fetcher.to / "model.onnx").write_bytes(model[:100])
    (fetcher.to / "model.onnx.incoming").write_bytes(b"half")

    assert fetcher.run()[0] == 0
    assert fetcher.left() == ["bundle.json", "model.onnx", "profile.json"]
    assert (fetcher.to / "model.onnx").read_bytes() == model


def test_another_bundle_than_wanted_is_refused(fetcher: Fetcher) -> None:
    found = digest((fetcher.source / "bundle.json").read_bytes())
    wanted = f"sha256:{'0' * 64}"

    code, said = fetcher.run(wanted=wanted)

    uri = (fetcher.source / "bundle.json").as_uri()
    assert code == Exit.DIGEST_MISMATCH
    assert said == f"DigestMismatch: {uri} has digest {found}; wanted {wanted}\n"
    assert json.loads(fetcher.log.read_text())["reason"] == "DigestMismatch"
    assert fetcher.left() == []


def test_a_changed_model_is_refused_and_leaves_no_bundle(fetcher: Fetcher, model: bytes) -> None:
    (fetcher.source / "model.onnx").write_bytes(b"other")

    code, said = fetcher.run()

    uri = (fetcher.source / "model.onnx").as_uri()
    assert code == Exit.DIGEST_MISMATCH
    assert said == (
        f"DigestMismatch: {uri} has digest {digest(b'other')}; wanted {digest(model)}\n"
    )
    assert fetcher.left() == []


def test_a_model_that_is_gone_is_named(fetcher: Fetcher) -> None:
    (fetcher.source / "model.onnx").unlink()

    code, said = fetcher.run()

    uri = (fetcher.source / "model.onnx").as_uri()
    assert (code, said) == (
        Exit.NOT_FOUND,
        f"NotFound: {uri} is not there; check the bundle's URI\n",
    )


def test_a_name_that_leads_elsewhere_is_refused(model: bytes, fetcher: Fetcher) -> None:
    file = {"name": "../../etc/passwd", "digest": f"sha256:{'0' * 64}"}
    MadeBundle(model, changes={"profile": file}).write(fetcher.source)

    code, said = fetcher.run()

    assert code == Exit.INVALID_BUNDLE
    assert said == (
        "InvalidBundle: bundle.json names a file '../../etc/passwd'; it must be a plain file name\n"
    )


def test_a_directory_that_cannot_be_written_is_named(fetcher: Fetcher) -> None:
    fetcher.to.write_text("a file")

    code, said = fetcher.run()

    assert (code, said) == (
        Exit.DISK,
        f"DiskError: {fetcher.to} cannot be written: File exists\n",
    )


MISUSED = {
    "no URI": (
        "bundle.json",
        None,
        "InvalidUri: --bundle is 'bundle.json'; "
        "it must be the URI of an object such as s3://b/p/bundle.json\n",
    ),
    "a bucket alone": (
        "s3://models",
        None,
        "InvalidUri: --bundle is 's3://models'; "
        "it must be the URI of an object such as s3://b/p/bundle.json\n",
    ),
    "no digest": (
        None,
        "latest",
        "InvalidDigest: --digest is 'latest'; it must be sha256:<64 hex>\n",
    ),
}


@pytest.mark.parametrize(("uri", "wanted", "message"), MISUSED.values(), ids=MISUSED)
def test_misused(uri: str | None, wanted: str | None, message: str, fetcher: Fetcher) -> None:
    assert fetcher.run(uri, wanted) == (Exit.USAGE, message)


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as a fetch needs; `/refused/` is for nobody, `/broken/` answers 500."""

    files: dict[str, bytes]
    signed: bool

    def do_GET(self) -> None:
        type(self).signed = self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256")
        data = self.files.get(self.path)
        if self.path.startswith("/refused/"):
            self._send(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif self.path.startswith("/broken/"):
            self._send(500, b"<Error><Code>InternalError</Code></Error>")
        elif data is None:
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._send(200, data)

    def _send(self, code: int, data: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 10:00:00 GMT")
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()[:32]}"')
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def bucket(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    """An S3 endpoint, named by the environment as in a pod, that holds the bundle."""
    Bucket.files = {f"/models/a/b/{f.name}": f.read_bytes() for f in fetcher.source.iterdir()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setattr(stores, "RETRY", {"max_retries": 1, "retry_timeout": timedelta(seconds=5)})
    yield Bucket
    server.shutdown()
    server.server_close()


def test_a_bundle_comes_from_s3_with_the_credential_of_the_environment(
    fetcher: Fetcher, bucket: type[Bucket], model: bytes
) -> None:
    code, _ = fetcher.run("s3://models/a/b/bundle.json")

    assert (code, bucket.signed) == (0, True)
    assert read_bundle(fetcher.to).model == model


REMOTE = {
    "no such object": (
        "s3://models/a/c/bundle.json",
        Exit.NOT_FOUND,
        "NotFound: s3://models/a/c/bundle.json is not there; check the bundle's URI\n",
    ),
    "not for this credential": (
        "s3://refused/a/bundle.json",
        Exit.ACCESS_DENIED,
        "AccessDenied: s3://refused/a/bundle.json may not be read with the credential given; "
        "check the artifact Secret\n",
    ),
}


@pytest.mark.parametrize(("uri", "code", "message"), REMOTE.values(), ids=REMOTE)
@pytest.mark.usefixtures("bucket")
def test_s3_refuses(uri: str, code: Exit, message: str, fetcher: Fetcher) -> None:
    assert fetcher.run(uri) == (code, message)


@pytest.mark.usefixtures("bucket")
def test_a_store_that_is_down_is_said_to_be(fetcher: Fetcher) -> None:
    code, said = fetcher.run("s3://broken/a/bundle.json")

    assert code == Exit.UNAVAILABLE
    assert said.startswith("StoreUnavailable: s3://broken/a/bundle.json cannot be read: ")
    assert said.count("\n") == 1
    assert "hush" not in said


def test_credentials_in_an_address_are_not_repeated() -> None:
    said = stores.plain("GET https://me:hush@host/b.json?X-Amz-Signature=hush (failed)")

    assert said == "GET https://host/b.json (failed)"
