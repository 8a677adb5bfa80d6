"""A canary under analysis: what to ask Prometheus, when, and what the answer means.

Measurements stand on a grid: the k-th one after the weight was observed looks back from
`weight since + one scrape + k periods` to `weight since + one scrape`. So an instant, and with it
an answer, is a function of what status claims, and asking again within a period changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidemill.api.v1alpha1.modeldeployment import Analysis, AnalysisMetric, RolloutStatus
from tidemill.core import queries
from tidemill.core.conditions import parse_time
from tidemill.core.drift import js_distance
from tidemill.core.queries import Point
from tidemill.core.verdicts import Judgement, Verdict, at_most, overall, sentence, too_few

PREDICTION_BINS = 20
"""Bins of the distribution of predictions, as the model server counts them."""
DEFAULT_QUANTILE = "0.99"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """When to measure, and how far back."""

    at: datetime
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What Prometheus answered for one slot."""

    slot: Slot
    answers: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    """By part, as `parts` named them."""
    trouble: str = ""
    """Why it could not be asked; empty when it answered."""
    configured: bool = True
    """Whether there is a Prometheus to ask."""

    def of(self, part: str) -> tuple[Point, ...]:
        """The answer to one part; empty if there is none."""
        return self.answers.get(part, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """The verdict on one measurement."""

    at: datetime
    verdict: Verdict
    message: str


def due(
    rollout: RolloutStatus, policy: Analysis, *, scrape_seconds: int, now: datetime
) -> Slot | None:
    """The measurement to take now; None if none is, or the newest was taken."""
    if rollout.weight_since is None:
        return None
    begin = parse_time(rollout.weight_since) + timedelta(seconds=scrape_seconds)
    periods = (now - begin) // timedelta(seconds=policy.period_seconds)
    if periods < 1:
        return None
    at = begin + timedelta(seconds=periods * policy.period_seconds)
    if rollout.measured_at is not None and parse_time(rollout.measured_at) >= at:
        return None
    return Slot(at=at, seconds=periods * policy.period_seconds)


def next_at(
    rollout: RolloutStatus, policy: Analysis, *, scrape_seconds: int, now: datetime
) -> datetime | None:
    """When the next measurement after `now` is due; None while nothing is measured."""
    if rollout.weight_since is None:
        return None
    begin = parse_time(rollout.weight_since) + timedelta(seconds=scrape_seconds)
    periods = (now - begin) // timedelta(seconds=policy.period_seconds)
    return begin + timedelta(seconds=(max(periods, 0) + 1) * policy.period_seconds)


def parts(
    policy: Analysis, *, namespace: str, candidate: str, stable: str, seconds: int
) -> Mapping[str, str]:
    """What one measurement asks, by name; only what its metrics need."""
    pods = queries.selector(namespace, candidate)
    asked = {"requests": queries.total("tidemill_requests_total", pods, seconds, "code")}
    for metric in policy.metrics:
        if metric.name == "latency":
            share = metric.quantile or DEFAULT_QUANTILE
            series = "tidemill_request_seconds"
            asked["latency"] = queries.quantile(series, pods, seconds, share)
        elif metric.name == "null-outputs":
            asked["predictions"] = queries.total("tidemill_predictions_total", pods, seconds)
            asked["nulls"] = queries.total("tidemill_null_predictions_total", pods, seconds)
        elif metric.name == "prediction-distance":
            series, others = "tidemill_prediction_values_total", queries.selector(namespace, stable)
            asked["candidate-bins"] = queries.total(series, pods, seconds, "bin")
            asked["stable-bins"] = queries.total(series, others, seconds, "bin")
    return asked


def judge(policy: Analysis, measurement: Measurement, *, weight: int) -> Analysed:
    """The verdict on the candidate, with the numbers it rests on.

    `weight` is the candidate's share of requests: with all of them there is no stable model to
    compare with, and the prediction distance judges nothing.
    """
    at = measurement.slot.at
    if not measurement.configured:
        said = "no Prometheus is configured for the operator (TIDEMILL_PROMETHEUS_URL)"
        return Analysed(at=at, verdict=Verdict.NO_DATA, message=said)
    if measurement.trouble:
        said = f"Prometheus could not be asked: {measurement.trouble}"
        return Analysed(at=at, verdict=Verdict.ERROR, message=said)
    codes = queries.by_label(measurement.of("requests"), "code")
    requests = round(sum(codes.values()))
    if requests < policy.min_samples:
        few = too_few("requests", requests, policy.min_samples)
        return Analysed(at=at, verdict=few.verdict, message=few.text)
    judged = [_judge(metric, policy, measurement, weight) for metric in policy.metrics]
    said = sentence(judged) if judged else f"{requests} requests, nothing else is measured"
    return Analysed(at=at, verdict=overall(judged), message=said)


def _judge(
    metric: AnalysisMetric, policy: Analysis, measurement: Measurement, weight: int
) -> Judgement:
    codes = queries.by_label(measurement.of("requests"), "code")
    requests = sum(codes.values())
    samples, minimum = round(requests), policy.min_samples
    if metric.name == "error-rate":
        failed = sum(count for code, count in codes.items() if code.startswith("5"))
        return at_most(
            metric.name, failed / requests, metric.max, samples=samples, min_samples=minimum
        )
    if metric.name == "latency":
        seconds = queries.scalar(measurement.of("latency"))
        bound = None if metric.max_milliseconds is None else str(metric.max_milliseconds)
        return at_most(
            f"latency {percentile(metric.quantile or DEFAULT_QUANTILE)}",
            None if seconds is None else 1000 * seconds,
            bound,
            samples=samples,
            min_samples=minimum,
            unit=" ms",
        )
    if metric.name == "null-outputs":
        return _null_outputs(metric, measurement, minimum)
    return _prediction_distance(metric, measurement, minimum, weight)


def _null_outputs(metric: AnalysisMetric, measurement: Measurement, minimum: int) -> Judgement:
    predictions = queries.scalar(measurement.of("predictions")) or 0.0
    nulls = queries.scalar(measurement.of("nulls")) or 0.0
    share = nulls / predictions if predictions > 0 else None
    return at_most(metric.name, share, metric.max, samples=round(predictions), min_samples=minimum)


def _prediction_distance(
    metric: AnalysisMetric, measurement: Measurement, minimum: int, weight: int
) -> Judgement:
    mine = queries.histogram(measurement.of("candidate-bins"), PREDICTION_BINS)
    others = queries.histogram(measurement.of("stable-bins"), PREDICTION_BINS)
    samples = round(min(sum(mine), sum(others)))
    bound = None if weight == 100 else metric.max
    return at_most(
        metric.name, js_distance(others, mine), bound, samples=samples, min_samples=minimum
    )


def percentile(quantile: str) -> str:
    """How people say a quantile: 0.99 is p99, 0.999 is p99.9."""
    return f"p{100 * float(quantile):.4g}"
