"""Metrics equal scikit-learn's, with and without weights, and the bootstrap is paired."""

from math import isnan

import numpy as np
import pytest
from sklearn import metrics as reference

from tidemill.api.v1alpha1.trainingjob import MetricName
from tidemill.steps.metrics import Scored, better, change_interval, measure, weighted

THRESHOLD = 0.4


def scored(seed: int, rows: int = 300, digits: int = 2, noise: float = 1.0) -> Scored:
    """Rows whose probabilities have ties and say something of the label."""
    chance = np.random.default_rng(seed)
    labels = (chance.random(rows) < 0.3).astype(np.int8)
    raw = labels + chance.normal(0, noise, rows)
    probabilities = np.round(1 / (1 + np.exp(-raw)), digits)
    return Scored(labels, probabilities, THRESHOLD)


def expected(metric: MetricName, given: Scored, weights: np.ndarray | None = None) -> float:
    """What scikit-learn says."""
    y, p = given.labels, given.probabilities
    said = p >= given.threshold
    simple = {
        MetricName.ROC_AUC: lambda: reference.roc_auc_score(y, p, sample_weight=weights),
        MetricName.AVERAGE_PRECISION: lambda: reference.average_precision_score(
            y, p, sample_weight=weights
        ),
        MetricName.F1: lambda: reference.f1_score(y, said, sample_weight=weights),
        MetricName.PRECISION: lambda: reference.precision_score(y, said, sample_weight=weights),
        MetricName.RECALL: lambda: reference.recall_score(y, said, sample_weight=weights),
        MetricName.ACCURACY: lambda: reference.accuracy_score(y, said, sample_weight=weights),
        MetricName.LOG_LOSS: lambda: reference.log_loss(y, p, sample_weight=weights),
    }
    return float(simple[metric]())


@pytest.mark.parametrize("metric", MetricName)
@pytest.mark.parametrize("seed", range(3))
def test_measure_is_scikit_learns(metric: MetricName, seed: int) -> None:
    given = scored(seed)

    assert measure(metric, given) == pytest.approx(expected(metric, given), abs=1e-12)


@pytest.mark.parametrize("metric", MetricName)
def test_weights_are_scikit_learns(metric: MetricName) -> None:
    given = scored(9)
    weights = np.random.default_rng(1).integers(0, 4, (5, 300)).astype(np.float64)

    found = weighted(metric, given, weights)

    assert found == pytest.approx([expected(metric, given, line) for line in weights], abs=1e-12)


def of(labels: list[int], probabilities: list[float]) -> Scored:
    """Rows by hand."""
    return Scored(np.array(labels, dtype=np.int8), np.array(probabilities), 0.5)


NOTHING = {
    "no rows": (MetricName.ACCURACY, of([], [])),
    "AUC of one class": (MetricName.ROC_AUC, of([1, 1], [0.1, 0.9])),
    "average precision without a yes": (MetricName.AVERAGE_PRECISION, of([0, 0], [0.1, 0.9])),
    "recall without a yes": (MetricName.RECALL, of([0, 0], [0.1, 0.9])),
    "precision of never saying yes": (MetricName.PRECISION, of([0, 1], [0.1, 0.2])),
    "F1 of no yes, said or true": (MetricName.F1, of([0, 0], [0.1, 0.2])),
}


@pytest.mark.parametrize(("metric", "given"), NOTHING.values(), ids=NOTHING)
def test_a_metric_that_does_not_exist_is_none(metric: MetricName, given: Scored) -> None:
    assert measure(metric, given) is None


def test_log_loss_of_a_sure_mistake_is_finite() -> None:
    value = measure(MetricName.LOG_LOSS, of([1, 0], [0.0, 0.0]))

    assert value == pytest.approx(-np.log(1e-15) / 2)


def test_a_constant_model_has_half_the_area() -> None:
    assert measure(MetricName.ROC_AUC, of([0, 1, 0], [0.3, 0.3, 0.3])) == 0.5


def test_yes_from_the_threshold_on() -> None:
    assert measure(MetricName.RECALL, of([1, 1], [0.5, 0.4999])) == 0.5


def test_smaller_is_better_for_log_loss_only() -> None:
    assert better(MetricName.LOG_LOSS, 0.1, 0.2)
    assert better(MetricName.ROC_AUC, 0.2, 0.1)
    assert not better(MetricName.ROC_AUC, 0.1, 0.1)


def test_the_interval_of_a_model_against_itself_is_nothing() -> None:
    given = scored(0)

    assert change_interval(MetricName.ROC_AUC, given, given, seed=0) == (0.0, 0.0)


def test_the_interval_is_paired() -> None:
    """Two models that differ in one row differ in every resample by that row at most."""
    one = scored(0, rows=1000)
    other = Scored(one.labels, one.probabilities.copy(), one.threshold)
    other.probabilities[0] = 1 - other.probabilities[0]

    interval = change_interval(MetricName.ACCURACY, other, one, seed=0)

    assert interval is not None
    assert max(abs(bound) for bound in interval) <= 4 / 1000


def test_the_interval_is_that_of_a_bootstrap_by_hand() -> None:
    good, bad = scored(1, noise=0.5), scored(1, noise=3.0)
    assert (good.labels == bad.labels).all()
    chance = np.random.default_rng(7)
    changes = []
    for _ in range(500):
        drawn = chance.integers(0, 300, 300)
        one, other = (
            reference.roc_auc_score(m.labels[drawn], m.probabilities[drawn]) for m in (good, bad)
        )
        changes.append(one - other)

    interval = change_interval(MetricName.ROC_AUC, good, bad, seed=7)

    assert interval == pytest.approx(tuple(np.percentile(changes, (2.5, 97.5))), abs=1e-12)


def test_the_interval_does_not_depend_on_how_memory_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good, bad = scored(1, noise=0.5), scored(1, noise=3.0)
    whole = change_interval(MetricName.F1, good, bad, seed=3)

    monkeypatch.setattr("tidemill.steps.metrics._CELLS", 1000)

    assert change_interval(MetricName.F1, good, bad, seed=3) == whole


def test_no_interval_where_the_metric_is_mostly_missing() -> None:
    rare = of([1] + [0] * 9, [0.9] + [0.1] * 9)

    # One positive of ten rows is missing in a third of the resamples.
    assert change_interval(MetricName.ROC_AUC, rare, rare, seed=0) is None


def test_intervals_hold_what_they_promise() -> None:
    """Of a hundred samples of equal models about 95 have an interval that holds 0."""
    held = 0
    for seed in range(100):
        chance = np.random.default_rng(seed)
        labels = (chance.random(400) < 0.4).astype(np.int8)
        one, other = (Scored(labels, labels + chance.normal(0, 1, 400), 0.5) for _ in range(2))
        interval = change_interval(MetricName.ROC_AUC, one, other, seed, resamples=200)
        assert interval is not None
        assert not isnan(interval[0])
        held += interval[0] <= 0 <= interval[1]

    assert 88 <= held <= 99
