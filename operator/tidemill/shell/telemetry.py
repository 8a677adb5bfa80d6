"""What the operator tells of itself: metrics and log lines."""

import asyncio
import json
import logging
import sys
import time
from contextvars import ContextVar
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tidemill.shell.queue import Queue
from tidemill.shell.store import Change, Key

PREFIX = "tidemill_operator"
CURRENT: ContextVar[Key | None] = ContextVar("current", default=None)
"""The object whose pass is running; every log line of the pass names it."""

_SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
_PROBE_SECONDS = 1.0


class Telemetry:
    """The operator's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._passes = Counter(
            f"{PREFIX}_passes", "Passes by kind and outcome.", ["kind", "outcome"],
            registry=self.registry,
        )  # fmt: skip
        self._pass_seconds = Histogram(
            f"{PREFIX}_pass_seconds", "Seconds a pass took.", ["kind"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._wait_seconds = Histogram(
            f"{PREFIX}_queue_wait_seconds", "Seconds a key waited for a worker.",
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._requests = Counter(
            f"{PREFIX}_api_requests", "Requests to the API server; code 0 is no answer.",
            ["verb", "kind", "code"], registry=self.registry,
        )  # fmt: skip
        self._request_seconds = Histogram(
            f"{PREFIX}_api_request_seconds", "Seconds until the API server answered.", ["verb"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._lists = Counter(
            f"{PREFIX}_lists", "Lists taken, by kind.", ["kind"], registry=self.registry
        )
        self._lag = Histogram(
            f"{PREFIX}_loop_lag_seconds", "How late the event loop ran a timer.",
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2.0), registry=self.registry,
        )  # fmt: skip
        self._conditions = Gauge(
            f"{PREFIX}_conditions", "Objects by condition.", ["kind", "type", "status"],
            registry=self.registry,
        )  # fmt: skip
        self._lineage = Counter(
            f"{PREFIX}_lineage_events", "OpenLineage events by what became of them.", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        self._objects = Gauge(
            f"{PREFIX}_objects", "Objects in memory.", ["kind"], registry=self.registry
        )
        self.leader = Gauge(
            f"{PREFIX}_leader", "1 while this process leads.", registry=self.registry
        )
        self.beat = time.monotonic()

    def watch_queue(self, queue: Queue) -> None:
        """Tell the queue's depth whenever asked."""
        self.registry.register(_QueueDepth(queue))

    def passed(self, key: Key, outcome: str, seconds: float, waited: float) -> None:
        """A pass has ended."""
        self._passes.labels(key.kind, outcome).inc()
        self._pass_seconds.labels(key.kind).observe(seconds)
        self._wait_seconds.observe(waited)

    def requested(self, verb: str, kind: str, code: int, seconds: float) -> None:
        """The API server has answered, or has not (code 0)."""
        self._requests.labels(verb, kind, str(code)).inc()
        if verb != "watch":
            self._request_seconds.labels(verb).observe(seconds)

    def listed(self, kind: str) -> None:
        """A list was taken."""
        self._lists.labels(kind).inc()

    def lineage(self, outcome: str) -> None:
        """An OpenLineage event was sent, or dropped."""
        self._lineage.labels(outcome).inc()

    def changed(self, change: Change) -> None:
        """An object in memory has changed."""
        kind = change.key.kind
        before, after = change.before, change.after
        if (before is None) != (after is None):
            self._objects.labels(kind).inc(1 if after is not None else -1)
        for record, step in ((before, -1), (after, 1)):
            for type_, status in record.conditions if record is not None else ():
                self._conditions.labels(kind, type_, status).inc(step)

    async def beat_for_ever(self) -> None:
        """Measure how late the event loop is, once a second."""
        while True:
            due = time.monotonic() + _PROBE_SECONDS
            await asyncio.sleep(_PROBE_SECONDS)
            self.beat = time.monotonic()
            self._lag.observe(max(0.0, self.beat - due))


class _QueueDepth(Collector):
    """The queue as it is when Prometheus asks."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def collect(self) -> list[GaugeMetricFamily]:
        """Keys by lane, and those that wait for their time."""
        depth = GaugeMetricFamily(
            f"{PREFIX}_queue_depth",
            "Keys waiting for a worker or being worked on.",
            labels=["lane"],
        )
        for lane, count in self._queue.lanes.items():
            depth.add_metric([lane], count)
        delayed = GaugeMetricFamily(f"{PREFIX}_queue_delayed", "Keys that wait for their time.")
        delayed.add_metric([], self._queue.delayed)
        return [depth, delayed]


class JsonLines(logging.Formatter):
    """One JSON object a line, with the object the pass is about."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        key = CURRENT.get()
        if key is not None:
            line |= key._asdict()
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_as_json(level: str) -> None:
    """Send all log lines to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # kopf tells of every event and each retry; its troubles come as errors of its own.
    logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLogger().level))
