"""What the request log keeps of a request, and of which requests. No parquet, no store."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tidemill.serving.batch import Batch


@dataclass(frozen=True, slots=True)
class Entry:
    """One answered request; times are epoch seconds."""

    id: str
    event_time: float
    arrived_at: float
    batch: Batch
    probabilities: NDArray[np.float64]
    decisions: NDArray[np.bool_]


class Log(Protocol):
    """Whoever keeps entries."""

    @property
    def dropped(self) -> int:
        """Return how many rows were dropped."""

    def start(self) -> None:
        """Begin to store what is offered."""

    def offer(self, entry: Entry) -> None:
        """Keep one answered request or drop it, at once."""

    def close(self, seconds: float) -> None:
        """Store what is queued, for at most so long."""


def in_sample(request_id: str, share: float) -> bool:
    """Tell whether a request falls in the sample; every server agrees on the same id."""
    if share >= 1:
        return True
    hashed = hashlib.blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(hashed.digest(), "big") < share * 2**64
