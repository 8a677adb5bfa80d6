"""Objects in object stores: list, download unchanged, write once.

Two credentials live in a step's environment. Plain AWS_*, GOOGLE_* and AZURE_* variables are for
the artifact store; the same names behind the prefix SOURCE_ are for the user's source. The client
of a source is made with the artifact store's variables hidden, and without SOURCE_ credentials it
reads as an anonymous stranger.

Everything here raises StepError. For a source the reasons are SourceUnavailable (transient),
AccessDenied, NoObjects, SourceChanged (transient) and InvalidUri; for the artifact store
StoreUnavailable (transient), StoreAccessDenied, ArtifactMissing and ArtifactDamaged.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import obstore
import obstore.exceptions as raised
from obstore.store import HTTPStore, ObjectStore, from_url

from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.steps.failures import StepError

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import ClientConfig, RetryConfig

logger = logging.getLogger(__name__)

ARTIFACTS = ""
SOURCE = "SOURCE_"

_FAMILIES = ("AWS_", "GOOGLE_", "AZURE_")
_CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID",),
    "gs": (
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    "az": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_CLIENT_ID", "AZURE_STORAGE_SAS_KEY"),
}
_RETRY: "RetryConfig" = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_DENIED = (raised.PermissionDeniedError, raised.UnauthenticatedError)
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_CHUNK = 4 << 20
_DOCUMENT_LIMIT = 64 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """An object as its store shows it."""

    path: str
    size: int
    modified: datetime
    etag: str | None

    @property
    def name(self) -> str:
        """What follows the last slash."""
        return self.path.rpartition("/")[2]

    @property
    def version(self) -> str:
        """What changes when the bytes do."""
        return f"{self.etag or self.modified.isoformat()}:{self.size}"


def _found(meta: Any) -> Found:
    return Found(meta["path"], meta["size"], meta["last_modified"], meta["e_tag"])


def sha256(data: bytes) -> str:
    """sha256:<hex> of the bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def sha256_of_file(path: Path) -> str:
    """sha256:<hex> of a file, read in pieces."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def join(prefix: str, *names: str) -> str:
    """A URI below a prefix."""
    return "/".join([prefix.rstrip("/"), *names])


def plain(text: str) -> str:
    """The text without queries and user names of URLs: they may be credentials."""
    return re.sub(r"//[^/@\s]*@", "//", re.sub(r"\?[^\s\"')/]*=[^\s\"')]*", "", text))


def first_line(error: BaseException) -> str:
    """What went wrong in one line, without credentials and without a debug dump."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return plain(lines[0])[:300]


@contextmanager
def _environment(role: str) -> Iterator[None]:
    """Show a client that is being made, and reads its variables then, only its role's own."""
    if role == ARTIFACTS:
        yield
        return
    hidden = {name: value for name, value in os.environ.items() if name.startswith(_FAMILIES)}
    shown = {
        name.removeprefix(role): value
        for name, value in os.environ.items()
        if name.startswith(role) and name.removeprefix(role).startswith(_FAMILIES)
    }
    for name in hidden:
        del os.environ[name]
    os.environ.update(shown)
    try:
        yield
    finally:
        for name in shown:
            del os.environ[name]
        os.environ.update(hidden)


def _split(uri: str) -> tuple[str, str]:
    """The root of the store that holds a URI, and the path below it."""
    if uri.startswith("file://"):
        return "file:///", uri.removeprefix("file://").lstrip("/")
    parts = urlsplit(uri)
    if not parts.netloc:
        said = f"{plain(uri)} names no bucket or host; write it as s3://bucket/path"
        raise StepError("InvalidUri", said)
    if parts.scheme in ("http", "https") and (parts.query or "*" in parts.path):
        said = f"{plain(uri)} must be one object without wildcards or a query: HTTP has no listing"
        raise StepError("InvalidUri", said)
    root = f"{parts.scheme}://{parts.netloc}"
    # Taken as it stands: a glob may hold what a URL would take for a query or a fragment.
    return root, uri[len(root) :].lstrip("/")


def _attributes(uri: str) -> "Attributes":
    """What a browser is told of a page that is opened from its store; files have no such thing."""
    is_page = uri.endswith(".html") and not uri.startswith("file:")
    return {"Content-Type": "text/html; charset=utf-8"} if is_page else {}


_ARTIFACT_REASONS = {
    "AccessDenied": "StoreAccessDenied",
    "NoObjects": "ArtifactMissing",
    "SourceUnavailable": "StoreUnavailable",
}


