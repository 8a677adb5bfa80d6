"""Kappa: scikit-learn's numbers for two raters, the published ones for more."""

import random
from collections import Counter
from math import sqrt

import pytest
from sklearn.metrics import cohen_kappa_score

from tidemill.core.agreement import Pattern, agreement, conflicts, ratings

# The example of Fleiss' kappa in the literature: ten subjects, fourteen raters, five categories.
FLEISS: list[tuple[int, ...]] = [
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
]


def patterns_of(table: list[tuple[int, ...]]) -> dict[Pattern, int]:
    """Counts per category as what each rater said."""
    said = (
        tuple(str(category) for category, n in enumerate(row) for _ in range(n)) for row in table
    )
    return dict(Counter(said))


def pairs(seed: int, rows: int, words: str = "ab", noise: float = 0.3) -> list[Pattern]:
    """Two raters, the second often of the first one's opinion."""
    chance = random.Random(seed)
    first = [chance.choice(words) for _ in range(rows)]
    second = [chance.choice(words) if chance.random() < noise else w for w in first]
    said: list[Pattern] = []
    said.extend(zip(first, second, strict=True))
    return said


@pytest.mark.parametrize("words", ["ab", "aaab", "abcde"])
@pytest.mark.parametrize("seed", range(5))
def test_cohen_is_scikit_learns(words: str, seed: int) -> None:
    said = pairs(seed, 200, words)

    found = agreement(Counter(said))

    assert (found.statistic, found.rows) == ("Cohen", 200)
    expected = cohen_kappa_score(*(list(side) for side in zip(*said, strict=True)))
    assert found.kappa == pytest.approx(expected, abs=1e-12)


def test_rows_that_one_rater_has_not_seen_say_nothing() -> None:
    said = pairs(1, 100)

    alone: dict[Pattern, int] = {("a", None): 50, (None, "b"): 30, (None, None): 9}

    assert agreement({**Counter(said), **alone}) == agreement(Counter(said))


def test_fleiss_is_the_published_one() -> None:
    found = agreement(patterns_of(FLEISS))

    assert (found.statistic, found.rows) == ("Fleiss", 10)
    assert found.kappa == pytest.approx(0.20993, abs=5e-6)


def by_definition(said: dict[Pattern, int]) -> float:
    """Fleiss' kappa as his paper writes it, for raters who have all seen all."""
    rows = [Counter(pattern) for pattern, n in said.items() for _ in range(n)]
    size = rows[0].total()
    words = set().union(*rows)
    observed = sum(
        (sum(row[word] ** 2 for word in words) - size) / (size * (size - 1)) for row in rows
    ) / len(rows)
    chance = sum((sum(row[word] for row in rows) / (len(rows) * size)) ** 2 for word in words)
    return (observed - chance) / (1 - chance)


@pytest.mark.parametrize("seed", range(5))
def test_fleiss_is_its_definition(seed: int) -> None:
    chance = random.Random(seed)
    said: Counter[Pattern] = Counter()
    for _ in range(100):
        word = chance.choice("abc")
        said[tuple(chance.choice("abc") if chance.random() < 0.3 else word for _ in "1234")] += 1

    assert agreement(said).kappa == pytest.approx(by_definition(dict(said)), abs=1e-12)


def test_missing_ratings_weigh_by_pairs_and_by_ratings() -> None:
    """Worked by hand: rows aab, aa-, -bb; pairs agree 1/3, 1, 1; ratings are 4 a and 3 b."""
    found = agreement({("a", "a", "b"): 1, ("a", "a", None): 1, (None, "b", "b"): 1})

    observed, chance = (1 / 3 + 1 + 1) / 3, (4 / 7) ** 2 + (3 / 7) ** 2
    assert found.rows == 3
    assert found.kappa == pytest.approx((observed - chance) / (1 - chance), abs=1e-12)


def test_the_error_of_cohens_is_that_of_fleiss_cohen_and_everitt() -> None:
    """Their formula (1969), written out for a table of two by two."""
    table: dict[Pattern, int] = {("a", "a"): 118, ("a", "b"): 5, ("b", "a"): 2, ("b", "b"): 75}
    rows = sum(table.values())
    p = {pair: n / rows for pair, n in table.items()}
    first = {w: sum(p[w, v] for v in "ab") for w in "ab"}
    second = {w: sum(p[v, w] for v in "ab") for w in "ab"}
    observed = p["a", "a"] + p["b", "b"]
    chance = sum(first[w] * second[w] for w in "ab")
    kappa = (observed - chance) / (1 - chance)
    same = sum(p[w, w] * (1 - (first[w] + second[w]) * (1 - kappa)) ** 2 for w in "ab")
    other = (1 - kappa) ** 2 * sum(
        p[v, w] * (second[v] + first[w]) ** 2 for v in "ab" for w in "ab" if v != w
    )
    last = (kappa - chance * (1 - kappa)) ** 2
    error = sqrt((same + other - last) / (rows * (1 - chance) ** 2))

    found = agreement(table)

    assert found.kappa == pytest.approx(kappa, abs=1e-12)
    assert found.low == pytest.approx(kappa - 1.959963984540054 * error, abs=1e-9)
    assert found.high == pytest.approx(kappa + 1.959963984540054 * error, abs=1e-9)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Three raters who each err one time in five: the intervals of 300 samples."""

    def sample(seed: int, rows: int) -> Counter[Pattern]:
        chance = random.Random(seed)
        said: Counter[Pattern] = Counter()
        for _ in range(rows):
            truth = chance.random() < 0.4
            said[tuple(str(truth != (chance.random() < 0.2)) for _ in range(3))] += 1
        return said

    truth = agreement(sample(0, 100_000)).kappa
    assert truth is not None
    inside = [
        found.low is not None and found.high is not None and found.low <= truth <= found.high
        for found in (agreement(sample(seed, 200)) for seed in range(1, 301))
    ]

    assert 0.91 <= sum(inside) / len(inside) <= 0.985


NOTHING: dict[str, tuple[dict[Pattern, int], int]] = {
    "no rows": ({}, 0),
    "nobody has seen the same": ({("a", None): 5, (None, "b"): 5}, 0),
    "everybody says one thing, two raters": ({("a", "a"): 20}, 20),
    "everybody says one thing, three raters": ({("a", "a", "a"): 20}, 20),
}


@pytest.mark.parametrize(("said", "rows"), NOTHING.values(), ids=NOTHING)
def test_no_kappa(said: dict[Pattern, int], rows: int) -> None:
    found = agreement(said)

    assert (found.rows, found.kappa, found.low, found.high) == (rows, None, None, None)


def test_full_agreement_is_one_and_its_opposite_less_than_none() -> None:
    assert agreement({("a", "a"): 10, ("b", "b"): 10}).kappa == 1
    assert agreement({("a", "b"): 10, ("b", "a"): 10}).kappa == -1


def test_what_is_counted_beside() -> None:
    said: dict[Pattern, int] = {("a", "a", None): 5, ("a", "b", None): 3, (None, None, "a"): 2}

    assert conflicts(said) == 3
    assert ratings(said, ["x", "y", "z"]) == {"x": 8, "y": 8, "z": 2}
