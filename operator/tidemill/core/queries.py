"""PromQL from fixed templates; whatever comes from outside is an escaped label value.

Namespace, pod and revision are labels of the scrape target, never of what a container says of
itself. A counter's increase is taken pod by pod and then summed, so that a restart is not a
negative number and a pod that died inside the window still counts. Whole batches are one query:
each part carries its name in the label `part`, so all are evaluated at the same instant.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

PART = "part"
_SCRAPES_SEEN = 8
"""How many scrape intervals to look back for a pod's last samples."""
_FINEST = 500
"""At most so many steps when looking for the first value inside a window."""


class Point(Protocol):
    """One element of an instant vector; filled by ports.Sample."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        ...

    @property
    def value(self) -> float:
        """Its value."""
        ...


def escaped(value: str) -> str:
    """A label value for use between double quotes in PromQL."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def selector(namespace: str, revision: str) -> str:
    """The matchers of all pods of one revision."""
    return f'{{namespace="{escaped(namespace)}",revision="{escaped(revision)}"}}'


def total(series: str, pods: str, seconds: int, *by: str) -> str:
    """What a counter of these pods has grown by in a window, summed, or apart by some labels."""
    grouped = f" by ({','.join(by)})" if by else ""
    return f"sum{grouped} (increase({series}{pods}[{seconds}s]))"


def quantile(series: str, pods: str, seconds: int, share: str) -> str:
    """A quantile of a histogram of these pods over a window."""
    return f"histogram_quantile({share}, {total(f'{series}_bucket', pods, seconds, 'le')})"


def scraped(pods: str, scrape_seconds: int) -> str:
    """The pods of which there are two samples or more: from then on their increases count."""
    window = f"[{_SCRAPES_SEEN * scrape_seconds}s]"
    return f"sum by (pod) (count_over_time(tidemill_model_info{pods}{window})) >= 2"


def event_time(pods: str, at: datetime) -> str:
    """The newest event time the pods had seen at a moment: the least over the pods."""
    return f"min(tidemill_event_time_seconds{pods} @ {int(at.timestamp())} > 0)"


def first_event_time(pods: str, seconds: int, scrape_seconds: int) -> str:
    """The least newest event time the pods had seen at any moment of a window."""
    step = max(scrape_seconds, seconds // _FINEST, 1)
    inner = f"(tidemill_event_time_seconds{pods} > 0)[{seconds}s:{step}s]"
    return f"min(min_over_time({inner}))"


def batch(parts: Mapping[str, str]) -> str:
    """One query for many: the label `part` tells whose answer an element is."""
    return " or ".join(
        f'label_replace({query}, "{PART}", "{escaped(name)}", "", "")'
        for name, query in sorted(parts.items())
    )


def split(points: Iterable[Point]) -> Mapping[str, tuple[Point, ...]]:
    """The answer to a batch, by part; a part without an answer is an empty tuple."""
    found: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        found[point.labels.get(PART, "")].append(point)
    answers: defaultdict[str, tuple[Point, ...]] = defaultdict(tuple)
    answers.update({name: tuple(items) for name, items in found.items()})
    return answers


def scalar(points: Iterable[Point]) -> float | None:
    """The value of a vector of one element; None if it is empty."""
    return next((point.value for point in points), None)


def by_label(points: Iterable[Point], label: str) -> Mapping[str, float]:
    """A vector as label value -> value."""
    return {point.labels.get(label, ""): point.value for point in points}


def histogram(points: Iterable[Point], bins: int) -> tuple[float, ...]:
    """A vector by `bin` as counts of the bins 0 to bins - 1; what names no such bin is left out."""
    counts = [0.0] * bins
    for point in points:
        name = point.labels.get("bin", "")
        if name.isascii() and name.isdigit() and int(name) < bins:
            counts[int(name)] += point.value
    return tuple(counts)
