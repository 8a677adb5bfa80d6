"""`comparison`: the same distances as from a profile of the new rows in the old bins."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tidemill.api.documents.profile import Profile
from tidemill.core.drift import js_distance
from tidemill.steps.datadocs.comparison import compare
from tidemill.steps.profiles import Subject, profile
from tidemill.steps.schema import ColumnType

X = Subject("x", ColumnType.NUMBER)
FLAG = Subject("flag", ColumnType.BOOLEAN)
WORD = Subject("word", ColumnType.STRING)
SUBJECTS = (X, FLAG, WORD)


def rows(words: list[str], shift: float) -> pa.Table:
    chance = np.random.default_rng(3)
    size = 3000
    return pa.table(
        {
            "at": pa.array(
                np.datetime64("2026-01-01", "us") + np.arange(size) * np.timedelta64(60, "s")
            ),
            "x": chance.normal(shift, 1, size).astype("float32").astype("float64"),
            "flag": chance.random(size) < 0.3,
            "word": chance.choice(words, size),
        }
    )


def profiled(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> Profile:
    connection.register(name, table)
    return profile(connection, name, "at", SUBJECTS)


def test_distances_are_counted_in_the_bins_of_the_version_before() -> None:
    connection = duckdb.connect()
    before = profiled(connection, "old", rows(["a", "b", "c'; DROP"], 0.0))
    now = profiled(connection, "new", rows(["a", "c'; DROP", "d"], 0.5))

    found = compare(connection, "new", "at", SUBJECTS, now, before)

    x = before.features[0]
    values = connection.execute("SELECT x FROM new").fetchnumpy()["x"]
    counts = np.bincount(np.searchsorted(x.edges, values, side="right"), minlength=24)
    assert found["x"].distance == js_distance(x.counts, counts.tolist())
    assert found["flag"].distance == 0.0
    unknown = connection.execute("SELECT count(*) FROM new WHERE word = 'd'").fetchone()
    assert unknown is not None
    assert found["word"].unknown == unknown[0]
    assert found["x"].floor == before.features[0].noise_floor["86400"]
    assert found["x"].beyond_noise


def test_only_named_columns_of_one_type_are_compared() -> None:
    connection = duckdb.connect()
    before = profiled(connection, "old", rows(["a"], 0.0))
    other = before.model_copy(
        update={"features": (before.features[0].model_copy(update={"type": "Category"}),)}
    )
    now = profiled(connection, "new", rows(["a"], 0.0))

    assert compare(connection, "new", "at", [X, WORD], now, other) == {}
    gone = Subject("gone", ColumnType.NUMBER)
    assert set(compare(connection, "new", "at", [FLAG, gone], now, before)) == {"flag"}


def test_rare_and_empty_texts_are_what_they_are_in_a_profile() -> None:
    connection = duckdb.connect()
    many = [f"w{place}" for place in range(40)]
    table = rows(many, 0.0)
    before = profiled(connection, "old", table)

    found = compare(connection, "old", "at", [WORD], before, before)

    assert before.features[2].rare
    assert found["word"].distance == pytest.approx(0.0, abs=1e-12)
    assert found["word"].unknown == 0
