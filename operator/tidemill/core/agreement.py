"""How far raters agree beyond chance: kappa, with the interval it lies in.

Rows come as patterns: what was said of a row, and how many rows that was said of. A rating that is
missing is None; rows with fewer than two ratings say nothing of agreement and are left out.

- Cohen's kappa (1960) of two raters: (p - e) / (1 - e), where p is the share of rows both say the
  same of, and e the sum over categories of the product of the raters' own shares.
- Fleiss' kappa (1971) of more: p is the mean over rows of the share of agreeing pairs among the
  row's ratings, e the sum of squares of the categories' shares of all ratings. Rows may have
  different numbers of ratings: each row's pairs are its own, and each rating counts once in e. With
  no rating missing these are Fleiss' own numbers.

The standard error is by the delta method over rows (for Cohen's: Fleiss, Cohen and Everitt 1969),
the interval 1.96 of them on either side, within -1 and 1.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

Pattern = tuple[str | None, ...]
"""What each rater said of a row."""
_NORMAL = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Agreement:
    """Kappa and what it rests on."""

    statistic: str
    """Cohen or Fleiss."""
    rows: int
    """How many rows had two or more ratings."""
    kappa: float | None
    """None where everybody always said the same one thing, or there are no rows."""
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class _Row:
    """A pattern's part in the two means."""

    rows: int
    agreement: float
    pull: float
    """How far such a row moves the agreement by chance, in the first order."""


def agreement(patterns: Mapping[Pattern, int]) -> Agreement:
    """Kappa of some patterns; the number of raters decides which."""
    raters = max((len(pattern) for pattern in patterns), default=0)
    rated = {
        pattern: rows
        for pattern, rows in patterns.items()
        if rows > 0 and sum(said is not None for said in pattern) > 1
    }
    statistic = "Cohen" if raters <= 2 else "Fleiss"
    rows = sum(rated.values())
    if not rated:
        return Agreement(statistic, 0, None, None, None)
    chance, parts = _cohen(rated) if statistic == "Cohen" else _fleiss(rated)
    observed = sum(part.rows * part.agreement for part in parts) / rows
    if chance >= 1:
        return Agreement(statistic, rows, None, None, None)
    kappa = (observed - chance) / (1 - chance)
    variance = (
        sum(part.rows * _influence(part, observed, chance) ** 2 for part in parts) / rows / rows
    )
    margin = _NORMAL * sqrt(variance)
    return Agreement(statistic, rows, kappa, max(-1.0, kappa - margin), min(1.0, kappa + margin))


def _influence(part: _Row, observed: float, chance: float) -> float:
    """How far one row moves kappa, in the first order."""
    own = part.agreement - observed
    return ((own - part.pull) * (1 - chance) + (observed - chance) * part.pull) / (1 - chance) ** 2


def _cohen(rated: Mapping[Pattern, int]) -> tuple[float, list[_Row]]:
    rows = sum(rated.values())
    first, second = (_shares(((p[place], n) for p, n in rated.items()), rows) for place in (0, 1))
    chance = sum(share * second.get(said, 0.0) for said, share in first.items())
    parts = [
        _Row(
            count,
            float(one == other),
            second.get(one, 0.0) + first.get(other, 0.0) - 2 * chance,
        )
        for (one, other), count in rated.items()
    ]
    return chance, parts


def _fleiss(rated: Mapping[Pattern, int]) -> tuple[float, list[_Row]]:
    rows = sum(rated.values())
    counted = [(Counter(s for s in pattern if s is not None), n) for pattern, n in rated.items()]
    ratings = sum(votes.total() * n for votes, n in counted)
    shares = _shares(((said, v * n) for votes, n in counted for said, v in votes.items()), ratings)
    chance = sum(share**2 for share in shares.values())
    mean = ratings / rows
    parts = []
    for votes, count in counted:
        size = votes.total()
        agreeing = sum(v * (v - 1) for v in votes.values()) / (size * (size - 1))
        pull = 2 * (sum(shares[said] * v for said, v in votes.items()) - chance * size) / mean
        parts.append(_Row(count, agreeing, pull))
    return chance, parts


def _shares(said: Iterable[tuple[str | None, int]], whole: int) -> dict[str | None, float]:
    counts: Counter[str | None] = Counter()
    for one, rows in said:
        counts[one] += rows
    return {one: rows / whole for one, rows in counts.items()}


def conflicts(patterns: Mapping[Pattern, int]) -> int:
    """How many rows have raters who disagree."""
    return sum(
        rows
        for pattern, rows in patterns.items()
        if len({said for said in pattern if said is not None}) > 1
    )


def ratings(patterns: Mapping[Pattern, int], raters: Sequence[str]) -> dict[str, int]:
    """How many rows each rater has seen."""
    return {
        name: sum(rows for pattern, rows in patterns.items() if pattern[place] is not None)
        for place, name in enumerate(raters)
    }
