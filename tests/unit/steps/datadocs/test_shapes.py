"""`shapes`: profiles with bins of their own become bars that can be compared."""

from typing import Any

import pytest

from tidemill.api.documents.profile import FeatureProfile, ValueType
from tidemill.steps.datadocs.shapes import BARS, categories_of, shape_of


def number(**changes: Any) -> FeatureProfile:
    """Four thousand numbers spread evenly from 0 to 100."""
    body = {
        "name": "x",
        "type": ValueType.NUMBER,
        "edges": (25.0, 50.0, 75.0),
        "counts": (1000, 1000, 1000, 1000),
        "minimum": 0.0,
        "maximum": 100.0,
        "distinct": 3000,
        **changes,
    }
    return FeatureProfile.model_validate(body)


def text(*pairs: tuple[str, int], missing: int = 0) -> FeatureProfile:
    return FeatureProfile(
        name="x",
        type=ValueType.CATEGORY,
        categories=tuple(name for name, _ in pairs),
        counts=tuple(count for _, count in pairs),
        missing=missing,
    )


def test_even_values_give_even_bars() -> None:
    shape = shape_of(number(), None)

    assert shape is not None
    assert (shape.low, shape.high, shape.before) == (0.0, 100.0, None)
    assert shape.shares == pytest.approx([1 / BARS] * BARS)


def test_both_versions_share_the_bars_whatever_their_bins() -> None:
    shifted = number(edges=(120.0, 150.0), counts=(10, 10, 20), minimum=100.0, maximum=200.0)

    shape = shape_of(number(), shifted)

    assert shape is not None
    assert shape.before is not None
    assert (shape.low, shape.high) == (0.0, 200.0)
    assert sum(shape.shares[: BARS // 2]) == pytest.approx(1)
    assert sum(shape.before[BARS // 2 :]) == pytest.approx(1)


def test_far_tails_are_told_and_not_drawn() -> None:
    edges = tuple(float(place) for place in range(1, 20))
    shape = shape_of(number(edges=edges, counts=(50,) * 20, maximum=1e6, distinct=900), None)

    assert shape is not None
    assert shape.high < 40
    assert shape.above == pytest.approx(0.05, abs=0.001)


def test_few_values_have_a_bar_each() -> None:
    now = number(edges=(1.0, 2.0), counts=(5, 3, 2), minimum=0.0, maximum=2.0, distinct=3)
    old = number(edges=(5.0,), counts=(1, 3), minimum=0.0, maximum=5.0, distinct=2)

    shape = shape_of(now, old)

    assert shape is not None
    assert shape.values == (0.0, 1.0, 2.0, 5.0)
    assert shape.shares == (0.5, 0.3, 0.2, 0.0)
    assert shape.before == (0.25, 0.0, 0.0, 0.75)


NOTHING = {
    "no values": number(edges=(), counts=(0,), minimum=None, maximum=None),
    "counts of nothing": number(counts=(0, 0, 0, 0)),
}


@pytest.mark.parametrize("profile", NOTHING.values(), ids=NOTHING)
def test_nothing_has_no_shape(profile: FeatureProfile) -> None:
    assert shape_of(profile, None) is None


def test_one_value_alone_can_be_drawn() -> None:
    one = number(edges=(), counts=(7,), minimum=3.0, maximum=3.0, distinct=1)

    shape = shape_of(one, None)

    assert shape is not None
    assert (shape.values, shape.shares) == ((3.0,), (1.0,))


def test_texts_of_both_versions_are_listed_by_their_largest_share() -> None:
    listed = categories_of(
        text(("a", 60), ("b", 30), missing=5), 100, text(("b", 10), ("c", 90)), 100
    )

    assert [(item.name, item.rest) for item in listed] == [
        ("c", False), ("a", False), ("b", False), ("", True),
    ]  # fmt: skip
    assert [item.before for item in listed] == [0.9, 0.0, 0.1, pytest.approx(0)]
    assert listed[1].share == pytest.approx(60 / 95)
    assert listed[3].share == pytest.approx(5 / 95), "values without a bin are the rest"
