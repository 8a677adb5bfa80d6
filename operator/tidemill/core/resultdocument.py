"""Result documents: checked before anything believes them.

A document is believed if it is of a known kind and version, and if everything it points to lies
under the namespace's own prefix of the artifact store: a step must not hand out another tenant's
bytes as its own.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tidemill.api.documents.results import RESULT, Failure
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.core.attempts import Problem

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One read of an attempt's result document."""

    uri: str
    data: bytes | None = None
    """None: there is no document, or it could not be read."""
    trouble: Problem | None = None
    """Why it could not be read; a transient one may pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a result document says. Exactly one field is set."""

    document: StoredDocument | None = None
    """It is good: where it lies, and its sha256."""
    failure: Failure | None = None
    """The step knows why it could not go on."""
    problem: Problem | None = None
    """It cannot be believed."""


def check(reading: Reading, prefix: str) -> Checked:
    """Judge a document that was read. `prefix` is the namespace's prefix, without a slash."""
    if reading.data is None:
        return Checked(problem=_invalid(f"There is no result document at {reading.uri}", "Missing"))
    try:
        result = RESULT.validate_json(reading.data)
        raw = json.loads(reading.data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])[:128] or "it"
        said = f"The result document {reading.uri} is not valid: {where}: {first['msg']}"
        return Checked(problem=_invalid(said))
    except RecursionError:
        return Checked(problem=_invalid(f"The result document {reading.uri} is nested too deep"))
    if result.version != VERSION:
        return Checked(
            problem=_invalid(
                f"The result document {reading.uri} has version {result.version}; this operator"
                f" reads version {VERSION}. The step image and the operator must be of one release"
            )
        )
    if isinstance(result, Failure):
        return Checked(failure=result)
    for uri in _uris(raw):
        if not _lies_under(uri, prefix):
            said = f"The result document {reading.uri} points to {uri[:256]}, outside of {prefix}/"
            return Checked(problem=_invalid(said))
    digest = f"sha256:{hashlib.sha256(reading.data).hexdigest()}"
    return Checked(document=StoredDocument(uri=reading.uri, digest=digest))


def _uris(value: Any) -> Iterator[str]:
    """Every `uri` anywhere in a document."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "uri" and isinstance(item, str):
                yield item
            else:
                yield from _uris(item)
    elif isinstance(value, list):
        for item in value:
            yield from _uris(item)


def _lies_under(uri: str, prefix: str) -> bool:
    return uri.startswith(f"{prefix}/") and ".." not in uri.split("/")


def _invalid(said: str, kind: str = "Invalid") -> Problem:
    return Problem(reason=f"Result{kind}", message=f"{said}.")
