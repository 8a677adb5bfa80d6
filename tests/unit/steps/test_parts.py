"""From raw objects to parts: every format and type comes out the same, and sharing is safe."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.api.documents.manifest import Manifest, Part
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.steps.engine import connect
from tidemill.steps.failures import StepError
from tidemill.steps.objects import Store, sha256
from tidemill.steps.parts import (
    content_digest,
    fetch_parts,
    inspect,
    opinions,
    publish_parts,
    read_manifest,
    scan_parts,
    schema_of_part,
    write_part,
)
from tidemill.steps.schema import ColumnType, Schema, merge


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where the database may write."""
    path = tmp_path / "scratch"
    path.mkdir()
    return path


@pytest.fixture
def connection(scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database as the steps use it."""
    with connect(scratch) as opened:
        yield opened


def read(
    connection: duckdb.DuckDBPyConnection, scratch: Path, *names: str, anchor: Schema | None = None
) -> tuple[Schema, list[dict[str, Any]]]:
    """The schema and rows that some raw files in scratch come to."""
    raw = [inspect(connection, name, scratch / name) for name in names]
    schema = merge(opinions(connection, raw, anchor), anchor)
    parts = [write_part(connection, item, schema, scratch) for item in raw]
    assert [item.file.exists() for item in raw] == [False] * len(raw)
    rows = pa.concat_tables([pq.read_table(part.file) for part in parts]).to_pylist()
    return schema, rows


NOON = datetime(2013, 6, 30, 12)


def test_a_parquet_file_of_many_types(connection: duckdb.DuckDBPyConnection, scratch: Path) -> None:
    pq.write_table(
        pa.table(
            {
                "small": pa.array([1, None], pa.int8()),
                "huge": pa.array([2**63, 1], pa.uint64()),
                "money": pa.array([1, 2], pa.decimal128(9, 2)),
                "half": pa.array([0.5, float("nan")], pa.float32()),
                "zoned": pa.array([NOON, None], pa.timestamp("us", tz="America/New_York")),
                "fine": pa.array([NOON, None], pa.timestamp("ns")),
                "day": pa.array([date(2013, 6, 30), None]),
                "list": pa.array([[1, 2], None]),
                "kind": pa.array(["a", "b"]).dictionary_encode(),
                "flag": pa.array([True, None]),
                "void": pa.nulls(2),
            }
        ),
        scratch / "a.parquet",
    )

    schema, (first, second) = read(connection, scratch, "a.parquet")

    assert {name: str(kind) for name, kind in schema.items()} == {
        "small": "Integer",
        "huge": "Number",
        "money": "Number",
        "half": "Number",
        "zoned": "Timestamp",
        "fine": "Timestamp",
        "day": "Date",
        "list": "String",
        "kind": "String",
        "flag": "Boolean",
        "void": "String",
    }
    assert list(first) == sorted(schema)
    assert first == {
        "day": date(2013, 6, 30),
        "fine": NOON,
        "flag": True,
        "half": 0.5,
        "huge": float(2**63),
        "kind": "a",
        "list": "[1,2]",
        "money": 1.0,
        "small": 1,
        "void": None,
        "zoned": NOON,
    }
    assert second["half"] is None


def test_numbers_that_are_none_are_null(
    connection: duckdb.DuckDBPyConnection, scratch: Path
) -> None:
    values = [1.5, float("nan"), float("inf"), float("-inf"), None, -0.0]
    pq.write_table(pa.table({"x": values}), scratch / "a.parquet")

    _, rows = read(connection, scratch, "a.parquet")

    assert [str(row["x"]) for row in rows] == ["1.5", "None", "None", "None", "None", "0.0"]


def test_times_of_csv_are_brought_to_utc(
    connection: duckdb.DuckDBPyConnection, scratch: Path
) -> None:
    (scratch / "a.csv").write_text("at\n2013-06-30T14:00:00+02:00\n2013-06-30T12:00:00Z\n")

    schema, rows = read(connection, scratch, "a.csv")

    assert schema == {"at": ColumnType.TIMESTAMP}
    assert rows == [{"at": NOON}, {"at": NOON}]


def test_compressed_csv(connection: duckdb.DuckDBPyConnection, scratch: Path) -> None:
    (scratch / "a.csv.gz").write_bytes(gzip.compress(b"x,y\n1,a\n2,\n"))

    _, rows = read(connection, scratch, "a.csv.gz")

    assert rows == [{"x": 1, "y": "a"}, {"x": 2, "y": None}]


def test_codes_with_leading_zeros_stay_text(
    connection: duckdb.DuckDBPyConnection, scratch: Path
) -> None:
    (scratch / "a.csv").write_text("code\n007\n010\n")
    (scratch / "b.csv").write_text("code\nA12\n")
    anchor = {"code": ColumnType.STRING}

    schema, rows = read(connection, scratch, "a.csv", "b.csv", anchor=anchor)

    assert schema == anchor
    assert [row["code"] for row in rows] == ["007", "010", "A12"]


def test_a_csv_column_without_values_does_not_turn_numbers_into_text(
    connection: duckdb.DuckDBPyConnection, scratch: Path
) -> None:
    (scratch / "a.csv").write_text("x,rain\n1,\n2,\n")
    (scratch / "b.csv").write_text("x,rain\n3,0.5\n")

    schema, rows = read(connection, scratch, "a.csv", "b.csv")

    assert schema["rain"] is ColumnType.NUMBER
    assert [row["rain"] for row in rows] == [None, None, 0.5]


def test_nested_json_becomes_text(connection: duckdb.DuckDBPyConnection, scratch: Path) -> None:
    lines = [{"a": {"b": 1}, "n": None}, {"a": {"b": 2}, "n": None}]
    (scratch / "a.jsonl").write_text("\n".join(json.dumps(line) for line in lines))

    schema, rows = read(connection, scratch, "a.jsonl")

    assert schema == {"a": ColumnType.STRING, "n": ColumnType.STRING}
    assert rows == [{"a": '{"b":1}', "n": None}, {"a": '{"b":2}', "n": None}]


def test_a_column_only_one_object_has_is_null_in_the_others(
    connection: duckdb.DuckDBPyConnection, scratch: Path
) -> None:
    (scratch / "a.csv").write_text("x\n1\n")
    (scratch / "b.csv").write_text("x,y\n2,b\n")

    _, rows = read(connection, scratch, "a.csv", "b.csv")

    assert rows == [{"x": 1, "y": None}, {"x": 2, "y": "b"}]


def test_names_that_are_no_identifiers(
    connection: duckdb.DuckDBPyConnection, scratch: Path
) -> None:
    names = ['quo"te', "semi;colon", "'; DROP TABLE x; --", "größe", "select"]
    pq.write_table(pa.table({name: [1] for name in names}), scratch / "it's.parquet")

    schema, rows = read(connection, scratch, "it's.parquet")

    assert list(schema) == names
    assert rows == [dict.fromkeys(names, 1)]


BROKEN = {
    "half a parquet": ("a.parquet", b"PAR1 and then nothing of use"),
    "lines that are no JSON": ("a.jsonl", b'{"x": 1}\n{"x": \n'),
    "a csv that is not compressed": ("a.csv.gz", b"x,y\n1,2\n"),
}


@pytest.mark.parametrize(("name", "content"), BROKEN.values(), ids=BROKEN)
def test_an_unreadable_object_is_named(
    connection: duckdb.DuckDBPyConnection, scratch: Path, name: str, content: bytes
) -> None:
    (scratch / name).write_bytes(content)

    with pytest.raises(StepError) as raised:
        raw = inspect(connection, f"flights/{name}", scratch / name)
        schema = merge(opinions(connection, [raw], None), None)
        write_part(connection, raw, schema, scratch)

    assert raised.value.reason == "UnreadableObject"
    said = str(raised.value)
    assert said.startswith(f"flights/{name} cannot be read as ")
    assert said.endswith("; mend it, or list it in source.objects.exclude")
    assert str(scratch) not in said


def test_the_digest_of_known_content_stays_what_it_is(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """A changed digest makes every version a new one: this must not happen by an upgrade."""
    schema = {
        "b": ColumnType.BOOLEAN,
        "i": ColumnType.INTEGER,
        "n": ColumnType.NUMBER,
        "s": ColumnType.STRING,
        "t": ColumnType.TIMESTAMP,
        "d": ColumnType.DATE,
    }
    table = (
        "(VALUES (TRUE, 1, 0.1::DOUBLE, 'a|b', TIMESTAMP '2013-06-30 12:00:00.5', DATE"
        " '2013-06-30'), (NULL, -5, 1e300::DOUBLE, '', NULL, NULL)) AS x(b, i, n, s, t, d)"
    )

    found = content_digest(connection, table, schema)

    rows = [
        "true|2013-06-30|1|0.1|3:a|b|1372593600500000",
        "N|N|-5|1e+300|0:|N",
    ]
    total = sum(int(hashlib.sha256(row.encode()).hexdigest(), 16) for row in rows) % 2**256
    content = {"schema": sorted(schema.items()), "rows": 2, "sum": f"{total:064x}"}
    by_hand = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    assert found == sha256(by_hand)
    assert found == "sha256:46e0a4bf8b076646af25419984bc9074063a2b1d0237c90c3062f17438335efc"


LOOKALIKES = {
    "a border that moves": ("('a', 'bc')", "('ab', 'c')"),
    "a separator inside": ("('a|1:b', 'c')", "('a', '1:b|c')"),
    "null and the text for it": ("(NULL, 'x')", "('N', 'x')"),
    "empty and null": ("('', 'x')", "(NULL, 'x')"),
    "values that change places": ("('a', 'b')", "('b', 'a')"),
}


@pytest.mark.parametrize(("one", "other"), LOOKALIKES.values(), ids=LOOKALIKES)
def test_rows_that_look_alike_have_other_digests(
    connection: duckdb.DuckDBPyConnection, one: str, other: str
) -> None:
    schema = {"x": ColumnType.STRING, "y": ColumnType.STRING}

    found = {
        content_digest(connection, f"(VALUES {row}) AS t(x, y)", schema) for row in (one, other)
    }

    assert len(found) == 2


def test_parts_travel_through_the_store(
    connection: duckdb.DuckDBPyConnection, scratch: Path, tmp_path: Path
) -> None:
    (scratch / "a.csv").write_text("x,y\n1,a\n2,b\n")
    raw = inspect(connection, "a.csv", scratch / "a.csv")
    schema = merge(opinions(connection, [raw], None), None)
    part = write_part(connection, raw, schema, scratch)
    store, prefix = Store(), f"file://{tmp_path}/ds"

    (published,) = publish_parts(store, prefix, [part])

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (file,) = fetch_parts(store, [published], elsewhere)
    assert pq.read_table(file).to_pylist() == [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]
    assert schema_of_part(store, published) == schema
    assert scan_parts([file]) == f"read_parquet(['{file}'])"


def test_the_schema_of_a_part_with_many_columns(tmp_path: Path) -> None:
    """Its footer is longer than what is fetched at first."""
    names = [f"column {place:04d} with a rather long name" for place in range(900)]
    pq.write_table(pa.table({name: ["x" * 50] for name in names}), tmp_path / "wide.parquet")
    part = Part(uri=f"file://{tmp_path}/wide.parquet", digest="", rows=1, bytes=0)

    assert list(schema_of_part(Store(), part)) == names


def test_a_damaged_part_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"other bytes")
    part = Part(uri=f"file://{tmp_path}/x.parquet", digest=sha256(b"bytes"), rows=1, bytes=5)
    (tmp_path / "scratch").mkdir()

    with pytest.raises(StepError) as raised:
        fetch_parts(Store(), [part], tmp_path / "scratch")

    assert raised.value.reason == "ArtifactDamaged"
    assert str(raised.value) == (
        f"{part.uri} is not what was written: its sha256 is {sha256(b'other bytes')},"
        f" not {part.digest}"
    )


def test_a_manifest_that_is_none_is_told(tmp_path: Path) -> None:
    store = Store()
    document = store.publish(f"file://{tmp_path}", "manifest.json", b'{"rows": 1}')

    with pytest.raises(StepError) as raised:
        read_manifest(store, StoredDocument(uri=document.uri, digest=document.digest))

    assert raised.value.reason == "ArtifactDamaged"
    assert str(raised.value) == f"{document.uri} is not a manifest: Field required"


def test_the_same_rows_make_the_same_part(
    connection: duckdb.DuckDBPyConnection, scratch: Path
) -> None:
    digests = set()
    for name in ("a.csv", "b.csv"):
        (scratch / name).write_text("x\n" + "\n".join(str(n) for n in range(300_000)))
        raw = inspect(connection, name, scratch / name)
        part = write_part(connection, raw, {"x": ColumnType.INTEGER}, scratch)
        digests.add(part.digest)

    assert len(digests) == 1
    manifest = Manifest(digest="", parts=(), rows=0)
    assert manifest.version == 1
