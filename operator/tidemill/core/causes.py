"""Causes of work: what asked for it, and which of them are spent.

A cause has a kind and a key. It is claimed once, and spent when its execution has ended after all
its attempts; of each kind status.handled keeps the newest. The key of the Spec cause is the hash
of the fields that shape the work, with the generation behind it where a spec has come back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidemill.api.base import Model
from tidemill.api.v1alpha1.dataset import HandledCause


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Something that asks for work now, and what its claim writes into status."""

    cause: str
    key: str
    for_generation: int = 0
    """The generation that asked for it; 0 when no change of spec did."""
    request: str | None = None
    """The request annotation that is answered by it."""
    tick: datetime | None = None
    """The schedule's tick that is acted on by it."""


def given(model: Model) -> dict[str, Any]:
    """What a model says beyond its defaults: what hashes are made of, so that an upgrade that
    adds a field with a default changes none and starts nothing.
    """
    return model.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


def shape(key: str) -> str:
    """The hash in a key of the Spec cause."""
    return key.partition("/")[0]


def key_of_returned(key: str, generation: int) -> str:
    """The key of a Spec cause whose hash had its turn before another spec came between."""
    return f"{key}/{generation}"


def handled(causes: Iterable[HandledCause], cause: str) -> HandledCause | None:
    """The newest spent cause of a kind."""
    return next((item for item in causes if item.cause == cause), None)


def last_spent(causes: Sequence[HandledCause]) -> HandledCause | None:
    """The cause that was spent last; of those of one second the first in the list."""
    ranked = enumerate(causes)
    return max(ranked, key=lambda pair: (pair[1].at, -pair[0]), default=(0, None))[1]


def spend(causes: Iterable[HandledCause], done: HandledCause) -> tuple[HandledCause, ...]:
    """The spent causes with one more, the newest first."""
    return (done, *(item for item in causes if item.cause != done.cause))
