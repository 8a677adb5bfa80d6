"""Metrics of a binary classification, for the rows as they are and for many resamples at once.

Every metric takes weights, one line per resample: how often each row was drawn. One line of ones
is the plain metric. A value that does not exist, such as the AUC of one class, is NaN.

`roc_auc` is the Mann-Whitney statistic with ties counted half; `average_precision` the sum of
precision over steps of recall, as scikit-learn defines both; `log_loss` is in nats with
probabilities kept 1e-15 away from 0 and 1. The others follow from the decision: yes from the
threshold on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from tidemill.api.v1alpha1.trainingjob import SMALLER_IS_BETTER, MetricName

Floats = NDArray[np.float64]
Labels = NDArray[np.int8]

_CLIP = 1e-15
_CELLS = 8_000_000
_LEAST_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Scored:
    """What one model says of some rows, and what was true."""

    labels: Labels
    probabilities: Floats
    threshold: float
    weights: Floats | None = None
    """How much each row counts; None: all alike."""

    def select(self, rows: NDArray[np.bool_]) -> "Scored":
        """Keep some of the rows."""
        weights = None if self.weights is None else self.weights[rows]
        return Scored(self.labels[rows], self.probabilities[rows], self.threshold, weights)


def measure(metric: MetricName, scored: Scored) -> float | None:
    """One metric of one model; None if it does not exist on these rows."""
    if len(scored.labels) == 0:
        return None
    value = float(weighted(metric, scored, np.ones((1, len(scored.labels))))[0])
    return None if isnan(value) else value


def better(metric: MetricName, value: float, than: float) -> bool:
    """Whether a value is better than another."""
    return value < than if metric in SMALLER_IS_BETTER else value > than


def weighted(metric: MetricName, scored: Scored, weights: Floats) -> Floats:
    """A metric for every line of weights, which multiply those the rows have of their own."""
    if scored.weights is not None:
        weights = weights * scored.weights
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric is MetricName.ROC_AUC:
            return _roc_auc(scored, weights)
        if metric is MetricName.AVERAGE_PRECISION:
            return _average_precision(scored, weights)
        if metric is MetricName.LOG_LOSS:
            return _log_loss(scored, weights)
        return _of_decisions(metric, scored, weights)


def _grouped(scored: Scored, weights: Floats, order: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Weights of yes and no rows, summed over rows of equal probability, in the given order."""
    ranked = scored.probabilities[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    drawn = weights[:, order]
    positive = drawn * scored.labels[order]
    yes = np.add.reduceat(positive, starts, axis=1)
    return yes, np.add.reduceat(drawn, starts, axis=1) - yes


def _roc_auc(scored: Scored, weights: Floats) -> Floats:
    order = np.argsort(scored.probabilities, kind="stable")
    yes, no = _grouped(scored, weights, order)
    below = np.cumsum(no, axis=1) - no
    pairs = yes.sum(axis=1) * no.sum(axis=1)
    result: Floats = (yes * (below + no / 2)).sum(axis=1) / pairs
    return result


def _average_precision(scored: Scored, weights: Floats) -> Floats:
    order = np.argsort(-scored.probabilities, kind="stable")
    yes, no = _grouped(scored, weights, order)
    found = np.cumsum(yes, axis=1)
    precision = found / (found + np.cumsum(no, axis=1))
    result: Floats = np.nansum(yes * precision, axis=1) / found[:, -1]
    return result


def _log_loss(scored: Scored, weights: Floats) -> Floats:
    likely = np.clip(scored.probabilities, _CLIP, 1 - _CLIP)
    losses = -np.where(scored.labels == 1, np.log(likely), np.log1p(-likely))
    result: Floats = weights @ losses / weights.sum(axis=1)
    return result


def _of_decisions(metric: MetricName, scored: Scored, weights: Floats) -> Floats:
    said = scored.probabilities >= scored.threshold
    true = scored.labels == 1
    hits, said_yes, true_yes, right = (
        weights @ indicator.astype(np.float64)
        for indicator in (said & true, said, true, said == true)
    )
    result: Floats
    if metric is MetricName.PRECISION:
        result = hits / said_yes
    elif metric is MetricName.RECALL:
        result = hits / true_yes
    elif metric is MetricName.ACCURACY:
        result = right / weights.sum(axis=1)
    else:
        result = 2 * hits / (said_yes + true_yes)
    return result


def _draws(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Resamples with replacement as weights, a few lines at a time."""
    chance = np.random.default_rng(seed)
    lines = max(1, min(resamples, _CELLS // max(rows, 1)))
    for start in range(0, resamples, lines):
        count = min(lines, resamples - start)
        drawn = np.empty((count, rows))
        for line in range(count):
            drawn[line] = np.bincount(chance.integers(0, rows, rows), minlength=rows)
        yield drawn


def change_interval(
    metric: MetricName, challenger: Scored, champion: Scored, seed: int, resamples: int = 500
) -> tuple[float, float] | None:
    """The 95 % interval of challenger less champion by a paired percentile bootstrap: each
    resample of the rows measures both models.

    None if the metric does not exist on more than a fifth of the resamples.
    """
    changes = np.concatenate(
        [
            weighted(metric, challenger, drawn) - weighted(metric, champion, drawn)
            for drawn in _draws(len(challenger.labels), resamples, seed)
        ]
    )
    changes = changes[np.isfinite(changes)]
    if len(changes) < _LEAST_SHARE * resamples:
        return None
    low, high = np.percentile(changes, (2.5, 97.5))
    return float(low), float(high)
