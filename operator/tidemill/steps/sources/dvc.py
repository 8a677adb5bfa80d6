"""DVC: the .dvc files that stand in a repository, and where their contents lie at the remote.

DVC 3 writes `hash: md5` and keeps contents below files/md5/; what older ones have written lies at
the root of the remote, and its md5 of a text was taken with line ends made equal.
"""

import configparser
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tidemill.steps.failures import StepError
from tidemill.steps.objects import SOURCE, Store, join, plain
from tidemill.steps.sources.client import Client, too_large

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_REMOTES = ("s3://", "gs://", "az://", "azure://", "http://", "https://")
_LISTING = 64 << 20
CONFIG = ".dvc/config"


@dataclass(frozen=True, slots=True)
class Output:
    """One file that DVC keeps outside of the repository."""

    path: str
    """Where it would stand in the repository."""
    md5: str
    modern: bool
    """Written by DVC 3."""
    size: int | None = None
    remote: str | None = None
    """The remote's name, if it is not the default."""

    @property
    def is_directory(self) -> bool:
        """Whether its content is a list of files."""
        return self.md5.endswith(".dir")

    @property
    def place(self) -> str:
        """Where its content lies below the remote."""
        short = f"{self.md5[:2]}/{self.md5[2:]}"
        return f"files/md5/{short}" if self.modern else short


def outputs_of(path: str, text: bytes) -> list[Output]:
    """What a .dvc file of the repository stands for. Raises UnreadableObject."""
    try:
        found = yaml.safe_load(text)
        folder = PurePosixPath(path).parent / str(found.get("wdir", "."))
        return [_output(folder, item) for item in found["outs"]]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        said = f"{path} is no .dvc file with outs of path and md5; write it anew with dvc add"
        raise StepError("UnreadableObject", said) from error


def _output(folder: PurePosixPath, item: dict[str, Any]) -> Output:
    md5 = str(item["md5"])
    if not _MD5.fullmatch(md5):
        raise ValueError(md5)
    return Output(
        path=_within(folder, str(item["path"])),
        md5=md5,
        modern=item.get("hash") == "md5",
        size=int(item["size"]) if "size" in item else None,
        remote=item.get("remote"),
    )


def _within(folder: PurePosixPath, path: str) -> str:
    """A path of the repository. Raises ValueError for one that leads out of it."""
    steps: list[str] = []
    for step in (folder / path).parts:
        if step == "/" or (step == ".." and not steps):
            raise ValueError(path)
        if step == "..":
            steps.pop()
        elif step != ".":
            steps.append(step)
    return "/".join(steps)


def remote_of(config: bytes | None, name: str | None) -> str:
    """The URL of a remote by the repository's .dvc/config. Raises InvalidUri."""
    parsed = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parsed.read_string((config or b"").decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        raise StepError("InvalidUri", f"{CONFIG} cannot be read; mend it") from error
    name = name or parsed.get("core", "remote", fallback=None)
    url = parsed.get(f"'remote \"{name}\"'", "url", fallback="")
    if not url.startswith(_REMOTES):
        said = f"{CONFIG} names no remote that can be reached ({plain(url)[:60] or 'no URL'})"
        raise StepError("InvalidUri", f"{said}; set source.git.dvcRemote, such as s3://bucket/dvc")
    return url.replace("azure://", "az://", 1)


class Remote:
    """Where contents lie."""

    def __init__(self, url: str, client: Client, private: Mapping[str, str], limit: int) -> None:
        """`private` headers are for this remote: none for one that a repository has named."""
        self._url = url
        self._client = client
        self._private = private
        self._store = Store(SOURCE)
        self._limit = limit

    def fetch(self, output: Output, target: Path) -> None:
        """Write a content to a file, proven by its md5. Raises StepError."""
        uri = join(self._url, output.place)
        try:
            if uri.startswith(("http://", "https://")):
                with self._client.ask("GET", uri, private=self._private) as answer:
                    self._client.save(uri, answer, target, self._limit)
            elif self._store.look(uri).size > self._limit:
                raise too_large(uri, self._limit)
            else:
                self._store.download(uri, target)
        except StepError as failure:
            if failure.reason == "NoObjects":
                said = f"DVC's content of {output.path} is not at {plain(uri)}; push it with"
                raise StepError("NoObjects", f"{said} dvc push") from failure
            raise
        with target.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if output.modern and found != output.md5.removesuffix(".dir"):
            said = f"DVC's content of {output.path} has another md5 than its name ({found})"
            raise StepError("SourceChanged", f"{said}; it will be tried again", transient=True)

    def files_of(self, output: Output, scratch: Path) -> Iterator[Output]:
        """The files of a directory; of a file, itself. Raises StepError."""
        if not output.is_directory:
            yield output
            return
        listing = scratch / "listing"
        self.fetch(output, listing)
        try:
            if listing.stat().st_size > _LISTING:
                raise ValueError("too long")
            for item in json.loads(listing.read_bytes()):
                if not _MD5.fullmatch(str(item["md5"])):
                    raise ValueError(item["md5"])
                path = _within(PurePosixPath(output.path), str(item["relpath"]))
                yield Output(path, str(item["md5"]), output.modern)
        except (ValueError, KeyError, TypeError) as error:
            said = f"DVC's list of the files of {output.path} cannot be read"
            raise StepError("UnreadableObject", f"{said}; write it anew with dvc add") from error
        finally:
            listing.unlink(missing_ok=True)
