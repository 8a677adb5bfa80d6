"""Bring a bundle into a directory.

    python -m tidemill.serving.fetch --bundle URI --digest sha256:... --to DIRECTORY

Every file is streamed to a temporary name, verified against its sha256 and renamed; bundle.json
comes last, so a directory that holds it is complete. Files that are there already with the right
digest are kept: a restarted init container downloads nothing again.
"""

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import obstore
from obstore.store import ObjectStore

from tidemill.api.documents.bundle import Bundle, StoredFile
from tidemill.serving.bundles import BUNDLE_NAME, check_names, digest_of, invalid, parse_document
from tidemill.serving.failures import TERMINATION_LOG, Exit, StartError, report
from tidemill.serving.stores import open_store, reading

_MIB = 1 << 20
_BUNDLE_LIMIT = 4 * _MIB
_FILE_LIMIT = 4096 * _MIB
_CHUNK = _MIB
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def main(arguments: Sequence[str] | None = None, termination_log: Path = TERMINATION_LOG) -> int:
    """Run the command line and return the exit code; see `failures.Exit`."""
    parser = argparse.ArgumentParser(prog="python -m tidemill.serving.fetch", description=__doc__)
    parser.add_argument("--bundle", required=True, help="URI of bundle.json")
    parser.add_argument("--digest", required=True, help="sha256:<hex> of bundle.json")
    parser.add_argument("--to", required=True, type=Path, help="directory to put the files in")
    given = parser.parse_args(arguments)
    try:
        bundle = fetch(given.bundle, given.digest, given.to)
    except StartError as failure:
        return report(failure, termination_log)
    sys.stderr.write(f"fetched {bundle.model.name} ({bundle.model.digest}) to {given.to}\n")
    return 0


def fetch(uri: str, digest: str, directory: Path) -> Bundle:
    """Bring the bundle at `uri` into `directory` and return its document. Raises StartError."""
    if not _DIGEST.fullmatch(digest):
        raise StartError(
            Exit.USAGE, "InvalidDigest", f"--digest is {digest!r}; it must be sha256:<64 hex>"
        )
    prefix, _, name = uri.rpartition("/")
    if not name or "://" not in uri or prefix.endswith(":/"):
        said = f"--bundle is {uri!r}; it must be the URI of an object such as s3://b/p/bundle.json"
        raise StartError(Exit.USAGE, "InvalidUri", said)
    store = open_store(prefix)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return _fetch(store, prefix, StoredFile(name=name, digest=digest), directory)
    except OSError as error:
        said = f"{directory} cannot be written: {error.strerror or error}"
        raise StartError(Exit.DISK, "DiskError", said) from error


def _fetch(store: ObjectStore, prefix: str, document: StoredFile, directory: Path) -> Bundle:
    """Fetch bundle.json, then what it names, and put bundle.json in place last."""
    incoming = _Incoming(directory / f"{BUNDLE_NAME}.incoming")
    uri = f"{prefix}/{document.name}"
    with reading(uri):
        got = obstore.get(store, document.name)
        if got.meta["size"] > _BUNDLE_LIMIT:
            raise invalid(f"{uri} has {got.meta['size']} bytes; a bundle has at most 4 MiB")
        data = bytes(got.bytes())
    _check(uri, digest_of(data), document.digest)
    bundle = parse_document(Bundle, data, document.name)
    check_names(bundle)
    for file in (bundle.model, bundle.profile):
        _fetch_file(store, f"{prefix}/{file.name}", file, directory)
    incoming.write([data])
    incoming.place(directory / BUNDLE_NAME)
    return bundle


def _fetch_file(store: ObjectStore, uri: str, file: StoredFile, directory: Path) -> None:
    target = directory / file.name
    if target.is_file() and _digest_of_file(target) == file.digest:
        return
    incoming = _Incoming(directory / f"{file.name}.incoming")
    try:
        with reading(uri):
            got = obstore.get(store, file.name)
            if got.meta["size"] > _FILE_LIMIT:
                raise invalid(f"{uri} has {got.meta['size']} bytes; a file has at most 4 GiB")
            found = incoming.write(bytes(chunk) for chunk in got.stream(min_chunk_size=_CHUNK))
        _check(uri, found, file.digest)
        incoming.place(target)
    finally:
        incoming.remove()


class _Incoming:
    """A file under a temporary name, beside where it will stand."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, chunks: Iterable[bytes]) -> str:
        """Write and flush the chunks; return their digest."""
        hashed = hashlib.sha256()
        with self._path.open("wb") as out:
            for chunk in chunks:
                hashed.update(chunk)
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        return f"sha256:{hashed.hexdigest()}"

    def place(self, target: Path) -> None:
        """Let the file appear under its name, whole, in one step."""
        self._path.replace(target)

    def remove(self) -> None:
        """Leave nothing behind if it was not placed."""
        self._path.unlink(missing_ok=True)


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _check(uri: str, found: str, wanted: str) -> None:
    if found != wanted:
        said = f"{uri} has digest {found}; wanted {wanted}"
        raise StartError(Exit.DIGEST_MISMATCH, "DigestMismatch", said)


if __name__ == "__main__":
    sys.exit(main())
