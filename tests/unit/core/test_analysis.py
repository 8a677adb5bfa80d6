"""A measurement: when it is due, what it asks and what its answer means."""

from datetime import timedelta
from typing import Any

import pytest

from tests.builders import at, stamp
from tidemill.api.v1alpha1.modeldeployment import Analysis, RolloutStatus
from tidemill.core import analysis, queries
from tidemill.core.analysis import Analysed, Measurement, Slot
from tidemill.core.verdicts import Verdict
from tidemill.ports import Sample

SCRAPE = 15
ROLLOUT = RolloutStatus(step_started=stamp(), weight=5, weight_since=stamp())
EVERY_30 = Analysis(period_seconds=30)
SLOT = Slot(at=at(seconds=75), seconds=60)

DUE = {
    "nothing is due before the weight was observed": (
        ROLLOUT.model_copy(update={"weight_since": None}), 75, None
    ),
    "the first window begins one scrape after the weight": (ROLLOUT, 44.9, None),
    "and is over one period later": (ROLLOUT, 45, Slot(at=at(seconds=45), seconds=30)),
    "between two periods the last one is due": (ROLLOUT, 100, SLOT),
    "what was measured is not due again": (
        ROLLOUT.model_copy(update={"measured_at": stamp(seconds=75)}), 100, None
    ),
    "the next one is": (
        ROLLOUT.model_copy(update={"measured_at": stamp(seconds=75)}), 105,
        Slot(at=at(seconds=105), seconds=90),
    ),
    "after a pause only the newest is": (ROLLOUT, 3615, Slot(at=at(seconds=3615), seconds=3600)),
}  # fmt: skip


@pytest.mark.parametrize(("rollout", "after", "slot"), DUE.values(), ids=DUE)
def test_due(rollout: RolloutStatus, after: float, slot: Slot | None) -> None:
    now = at(seconds=after)

    assert analysis.due(rollout, EVERY_30, scrape_seconds=SCRAPE, now=now) == slot


@pytest.mark.parametrize(("after", "next_"), [(0, 45), (44.9, 45), (45, 75), (100, 105)])
def test_the_next_look_is_the_next_period(after: float, next_: float) -> None:
    now = at(seconds=after)

    assert analysis.next_at(ROLLOUT, EVERY_30, scrape_seconds=SCRAPE, now=now) == at(seconds=next_)


@pytest.mark.parametrize("early", [0, 1, 13, 29])
def test_one_period_has_one_measurement_whenever_it_is_looked_at(early: float) -> None:
    now = SLOT.at + timedelta(seconds=early)

    assert analysis.due(ROLLOUT, EVERY_30, scrape_seconds=SCRAPE, now=now) == SLOT


def policy(*metrics: dict[str, Any], **more: Any) -> Analysis:
    return Analysis.model_validate({"metrics": metrics, "minSamples": 500, **more})


ERRORS = {"name": "error-rate", "max": "0.01"}
SLOW = {"name": "latency", "quantile": "0.95", "maxMilliseconds": 100}
NULLS = {"name": "null-outputs", "max": "0.02"}
DISTANCE = {"name": "prediction-distance", "max": "0.1"}


def test_only_what_the_metrics_need_is_asked() -> None:
    def asked(*metrics: dict[str, Any]) -> set[str]:
        given = analysis.parts(
            policy(*metrics), namespace="tides", candidate="c", stable="s", seconds=60
        )
        return set(given)

    assert asked() == {"requests"}
    assert asked(ERRORS) == {"requests"}
    assert asked(SLOW, NULLS) == {"requests", "latency", "predictions", "nulls"}
    assert asked(DISTANCE) == {"requests", "candidate-bins", "stable-bins"}


def test_the_stable_model_is_asked_for_its_predictions_only() -> None:
    given = analysis.parts(
        policy(ERRORS, SLOW, NULLS, DISTANCE),
        namespace="tides",
        candidate="delays-c",
        stable="delays-s",
        seconds=60,
    )

    assert [name for name, text in given.items() if "delays-s" in text] == ["stable-bins"]
    assert given["latency"] == (
        "histogram_quantile(0.95, sum by (le) (increase(tidemill_request_seconds_bucket"
        '{namespace="tides",revision="delays-c"}[60s])))'
    )


def answers(**parts: Any) -> Measurement:
    """A measurement with these parts; 612 good requests unless said."""
    given: dict[str, Any] = {"requests": {"200": 612.0}, **parts}
    samples = [
        Sample({"part": name.replace("_", "-"), label: key}, value)
        for name, values in given.items()
        for label, key, value in _flat(name, values)
    ]
    return Measurement(slot=SLOT, answers=queries.split(samples))


def _flat(name: str, values: Any) -> list[tuple[str, str, float]]:
    if isinstance(values, dict):
        return [("code", key, value) for key, value in values.items()]
    if isinstance(values, list):
        return [("bin", str(n), value) for n, value in enumerate(values)]
    return [("of", name, values)]


