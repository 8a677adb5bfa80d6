"""From profiles to what is drawn: the same bars for a version and the one before it.

Profiles of two versions have bins of their own. Between its edges a bin's values are taken to
lie evenly, so both can be drawn over the same bars of equal width. Only the pictures are made so;
distances are counted in the earlier version's own bins (`comparison`).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.api.documents.profile import FeatureProfile, ValueType

BARS = 32
MOST_CATEGORIES = 8
_MOST_VALUES = 24
_TAIL = 0.75
"""How far beyond the outer edges is drawn, in distances between the quartiles."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The shares of a number's values in bars from left to right."""

    low: float
    high: float
    shares: tuple[float, ...]
    before: tuple[float, ...] | None
    """The same of the version before."""
    below: float
    """The share of values that lie to the left of what is drawn."""
    above: float
    """The share that lies to the right."""
    values: tuple[float, ...] | None = None
    """One bar for each of these values, where there are only a few."""


@dataclass(frozen=True, slots=True)
class Category:
    """The share of one text value; `before` is None if there is no earlier version."""

    name: str
    share: float
    before: float | None
    rest: bool = False
    """It stands for all values that are not listed."""


def shape_of(now: FeatureProfile, before: FeatureProfile | None) -> Shape | None:
    """A number's shape; None if it has no values."""
    if now.minimum is None or now.maximum is None or not sum(now.counts):
        return None
    if before is not None and (before.type is not ValueType.NUMBER or not sum(before.counts)):
        before = None
    if _is_few(now) and (before is None or _is_few(before)):
        return _few(now, before)
    low, high = _range(now)
    if before is not None and before.minimum is not None:
        other = _range(before)
        low, high = min(low, other[0]), max(high, other[1])
    if low == high:
        low, high = low - 0.5, high + 0.5
    places = [low + (high - low) * bar / BARS for bar in range(BARS + 1)]
    points = [_up_to(now, place) for place in places]
    return Shape(
        low=low,
        high=high,
        shares=_steps(points),
        before=None if before is None else _steps([_up_to(before, place) for place in places]),
        below=points[0],
        above=1 - points[-1],
    )


def categories_of(
    now: FeatureProfile, rows: int, before: FeatureProfile | None, rows_before: int
) -> tuple[Category, ...]:
    """The most frequent texts of either version, the most frequent first, then all others.

    Shares are of the rows that have a value: not every value has a bin.
    """
    shares = _by_name(now, rows)
    text = before is not None and before.type is ValueType.CATEGORY
    old = _by_name(before, rows_before) if before is not None and text else None
    ranked = sorted(
        {*shares, *(old or ())},
        key=lambda name: (-max(shares.get(name, 0.0), (old or {}).get(name, 0.0)), name),
    )
    listed = ranked[:MOST_CATEGORIES]
    made = [
        Category(name, shares.get(name, 0.0), None if old is None else old.get(name, 0.0))
        for name in listed
    ]
    rest = max(0.0, 1 - sum(item.share for item in made)) if shares else 0.0
    rest_before = None if old is None else max(0.0, 1 - sum(item.before or 0.0 for item in made))
    if rest > 1e-9 or (rest_before or 0.0) > 1e-9:
        made.append(Category("", rest, rest_before, rest=True))
    return tuple(made)


def _by_name(profile: FeatureProfile, rows: int) -> dict[str, float]:
    total = rows - profile.missing
    named = zip(profile.categories, profile.counts, strict=False)
    return {name: count / total for name, count in named} if total else {}


def _is_few(profile: FeatureProfile) -> bool:
    """Whether each bin holds one value: the least number, then one for each edge."""
    bins = len(profile.edges) + 1
    return profile.distinct == bins <= _MOST_VALUES and profile.minimum is not None


def _few(now: FeatureProfile, before: FeatureProfile | None) -> Shape:
    shares, old = _by_value(now), None if before is None else _by_value(before)
    values = tuple(sorted({*shares, *(old or ())}))
    return Shape(
        low=values[0],
        high=values[-1],
        shares=tuple(shares.get(value, 0.0) for value in values),
        before=None if old is None else tuple(old.get(value, 0.0) for value in values),
        below=0.0,
        above=0.0,
        values=values,
    )


def _by_value(profile: FeatureProfile) -> dict[float, float]:
    total = sum(profile.counts) or 1
    values = (profile.minimum or 0.0, *profile.edges)
    return {value: count / total for value, count in zip(values, profile.counts, strict=True)}


def _range(profile: FeatureProfile) -> tuple[float, float]:
    """What is worth drawing: all, but for tails that are far from the rest."""
    least, most = profile.minimum or 0.0, profile.maximum or 0.0
    edges = profile.edges
    if len(edges) < 4:
        return least, most
    spread = edges[3 * len(edges) // 4] - edges[len(edges) // 4]
    spread = spread or (edges[-1] - edges[0])
    return max(least, edges[0] - _TAIL * spread), min(most, edges[-1] + _TAIL * spread)


def _up_to(profile: FeatureProfile, place: float) -> float:
    """The share of values below `place`, a bin's values lying evenly between its edges."""
    total = sum(profile.counts)
    least, most = profile.minimum or 0.0, profile.maximum or 0.0
    if place <= least:
        return 0.0
    if place >= most:
        return 1.0
    at = bisect_right(profile.edges, place)
    left = profile.edges[at - 1] if at else least
    right = profile.edges[at] if at < len(profile.edges) else most
    inside = (place - left) / (right - left) if right > left else 1.0
    return (sum(profile.counts[:at]) + profile.counts[at] * min(1.0, inside)) / total


def _steps(points: Sequence[float]) -> tuple[float, ...]:
    return tuple(b - a for a, b in zip(points, points[1:], strict=False))
