"""`ArtifactStore`: the bytes that were meant, or an error of ours."""

import hashlib
from pathlib import Path

import pytest

from tests.unit.adapters.http_server import HttpServer
from tidemill.adapters.store import ArtifactStore
from tidemill.errors import TerminalError, TransientError

TEXT = b'{"a": 1}'
DIGEST = f"sha256:{hashlib.sha256(TEXT).hexdigest()}"


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "ns").mkdir()
    (tmp_path / "ns" / "result.json").write_bytes(TEXT)
    return f"file://{tmp_path}"


async def test_a_document(root: str) -> None:
    store = ArtifactStore(root)

    assert await store.read(f"{root}/ns/result.json") == TEXT
    assert await store.read(f"{root}/ns/result.json", DIGEST) == TEXT


async def test_what_is_not_there_is_none(root: str) -> None:
    assert await ArtifactStore(root).read(f"{root}/ns/nothing.json") is None


async def test_a_document_of_known_digest_is_read_once(root: str, tmp_path: Path) -> None:
    store = ArtifactStore(root)
    await store.read(f"{root}/ns/result.json", DIGEST)
    (tmp_path / "ns" / "result.json").unlink()

    assert await store.read(f"{root}/ns/result.json", DIGEST) == TEXT
    assert await store.read(f"{root}/ns/result.json") is None


async def test_the_cache_is_bounded(root: str, tmp_path: Path) -> None:
    store = ArtifactStore(root, cache_bytes=len(TEXT) - 1)
    await store.read(f"{root}/ns/result.json", DIGEST)
    (tmp_path / "ns" / "result.json").unlink()

    assert await store.read(f"{root}/ns/result.json", DIGEST) is None


async def test_other_bytes_than_meant_are_refused(root: str) -> None:
    meant = "sha256:" + "0" * 64

    with pytest.raises(TerminalError) as error:
        await ArtifactStore(root).read(f"{root}/ns/result.json", meant)

    assert error.value.reason == "DigestMismatch"
    assert str(error.value) == f"{root}/ns/result.json is {DIGEST}; expected {meant}."


@pytest.mark.parametrize("cached", [False, True])
async def test_a_document_that_is_too_large_is_not_taken_in(root: str, cached: bool) -> None:
    store = ArtifactStore(root)
    if cached:
        await store.read(f"{root}/ns/result.json", DIGEST)

    with pytest.raises(TerminalError) as error:
        await store.read(f"{root}/ns/result.json", DIGEST, limit=7)

    assert error.value.reason == "TooLarge"
    assert str(error.value) == f"{root}/ns/result.json has 8 bytes; at most 7 are read."


@pytest.mark.parametrize(
    "uri",
    ["file:///etc/passwd", "s3://other/x", "{root}", "{root}/", "{root}2/x", "{root}/../x"],
)
async def test_nothing_is_read_outside_the_root(root: str, uri: str) -> None:
    with pytest.raises(TerminalError) as error:
        await ArtifactStore(root).read(uri.format(root=root))

    assert error.value.reason == "ForeignUri"


async def test_a_store_that_cannot_be_reached_is_transient(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-word")
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    with pytest.raises(TransientError) as error:
        await ArtifactStore("s3://tides/root").read("s3://tides/root/ns/x.json")

    assert "hidden-word" not in str(error.value)
    assert server.requests[0][1] == "/tides/root/ns/x.json"
