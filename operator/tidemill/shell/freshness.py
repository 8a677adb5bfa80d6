"""How old sources are, told when Prometheus asks: no pass, no timer and no request is needed.

What is remembered of a Dataset is two numbers, taken when it changes.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tidemill.core.conditions import parse_time
from tidemill.shell.store import Change, Key, Store

_LABELS = ("dataset_namespace", "dataset")
"""Not `namespace`, which the scrape sets to that of the operator's own pod."""


class SourceAges(Collector):
    """The age of every Dataset's source, and its limit where it has one."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._held: dict[Key, tuple[float | None, int | None]] = {}
        store.subscribe(self.changed)

    def changed(self, change: Change) -> None:
        """An object has changed; Datasets are looked at."""
        if change.key.kind != "Dataset":
            return
        body = None if change.after is None else self._store.get(*change.key)
        if body is None:
            self._held.pop(change.key, None)
            return
        refresh: dict[str, Any] = body["spec"].get("refresh") or {}
        changed = (body.get("status") or {}).get("sourceChanged")
        since = None if changed is None else parse_time(changed).timestamp()
        self._held[change.key] = since, refresh.get("freshWithinSeconds")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Both series, as of now."""
        now = self._now().timestamp()
        age = GaugeMetricFamily(
            "tidemill_dataset_source_age_seconds",
            "Seconds since a Dataset's source was last seen to have changed.",
            labels=_LABELS,
        )
        limit = GaugeMetricFamily(
            "tidemill_dataset_fresh_within_seconds",
            "A Dataset's spec.refresh.freshWithinSeconds.",
            labels=_LABELS,
        )
        for key, (since, within) in list(self._held.items()):
            if since is not None:
                age.add_metric([key.namespace, key.name], max(0.0, now - since))
            if within is not None:
                limit.add_metric([key.namespace, key.name], within)
        yield age
        yield limit
