"""Tables that are odd but right: each becomes a version, or is refused in plain words."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.steps.small import START, Place, path_of, spec, table
from tidemill.api.documents.manifest import Manifest
from tidemill.api.documents.results import Snapshot
from tidemill.api.v1alpha1.datacontract import Expectation
from tidemill.steps.engine import connect
from tidemill.steps.expectations import Scene, check
from tidemill.steps.failures import StepError
from tidemill.steps.parts import content_digest
from tidemill.steps.schema import ColumnType

ODD = ("a.b", "größe 🌊", "semi;colon", 'quo"te', "it's", "new\nline", "SELECT", "日本語")


def with_columns(**more: Any) -> pa.Table:
    made = table()
    for name, values in more.items():
        made = made.append_column(name, values)
    return made


def part(made: Snapshot) -> pa.Table:
    """The one part of a version."""
    manifest = Manifest.model_validate_json(path_of(made.manifest).read_bytes())
    (only,) = manifest.parts
    return pq.read_table(path_of(only.uri))


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_columns_may_have_any_name(place: Place, suffix: str) -> None:
    numbers = pa.array([float(number) for number in range(1200)])
    place.put(f"a.{suffix}", with_columns(**dict.fromkeys(ODD, numbers)))
    columns = {
        "key": ["id"],
        "eventTime": "at",
        "label": {"name": "late"},
        "features": ["load", *ODD],
    }
    rules = [
        {"name": f"r{number}", "type": "Range", "column": name, "max": "1000"}
        for number, name in enumerate(ODD)
    ]
    where = '"a.b" < 1000 AND "größe 🌊" >= 0 AND "quo""te" < 1000'
    sane = {"name": "sane", "type": "Condition", "where": where}
    wanted = spec(
        place.uri,
        columns=columns,
        contract={"expectations": [*rules, sane]},
        slices=[{"name": "odd", "where": where}],
    )

    made = place.snapshot(wanted)

    assert {column.name for column in made.columns} >= set(ODD)
    assert [item.column for item in made.violations] == [*ODD, ""]
    assert {item.count for item in made.violations[:-1]} == {199}
    assert made.violations[-1].count == 200
    assert made.violations[-1].examples[0] == 'a.b=1000, größe 🌊=1000, quo"te=1000'


def test_types_that_have_no_home_of_their_own(place: Place) -> None:
    size = 1200
    instants = [datetime(2026, 1, 1, 12, tzinfo=UTC)] * size
    more = {
        "nan": pa.array([float("nan"), float("inf"), float("-inf"), 1.5] * 300),
        "money": pa.array([Decimal("12.34")] * size, pa.decimal128(38, 2)),
        "zoned": pa.array(instants, pa.timestamp("us", tz="America/New_York")),
        "nested": pa.array([{"a": [1, 2], "b": {"c": "x"}}] * size),
        "list": pa.array([[1, 2]] * size),
        "blob": pa.array([b"\x00\xff"] * size),
        "huge": pa.array([2**63] * size, pa.uint64()),
        "empty": pa.nulls(size),
    }
    place.put("a.parquet", with_columns(**more))
    rules = [
        {"name": "some", "type": "Complete", "column": "nan", "minShare": "0.5"},
        {"name": "none", "type": "Range", "column": "nan", "max": "1"},
        {"name": "cents", "type": "Range", "column": "money", "max": "12.34"},
        {"name": "when", "type": "Freshness", "column": "zoned", "maxAgeSeconds": 60},
        {"name": "shape", "type": "Pattern", "column": "list", "pattern": r"\[.*\]"},
        {"name": "once", "type": "Duplicates", "columns": ["nested", "blob"]},
        {"name": "void", "type": "MixedTypes", "column": "empty"},
    ]

    made = place.snapshot(spec(place.uri, contract={"expectations": rules}))

    kinds = {column.name: column.type for column in made.columns}
    assert {name: kinds[name] for name in more} == {
        "nan": "Number",
        "money": "Number",
        "zoned": "Timestamp",
        "nested": "String",
        "list": "String",
        "blob": "String",
        "huge": "Number",
        "empty": "String",
    }
    assert {item.name: (item.reason, item.count) for item in made.violations} == {
        "some": ("Incomplete", 900),
        "none": ("OutOfRange", 300),
        "when": ("Stale", None),
        "once": ("DuplicateRows", 1199),
    }
    (row,) = part(made).select(["zoned", "nested"]).slice(0, 1).to_pylist()
    assert row == {"zoned": datetime(2026, 1, 1, 12), "nested": '{"a":[1,2],"b":{"c":"x"}}'}


def test_ten_thousand_columns_are_refused_at_once(place: Place) -> None:
    place.put("a.parquet", pa.table({f"c{number}": [1] for number in range(10_000)}))

    with pytest.raises(StepError) as raised:
        place.snapshot()

    assert (raised.value.reason, str(raised.value)) == (
        "TooManyColumns",
        "the source has 10000 columns; at most 1000 are read",
    )


def test_a_thousand_columns_are_checked_and_told_apart(tmp_path: Path) -> None:
    """As many as are allowed, with as many rules as are allowed."""
    names = [f"c{number}" for number in range(1000)]
    schema = dict.fromkeys(names, ColumnType.INTEGER)
    rows = pa.table({name: [1, 2, 3, 4] for name in names})
    rules = [
        Expectation.model_validate(
            {"name": f"r{number}", "type": "Range", "column": name, "max": "3"}
        )
        for number, name in enumerate(names[:200])
    ]
    with connect(tmp_path) as connection:
        connection.register("given", rows)
        connection.register("other", rows.slice(1))
        scene = Scene(schema=schema, now=START)
        found = check(connection, "given", rules, scene)
        digests = {content_digest(connection, name, schema) for name in ("given", "other")}

    assert [item.count for item in found] == [1] * 200
    assert len(digests) == 2


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_table_without_rows_is_no_version(place: Place, suffix: str) -> None:
    place.put(f"a.{suffix}", table()[:0])

    with pytest.raises(StepError) as raised:
        place.snapshot()

    assert raised.value.reason == "EmptyVersion"


def test_a_reserved_or_doubled_name_is_told_apart(place: Place, tmp_path: Path) -> None:
    """Names that differ in case only are one name to the engine: the second gets a number."""
    file = place.source / "a.parquet"
    made = table().append_column("Load", pa.array([1.0] * 1200))
    pq.write_table(made, file)
    with duckdb.connect() as connection:
        told = connection.execute(f"DESCRIBE SELECT * FROM '{file}'").fetchall()  # noqa: S608

    snapshot = place.snapshot()

    assert {column.name for column in snapshot.columns} == {row[0] for row in told}
    assert len(snapshot.columns) == 8


def test_values_that_are_long_or_strange_stay_values(place: Place) -> None:
    rows = table()
    strange = ["x" * 100_000, "<script>alert(1)</script>", "a\x01b", "‮", *["ok"] * 1196]
    at = rows.column_names.index("note")
    place.put("a.parquet", rows.set_column(at, "note", pa.array(strange)))
    rules = [{"name": "notes", "type": "AllowedValues", "column": "note", "values": ["ok"]}]

    (found,) = place.snapshot(spec(place.uri, contract={"expectations": rules})).violations

    assert found.count == 4
    assert set(found.examples) == {
        "x" * 63 + "…",
        "<script>alert(1)</script>",
        "a\x01b",
        "‮",
    }
    assert len(found.message) < 1024
    assert START.isoformat() not in found.message
