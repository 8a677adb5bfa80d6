"""Every named profile gives its peer's number, and says nothing of too few values.

The golden numbers were printed by Evidently 0.7.23 with SciPy 1.17.1, pandas 2.3.3 and NumPy 2.3.5
on series with each value repeated as often as the counts say: its own `_jensenshannon`, `_psi` and
`_wasserstein_distance_norm`, and scipy.stats.ks_2samp. Those of SageMaker are in the tests of
deequ, which its container runs (KLLDistanceTest.scala).
"""

from collections.abc import Sequence
from dataclasses import replace
from math import log, sqrt

import pytest

from tidemill.api.documents.profile import FeatureProfile, ValueType
from tidemill.core.drift import js_distance, psi
from tidemill.core.driftprofiles import (
    PROFILES,
    Distance,
    Sample,
    Statistic,
    least_samples,
    measure,
    rule_for,
)

Golden = tuple[list[float], list[int], list[int], float, float, float, float]

# values; how often each was there; is there now; JS distance, PSI, normed Wasserstein, KS D.
GOLDEN: dict[str, Golden] = {
    "alike": ([1, 2, 3], [500, 300, 200], [50, 30, 20], 0.0, 0.0, 0.0, 0.0),
    "a shift among three": (
        [0, 1, 2], [700, 600, 200], [200, 500, 800],
        0.33881822888063673, 0.9842601710660093, 1.0488088481701516, 0.4,
    ),
    "an empty bin now": (
        [1, 2, 3, 4], [600, 500, 400, 1], [300, 500, 400, 0],
        0.11460561019477862, 0.10501028293846928, 0.26832507695204033, 0.14973351099267154,
    ),
    "an empty bin before": (
        [1, 2, 5, 9], [600, 500, 400, 0], [300, 500, 400, 77],
        0.18400263135030737, 0.49009331424904173, 0.44735129963593034, 0.16507439310884886,
    ),
    "a value of one in thirty thousand": (
        [0, 10, 20], [20000, 9999, 1], [1000, 1000, 0],
        0.11990772942712233, 0.11562795724972794, 0.3535622341771368, 0.16666666666666663,
    ),
    "nothing shared": (
        [-1, 0, 3, 4], [900, 800, 0, 0], [0, 0, 700, 650],
        0.8325546111576977, 17.033397120336627, 8.035701136817494, 1.0,
    ),
    "ten values": (
        [-50, -7, -1, 0, 1, 2, 3, 8, 20, 100],
        [3, 50, 200, 400, 380, 260, 110, 40, 12, 2], [1, 20, 110, 300, 420, 300, 140, 80, 30, 9],
        0.12477702225798455, 0.12726596802217863, 0.27929278345816616, 0.14250743536948066,
    ),
    "twenty values": (
        [*range(20)],
        [20, 57, 94, 30, 67, 104, 40, 77, 114, 50, 87, 23, 60, 97, 33, 70, 107, 43, 80, 117],
        [20, 73, 29, 82, 38, 91, 47, 100, 56, 109, 65, 21, 74, 30, 83, 39, 92, 48, 101, 57],
        0.2009094979631921, 0.3339601696371889, 0.06435053746385047, 0.0407043359409079,
    ),
}  # fmt: skip


def of_values(values: Sequence[float], counts: Sequence[int]) -> FeatureProfile:
    """The profile of a number with a bin for each of its values."""
    pairs = list(zip(values, counts, strict=True))
    total = sum(counts)
    mean = sum(value * count for value, count in pairs) / total
    square = sum((value - mean) ** 2 * count for value, count in pairs) / total
    held = [value for value, count in pairs if count]
    return FeatureProfile(
        name="x", type=ValueType.NUMBER, edges=tuple(values[1:]), counts=tuple(counts),
        minimum=values[0], maximum=held[-1], mean=mean, deviation=sqrt(square),
        distinct=len(values),
    )  # fmt: skip


