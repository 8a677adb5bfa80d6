"""The profile of a snapshot: mergeable histograms per column, and their distances' noise floor.

A number falls into bin `bisect.bisect_right(edges, value)`: bin i holds edges[i-1] <= value <
edges[i], the first and last are open. A category falls into the bin of its position in
`categories`; the bin after the last holds known but rare ones, and is there only if `rare` is
not empty. Missing, unknown (a category never seen in training) and invalid values are counted
apart and belong to no bin: they are data quality, not drift.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidemill.api.base import Model

MAX_FEATURES = 64
MAX_BINS = 24


class ValueType(StrEnum):
    """What a feature's values are to a model."""

    NUMBER = "Number"
    CATEGORY = "Category"


class FeatureProfile(Model):
    """One column's distribution."""

    name: str
    """The column."""
    type: ValueType
    """Number (also booleans, as 0 and 1) or Category (text)."""
    edges: Annotated[tuple[float, ...], Field(max_length=MAX_BINS - 1)] = ()
    """For Number: the inner edges of the bins, strictly increasing."""
    categories: Annotated[tuple[str, ...], Field(max_length=MAX_BINS - 1)] = ()
    """For Category: the most frequent values, one bin each."""
    rare: Annotated[tuple[str, ...], Field(max_length=10000)] = ()
    """For Category: the other values seen; they share the last bin."""
    counts: Annotated[tuple[int, ...], Field(max_length=MAX_BINS)]
    """How many values fell into each bin."""
    missing: int = 0
    """How many were missing (null or NaN)."""
    minimum: float | None = None
    """The least number."""
    maximum: float | None = None
    """The greatest number."""
    mean: float | None = None
    """The mean of the numbers."""
    deviation: float | None = None
    """Their standard deviation."""
    distinct: int | None = None
    """How many different values there are, approximately."""
    noise_floor: dict[str, float] = Field(default_factory=dict)
    """Window length in seconds (3600, 86400, 604800) -> the largest Jensen-Shannon distance
    (natural logarithm) between a window of that length cut by event time from these data and the
    whole, as the monitor would see it with no drift. Only windows of at least
    500 rows count; a length without any is absent."""


class Profile(Model):
    """The distributions of a snapshot or of what a model learned from."""

    version: int = 1
    rows: int
    """How many rows were profiled."""
    start: str
    """The oldest event time."""
    end: str
    """The newest event time."""
    features: tuple[FeatureProfile, ...]
    """Every column of a snapshot; of a model only its features, at most MAX_FEATURES."""
    prediction: FeatureProfile | None = None
    """Of a model: the distribution of its probabilities, a Number of 20 equal bins on [0, 1]."""
