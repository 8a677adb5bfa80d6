"""Distances equal the formulas of the systems that named them, and the noise floor is found."""

from collections.abc import Callable, Sequence
from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from tidemill.api.documents.profile import FeatureProfile, ValueType
from tidemill.core.drift import (
    compare,
    js_distance,
    js_divergence,
    l_infinity,
    noise_floor_for,
    psi,
)

Statistic = Callable[[Sequence[float], Sequence[float]], float | None]

# By hand: shares (0.5, 0.5) against (0.9, 0.1).
# JS in nats: (0.5 ln(0.5/0.7) + 0.5 ln(0.5/0.3) + 0.9 ln(0.9/0.7) + 0.1 ln(0.1/0.3)) / 2
HALF = (0.5 * log(5 / 7) + 0.5 * log(5 / 3) + 0.9 * log(9 / 7) + 0.1 * log(1 / 3)) / 2

CASES: dict[str, tuple[Statistic, Sequence[float], Sequence[float], float | None]] = {
    "JS distance of equal shares is 0": (js_distance, (1, 2, 3), (10, 20, 30), 0),
    "JS distance without a shared bin is sqrt(ln 2)": (js_distance, (5, 0), (0, 7), sqrt(log(2))),
    "JS distance by hand": (js_distance, (50, 50), (9, 1), sqrt(HALF)),
    "JS divergence without a shared bin is one bit": (js_divergence, (5, 0), (0, 7), 1),
    "JS divergence by hand": (js_divergence, (50, 50), (9, 1), HALF / log(2)),
    "L-infinity is the largest difference": (l_infinity, (50, 50), (9, 1), 0.4),
    "PSI by hand": (psi, (50, 50), (9, 1), 0.4 * log(1.8) - 0.4 * log(0.2)),
    "PSI sets a share of 0 to 1e-4": (psi, (1, 1), (1, 0), 0.5 * log(2) - 0.4999 * log(2e-4)),
    "no live value, no distance": (js_distance, (1, 2), (0, 0), None),
    "no baseline value, no divergence": (js_divergence, (0, 0), (1, 2), None),
    "no live value, no L-infinity": (l_infinity, (1, 2), (0, 0), None),
    "no live value, no PSI": (psi, (1, 2), (0, 0), None),
    "increases of counters may be fractions": (js_distance, (1, 1), (0.25, 0.25), 0),
}


@pytest.mark.parametrize(("statistic", "p", "q", "expected"), CASES.values(), ids=CASES)
def test_statistic(
    statistic: Statistic, p: Sequence[float], q: Sequence[float], expected: float | None
) -> None:
    found = statistic(p, q)

    assert found == (None if expected is None else pytest.approx(expected, abs=1e-12))


COUNTS = st.lists(st.integers(0, 10**6), min_size=2, max_size=24).filter(any)


@given(st.data())
def test_js_distance_is_that_of_scipy(data: st.DataObject) -> None:
    p = data.draw(COUNTS)
    q = data.draw(st.lists(st.integers(0, 10**6), min_size=len(p), max_size=len(p)).filter(any))

    distance = js_distance(p, q)

    assert distance is not None
    assert distance == pytest.approx(np.nan_to_num(jensenshannon(p, q)), abs=1e-7)
    assert distance == pytest.approx(js_distance(q, p), abs=1e-12)
    assert 0 <= distance <= sqrt(log(2)) + 1e-12


def test_unlike_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="2 bins cannot be compared with 3"):
        js_distance((1, 2), (1, 2, 3))


FLOORS = {"3600": 0.4, "86400": 0.3, "604800": 0.2}
WINDOWS: dict[str, tuple[int, dict[str, float], float]] = {
    "a window of a week takes the week's": (604800, FLOORS, 0.2),
    "two days take the day's": (172800, FLOORS, 0.3),
    "a month takes the week's": (2592000, FLOORS, 0.2),
    "a minute takes the shortest there is": (60, FLOORS, 0.4),
    "lengths without 500 rows are absent": (3600, {"604800": 0.2}, 0.2),
    "nothing measured, no floor": (3600, {}, 0),
    "lengths are numbers, not text": (604800, {"86400": 0.3, "604800": 0.2}, 0.2),
}


@pytest.mark.parametrize(("window", "floors", "expected"), WINDOWS.values(), ids=WINDOWS)
def test_noise_floor_for(window: int, floors: dict[str, float], expected: float) -> None:
    assert noise_floor_for(window, floors) == expected


def test_compare_says_distance_floor_and_samples() -> None:
    baseline = FeatureProfile(
        name="temp",
        type=ValueType.NUMBER,
        edges=(10.0,),
        counts=(50, 50),
        missing=900,
        noise_floor=FLOORS,
    )

    found = compare(baseline, (9.0, 1.0), 86400)

    assert (found.feature, found.floor, found.samples) == ("temp", 0.3, 10.0)
    assert found.distance == pytest.approx(sqrt(HALF))
