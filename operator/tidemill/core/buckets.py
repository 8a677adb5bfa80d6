"""Histograms of unlike buckets: their divergence as TensorFlow Data Validation has it, the way
from one to the other, and what their open ends are like.

Inside a bucket values are taken to lie evenly. Two histograms are brought to the union of both
their bounds before they are compared (`AlignHistograms` in TFDV's anomalies/metrics.cc); a
histogram of a single value has a bucket without width, which holds that value alone.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import exp, log

from tidemill.core.drift import js_divergence

STANDARD_BUCKETS = 10
"""How many buckets of equal width TFDV's standard histogram has."""
PIECES = 16
"""Into how many buckets an open end is cut."""


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
        if item.count <= 0:
            continue
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


def way(p: Sequence[float], q: Sequence[float], edges: Sequence[float]) -> tuple[float, float]:
    """Between the first and the last inner edge of bins: the area between the cumulative shares
    of two sides, which is how far a value has to go there, and the same with its sign.

    `p` and `q` are the shares of all bins; inside a bin values lie evenly.
    """
    apart = list(accumulate(a - b for a, b in zip(p, q, strict=True)))
    lines = [
        (before, after, right - left)
        for (before, after), (left, right) in zip(
            pairwise(apart[:-1]), pairwise(edges), strict=True
        )
    ]
    total = sum(_under(*line) for line in lines)
    return total, sum((before + after) * width / 2 for before, after, width in lines)


def _under(before: float, after: float, width: float) -> float:
    """The area under the absolute value of a line."""
    if before * after >= 0:
        return width * abs(before + after) / 2
    return width * (before**2 + after**2) / (2 * abs(before - after))


def tail(inner: Bucket, outer: Bucket) -> tuple[Bucket, ...]:
    """An open end, in pieces of as many values each: they thin out exponentially, as fast as from
    the bucket before it. Even, where that cannot be told. Works for either end.
    """
    step, length = inner.high - inner.low, outer.high - outer.low
    if inner.count <= 0 or outer.count <= 0 or step <= 0 or length <= 0:
        return (outer,)
    scale = step / log((inner.count + outer.count) / outer.count)
    whole = 1 - exp(-length / scale)
    ways = [-scale * log(1 - whole * place / PIECES) for place in range(PIECES)] + [length]
    upwards = outer.low >= inner.high
    bounds = [outer.low + way if upwards else outer.high - way for way in ways]
    bounds = bounds if upwards else bounds[::-1]
    if any(low >= high for low, high in pairwise(bounds)):
        return (outer,)
    return tuple(Bucket(low, high, outer.count / PIECES) for low, high in pairwise(bounds))
