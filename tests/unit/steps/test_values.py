"""What follows from counts by value is what DuckDB says of the rows themselves."""

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tidemill.steps.values import read


def groups(values: list[Any], kind: pa.DataType) -> pa.Table:
    """Counts by value and hour; the hours are 0, 1, 0, 1..."""
    rows = pa.table({"x": pa.array(values, kind), "h": [n % 2 for n in range(len(values))]})
    return rows.group_by(["h", "x"]).aggregate([([], "count_all")])


@pytest.mark.parametrize("size", [1, 2, 23, 24, 25, 240, 2400, 2401, 9999])
def test_facts_and_quantiles_are_those_of_the_rows(size: int) -> None:
    values = np.random.default_rng(size).normal(0, 9, size).round(1).tolist()
    shares = [place / 24 for place in range(1, 24)]
    rows = pa.table({"x": [*values, None]})

    found = read(groups([*values, None], pa.float64()), "x", "count_all", "h")

    assert found is not None
    with duckdb.connect() as connection:
        connection.register("given", rows)
        asked = f"quantile_disc(x, {shares}), avg(x), stddev_pop(x)"
        ((quantiles, mean, deviation),) = connection.execute(
            f"SELECT {asked} FROM given"  # noqa: S608 -- numbers of ours
        ).fetchall()
    assert found.quantiles(24) == quantiles
    assert found.mean == pytest.approx(mean, rel=1e-9, abs=1e-12)
    assert found.deviation == pytest.approx(deviation, rel=1e-9, abs=1e-12)
    assert (found.missing, found.size) == (1, size)
    assert found.values == sorted(set(values))
    assert sum(found.as_dict().values()) == size


def test_texts_are_in_order_and_known_by_hour() -> None:
    found = read(groups(["b", "a", "b", None, "b"], pa.string()), "x", "count_all", "h")

    assert found is not None
    assert (found.as_dict(), found.missing) == ({"a": 1, "b": 3}, 1)
    assert found.hours is not None
    by_hour = sorted(zip(found.hours, found.places, found.counts, strict=True))
    assert by_hour == [(0, 1, 3), (1, 0, 1)]


def test_without_a_value_there_is_no_fact() -> None:
    found = read(groups([None, None], pa.float64()), "x", "count_all", None)

    assert found is not None
    assert (found.values, found.mean, found.deviation) == ([], None, None)
    assert (found.quantiles(24), found.missing, found.hours) == ([], 2, None)


def test_what_is_no_number_cannot_be_put_in_order() -> None:
    assert read(groups([1.0, float("nan")], pa.float64()), "x", "count_all", "h") is None