EVEN = [50.0] * 20
UPPER = [0.0] * 10 + [100.0] * 10

JUDGED: dict[str, tuple[Analysis, Measurement, Verdict, str]] = {
    "good answers are a success": (
        policy(ERRORS), answers(), Verdict.SUCCESSFUL, "error-rate 0 <= 0.01 (n=612)"
    ),
    "5xx count, 4xx are the caller's": (
        policy(ERRORS), answers(requests={"200": 590.0, "422": 10.0, "500": 12.0, "503": 9.0}),
        Verdict.FAILED, "error-rate 0.0338 > 0.01 (n=621)",
    ),
    "too few requests are no data, however bad": (
        policy(ERRORS), answers(requests={"503": 499.0}), Verdict.NO_DATA,
        "requests: 499 of 500 samples",
    ),
    "no series at all is no data": (
        policy(ERRORS), Measurement(slot=SLOT), Verdict.NO_DATA, "requests: 0 of 500 samples"
    ),
    "a Prometheus that fails is an error": (
        policy(ERRORS), Measurement(slot=SLOT, trouble="connection refused"), Verdict.ERROR,
        "Prometheus could not be asked: connection refused",
    ),
    "no Prometheus is no data": (
        policy(ERRORS), Measurement(slot=SLOT, configured=False), Verdict.NO_DATA,
        "no Prometheus is configured for the operator (TIDEMILL_PROMETHEUS_URL)",
    ),
    "latency is told in milliseconds": (
        policy(SLOW), answers(latency=0.0421), Verdict.SUCCESSFUL,
        "latency p95 42.1 ms <= 100 ms (n=612)",
    ),
    "latency over its bound fails": (
        policy(SLOW), answers(latency=0.25), Verdict.FAILED,
        "latency p95 250 ms > 100 ms (n=612)",
    ),
    "a latency that is no number is an error": (
        policy(SLOW), answers(), Verdict.ERROR, "latency p95 cannot be computed (n=612)"
    ),
    "null outputs are a share of predictions": (
        policy(NULLS), answers(predictions=1000.0, nulls=30.0), Verdict.FAILED,
        "null-outputs 0.03 > 0.02 (n=1000)",
    ),
    "without predictions there are no null outputs to judge": (
        policy(NULLS), answers(predictions=0.0, nulls=0.0), Verdict.NO_DATA,
        "null-outputs: 0 of 500 samples",
    ),
    "like predictions have no distance": (
        policy(DISTANCE), answers(candidate_bins=EVEN, stable_bins=EVEN), Verdict.SUCCESSFUL,
        "prediction-distance 0 <= 0.1 (n=1000)",
    ),
    "unlike predictions fail": (
        policy(DISTANCE), answers(candidate_bins=UPPER, stable_bins=EVEN), Verdict.FAILED,
        "prediction-distance 0.465 > 0.1 (n=1000)",
    ),
    "a distance needs samples of both sides": (
        policy(DISTANCE), answers(candidate_bins=EVEN, stable_bins=[20.0] * 20),
        Verdict.NO_DATA, "prediction-distance: 400 of 500 samples",
    ),
    "a distance without bound only reports": (
        policy(ERRORS, {"name": "prediction-distance"}),
        answers(candidate_bins=UPPER, stable_bins=EVEN), Verdict.SUCCESSFUL,
        "error-rate 0 <= 0.01 (n=612); prediction-distance 0.465 (n=1000)",
    ),
    "the worst metric is said first": (
        policy(ERRORS, SLOW), answers(latency=0.25), Verdict.FAILED,
        "latency p95 250 ms > 100 ms (n=612); error-rate 0 <= 0.01 (n=612)",
    ),
    "without metrics enough requests are enough": (
        policy(), answers(), Verdict.SUCCESSFUL, "612 requests, nothing else is measured"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "measured", "verdict", "said"), JUDGED.values(), ids=JUDGED)
def test_judge(given: Analysis, measured: Measurement, verdict: Verdict, said: str) -> None:
    taken = analysis.judge(given, measured, weight=5)

    assert taken == Analysed(at=SLOT.at, verdict=verdict, message=said)


def test_with_all_traffic_on_the_candidate_the_distance_judges_nothing() -> None:
    measured = answers(candidate_bins=UPPER, stable_bins=[0.0] * 20)

    taken = analysis.judge(policy(DISTANCE), measured, weight=100)

    assert taken.verdict is Verdict.SUCCESSFUL


@pytest.mark.parametrize(
    ("quantile", "said"), [("0.99", "p99"), ("0.5", "p50"), ("0.999", "p99.9")]
)
def test_percentile(quantile: str, said: str) -> None:
    assert analysis.percentile(quantile) == said
