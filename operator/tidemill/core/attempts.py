"""Attempts of an execution: their names, their deadline, and when another one starts.

An attempt is claimed in status before anything is started for it. All names are functions of the
execution and the attempt's number, so that a start done twice meets itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

from tidemill.core.conditions import parse_time
from tidemill.core.identity import stable_hash

FIRST_BACKOFF_SECONDS = 10.0
LONGEST_BACKOFF_SECONDS = 360.0
"""As the Kubernetes Job controller backs off: 10 s, doubled each time, at most six minutes."""
SPREAD = 0.1
"""Up to this share is added to a backoff, by the execution's uid: many that failed of one cause
do not all come back at once."""

_RUNS = UUID("6c1f4dd2-3f0e-5a0b-9d3e-0b6f3c5b7a11")
_LONGEST_JOB_NAME = 63


class Phase(StrEnum):
    """Where an attempt stands, as its engine tells."""

    UNKNOWN = "Unknown"
    """The engine does not say: what was known last still holds."""
    WAITING = "Waiting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"


OVER = (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELED)
"""Nothing more will happen in this attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an engine tells of one attempt."""

    phase: Phase
    reason: str
    """A condition reason."""
    message: str = ""
    transient: bool = False
    """Failed: trying again may help."""
    stuck: bool = False
    """Waiting: for something a person has to do."""
    ending: bool = False
    """It has been asked to end."""
    expects_result: bool = False
    """The pipeline was given a place for its result, and has to leave one there."""
    image_digest: str | None = None
    """Succeeded: the sha256 of the image its pod ran, where the engine tells it."""
    digest: str | None = None
    """The sha256 of the result document, from a source better than the document's own place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why something cannot go on."""

    reason: str
    message: str
    transient: bool = False
    """It may pass by itself, or by somebody's hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartError:
    """Why the last start of a Kubeflow run failed, as far as this process remembers."""

    reason: str
    message: str
    final: bool
    """The server refused it and would again."""
    sent: bool
    """It may have been carried out all the same."""


def run_id(uid: str, number: int) -> str:
    """The Kubeflow run id of an attempt: the same whoever asks, whenever."""
    return str(uuid5(_RUNS, f"{uid}/{number}"))


def job_name(name: str, uid: str, number: int) -> str:
    """`<name>-<n>`; a name too long for a Job is cut and told apart by 8 hex of the uid."""
    plain = f"{name}-{number}"
    if len(plain) <= _LONGEST_JOB_NAME:
        return plain
    tail = f"-{stable_hash(uid, 8)}-{number}"
    return name[: _LONGEST_JOB_NAME - len(tail)].rstrip("-") + tail


def backoff_seconds(failures: int, uid: str) -> float:
    """How long to wait after so many failed attempts (one or more)."""
    plain = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 16))
    share = int(stable_hash([uid, failures], 4), 16) / 0xFFFF
    return plain * (1.0 + SPREAD * share)


def deadline(started: str, seconds: int) -> datetime:
    """When an execution that started then has had all its time."""
    return parse_time(started) + timedelta(seconds=seconds)


def next_start(
    number: int, *, limit: int, uid: str, now: datetime, until: datetime
) -> datetime | None:
    """When the attempt after failed attempt `number` starts.

    None if all `limit` + 1 attempts are used up, or it would start only at `until` or later.
    """
    if number > limit:
        return None
    start = now + timedelta(seconds=backoff_seconds(number, uid))
    return start if start < until else None
