"""One file of a web server. Its ETag, else its Last-Modified and size, tell whether it changed;
where it has neither it is read each time, and its own sha256 tells.
"""

import hashlib
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

from urllib3.response import BaseHTTPResponse

from tidemill.api.v1alpha1.datasource import ObjectsSource
from tidemill.steps.failures import StepError
from tidemill.steps.objects import plain, sha256_of_file
from tidemill.steps.sources.client import Client, checked, credential, unpack
from tidemill.steps.sources.formats import FORMATS, format_of, suffix_of
from tidemill.steps.sources.reading import Look, Reading, SourceFile
from tidemill.steps.windows import rfc3339

ADVICE = "mend it at its source"
_HEAD_REFUSED = frozenset({400, 401, 403, 404, 405, 501})
"""What servers answer that do not like HEAD; GET has the last word."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """How a server describes its file."""

    etag: str | None
    modified: str | None
    size: str | None

    @property
    def fingerprint(self) -> str | None:
        """By ETag, else by time and size."""
        told = self.etag or (self.modified and f"{self.modified}:{self.size}")
        return f"sha256:{hashlib.sha256(told.encode()).hexdigest()}" if told else None

    @property
    def changed(self) -> str | None:
        """Last-Modified as RFC 3339 in UTC."""
        try:
            return rfc3339(parsedate_to_datetime(self.modified or ""))
        except (TypeError, ValueError):
            return None

    def may_be(self, other: "_Seen") -> bool:
        """Whether two answers can be of the same bytes."""
        if self.etag and other.etag:
            return self.etag == other.etag
        return not (self.modified and other.modified) or self.modified == other.modified


def _seen(response: BaseHTTPResponse) -> _Seen:
    told = response.headers
    return _Seen(told.get("ETag"), told.get("Last-Modified"), told.get("Content-Length"))


class Web:
    """The source of one file by http or https."""

    def __init__(self, spec: ObjectsSource, client: Client | None = None) -> None:
        self._uri = checked(spec.uri)
        self._limit = spec.max_bytes
        self._client = client or Client()
        path = self._uri.partition("://")[2]
        if "?" in path or "#" in path or "*" in path:
            said = f"{plain(self._uri)} must be one object without wildcards or a query: HTTP has"
            raise StepError("InvalidUri", f"{said} no listing")
        self._name = path.rpartition("/")[2]
        if format_of(self._name) is None:
            said = f"{plain(self._uri)} tells no format: it ends in none of {', '.join(FORMATS)}"
            raise StepError("UnreadableObject", said)
        if self._name in spec.exclude:
            raise StepError("NoObjects", f"{plain(self._uri)} is excluded, and there is no other")

    def look(self) -> Look:
        """Ask for the headers only."""
        try:
            seen = self._headers()
        finally:
            self._client.close()
        return Look(seen.fingerprint, seen.changed)

    def _headers(self) -> _Seen:
        with self._client.ask(
            "HEAD", self._uri, private=credential(), allowed=_HEAD_REFUSED
        ) as answer:
            if answer.status not in _HEAD_REFUSED:
                return _seen(answer)
        with self._client.ask("GET", self._uri, private=credential()) as answer:
            return _seen(answer)  # and hang up: the body is not wanted

    def read(self, scratch: Path, *, whole: bool = False) -> Reading:
        """Fetch it; once more if it was written meanwhile, after that it is SourceChanged."""
        try:
            return self._read(scratch)
        finally:
            self._client.close()

    def _read(self, scratch: Path) -> Reading:
        suffix = suffix_of(self._name).removesuffix(".gz")
        target = scratch / f"object-0{suffix}"
        for _ in range(2):
            with self._client.ask("GET", self._uri, private=credential()) as answer:
                before = _seen(answer)
                self._client.save(self._uri, answer, target, self._limit)
            unpack(self._uri, target, self._limit)
            after = self._headers()
            if before.may_be(after):
                return Reading(
                    fingerprint=after.fingerprint or sha256_of_file(target),
                    changed=after.changed,
                    files=[SourceFile(self._name, target)],
                    advice=ADVICE,
                )
        said = f"{plain(self._uri)} was written while it was read, twice; it will be tried again"
        raise StepError("SourceChanged", said, transient=True)
