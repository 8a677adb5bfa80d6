"""Requests: the annotation `tidemill.dev/request: <verb>[/<target>]@<time>`.

A person, Argo CD or `kubectl tidemill` asks for something once. The request is answered by
writing its text to status.request; what is asked for by the same text again was answered.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tidemill.api.base import REQUEST_ANNOTATION, Metadata
from tidemill.core.conditions import parse_time, rfc3339
from tidemill.core.identity import stable_hash

MAX_AGE = timedelta(minutes=15)
MAX_TEXT = 256
"""As much of an annotation as status.request holds."""
MAX_KEY = 128
"""As long as the key of a cause may be."""

_FORM = re.compile(r"^([a-z]{1,16})(?:/([A-Za-z0-9:._-]{1,71}))?@(\S{1,40})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to act on."""

    text: str
    """The annotation, as status.request is to hold it once it is answered."""
    verb: str
    target: str | None
    at: datetime

    @property
    def token(self) -> str:
        """What tells this request from others: the key of the Manual cause."""
        return self.text if len(self.text) <= MAX_KEY else stable_hash(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A request that is acknowledged and not acted on; `message` says why."""

    text: str
    message: str


def read_request(
    metadata: Metadata,
    *,
    answered: str | None,
    now: datetime,
    verbs: Mapping[str, bool],
) -> Request | Ignored | None:
    """The open request of an object; None if there is none, or it was answered.

    `verbs` are those this kind understands, with whether a target must be named. A time in the
    future counts as now.
    """
    text = metadata.annotations.get(REQUEST_ANNOTATION, "")[:MAX_TEXT]
    if not text or text == answered:
        return None
    parsed = parse_request(text)
    if parsed is None:
        form = "<verb>[/<target>]@<RFC 3339 time>, such as refresh@2026-01-31T05:00:00Z"
        return _ignored(text, f"it is not of the form {form}")
    why = _refusal(parsed, metadata.creation_timestamp, now, verbs)
    return parsed if why is None else _ignored(text, why)


def _ignored(text: str, why: str) -> Ignored:
    return Ignored(text=text, message=f"Request {text!r} was ignored: {why}.")


def parse_request(text: str) -> Request | None:
    """What a text asks for, however old; None if it is not of the form of a request."""
    found = _FORM.match(text)
    if found is None:
        return None
    verb, target, written = found.groups()
    try:
        at = parse_time(written)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return Request(text=text, verb=verb, target=target, at=at)


def _refusal(
    request: Request, created: str, now: datetime, verbs: Mapping[str, bool]
) -> str | None:
    """Why a well-formed request is not acted on."""
    if request.verb not in verbs:
        return f"{request.verb} is not one of {', '.join(sorted(verbs))}"
    if verbs[request.verb] and request.target is None:
        return f"{request.verb} needs a target, as in {request.verb}/<target>@<time>"
    if now - request.at > MAX_AGE:
        return f"at {rfc3339(now)} it is older than 15 minutes"
    if created and request.at < parse_time(created):
        return f"it is older than the object, which was made at {created}"
    return None
