"""Whether a measured share of requests agrees with the wanted weight."""

from scipy.stats import binomtest

CONFIDENCE = 0.99


def agrees(hits: int, total: int, percent: int, comparisons: int = 1) -> tuple[bool, float, float]:
    """Whether `hits` of `total` agree with `percent`, by the exact binomial interval.

    The confidence of 99 % holds for `comparisons` comparisons together (Bonferroni). Returns
    also the interval of the share, in percent.
    """
    if total == 0:
        return False, 0.0, 100.0
    level = 1 - (1 - CONFIDENCE) / comparisons
    interval = binomtest(hits, total).proportion_ci(confidence_level=level, method="exact")
    low, high = 100 * interval.low, 100 * interval.high
    return low <= percent <= high, low, high