def sample(values: Sequence[float], counts: Sequence[int]) -> Sample:
    """Numbers there are now, by value."""
    found = of_values(values, counts)
    held = [value for value, count in zip(values, counts, strict=True) if count]
    return Sample(
        counts=tuple(counts), minimum=held[0], maximum=held[-1], mean=found.mean,
        distinct=len(held),
    )  # fmt: skip


def category(counts: Sequence[int], **more: object) -> FeatureProfile:
    """The profile of a text."""
    names = tuple("abcdefghijklmnopqrstuvw"[: len(counts)])
    body = {"name": "x", "type": "Category", "categories": names, "counts": counts, **more}
    return FeatureProfile.model_validate(body)


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
def test_numbers_equal_those_of_evidently_and_scipy(golden: Golden) -> None:
    values, before, now, js, index, way, cumulative = golden
    baseline, current = of_values(values, before), sample(values, now)

    by_category = measure("evidently", category([1]), Sample(counts=(1.0,)))
    assert by_category.statistic is Statistic.JS_DISTANCE
    assert measure("default", baseline, current).distance == pytest.approx(js, abs=1e-9)
    assert measure("psi", baseline, current).distance == pytest.approx(index, abs=1e-9)
    of_number = measure("evidently", baseline, current)
    few = len(values) <= 5
    assert of_number.statistic is (Statistic.JS_DISTANCE if few else Statistic.WASSERSTEIN)
    assert of_number.distance == pytest.approx(js if few else way, abs=1e-9)
    more = replace(current, distinct=6)
    assert measure("evidently", baseline, more).distance == pytest.approx(way, abs=1e-9)
    chance = 1.8 * sqrt((sum(before) + sum(now)) / (sum(before) * sum(now)))
    found = measure("sagemaker", baseline, current).distance
    assert found == pytest.approx(max(0.0, cumulative - chance), abs=1e-9)


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
def test_categories_equal_those_of_evidently(golden: Golden) -> None:
    _, before, now, js, index, *_ = golden
    seen = [(p, q) for p, q in zip(before, now, strict=True) if p]
    baseline = category([p for p, _ in seen])
    new = sum(q for p, q in zip(before, now, strict=True) if not p)
    current = Sample(counts=tuple(float(q) for _, q in seen), unknown=new)

    assert measure("evidently", baseline, current).distance == pytest.approx(js, abs=1e-9)
    if new == 0 or len(seen) + 1 == len(before):
        assert measure("psi", baseline, current).distance == pytest.approx(index, abs=1e-9)


DEEQU: dict[str, tuple[list[int], list[int], int, float]] = {
    "five values": ([10, 20, 25, 10, 5], [11, 20, 25, 10, 10], 0, 0.06015037593984962),
    "a new one and a missing one": (
        [10, 20, 25, 10, 5], [20, 0, 25, 10, 10], 11, 0.2857142857142857,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "now", "new", "simple"), DEEQU.values(), ids=DEEQU)
def test_categories_equal_those_of_deequ(
    before: list[int], now: list[int], new: int, simple: float
) -> None:
    baseline = category(before)
    current = Sample(counts=tuple(float(count) for count in now), unknown=new)

    assert measure("tfdv", baseline, current).distance == pytest.approx(simple, abs=1e-12)
    assert measure("sagemaker", baseline, current).distance == 0.0


def test_numbers_equal_those_of_deequ() -> None:
    """1, 2, 3, 4 against 2, 3, 4, 5: a quarter, and nothing once chance is taken off."""
    baseline = of_values([1, 2, 3, 4, 5], [1, 1, 1, 1, 0])
    current = sample([1, 2, 3, 4, 5], [0, 1, 1, 1, 1])

    assert measure("sagemaker", baseline, current).distance == 0.0
    many = measure("sagemaker", of_values([1, 2, 3, 4, 5], [10**8] * 4 + [0]),
                   sample([1, 2, 3, 4, 5], [0] + [10**8] * 4))  # fmt: skip
    assert many.distance == pytest.approx(0.25, abs=2e-4)


