"""Named drift profiles: which statistic, over which bins, above which threshold, of how many.

Both sides are counts in the bins of the earlier profile, its baseline, which fixes them: a bin for
each value where there are at most 24, else 24 bins of about as many values each; for categories
the 23 most frequent and one for the others. So a statistic is:

- equal to the peer's, to 1e-9, wherever the bins are values: categories, and numbers of at most 24
  different values (for psi and Jensen-Shannon, Evidently bins numbers of more than 20);
- for other numbers the peer's formula over our bins. A largest difference is then at most the
  peer's. For the Wasserstein distance and the divergence values lie evenly in their bin and thin
  out exponentially at both ends; the distance then agrees with the difference of the means, which
  is known, and the divergence is that of ten buckets of equal width made from our bins as TFDV
  makes them from its quantiles. tests/unit/steps/test_drift.py says how near they come.

| profile   | numbers                        | categories              | drifted    | source       |
|-----------|--------------------------------|-------------------------|------------|--------------|
| default   | Jensen-Shannon distance, nats  | the same                | > 0.1, and | Lin 1991     |
|           |                                |                         | > floor    |              |
| evidently | Wasserstein / deviation;       | Jensen-Shannon          | >= 0.1     | stattests/   |
|           | of at most 5 values as categ.  | distance, nats          |            | registry.py  |
| vertex    | Jensen-Shannon divergence,     | L-infinity              | > 0.3      | objective.py |
|           | bits, 10 equal widths          |                         |            |              |
| tfdv      | the same                       | the same                | > yours    | metrics.cc   |
| sagemaker | largest cumulative difference, | L-infinity, less chance | > 0.1      | deequ        |
|           | less chance                    |                         |            | Distance     |
| psi       | population stability, nats     | the same                | >= 0.1     | Evidently's  |

Missing values are in no bin. Values the baseline has never seen are one more bin, but for
`default`, where they are a matter of data quality.

Too few values say nothing (`least_samples`): the 99th percentile of each statistic without any
drift, measured for normal and Zipf samples of 50 to 5,000 against 10,000, stays below a threshold
from so many values on. Evidently's p-values for references of at most 1,000 rows are not taken
over: at 0.05 each column alarms in one window of twenty without any drift.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import ceil, inf

from tidemill.api.documents.profile import FeatureProfile, ValueType
from tidemill.core.buckets import Bucket, divergence, standard, tail, way
from tidemill.core.drift import (
    corrected,
    cumulative_difference,
    js_distance,
    l_infinity,
    mover_distance,
    noise_floor_for,
    psi,
)

LEAST_DEVIATION = 0.001
"""Evidently divides by no less."""
MOST_AS_CATEGORIES = 5
"""Evidently takes numbers of so many different values for categories."""
LEAST_SAMPLES = 500
LEAST_FOR_WASSERSTEIN = 1000


class Statistic(StrEnum):
    """What is measured."""

    JS_DISTANCE = "Jensen-Shannon distance"
    JS_DIVERGENCE = "Jensen-Shannon divergence"
    L_INFINITY = "L-infinity"
    CUMULATIVE = "cumulative difference"
    WASSERSTEIN = "Wasserstein distance"
    PSI = "population stability index"


_NOISE: Mapping[Statistic, tuple[float, int]] = {
    Statistic.JS_DISTANCE: (5, 2),
    Statistic.JS_DIVERGENCE: (5, 1),
    Statistic.L_INFINITY: (3, 2),
    Statistic.CUMULATIVE: (3, 2),
    Statistic.WASSERSTEIN: (10, 2),
    Statistic.PSI: (30, 1),
}
"""Statistic -> (c, k): without drift, c / threshold ** k values keep 99 of 100 below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one type of column is judged."""

    statistic: Statistic
    threshold: float | None
    """None: nothing is drifted until the user gives one."""
    inclusive: bool = False
    """A distance equal to the threshold has drifted."""
    less_chance: bool = False
    """What chance explains is taken off."""
    with_unknown: bool = True
    """Values the baseline has never seen are a bin of their own."""
    with_floor: bool = False
    """Never drifted below the baseline's noise floor."""


_DEFAULT = Rule(statistic=Statistic.JS_DISTANCE, threshold=0.1, with_unknown=False, with_floor=True)
_PSI = Rule(statistic=Statistic.PSI, threshold=0.1, inclusive=True)

