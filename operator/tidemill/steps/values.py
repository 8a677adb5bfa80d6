"""A column counted value by value: from it follow all facts, quantiles and bins without a scan."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Values:
    """The different values of a column in order, and how often each came."""

    values: Sequence[Any]
    places: Counts
    """Group -> the place of its value."""
    hours: Counts | None
    """Group -> its hour; None where hours were not told apart."""
    counts: Counts
    """Group -> how many there are."""
    missing: int

    @cached_property
    def totals(self) -> Counts:
        """How often each value came."""
        found = np.zeros(len(self.values), dtype=np.int64)
        np.add.at(found, self.places, self.counts)
        return found

    @cached_property
    def size(self) -> int:
        """How many values there are."""
        return int(self.totals.sum())

    def as_dict(self) -> dict[Any, int]:
        """Value -> how often it came."""
        return dict(zip(self.values, self.totals.tolist(), strict=True))

    @property
    def mean(self) -> float | None:
        """The mean of numbers; None if there are none."""
        if not self.size:
            return None
        return float(np.dot(np.asarray(self.values), self.totals) / self.size)

    @property
    def deviation(self) -> float | None:
        """The standard deviation of numbers, of all that there are; None if there are none."""
        mean = self.mean
        if mean is None:
            return None
        squares = (np.asarray(self.values) - mean) ** 2
        return float(np.sqrt(np.dot(squares, self.totals) / self.size))

    def quantiles(self, parts: int) -> list[float]:
        """The values that part the others into so many equal parts, as DuckDB's quantile_disc
        finds them: it reads a share as the decimal number that is written.
        """
        if not self.size:
            return []
        up_to = self.totals.cumsum()
        shares = [Decimal(repr(place / parts)) for place in range(1, parts)]
        ranks = [max(1, ceil(self.size * share)) for share in shares]
        return [float(self.values[place]) for place in np.searchsorted(up_to, ranks)]


def read(groups: pa.Table, value: str, count: str, hour: str | None) -> Values | None:
    """Values from counts by value, or by value and hour; None if a number is none (NaN)."""
    known = groups.filter(pc.is_valid(groups[value]))
    missing = int(pc.sum(groups[count]).as_py() or 0) - int(pc.sum(known[count]).as_py() or 0)
    hours = None if hour is None else np.asarray(known[hour], dtype=np.int64)
    counts = np.asarray(known[count], dtype=np.int64)
    if not pa.types.is_floating(groups.schema.field(value).type):
        texts = pc.unique(known[value]).sort()
        places = np.asarray(pc.index_in(known[value], texts), dtype=np.int64)
        return Values(texts.to_pylist(), places, hours, counts, missing)
    numbers, places = np.unique(np.asarray(known[value], dtype=np.float64), return_inverse=True)
    if np.isnan(numbers).any():
        return None
    return Values(numbers.tolist(), places, hours, counts, missing)