@dataclass(slots=True)
class Store:
    """One role's view of all object stores. A client is made once per bucket."""

    role: str = ARTIFACTS
    _clients: dict[str, ObjectStore] = field(default_factory=dict)

    def failure(self, reason: str, said: str, *, transient: bool = False) -> StepError:
        """A StepError with the reason as it is called in this role."""
        if self.role == ARTIFACTS:
            reason = _ARTIFACT_REASONS.get(reason, reason)
        return StepError(reason, said, transient=transient)

    @contextmanager
    def _reaching(self, uri: str) -> Iterator[None]:
        """Turn what obstore raises into a StepError that says what to do."""
        where = plain(uri)
        secret = "the artifact Secret" if self.role == ARTIFACTS else "the source's secretRef"
        try:
            yield
        except (FileNotFoundError, raised.NotFoundError) as error:
            said = f"{where} is not there; check the URI"
            raise self.failure("NoObjects", said) from error
        except (*_DENIED, PermissionError) as error:
            said = f"{where} may not be reached with the credential given; check {secret}"
            raise self.failure("AccessDenied", said) from error
        except (raised.BaseError, OSError) as error:
            # A refused listing has no exception of its own: it is told by its status.
            status = _STATUS.search(str(error))
            code = _CODE.search(str(error))
            why = code[1] if code else first_line(error)
            if status and status[1] in ("401", "403"):
                said = (
                    f"{where} may not be reached with the credential given ({why}); check {secret}"
                )
                raise self.failure("AccessDenied", said) from error
            if status and status[1] == "404":
                said = f"{where} is not there ({why}); check the URI"
                raise self.failure("NoObjects", said) from error
            said = f"{where} cannot be reached: {why}"
            raise self.failure("SourceUnavailable", said, transient=True) from error

    def _open(self, root: str) -> ObjectStore:
        scheme = root.partition(":")[0]
        if scheme == "file":
            return from_url(root)
        if scheme in ("http", "https"):
            plainly: ClientConfig = {"allow_http": scheme == "http"}
            return HTTPStore.from_url(root, client_options=plainly, retry_config=_RETRY)
        names = _CREDENTIALS.get(scheme, ())
        known = any(self.role + name in os.environ for name in names)
        options: dict[str, Any] = {"retry_config": _RETRY}
        if names and self.role != ARTIFACTS and not known:
            options["skip_signature"] = True
        with _environment(self.role):
            store: ObjectStore = from_url(root, **options)
        return store

    def _at(self, uri: str) -> tuple[ObjectStore, str]:
        root, path = _split(uri)
        if root not in self._clients:
            try:
                self._clients[root] = self._open(root)
            except (raised.BaseError, ValueError, TypeError) as error:
                said = (
                    f"{plain(uri)} cannot be opened: {first_line(error)}; check the Secret's keys"
                )
                raise self.failure("AccessDenied", said) from error
        return self._clients[root], path

    def list_below(self, uri: str) -> list[Found]:
        """All objects below a prefix, in the order of their paths."""
        client, path = self._at(uri)
        with self._reaching(uri):
            pages = obstore.list(client, path or None)
            found = [_found(meta) for page in pages for meta in page]
        return sorted(found, key=lambda item: item.path)

    def look(self, uri: str) -> Found:
        """One object's size, time and ETag."""
        client, path = self._at(uri)
        with self._reaching(uri):
            return _found(obstore.head(client, path))

    def read(self, uri: str, limit: int = _DOCUMENT_LIMIT) -> bytes:
        """A small object's bytes."""
        client, path = self._at(uri)
        with self._reaching(uri):
            got = obstore.get(client, path)
            if got.meta["size"] > limit:
                said = f"{plain(uri)} has {got.meta['size']:,} bytes; at most {limit:,} are read"
                raise self.failure("ArtifactDamaged", said)
            return bytes(got.bytes())

    def read_end(self, uri: str, length: int) -> bytes:
        """An object's last bytes; all of them if it has no more."""
        size = self.look(uri).size
        client, path = self._at(uri)
        with self._reaching(uri):
            return bytes(obstore.get_range(client, path, start=max(size - length, 0), end=size))

    def read_document(self, document: StoredDocument) -> bytes:
        """A document's bytes, proven by its digest."""
        data = self.read(document.uri)
        if sha256(data) != document.digest:
            said = f"{plain(document.uri)} is not what was written: its sha256 is {sha256(data)}"
            raise StepError("ArtifactDamaged", f"{said}, not {document.digest}")
        return data

    def download(self, uri: str, target: Path) -> Found:
        """Write an object to a file and say which version of it that was."""
        client, path = self._at(uri)
        with self._reaching(uri):
            got = obstore.get(client, path)
            with target.open("wb") as file:
                for piece in got.stream(min_chunk_size=_CHUNK):
                    file.write(piece)
            return _found(got.meta)

    def write_once(self, uri: str, data: bytes) -> bool:
        """Write a document if nothing is there; False if something was, which is left alone."""
        client, path = self._at(uri)
        with self._reaching(uri):
            try:
                obstore.put(
                    client,
                    path,
                    data,
                    mode="create",
                    use_multipart=False,
                    attributes=_attributes(uri),
                )
            except raised.AlreadyExistsError:
                return False
        return True

    def overwrite(self, uri: str, data: bytes) -> None:
        """Write a document, whatever is there."""
        client, path = self._at(uri)
        with self._reaching(uri):
            obstore.put(client, path, data)

    def publish(self, prefix: str, name: str, data: bytes) -> StoredDocument:
        """Write a document below a prefix once. If other bytes have its name already, as an older
        program may have written, it is stored as <stem>-<12 hex of its sha256>.<suffix>.
        """
        digest = sha256(data)
        uri = join(prefix, name)
        if not self.write_once(uri, data) and sha256(self.read(uri)) != digest:
            stem, dot, suffix = name.rpartition(".")
            uri = join(prefix, f"{stem}-{digest.removeprefix('sha256:')[:12]}{dot}{suffix}")
            self.write_once(uri, data)
        return StoredDocument(uri=uri, digest=digest)

    def delete(self, uri: str) -> None:
        """Delete an object; one that is not there is fine."""
        client, path = self._at(uri)
        with self._reaching(uri):
            try:
                obstore.delete(client, path)
            except (FileNotFoundError, raised.NotFoundError):
                logger.debug("%s was gone already", plain(uri))

    def upload_part(self, uri: str, path: Path) -> None:
        """Write a file whose name says what is in it; what is there already is not sent again."""
        client, place = self._at(uri)
        with self._reaching(uri):
            try:
                if obstore.head(client, place)["size"] == path.stat().st_size:
                    return
            except (FileNotFoundError, raised.NotFoundError):
                pass
            obstore.put(client, place, path)
