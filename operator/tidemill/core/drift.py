"""Distances between two histograms over the same bins, and what a training set's own say of noise.

All take counts (whole numbers, or increases of counters) bin by bin, divide each side by its sum
and never smooth, except where the formula's own source does. A side without any count has no
distribution: the distance is then None.

- `js_distance`: square root of the Jensen-Shannon divergence in nats, 0 to sqrt(ln 2) = 0.8326.
  Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37 (1991);
  equals scipy.spatial.distance.jensenshannon and Evidently's "jensenshannon".
- `js_divergence`: the same divergence in bits, 0 to 1; TensorFlow Data Validation and Vertex AI.
- `l_infinity`: the largest difference of a share; TensorFlow Data Validation, Vertex AI and
  SageMaker for categories.
- `psi`: population stability index in nats; shares of 0 are set to 1e-4, or where a side has a
  share as small as that, to a millionth of its smallest, as Evidently does.
- `cumulative_difference`: the largest difference of cumulative shares, which is Kolmogorov's and
  Smirnov's D of values that are known up to their bins; SageMaker's "Simple" distance (deequ).
- `mover_distance`: the first Wasserstein distance of masses at points; equals
  scipy.stats.wasserstein_distance.
- `corrected`: D or an L-infinity less what chance explains; SageMaker's "Robust" distance (deequ).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log, sqrt

from tidemill.api.documents.profile import FeatureProfile

PSI_ZERO = 1e-4
"""What stands for a share of 0 in the population stability index."""
PSI_BELOW_LEAST = 1e6
"""Where a share is as small as PSI_ZERO, the least of its side over this stands for 0."""
CHANCE = 1.8
"""How many times sqrt(1/n + 1/m) deequ lets chance explain."""


def _shares(
    p_counts: Sequence[float], q_counts: Sequence[float]
) -> tuple[list[float], list[float]] | None:
    """Divide both sides by their sums; None if one is empty. Raises ValueError on unlike bins."""
    if len(p_counts) != len(q_counts):
        raise ValueError(f"{len(p_counts)} bins cannot be compared with {len(q_counts)}")
    p_sum, q_sum = sum(p_counts), sum(q_counts)
    if p_sum <= 0 or q_sum <= 0:
        return None
    return [count / p_sum for count in p_counts], [count / q_sum for count in q_counts]


def _js_nats(p_shares: Sequence[float], q_shares: Sequence[float]) -> float:
    total = 0.0
    for p, q in zip(p_shares, q_shares, strict=True):
        middle = (p + q) / 2
        if p > 0:
            total += p * log(p / middle)
        if q > 0:
            total += q * log(q / middle)
    return max(total / 2, 0.0)


def js_distance(p_counts: Sequence[float], q_counts: Sequence[float]) -> float | None:
    """The Jensen-Shannon distance in nats: 0 if alike, sqrt(ln 2) if no bin is shared."""
    shares = _shares(p_counts, q_counts)
    return None if shares is None else sqrt(_js_nats(*shares))


def js_divergence(p_counts: Sequence[float], q_counts: Sequence[float]) -> float | None:
    """The Jensen-Shannon divergence in bits: 0 if alike, 1 if no bin is shared."""
    shares = _shares(p_counts, q_counts)
    return None if shares is None else _js_nats(*shares) / log(2)


def l_infinity(p_counts: Sequence[float], q_counts: Sequence[float]) -> float | None:
    """The largest difference of a bin's share."""
    shares = _shares(p_counts, q_counts)
    return None if shares is None else max(abs(p - q) for p, q in zip(*shares, strict=True))


def psi(p_counts: Sequence[float], q_counts: Sequence[float]) -> float | None:
    """The population stability index of q (current) against p (reference)."""
    shares = _shares(p_counts, q_counts)
    if shares is None:
        return None
    p_filled, q_filled = _without_zeros(shares[0]), _without_zeros(shares[1])
    return sum((q - p) * log(q / p) for p, q in zip(p_filled, q_filled, strict=True))


def _without_zeros(shares: Sequence[float]) -> list[float]:
    least = min(share for share in shares if share > 0)
    zero = least / PSI_BELOW_LEAST if least <= PSI_ZERO else PSI_ZERO
    return [share or zero for share in shares]


def cumulative_difference(p_counts: Sequence[float], q_counts: Sequence[float]) -> float | None:
    """The largest difference of the cumulative shares, over bins in the order of their values."""
    shares = _shares(p_counts, q_counts)
    return None if shares is None else max(map(abs, _cumulative(*shares)))


def mover_distance(
    points: Sequence[float], p_counts: Sequence[float], q_counts: Sequence[float]
) -> float | None:
    """The mean way a value has to go from one side to the other, both at these rising points."""
    shares = _shares(p_counts, q_counts)
    if shares is None:
        return None
    ways = zip(points, points[1:], strict=False)
    apart = zip(_cumulative(*shares), ways, strict=False)
    return sum(abs(share) * (right - left) for share, (left, right) in apart)


def _cumulative(p_shares: Sequence[float], q_shares: Sequence[float]) -> list[float]:
    return [p - q for p, q in zip(accumulate(p_shares), accumulate(q_shares), strict=True)]


def corrected(difference: float, p_samples: float, q_samples: float) -> float:
    """A largest difference of shares, less what chance alone makes of samples of these sizes."""
    by_chance = CHANCE * sqrt((p_samples + q_samples) / (p_samples * q_samples))
    return max(0.0, difference - by_chance)


def noise_floor_for(window_seconds: int, floors: Mapping[str, float]) -> float:
    """The noise floor for a monitoring window, from a profile's `noise_floor`.

    That of the longest length not above the window; a shorter window than all of them gets that
    of the shortest, which understates its noise; with none at all the floor is 0.
    """
    lengths = sorted((int(length), floor) for length, floor in floors.items())
    if not lengths:
        return 0.0
    fitting = [floor for length, floor in lengths if length <= window_seconds]
    return fitting[-1] if fitting else lengths[0][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDistance:
    """How far the live values of one feature are from its baseline."""

    feature: str
    """The feature."""
    distance: float | None
    """The Jensen-Shannon distance in nats; None if a side has no value in any bin."""
    floor: float
    """The noise floor for windows of that length."""
    samples: float
    """How many live values fell into bins."""


def compare(
    baseline: FeatureProfile, live_counts: Sequence[float], window_seconds: int
) -> FeatureDistance:
    """Compare what fell into the baseline's bins in one window with the baseline.

    Missing, unknown and invalid values belong to no bin and so have no part in the distance.
    Raises ValueError if the bins are not the baseline's.
    """
    return FeatureDistance(
        feature=baseline.name,
        distance=js_distance(baseline.counts, live_counts),
        floor=noise_floor_for(window_seconds, baseline.noise_floor),
        samples=sum(live_counts),
    )