PROFILES: Mapping[str, Mapping[ValueType, Rule]] = {
    "default": {ValueType.NUMBER: _DEFAULT, ValueType.CATEGORY: _DEFAULT},
    "evidently": {
        ValueType.NUMBER: Rule(
            statistic=Statistic.WASSERSTEIN, threshold=0.1, inclusive=True, with_unknown=False
        ),
        ValueType.CATEGORY: Rule(statistic=Statistic.JS_DISTANCE, threshold=0.1, inclusive=True),
    },
    "vertex": {
        ValueType.NUMBER: Rule(statistic=Statistic.JS_DIVERGENCE, threshold=0.3),
        ValueType.CATEGORY: Rule(statistic=Statistic.L_INFINITY, threshold=0.3),
    },
    "tfdv": {
        ValueType.NUMBER: Rule(statistic=Statistic.JS_DIVERGENCE, threshold=None),
        ValueType.CATEGORY: Rule(statistic=Statistic.L_INFINITY, threshold=None),
    },
    "sagemaker": {
        ValueType.NUMBER: Rule(statistic=Statistic.CUMULATIVE, threshold=0.1, less_chance=True),
        ValueType.CATEGORY: Rule(statistic=Statistic.L_INFINITY, threshold=0.1, less_chance=True),
    },
    "psi": {ValueType.NUMBER: _PSI, ValueType.CATEGORY: _PSI},
}
"""Profile -> type of column -> how it is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What is there now, counted in the bins of the baseline."""

    counts: tuple[float, ...]
    unknown: float = 0.0
    """Values that the baseline has never seen; of categories only."""
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    distinct: int | None = None

    @property
    def size(self) -> float:
        """How many values, those the baseline has never seen among them."""
        return sum(self.counts) + self.unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """How far one column is from its baseline."""

    feature: str
    statistic: Statistic
    distance: float | None
    """None: one side has no value at all."""
    threshold: float | None
    floor: float
    """The noise floor, where the profile has one; else 0."""
    samples: int
    """How many values the smaller side has."""
    least: int
    """How many it takes to say anything."""
    inclusive: bool

    @property
    def told(self) -> bool:
        """Whether there are enough values to say anything."""
        return self.distance is not None and self.samples >= self.least

    @property
    def drifted(self) -> bool:
        """Whether the column has drifted; never where too few values tell."""
        if not self.told or self.distance is None or self.threshold is None:
            return False
        if self.distance <= self.floor:
            return False
        met = self.distance >= self.threshold if self.inclusive else False
        return met or self.distance > self.threshold


def least_samples(statistic: Statistic, threshold: float | None) -> int:
    """How many values each side needs before this threshold says anything of a column."""
    fewest = LEAST_FOR_WASSERSTEIN if statistic is Statistic.WASSERSTEIN else LEAST_SAMPLES
    if not threshold:
        return fewest
    factor, power = _NOISE[statistic]
    return max(fewest, ceil(factor / threshold**power - 1e-9))


def rule_for(profile: str, baseline: FeatureProfile, current: Sample) -> Rule:
    """How a column is judged under a profile. Raises KeyError for a profile there is not."""
    rules = PROFILES[profile]
    different = max(baseline.distinct or 0, current.distinct or 0)
    few = _are_values(baseline) and different <= MOST_AS_CATEGORIES
    by_value = profile == "evidently" and few
    return rules[ValueType.CATEGORY if by_value else baseline.type]


def measure(
    profile: str,
    baseline: FeatureProfile,
    current: Sample,
    *,
    threshold: float | None = None,
    window_seconds: int = 0,
) -> Distance:
    """How far a column is from its baseline. A threshold given stands for the profile's own.

    `window_seconds`, how much event time the current values span, chooses the noise floor. Raises
    ValueError if the counts are not in the baseline's bins.
    """
    rule = rule_for(profile, baseline, current)
    bound = rule.threshold if threshold is None else threshold
    found = _MEASURES[rule.statistic](rule, baseline, current)
    sizes = (float(sum(baseline.counts)), current.size)
    if found is not None and rule.less_chance:
        found = corrected(found, *sizes)
    floor = noise_floor_for(window_seconds, baseline.noise_floor) if rule.with_floor else 0.0
    return Distance(
        feature=baseline.name,
        statistic=rule.statistic,
        distance=found,
        threshold=bound,
        floor=floor,
        samples=int(min(sizes)),
        least=least_samples(rule.statistic, bound),
        inclusive=rule.inclusive,
    )


def _are_values(baseline: FeatureProfile) -> bool:
    """Whether each bin of a number holds one value."""
    return baseline.type is ValueType.NUMBER and baseline.distinct == len(baseline.edges) + 1


def _binned(
    rule: Rule, baseline: FeatureProfile, current: Sample
) -> tuple[Sequence[float], Sequence[float]]:
    if not rule.with_unknown:
        return baseline.counts, current.counts
    return (*baseline.counts, 0.0), (*current.counts, current.unknown)