BINNED = FeatureProfile(
    name="x", type=ValueType.NUMBER, edges=(1.0, 2.0, 4.0), counts=(400, 300, 200, 100),
    minimum=0.0, maximum=8.0, mean=1.9, deviation=1.6, distinct=900,
    noise_floor={"3600": 0.3, "604800": 0.15},
)  # fmt: skip
SAME = Sample(counts=(400.0, 300.0, 200.0, 100.0), minimum=0.0, maximum=8.0, mean=1.9, distinct=900)


@pytest.mark.parametrize("profile", PROFILES)
def test_what_has_not_moved_has_not_drifted(profile: str) -> None:
    found = measure(profile, BINNED, SAME, threshold=0.1)

    assert found.distance == pytest.approx(0.0, abs=1e-12)
    assert not found.drifted


def test_the_way_is_that_of_the_means_where_all_go_one_way() -> None:
    """One in ten has left each bin for the next: 0.3 between the edges, the rest at the ends."""
    moved = replace(SAME, counts=(300.0, 300.0, 200.0, 200.0), mean=1.9 + 0.55)

    found = measure("evidently", BINNED, moved)

    assert found.statistic is Statistic.WASSERSTEIN
    assert found.distance == pytest.approx(0.55 / 1.6, rel=1e-9)


def test_the_way_between_the_edges_is_exact_where_some_go_up_and_some_down() -> None:
    """By hand: half a bin's share to each side of 2, so 0.05 x 1 / 2 + 0.05 x 2 / 2, ends apart."""
    moved = replace(SAME, counts=(400.0, 250.0, 250.0, 100.0))

    found = measure("evidently", BINNED, moved)

    assert found.distance == pytest.approx((0.025 + 0.05 + 0.075) / 1.6, rel=1e-9)


def test_the_way_is_never_below_the_difference_of_means() -> None:
    far = replace(SAME, mean=11.9)

    assert measure("evidently", BINNED, far).distance == pytest.approx(10 / 1.6)


def test_divergence_is_that_of_ten_equal_widths() -> None:
    """Of 0 to 9 each is 0.9 wide and holds one value."""
    values, before, now = [*range(10)], [90, 10] * 5, [10, 20, 30, 40, 50] * 2
    baseline, current = of_values(values, [n * 10 for n in before]), sample(values, now)
    current = replace(current, counts=tuple(n * 10.0 for n in now))

    found = measure("vertex", baseline, current)

    distance = js_distance(before, now)
    assert found.statistic is Statistic.JS_DIVERGENCE
    assert distance is not None
    assert found.distance == pytest.approx(distance**2 / log(2), abs=1e-9)
    assert (found.threshold, found.least) == (0.3, 500)


FEW = replace(SAME, counts=(100.0, 100.0, 100.0, 199.0))
MOVED = replace(SAME, counts=(250.0, 250.0, 250.0, 250.0))
VERDICTS: dict[str, tuple[str, Sample, float | None, int, bool, bool]] = {
    "499 values say nothing": ("default", FEW, None, 0, False, False),
    "default: above the threshold, the floor of an hour": ("default", MOVED, None, 3600, True,
                                                           False),
    "default: above the week's floor too": ("default", MOVED, None, 604800, True, True),
    "default: a threshold of yours": ("default", MOVED, 0.5, 604800, True, False),
    "psi has no floor": ("psi", MOVED, None, 3600, True, True),
    "evidently: 1000 of each for Wasserstein": ("evidently", MOVED, None, 0, True, True),
    "evidently: 999 are too few": (
        "evidently", replace(MOVED, counts=(250.0, 250.0, 250.0, 249.0)), None, 0, False, False),
    "tfdv: unset is unchecked": ("tfdv", MOVED, None, 0, True, False),
    "tfdv: set": ("tfdv", MOVED, 0.01, 0, True, True),
    "a small threshold takes many values": ("sagemaker", MOVED, 0.01, 0, False, False),
    "no value now": ("default", Sample(counts=(0.0,) * 4), None, 0, False, False),
}  # fmt: skip


