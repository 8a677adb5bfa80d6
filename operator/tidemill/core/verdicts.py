"""One judge: a measurement and its bound in, a verdict with its evidence out.

Gates, canary steps and the standing monitor say the same five words, and each comes with metric,
value, bound and sample count. Too few samples is NoData, never a failure; nothing that could not
be measured counts as success.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite


class Verdict(StrEnum):
    """What the judge says."""

    SUCCESSFUL = "Successful"
    """Measured, and within its bound."""
    FAILED = "Failed"
    """Measured on enough samples, and outside its bound."""
    INCONCLUSIVE = "Inconclusive"
    """Measured, and neither in nor out can be said."""
    NO_DATA = "NoData"
    """Too few samples."""
    ERROR = "Error"
    """It could not be measured."""


_WORST_FIRST = (
    Verdict.FAILED,
    Verdict.ERROR,
    Verdict.NO_DATA,
    Verdict.INCONCLUSIVE,
    Verdict.SUCCESSFUL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One metric's verdict and its evidence."""

    metric: str
    verdict: Verdict
    text: str
    """Metric, value, bound and sample count in one line, such as
    `error-rate 0.034 > 0.01 (n=612)`."""


def number(value: float) -> str:
    """A measured number as people read it: three significant digits, never an exponent."""
    if not isfinite(value):
        return str(value)
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 0.001 or value == 0:
        return f"{value:.3g}"
    return f"{value:.6f}".rstrip("0").rstrip(".")


def at_most(
    metric: str,
    value: float | None,
    bound: str | None,
    *,
    samples: int,
    min_samples: int,
    unit: str = "",
) -> Judgement:
    """Judge a value that must not be greater than its bound.

    Without a bound it is reported and judges nothing, whatever it is. `unit` is written behind
    both numbers.
    """
    judged = bound is not None
    if samples < min_samples:
        return too_few(metric, samples, min_samples, judged=judged)
    if value is None or not isfinite(value):
        return Judgement(
            metric=metric,
            verdict=Verdict.ERROR if judged else Verdict.SUCCESSFUL,
            text=f"{metric} cannot be computed (n={samples})",
        )
    said = f"{metric} {number(value)}{unit}"
    if bound is None:
        return Judgement(metric=metric, verdict=Verdict.SUCCESSFUL, text=f"{said} (n={samples})")
    over = value > float(bound)
    return Judgement(
        metric=metric,
        verdict=Verdict.FAILED if over else Verdict.SUCCESSFUL,
        text=f"{said} {'>' if over else '<='} {bound}{unit} (n={samples})",
    )


def too_few(metric: str, samples: int, min_samples: int, *, judged: bool = True) -> Judgement:
    """There are not enough samples for a verdict; a metric that judges nothing needs none."""
    return Judgement(
        metric=metric,
        verdict=Verdict.NO_DATA if judged else Verdict.SUCCESSFUL,
        text=f"{metric}: {samples} of {min_samples} samples",
    )


def overall(judgements: Iterable[Judgement]) -> Verdict:
    """The verdict on all of them: the worst; nothing to judge is Successful.

    Failed comes before Error and Error before NoData: what is known to be bad is not excused by
    what is not known.
    """
    given = {item.verdict for item in judgements}
    return next((verdict for verdict in _WORST_FIRST if verdict in given), Verdict.SUCCESSFUL)


def sentence(judgements: Iterable[Judgement]) -> str:
    """All their evidence in one line, the worst first."""
    ranked = sorted(judgements, key=lambda item: _WORST_FIRST.index(item.verdict))
    return "; ".join(item.text for item in ranked)
