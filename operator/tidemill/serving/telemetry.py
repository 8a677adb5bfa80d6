"""What the server tells Prometheus. Every series exists, at 0, from the first scrape.

The labels of namespace, pod, deployment and revision are the scrape target's and never ours.
Everything here is read and written by the event loop's thread alone.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tidemill.serving.counters import Counters

CODES = (200, 400, 404, 413, 422, 429, 500, 503)
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_NAMES = (*(f"{bound:g}" if bound < 1 else str(bound) for bound in BUCKETS), "+Inf")
_APART = {
    "missing": "Values that were null, NaN or empty.",
    "unknown": "Categories that training never saw.",
    "invalid": "Values that could not be read; their requests were refused.",
    "out_of_range": "Numbers outside what training saw; they are in their bin, too.",
}


class Telemetry(Collector):
    """Counts requests, and turns all counts into series when asked."""

    def __init__(self, digest: str, counters: Counters, log_dropped: Callable[[], int]) -> None:
        self._digest = digest
        self._counters = counters
        self._log_dropped = log_dropped
        self._requests = dict.fromkeys(CODES, 0)
        self._durations = [0] * len(_NAMES)
        self._seconds = 0.0
        self._event_time = 0.0

    def request(self, code: int, seconds: float) -> None:
        """Count one inference request, from its first byte to the last of its answer."""
        self._requests[code] += 1
        self._durations[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds

    def event_time(self, epoch_seconds: float) -> None:
        """Note the event time of a request; the newest one counts."""
        self._event_time = max(self._event_time, epoch_seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield all series."""
        yield from self._collect_requests()
        yield from self._collect_predictions()
        yield from self._collect_features()

    def _collect_requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "tidemill_requests", "Inference requests by status code.", labels=["code"]
        )
        for code, count in self._requests.items():
            requests.add_metric([str(code)], count)
        yield requests
        yield HistogramMetricFamily(
            "tidemill_request_seconds",
            "Time from an inference request's first byte to the last of its answer.",
            buckets=list(zip(_NAMES, accumulate(self._durations), strict=True)),
            sum_value=self._seconds,
        )
        yield GaugeMetricFamily(
            "tidemill_event_time_seconds",
            "Newest event time of the requests, in seconds since 1970.",
            value=self._event_time,
        )
        yield CounterMetricFamily(
            "tidemill_log_dropped",
            "Rows that should have been logged and were not.",
            value=self._log_dropped(),
        )
        info = GaugeMetricFamily("tidemill_model_info", "The model that serves.", labels=["digest"])
        info.add_metric([self._digest], 1)
        yield info

    def _collect_predictions(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "tidemill_predictions", "Predictions made, one per row.", value=self._counters.rows
        )
        yield CounterMetricFamily(
            "tidemill_null_predictions",
            "Predictions that were no finite number.",
            value=self._counters.null,
        )
        values = CounterMetricFamily(
            "tidemill_prediction_values", "Predictions by bin of probability.", labels=["bin"]
        )
        for place, count in enumerate(self._counters.predictions.tolist()):
            values.add_metric([str(place)], count)
        yield values

    def _collect_features(self) -> Iterator[Metric]:
        features = self._counters.features
        values = CounterMetricFamily(
            "tidemill_feature_values",
            "Feature values by bin of the baseline profile.",
            labels=["feature", "bin"],
        )
        for feature in features:
            for place, count in enumerate(feature.bins.tolist()):
                values.add_metric([feature.name, str(place)], count)
        yield values
        for kind, said in _APART.items():
            apart = CounterMetricFamily(f"tidemill_feature_{kind}", said, labels=["feature"])
            for feature in features:
                apart.add_metric([feature.name], getattr(feature, kind))
            yield apart


def registry_of(telemetry: Telemetry) -> CollectorRegistry:
    """Return a registry with our series and those of the process (memory, CPU, files)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(telemetry)
    return registry