@pytest.mark.parametrize(
    ("profile", "current", "threshold", "window", "told", "drifted"), VERDICTS.values(),
    ids=VERDICTS,
)  # fmt: skip
def test_verdict(
    profile: str, current: Sample, threshold: float | None, window: int, told: bool, drifted: bool
) -> None:
    found = measure(profile, BINNED, current, threshold=threshold, window_seconds=window)

    assert (found.told, found.drifted) == (told, drifted)


@pytest.mark.parametrize(("inclusive", "drifted"), [(True, True), (False, False)])
def test_at_the_threshold(inclusive: bool, drifted: bool) -> None:
    """Evidently's profiles fire at the threshold, the others above it."""
    found = Distance(
        feature="x", statistic=Statistic.PSI, distance=0.1, threshold=0.1, floor=0.0,
        samples=1000, least=500, inclusive=inclusive,
    )  # fmt: skip

    assert found.drifted is drifted
    rules = {name: [rule.inclusive for rule in both.values()] for name, both in PROFILES.items()}
    assert rules == {
        "default": [False] * 2, "evidently": [True] * 2, "vertex": [False] * 2,
        "tfdv": [False] * 2, "sagemaker": [False] * 2, "psi": [True] * 2,
    }  # fmt: skip


LEAST: dict[str, tuple[Statistic, float | None, int]] = {
    "JS distance 0.1": (Statistic.JS_DISTANCE, 0.1, 500),
    "JS distance 0.05": (Statistic.JS_DISTANCE, 0.05, 2000),
    "L-infinity 0.1": (Statistic.L_INFINITY, 0.1, 500),
    "L-infinity 0.01": (Statistic.L_INFINITY, 0.01, 30000),
    "PSI 0.1": (Statistic.PSI, 0.1, 500),
    "PSI 0.02": (Statistic.PSI, 0.02, 1500),
    "Wasserstein 0.1": (Statistic.WASSERSTEIN, 0.1, 1000),
    "divergence 0.3": (Statistic.JS_DIVERGENCE, 0.3, 500),
    "no threshold": (Statistic.JS_DIVERGENCE, None, 500),
    "a threshold of 0": (Statistic.PSI, 0.0, 500),
}


@pytest.mark.parametrize(("statistic", "threshold", "least"), LEAST.values(), ids=LEAST)
def test_least_samples(statistic: Statistic, threshold: float | None, least: int) -> None:
    assert least_samples(statistic, threshold) == least


def test_unknown_values_are_a_bin_of_their_own_but_for_default() -> None:
    baseline, current = category([500, 500]), Sample(counts=(500.0, 500.0), unknown=1000.0)

    assert measure("default", baseline, current).distance == 0.0
    assert measure("vertex", baseline, current).distance == 0.5
    assert rule_for("psi", baseline, current).with_unknown


def test_a_constant_that_became_another_has_moved() -> None:
    baseline = of_values([5.0], [1000])
    current = Sample(counts=(1000.0,), minimum=9.0, maximum=9.0, mean=9.0, distinct=9)

    assert measure("evidently", baseline, current).distance == pytest.approx(4.0 / 0.001)


def test_bins_that_are_not_the_baselines_are_refused() -> None:
    with pytest.raises(ValueError, match="4 bins cannot be compared with 2"):
        measure("tfdv", BINNED, Sample(counts=(1.0, 2.0), minimum=0.0, maximum=1.0))


def test_psi_with_shares_as_small_as_what_stands_for_0() -> None:
    """A side whose least share is 1e-4 or less takes a millionth of that, as Evidently does."""
    assert psi([20000, 9999, 1], [1000, 1000, 0]) == pytest.approx(0.11562795724972794, abs=1e-9)