def _js_distance(rule: Rule, baseline: FeatureProfile, current: Sample) -> float | None:
    return js_distance(*_binned(rule, baseline, current))


def _psi(rule: Rule, baseline: FeatureProfile, current: Sample) -> float | None:
    p_counts, q_counts = _binned(rule, baseline, current)
    used = [(p, q) for p, q in zip(p_counts, q_counts, strict=True) if p or q]
    return psi([p for p, _ in used], [q for _, q in used])


def _l_infinity(rule: Rule, baseline: FeatureProfile, current: Sample) -> float | None:
    return l_infinity(*_binned(rule, baseline, current))


def _cumulative(_rule: Rule, baseline: FeatureProfile, current: Sample) -> float | None:
    return cumulative_difference(baseline.counts, current.counts)


def _divergence(_rule: Rule, baseline: FeatureProfile, current: Sample) -> float | None:
    before, after = _both(baseline, current)
    return divergence(standard(before), standard(after))


def _buckets(
    baseline: FeatureProfile,
    counts: Sequence[float],
    minimum: float | None,
    maximum: float | None,
) -> tuple[Bucket, ...]:
    """Counts in the baseline's bins with the bounds that the values of this side have."""
    if len(counts) != len(baseline.counts):
        raise ValueError(f"{len(baseline.counts)} bins cannot be compared with {len(counts)}")
    if minimum is None or maximum is None:
        return ()
    edges = baseline.edges
    if _are_values(baseline):
        values = (baseline.minimum or 0.0, *edges)
        return tuple(Bucket(at, at, n) for at, n in zip(values, counts, strict=True) if n > 0)
    bounds = (min(minimum, *edges[:1]), *edges, max(maximum, *edges[-1:]))
    found = [Bucket(*pair, n) for pair, n in zip(pairwise(bounds), counts, strict=True)]
    if len(found) > 3:
        found = [*tail(found[1], found[0]), *found[1:-1], *tail(found[-2], found[-1])]
    return tuple(item for item in found if item.count > 0)


def _wasserstein(_rule: Rule, baseline: FeatureProfile, current: Sample) -> float | None:
    if _are_values(baseline):
        points = [baseline.minimum or 0.0, *baseline.edges]
        far = mover_distance(points, baseline.counts, current.counts)
        if far is not None and baseline.mean is not None and current.mean is not None:
            far = max(far, abs(current.mean - baseline.mean))  # there may be values not seen before
    else:
        far = _way(baseline, current)
    return None if far is None else far / max(baseline.deviation or 0.0, LEAST_DEVIATION)


def _way(baseline: FeatureProfile, current: Sample) -> float | None:
    """The area between the cumulative shares: exact at the edges, and of the ends as much as the
    difference of the means, which is the area with its sign, leaves to them.
    """
    sizes = sum(baseline.counts), sum(current.counts)
    if min(sizes) <= 0 or not baseline.edges:
        return None
    p, q = (
        [count / size for count in counts]
        for counts, size in zip((baseline.counts, current.counts), sizes, strict=True)
    )
    inner, signed = way(p, q, baseline.edges)
    before, after = _both(baseline, current)
    low, high = baseline.edges[0], baseline.edges[-1]
    lower = _excess(before, high=low) / sizes[0] - _excess(after, high=low) / sizes[1]
    upper = _excess(after, low=high) / sizes[1] - _excess(before, low=high) / sizes[0]
    if baseline.mean is not None and current.mean is not None:
        missing = current.mean - baseline.mean - signed - lower - upper
        if abs(lower) > abs(upper):
            lower += missing
        else:
            upper += missing
    return inner + abs(lower) + abs(upper)


def _excess(buckets: Sequence[Bucket], low: float = inf, high: float = -inf) -> float:
    """How far all values above `low`, or below `high`, lie from it, added up."""
    above = sum(b.count * ((b.low + b.high) / 2 - low) for b in buckets if b.low >= low)
    return above + sum(b.count * (high - (b.low + b.high) / 2) for b in buckets if b.high <= high)


def _both(
    baseline: FeatureProfile, current: Sample
) -> tuple[tuple[Bucket, ...], tuple[Bucket, ...]]:
    before = _buckets(baseline, baseline.counts, baseline.minimum, baseline.maximum)
    return before, _buckets(baseline, current.counts, current.minimum, current.maximum)


_MEASURES = {
    Statistic.JS_DISTANCE: _js_distance,
    Statistic.JS_DIVERGENCE: _divergence,
    Statistic.L_INFINITY: _l_infinity,
    Statistic.CUMULATIVE: _cumulative,
    Statistic.WASSERSTEIN: _wasserstein,
    Statistic.PSI: _psi,
}
