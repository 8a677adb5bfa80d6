"""What every kind of source answers: how it looks now, and what was read of it.

A source is looked at first, at the price of one cheap request; only if it does not look as it did
at the last read is it read, into files of csv, jsonl or parquet below a scratch directory. What a
reading says of the source is what was read, also where that is newer than the look before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidemill.api.v1alpha1.datasetversion import SourceRead

EXCLUDE = "mend it, or list it in source.objects.exclude"


@dataclass(frozen=True, slots=True)
class Look:
    """How a source looks."""

    fingerprint: str | None
    """At most 128 characters that change when the data may have; None if only reading can tell."""
    changed: str | None
    """When it last changed, as RFC 3339 in UTC; None if it does not say."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that was read."""

    name: str
    """How it is called at the source."""
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read of a source."""

    fingerprint: str
    changed: str | None
    files: Sequence[SourceFile]
    advice: str = EXCLUDE
    """What to do about a file that cannot be read."""
    record: SourceRead | None = None
    """How far it was read, for the next read to go on from."""
    adds: bool = False
    """The files hold only what is new since the version before, which is added to."""
    replaces: bool = False
    """Rows of equal key replace one another: the one with the largest `newest_by` stays."""
    newest_by: str | None = None
    replaced: int | None = None
    """How many rows of the version before are no more what they were at the source."""


class Source(Protocol):
    """One place that data comes from."""

    def look(self) -> Look:
        """Say how it looks now, by one cheap request. Raises StepError."""

    def read(self, scratch: Path, *, whole: bool = False) -> Reading:
        """Read it into files below `scratch`, unchanged while they were read. `whole` asks for
        all, also where only what is new would do. Raises StepError.
        """
