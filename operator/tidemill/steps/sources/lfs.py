"""Git LFS: the pointers that stand in a repository, and their contents by the batch API."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from urllib3.response import BaseHTTPResponse

from tidemill.steps.failures import StepError
from tidemill.steps.objects import plain
from tidemill.steps.sources.client import Client, too_large

POINTER_BYTES = 1024
"""No pointer is larger."""
_VERSION = b"version https://git-lfs.github.com/spec/v1\n"
_OID = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
_SIZE = re.compile(rb"^size (\d{1,18})$", re.MULTILINE)
_MEDIA = "application/vnd.git-lfs+json"
_BATCH = 100
_ANSWER = 4 << 20


@dataclass(frozen=True, slots=True)
class Pointer:
    """What stands in the repository for a file."""

    oid: str
    size: int


def pointer_of(data: bytes) -> Pointer | None:
    """Read a pointer; None if it is none."""
    if len(data) > POINTER_BYTES or not data.startswith(_VERSION):
        return None
    oid, size = _OID.search(data), _SIZE.search(data)
    return Pointer(oid[1].decode(), int(size[1])) if oid and size else None


def fetch_objects(
    client: Client,
    repository: str,
    private: Mapping[str, str],
    wanted: Mapping[Path, Pointer],
    limit: int,
) -> None:
    """Write the contents of pointers to files, each proven by its sha256. Raises StepError."""
    if any(pointer.size > limit for pointer in wanted.values()):
        raise too_large(f"{plain(repository)} (Git LFS)", limit)
    items = list(wanted.items())
    for start in range(0, len(items), _BATCH):
        part = items[start : start + _BATCH]
        actions = _ask(client, repository, private, [pointer for _, pointer in part])
        for target, pointer in part:
            _download(client, repository, private, actions.get(pointer.oid), pointer, target)


def _ask(
    client: Client, repository: str, private: Mapping[str, str], pointers: Sequence[Pointer]
) -> dict[str, Any]:
    """oid -> the server's answer."""
    base = repository.rstrip("/")
    base = base if base.endswith(".git") else f"{base}.git"
    asked = {
        "operation": "download",
        "transfers": ["basic"],
        "hash_algo": "sha256",
        "objects": [{"oid": one.oid, "size": one.size} for one in pointers],
    }
    with client.ask(
        "POST",
        f"{base}/info/lfs/objects/batch",
        headers={"Accept": _MEDIA, "Content-Type": _MEDIA},
        private=private,
        body=json.dumps(asked).encode(),
    ) as answer:
        data = b"".join(_bounded(answer, repository))
    try:
        found = {one["oid"]: one for one in json.loads(data)["objects"]}
    except (ValueError, TypeError, KeyError) as error:
        said = f"{plain(repository)} does not answer as a Git LFS server; check source.git.url"
        raise StepError("UnreadableObject", said) from error
    return found


def _bounded(answer: BaseHTTPResponse, repository: str) -> Iterator[bytes]:
    seen = 0
    while piece := answer.read1(64 << 10, decode_content=False):
        seen += len(piece)
        if seen > _ANSWER:
            raise too_large(f"{plain(repository)} (the answer of Git LFS)", _ANSWER)
        yield piece


def _download(
    client: Client,
    repository: str,
    private: Mapping[str, str],
    answer: Any,
    pointer: Pointer,
    target: Path,
) -> None:
    short = pointer.oid[:12]
    try:
        if "error" in (answer or {}):
            said = f"Git LFS has no object {short}: {str(answer['error'].get('message'))[:100]}"
            raise StepError("NoObjects", f"{said}; push it with git lfs push")
        action = answer["actions"]["download"]
        url = str(action["href"])
        own = {str(name): str(value) for name, value in (action.get("header") or {}).items()}
    except (TypeError, KeyError, AttributeError) as error:
        said = f"{plain(repository)} tells no way to Git LFS object {short}"
        raise StepError("NoObjects", f"{said}; push it with git lfs push") from error
    here, there = urlsplit(repository), urlsplit(url)
    if not own and not answer.get("authenticated") and here.netloc == there.netloc:
        own = dict(private) if here.scheme == there.scheme else {}
    with client.ask("GET", url, private=own) as response:
        client.save(url, response, target, pointer.size)
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != pointer.oid:
        said = f"Git LFS object {short} has another sha256 than its name ({found[:12]})"
        raise StepError("SourceChanged", f"{said}; it will be tried again", transient=True)
