"""Histograms of unlike buckets, compared as TensorFlow Data Validation does.

Inside a bucket values are taken to lie evenly. Two histograms are brought to the union of both
their bounds before they are compared (`AlignHistograms` in TFDV's anomalies/metrics.cc); a
histogram of a single value has a bucket without width, which holds that value alone.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tidemill.core.drift import js_divergence

STANDARD_BUCKETS = 10
"""How many buckets of equal width TFDV's standard histogram has."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """So many values from `low` to `high`; all at one point where the two are equal."""

    low: float
    high: float
    count: float


def divergence(p: Sequence[Bucket], q: Sequence[Bucket]) -> float | None:
    """The Jensen-Shannon divergence of two histograms in bits; None if a side holds no value.

    The buckets of each rise and do not overlap.
    """
    if not p or not q:
        return None
    p_bounds, q_bounds = _bounds(p), _bounds(q)
    bounds = sorted(p_bounds | q_bounds)
    for own in (p_bounds, q_bounds):
        if len(own) == 1 and p_bounds != q_bounds:
            (value,) = own
            bounds.insert(bisect_left(bounds, value), value)
    if len(bounds) == 1:
        bounds *= 2
    return js_divergence(_brought(p, bounds), _brought(q, bounds))


def _bounds(buckets: Iterable[Bucket]) -> set[float]:
    return {bound for item in buckets for bound in (item.low, item.high)}


def _brought(buckets: Iterable[Bucket], bounds: Sequence[float]) -> list[float]:
    """The counts of a histogram in the cells between these bounds."""
    counts = [0.0] * (len(bounds) - 1)
    for item in buckets:
        first = bisect_left(bounds, item.low)
        if item.low == item.high:
            counts[min(first, len(counts) - 1)] += item.count
            continue
        for cell in range(first, len(counts)):
            if bounds[cell] >= item.high:
                break
            width = min(bounds[cell + 1], item.high) - max(bounds[cell], item.low)
            counts[cell] += item.count * max(width, 0.0) / (item.high - item.low)
    return counts


def standard(buckets: Sequence[Bucket]) -> tuple[Bucket, ...]:
    """The same values in ten buckets of equal width, from the least value to the greatest."""
    held = [item for item in buckets if item.count > 0]
    if not held:
        return ()
    low, high = held[0].low, held[-1].high
    if low == high:
        return (Bucket(low, high, sum(item.count for item in held)),)
    width = (high - low) / STANDARD_BUCKETS
    bounds = [low + place * width for place in range(STANDARD_BUCKETS)] + [high]
    counts = [0.0] * STANDARD_BUCKETS
    for item in held:
        if item.low == item.high:
            cell = int((item.low - low) / width)
            counts[min(cell, STANDARD_BUCKETS - 1)] += item.count
            continue
        for cell in range(STANDARD_BUCKETS):
            inside = min(bounds[cell + 1], item.high) - max(bounds[cell], item.low)
            counts[cell] += item.count * max(inside, 0.0) / (item.high - item.low)
    return tuple(
        Bucket(bounds[cell], bounds[cell + 1], counts[cell]) for cell in range(STANDARD_BUCKETS)
    )
