"""Counting: each value falls where the profile says, and the parts add up."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.serving.bundles import CARRIERS, ORIGINS, RARE, profile
from tidemill.api.documents.profile import FeatureProfile, Profile
from tidemill.serving.batch import Batch
from tidemill.serving.counters import Counters

PROFILE = Profile.model_validate(profile())
FEATURES = {feature.name: feature for feature in PROFILE.features}


def count_numbers(feature: FeatureProfile, values: list[float]) -> Counters:
    counters = Counters([feature], None)
    for value in values:
        counters.add(Batch(1, np.array([[value]]), ()), np.array([0.5]))
    return counters


def count_texts(feature: FeatureProfile, values: list[str]) -> Counters:
    counters = Counters([feature], None)
    for value in values:
        counters.add(Batch(1, np.empty((0, 1)), ([value],)), np.array([0.5]))
    return counters


NAN = float("nan")
NUMBERS: dict[str, tuple[float, int | None, int, int]] = {
    # value: its bin, or none; whether it is missing; whether it is out of range
    "below the first edge": (10.0, 0, 0, 0),
    "on an edge belongs above it": (60.1, 2, 0, 0),
    "on an edge, sent as float32": (float(np.float32(60.1)), 2, 0, 0),
    "on an edge that rounds down, sent as float32": (float(np.float32(39.02)), 1, 0, 0),
    "between edges": (70.0, 2, 0, 0),
    "above the last edge": (90.0, 3, 0, 0),
    "the least that training saw": (-5.5, 0, 0, 0),
    "the greatest, sent as float32": (float(np.float32(110.2)), 3, 0, 0),
    "less than training saw": (-6.0, 0, 0, 1),
    "more than training saw": (111.0, 3, 0, 1),
    "missing": (NAN, None, 1, 0),
}


@pytest.mark.parametrize(("value", "place", "missing", "outside"), NUMBERS.values(), ids=NUMBERS)
def test_a_number(value: float, place: int | None, missing: int, outside: int) -> None:
    (counted,) = count_numbers(FEATURES["temp"], [value]).features

    assert np.flatnonzero(counted.bins).tolist() == ([] if place is None else [place])
    assert (counted.missing, counted.out_of_range) == (missing, outside)
    assert (counted.unknown, counted.invalid) == (0, 0)


TEXTS: dict[str, tuple[str, int | None, int, int]] = {
    # value: its bin, or none; whether it is missing; whether it is unknown
    "the first category": ("UA", 0, 0, 0),
    "the last category": ("DL", 3, 0, 0),
    "a rare one": ("OO", 4, 0, 0),
    "one never seen": ("ZZ", None, 0, 1),
    "another case is another category": ("ua", None, 0, 1),
    "missing": ("", None, 1, 0),
}


@pytest.mark.parametrize(("value", "place", "missing", "unknown"), TEXTS.values(), ids=TEXTS)
def test_a_category(value: str, place: int | None, missing: int, unknown: int) -> None:
    (counted,) = count_texts(FEATURES["carrier"], [value]).features

    assert np.flatnonzero(counted.bins).tolist() == ([] if place is None else [place])
    assert (counted.missing, counted.unknown) == (missing, unknown)
    assert (counted.out_of_range, counted.invalid) == (0, 0)


PREDICTIONS: dict[str, tuple[float, int | None]] = {
    "nought": (0.0, 0),
    "below the first edge": (0.0499, 0),
    "on the first edge": (0.05, 1),
    "a half": (0.5, 10),
    "one": (1.0, 19),
    "not a number": (NAN, None),
    "infinite": (float("inf"), None),
}


@pytest.mark.parametrize(("score", "place"), PREDICTIONS.values(), ids=PREDICTIONS)
def test_a_prediction(score: float, place: int | None) -> None:
    counters = Counters([FEATURES["temp"]], PROFILE.prediction)
    counters.add(Batch(1, np.array([[50.0]]), ()), np.array([score]))

    assert np.flatnonzero(counters.predictions).tolist() == ([] if place is None else [place])
    assert len(counters.predictions) == 20
    assert (counters.rows, counters.null) == (1, 1 if place is None else 0)


def test_what_could_not_be_read_is_counted_by_feature() -> None:
    counters = Counters(PROFILE.features, None)
    counters.add_invalid("carrier", 3)

    assert {f.name: f.invalid for f in counters.features if f.invalid} == {"carrier": 3}


def test_features_come_in_the_order_of_the_signature() -> None:
    order = [FEATURES[name] for name in ("origin", "temp", "carrier", "weekend", "dep_hour")]

    assert [f.name for f in Counters(order, None).features] == [f.name for f in order]


ROWS = st.lists(
    st.tuples(
        st.floats(-50, 150, width=32) | st.just(NAN) | st.sampled_from([39.02, 60.1, 80.7]),
        st.sampled_from([*CARRIERS, *RARE, "", "ZZ", "HA "]),
        st.sampled_from([*ORIGINS, "", "BOS"]),
    ),
    min_size=1,
    max_size=40,
)


@given(requests=st.lists(ROWS, min_size=1, max_size=30))
def test_however_rows_come_each_is_counted_once_and_where_the_profile_says(
    requests: list[list[tuple[float, str, str]]],
) -> None:
    features = [FEATURES[name] for name in ("temp", "carrier", "origin")]
    counters = Counters(features, None)
    for rows in requests:
        temps, carriers, origins = (list(column) for column in zip(*rows, strict=True))
        batch = Batch(len(rows), np.array([temps]), (carriers, origins))
        counters.add(batch, np.full(len(rows), 0.5))

    flat = [row for rows in requests for row in rows]
    edges = [float(np.float32(edge)) for edge in FEATURES["temp"].edges]
    known = [float(np.float32(row[0])) for row in flat if not np.isnan(row[0])]
    temp, carrier, origin = counters.features
    assert tally(temp.bins) == Counter(bisect_right(edges, value) for value in known)
    assert temp.missing == len(flat) - len(known)
    places: dict[str, Any] = {name: place for place, name in enumerate(CARRIERS)}
    places |= dict.fromkeys(RARE, len(CARRIERS))
    assert tally(carrier.bins) == Counter(places[r[1]] for r in flat if r[1] in places)
    assert carrier.unknown == sum(row[1] in ("ZZ", "HA ") for row in flat)
    assert origin.bins.sum() + origin.missing + origin.unknown == len(flat)
    assert counters.rows == len(flat)


def tally(bins: Any) -> Counter[int]:
    return Counter({place: count for place, count in enumerate(bins.tolist()) if count})
