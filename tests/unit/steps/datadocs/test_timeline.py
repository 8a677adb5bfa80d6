"""`timeline`: every row is counted once, in the part of the split it belongs to."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.unit.steps.small import NOW, spec, table
from tidemill.steps.datadocs.timeline import MOST_BUCKETS, Bucket, divide, unit_for
from tidemill.steps.schema import ColumnType, Schema
from tidemill.steps.windows import find_window, label_rule, naive

DAY = 86400
SCHEMA: Schema = {
    "id": ColumnType.STRING,
    "at": ColumnType.TIMESTAMP,
    "load": ColumnType.NUMBER,
    "place": ColumnType.STRING,
    "grade": ColumnType.INTEGER,
    "note": ColumnType.STRING,
    "late": ColumnType.BOOLEAN,
}
UNITS = {
    "two days": (2 * DAY, "hour"),
    "a month": (31 * DAY, "day"),
    "a year": (365 * DAY, "week"),
    "four years": (4 * 365 * DAY, "month"),
    "a century": (100 * 365 * DAY, "decade"),
    "all of the calendar": (9998 * 365 * DAY, "century"),
}


@pytest.mark.parametrize(("seconds", "unit"), UNITS.values(), ids=UNITS)
def test_a_stretch_is_long_enough_for_few_bars(seconds: int, unit: str) -> None:
    assert unit_for(seconds) == unit


def test_rows_are_divided_as_training_will_see_them(tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.register("rows", table())
    wanted = spec(f"file://{tmp_path}/*")
    rule = label_rule(connection, "rows", wanted, ColumnType.BOOLEAN)
    found = find_window(connection, "rows", wanted, rule, now=naive(NOW), schema=SCHEMA)

    made = divide(connection, "rows", wanted, rule, SCHEMA, found.window)

    assert made.unit == "day"
    assert len(made.buckets) == 50 <= MOST_BUCKETS
    total: Callable[[str], int] = lambda part: sum(getattr(b, part) for b in made.buckets)  # noqa: E731
    assert (total("fit"), total("validation"), total("test")) == (720, 180, 300)
    assert (total("waiting"), total("positive")) == (0, found.positive)


def test_a_split_by_hash_is_counted_too(tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.register("rows", table())
    split = {"by": "Hash", "testShare": "0.25", "validationShare": "0.15"}
    wanted = spec(f"file://{tmp_path}/*", split=split)
    rule = label_rule(connection, "rows", wanted, ColumnType.BOOLEAN)
    window = find_window(connection, "rows", wanted, rule, now=naive(NOW), schema=SCHEMA).window

    made = divide(connection, "rows", wanted, rule, SCHEMA, window)

    assert window.hash is not None
    counted = [sum(getattr(b, part) for b in made.buckets) for part in ("fit", "test")]
    assert counted == [window.hash.fit_rows, window.hash.test_rows]


def test_rows_without_a_final_label_wait(tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.register("rows", table(48))
    late = {"name": "late", "matureAfterSeconds": DAY}
    wanted = spec(f"file://{tmp_path}/*")
    body = wanted.to_wire()
    body["columns"]["label"] = late
    wanted = type(wanted).model_validate(body)
    rule = label_rule(connection, "rows", wanted, ColumnType.BOOLEAN)
    window = find_window(
        connection, "rows", wanted, rule, now=naive("2026-01-03T00:00:00Z"), schema=SCHEMA
    ).window

    made = divide(connection, "rows", wanted, rule, SCHEMA, window)

    assert made.unit == "hour"
    assert sum(bucket.labelled for bucket in made.buckets) == 25
    assert sum(bucket.waiting for bucket in made.buckets) == 23
    assert made.buckets[0].start == naive("2026-01-01T00:00:00Z")


def test_a_bucket_adds_up() -> None:
    bucket = Bucket(naive(NOW), fit=1, validation=2, test=3, waiting=4)

    assert (bucket.labelled, bucket.rows) == (6, 10)
