"""Histograms are exact, bins follow the rules, and the noise floor is what a monitor would see."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tidemill.api.documents.profile import FeatureProfile, Profile, ValueType
from tidemill.core.drift import js_distance
from tidemill.steps.engine import connect
from tidemill.steps.profiles import Subject, predictions_profile, profile, recount
from tidemill.steps.schema import ColumnType

START = datetime(2013, 1, 1)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database as the steps use it."""
    with connect(tmp_path) as opened:
        yield opened


def profiled(
    connection: duckdb.DuckDBPyConnection,
    values: Sequence[Any] | pa.Array,
    kind: ColumnType,
    *,
    feature: bool = True,
    per_hour: int = 1,
) -> FeatureProfile:
    """The profile of one column whose rows come `per_hour` an hour."""
    times = [START + timedelta(hours=place // per_hour) for place in range(len(values))]
    connection.register("given", pa.table({"at": pa.array(times, pa.timestamp("us")), "x": values}))
    found = profile(connection, "given", "at", [Subject("x", kind, feature)])
    assert found.rows == len(values)
    return found.features[0]


def test_few_numbers_get_a_bin_each(connection: duckdb.DuckDBPyConnection) -> None:
    found = profiled(connection, [3, 1, 1, 2, None, 3, 3], ColumnType.INTEGER)

    assert found.type is ValueType.NUMBER
    assert (found.edges, found.counts, found.missing) == ((2.0, 3.0), (2, 1, 3), 1)
    assert (found.minimum, found.maximum, found.distinct) == (1, 3, 3)
    assert found.mean == pytest.approx(13 / 6, abs=1e-8)
    assert found.deviation == pytest.approx(np.std([3, 1, 1, 2, 3, 3]), abs=1e-8)


def test_24_numbers_still_get_a_bin_each(connection: duckdb.DuckDBPyConnection) -> None:
    found = profiled(connection, list(range(24)) * 2, ColumnType.INTEGER)

    assert found.edges == tuple(float(value) for value in range(1, 24))
    assert found.counts == (2,) * 24


def test_many_numbers_are_cut_at_their_quantiles(connection: duckdb.DuckDBPyConnection) -> None:
    values = np.random.default_rng(0).permutation(2400).tolist()

    found = profiled(connection, values, ColumnType.INTEGER)

    assert len(found.edges) == 23
    assert all(99 <= count <= 101 for count in found.counts)
    assert sum(found.counts) == 2400


def test_edges_rise_where_one_number_fills_most_bins(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    values = [0.0] * 900 + [round(0.01 * n, 2) for n in range(1, 101)]

    found = profiled(connection, values, ColumnType.NUMBER)

    assert all(low < high for low, high in zip(found.edges, found.edges[1:], strict=False))
    assert found.edges[0] > 0
    assert found.counts[0] >= 900
    assert sum(found.counts) == 1000


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_bisect(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(0, 2, 500).astype(np.float32).tolist()

    found = profiled(connection, values, ColumnType.NUMBER)

    expected = [0] * len(found.counts)
    for value in values:
        expected[bisect_right(found.edges, value)] += 1
    assert list(found.counts) == expected


def test_numbers_are_compared_as_float32(connection: duckdb.DuckDBPyConnection) -> None:
    """As the model and its server do: 0.7 as a double lies above 0.7 as a float."""
    found = profiled(connection, [0.7, 0.7, 0.1], ColumnType.NUMBER)

    assert found.edges == (float(np.float32(0.7)),)
    assert found.counts == (1, 2)


def test_booleans_are_0_and_1(connection: duckdb.DuckDBPyConnection) -> None:
    found = profiled(connection, [True, False, True, None], ColumnType.BOOLEAN)

    assert (found.type, found.edges, found.counts) == (ValueType.NUMBER, (1.0,), (1, 2))


def test_one_value_has_one_bin(connection: duckdb.DuckDBPyConnection) -> None:
    found = profiled(connection, [5, 5, 5], ColumnType.INTEGER)

    assert (found.edges, found.counts) == ((), (3,))


def test_no_value_at_all(connection: duckdb.DuckDBPyConnection) -> None:
    number = profiled(connection, pa.nulls(3, pa.float64()), ColumnType.NUMBER)
    text = profiled(connection, pa.nulls(3, pa.string()), ColumnType.STRING)

    assert (number.counts, number.missing, number.minimum) == ((0,), 3, None)
    assert (text.counts, text.missing, text.categories) == ((), 3, ())
    assert number.noise_floor == text.noise_floor == {}


def test_categories_by_how_many_they_are(connection: duckdb.DuckDBPyConnection) -> None:
    values = ["a"] * 3 + ["c"] * 5 + ["b"] * 3 + [None, "", ""]

    found = profiled(connection, values, ColumnType.STRING)

    assert (found.type, found.categories, found.rare) == (ValueType.CATEGORY, ("c", "a", "b"), ())
    assert (found.counts, found.missing, found.distinct) == ((5, 3, 3), 3, 3)


def test_the_24th_category_and_those_after_share_a_bin(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    values = [f"v{place:02d}" for place in range(30) for _ in range(31 - place)]

    found = profiled(connection, values, ColumnType.STRING)

    assert found.categories == tuple(f"v{place:02d}" for place in range(23))
    assert found.rare == tuple(f"v{place:02d}" for place in range(23, 30))
    assert found.counts[23] == sum(31 - place for place in range(23, 30))
    assert sum(found.counts) == len(values)


def test_a_key_keeps_no_list_of_its_values(connection: duckdb.DuckDBPyConnection) -> None:
    values = [f"key {place}" for place in range(3000)]

    found = profiled(connection, values, ColumnType.STRING, feature=False)

    assert (len(found.categories), found.rare, len(found.counts)) == (23, (), 23)


def test_a_feature_of_endless_text_stays_within_its_bounds(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    values = [f"{place} {'x' * 200}" for place in range(3000)] + ["y" * 300] * 50

    found = profiled(connection, values, ColumnType.STRING)

    assert 600 < len(found.rare) < 700
    assert "y" * 300 not in found.categories
    assert len(found.model_dump_json()) < 150_000
    assert len(found.counts) == 24


def test_times_are_profiled_as_seconds(connection: duckdb.DuckDBPyConnection) -> None:
    values = pa.array([START, START + timedelta(days=1)], pa.timestamp("us"))

    found = profiled(connection, values, ColumnType.TIMESTAMP)

    assert (found.minimum, found.maximum) == (START.timestamp(), START.timestamp() + 86400)
    assert found.counts == (1, 1)


def by_hand(values: list[int], rows: int) -> float:
    """The largest distance of `rows` values in a row, cut from the start, from all."""
    whole = np.bincount(values, minlength=2).tolist()
    windows = [values[at : at + rows] for at in range(0, len(values) - rows + 1, rows)]
    return max(
        js_distance(whole, np.bincount(window, minlength=2).tolist()) or 0 for window in windows
    )


def test_the_noise_floor_is_the_strangest_complete_window(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    # 25 rows an hour: 600 a day, 4200 a week; 16 days and 5 hours.
    chance = np.random.default_rng(3)
    values = (chance.random(25 * (16 * 24 + 5)) < 0.5).astype(int).tolist()
    values[600 * 3 : 600 * 4] = [1] * 600
    values[600 * 16 :] = [0] * 125

    found = profiled(connection, values, ColumnType.INTEGER, per_hour=25)

    # No hour has 500 rows; the last 5 hours are no day; a third week is not complete.
    assert sorted(found.noise_floor) == ["604800", "86400"]
    assert found.noise_floor["86400"] == pytest.approx(by_hand(values, 600), abs=2e-6)
    assert found.noise_floor["604800"] == pytest.approx(by_hand(values, 4200), abs=2e-6)
    # Upwards, so that no window of these data exceeds it.
    assert found.noise_floor["86400"] >= by_hand(values, 600)


def test_only_features_get_a_noise_floor(connection: duckdb.DuckDBPyConnection) -> None:
    values = [0, 1] * 600

    found = profiled(connection, values, ColumnType.INTEGER, feature=False, per_hour=600)

    assert found.noise_floor == {}


def test_a_window_with_too_few_rows_says_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    chance = np.random.default_rng(0)
    few = profiled(connection, chance.integers(0, 2, 998), ColumnType.INTEGER, per_hour=499)
    enough = profiled(connection, chance.integers(0, 2, 1000), ColumnType.INTEGER, per_hour=500)

    assert few.noise_floor == {}
    assert list(enough.noise_floor) == ["3600"]


def test_many_rows_take_edges_from_a_sketch(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidemill.steps.profiles._EXACT_ROWS", 1000)
    values = np.random.default_rng(0).normal(size=5000)

    first = profiled(connection, values, ColumnType.NUMBER)
    again = profiled(connection, values, ColumnType.NUMBER)

    assert first == again
    assert len(first.edges) == 23
    assert all(150 < count < 270 for count in first.counts)


def test_a_profile_knows_its_time(connection: duckdb.DuckDBPyConnection) -> None:
    times = pa.array([START, START + timedelta(hours=5)], pa.timestamp("us"))
    connection.register("given", pa.table({"at": times, "x": [1, 2]}))

    found = profile(connection, "given", "at", [Subject("x", ColumnType.INTEGER)])

    assert (found.start, found.end) == ("2013-01-01T00:00:00Z", "2013-01-01T05:00:00Z")
    assert Profile.model_validate_json(found.model_dump_json(by_alias=True)) == found


def test_names_that_are_no_identifiers(connection: duckdb.DuckDBPyConnection) -> None:
    names = ['quo"te', "hour of the data", "count", "bin"]
    times = pa.array([START] * 4, pa.timestamp("us"))
    columns = {name: ["a", "b", "a", None] for name in names}
    connection.register("given", pa.table({"at": times, **columns}))

    found = profile(connection, "given", "at", [Subject(name, ColumnType.STRING) for name in names])

    assert [(item.name, item.counts) for item in found.features] == [
        (name, (2, 1)) for name in names
    ]


def test_predictions_fall_into_20_equal_bins() -> None:
    probabilities = np.array([0.0, 0.049, 0.05, 0.5, 0.999, 1.0])

    found = predictions_profile(probabilities, np.zeros(6, dtype=np.int64))

    assert found.edges == tuple(place / 20 for place in range(1, 20))
    assert [place for place, count in enumerate(found.counts) for _ in range(count)] == [
        bisect_right(found.edges, value) for value in probabilities
    ]
    assert (found.minimum, found.maximum) == (0.0, 1.0)


def test_predictions_have_a_noise_floor_too() -> None:
    probabilities = np.concatenate([np.full(600, 0.1), np.full(600, 0.9)])
    seconds = np.repeat([0, 3600], 600)

    found = predictions_profile(probabilities, seconds)

    halves = [0] * 20, [0] * 20
    halves[0][2], halves[1][2], halves[0][18] = 600, 600, 600
    assert found.noise_floor["3600"] == pytest.approx(js_distance(*halves), abs=2e-6)


def counted_in(
    connection: duckdb.DuckDBPyConnection,
    before: Sequence[Any],
    now: Sequence[Any],
    kind: ColumnType,
) -> tuple[tuple[int, ...], int]:
    """Values in the bins of others."""
    base = profiled(connection, before, kind)
    profiled(connection, now, kind)
    own = profile(connection, "given", "at", [Subject("x", kind)])
    return recount(connection, "given", "at", [Subject("x", kind)], {"x": base}, own)["x"]


RECOUNTS: dict[str, tuple[Sequence[Any], Sequence[Any], ColumnType]] = {
    "few numbers in bins of few": ([1, 2, 2, 5], [0, 2, 3, 5, 9, None], ColumnType.INTEGER),
    "few in bins of many": (list(range(100)), [3, 3, 50, None, 200], ColumnType.INTEGER),
    "many in bins of few": ([1, 2, 2, 5], list(range(-50, 50)), ColumnType.INTEGER),
    "many in bins of many": (
        list(np.arange(0, 30, 0.1)), [*np.arange(-9, 40, 0.3), None], ColumnType.NUMBER
    ),
    "in one bin": ([7, 7], [*range(60), None], ColumnType.INTEGER),
    "booleans": ([True, False], [True, True, None], ColumnType.BOOLEAN),
    "few texts": (["a", "b", "b"], ["b", "c", "", None], ColumnType.STRING),
    "texts with rare ones": (
        [f"v{n:02d}" for n in range(30) for _ in range(31 - n)],
        [f"v{n:02d}" for n in range(25, 40)] * 3,
        ColumnType.STRING,
    ),
    "many texts in bins of few": (["a", "b"], [f"v{n:02d}" for n in range(40)] + ["a"],
                                  ColumnType.STRING),
    "many texts in bins with rare ones": (
        [f"v{n:02d}" for n in range(30) for _ in range(31 - n)],
        [f"v{n:02d}" for n in range(60)],
        ColumnType.STRING,
    ),
    "texts where there were none": ([None, None, ""], ["a"] + [f"v{n}" for n in range(40)],
                                    ColumnType.STRING),
}  # fmt: skip


@pytest.mark.parametrize(("before", "now", "kind"), RECOUNTS.values(), ids=RECOUNTS)
def test_recount_puts_values_into_the_bins_of_others(
    connection: duckdb.DuckDBPyConnection,
    before: Sequence[Any],
    now: Sequence[Any],
    kind: ColumnType,
) -> None:
    base = profiled(connection, pa.array(before, pa.string() if kind == "String" else None), kind)

    counts, unknown = counted_in(connection, pa.array(before, pa.string()) if kind == "String"
                                 else before, now, kind)  # fmt: skip

    expected, others = [0] * len(base.counts), 0
    for value in now:
        if value in (None, ""):
            continue
        if base.type is ValueType.NUMBER:
            expected[bisect_right(base.edges, np.float32(value))] += 1
        elif value in base.categories:
            expected[base.categories.index(value)] += 1
        elif value in base.rare:
            expected[len(base.categories)] += 1
        else:
            others += 1
    assert (list(counts), unknown) == (expected, others)


SCANS = {"value by value": (4096, 0), "without values": (0, 0)}


@pytest.mark.parametrize(("values", "groups"), SCANS.values(), ids=SCANS)
def test_a_profile_is_the_same_however_it_is_counted(
    connection: duckdb.DuckDBPyConnection,
    monkeypatch: pytest.MonkeyPatch,
    values: int,
    groups: int,
) -> None:
    chance = np.random.default_rng(3)
    rows = pa.table(
        {
            "at": pa.array(
                [START + timedelta(hours=n // 600) for n in range(6000)], pa.timestamp("us")
            ),
            "wide": [None if n % 7 == 0 else round(v, 1) for n, v in enumerate(
                chance.normal(50, 15, 6000))],
            "few": chance.integers(0, 9, 6000),
            "flag": chance.random(6000) < 0.2,
            "many": [f"v{n}" for n in chance.zipf(1.5, 6000) % 300],
            "word": ["" if n % 11 == 0 else f"w{n % 5}" for n in range(6000)],
        }
    )  # fmt: skip
    connection.register("given", rows)
    kinds = {"wide": "Number", "few": "Integer", "flag": "Boolean", "many": "String"}
    subjects = [Subject(name, ColumnType(kind)) for name, kind in kinds.items()]
    subjects.append(Subject("word", ColumnType.STRING, False))
    expected = profile(connection, "given", "at", subjects)
    assert all(item.noise_floor for item in expected.features[:4])

    monkeypatch.setattr("tidemill.steps.profiles._MANY", values)
    monkeypatch.setattr("tidemill.steps.profiles._MOST_GROUPS", groups)
    found = profile(connection, "given", "at", subjects)

    # Few numbers that are not counted value by value are cut at their quantiles.
    same = [item for item in expected.features if values or item.name not in ("few", "flag")]
    assert [item for item in found.features if item in same] == same


def test_texts_that_are_too_long_are_in_no_bin(connection: duckdb.DuckDBPyConnection) -> None:
    long = "x" * 256

    found = profiled(connection, [f"{long}a", f"{long}b", long, "short", None], ColumnType.STRING)

    assert (found.categories, found.counts, found.missing) == (("short", long), (1, 1), 1)
    assert found.distinct == 2
