"""`check`: every expectation, kept and broken, with the sentence a person reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tidemill.api.v1alpha1.datacontract import Expectation
from tidemill.steps.engine import connect
from tidemill.steps.expectations import check, values_of
from tidemill.steps.schema import ColumnType

SCHEMA = {
    "hour": ColumnType.INTEGER,
    "temp": ColumnType.NUMBER,
    "carrier": ColumnType.STRING,
    "flag": ColumnType.BOOLEAN,
    "at": ColumnType.TIMESTAMP,
}
ROWS = pa.table(
    {
        "hour": [5, 6, 7, 24, 25, -1, None, 5],
        "temp": [1.0, 2.5, None, None, 4.0, 5.0, 6.0, 7.0],
        "carrier": ["UA", "UA", "B6", "??", "??", "XX", None, "B6"],
        "flag": [True, False, None, True, True, True, True, True],
        "at": pa.nulls(8, pa.timestamp("us")),
    }
)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the rows."""
    with connect(tmp_path) as opened:
        opened.register("given", ROWS)
        yield opened


Broken = tuple[str, str] | None
CASES: dict[str, tuple[dict[str, Any], Broken]] = {
    "a range that is kept": ({"type": "Range", "column": "temp", "min": "1", "max": "7"}, None),
    "a range that is not": (
        {"type": "Range", "column": "hour", "min": "0", "max": "23"},
        (
            "OutOfRange",
            "hour: expected 0 to 23, observed -1 to 25; outside are 3 of 8 rows (37.5 %)",
        ),
    ),
    "a lower bound": (
        {"type": "Range", "column": "hour", "min": "6"},
        (
            "OutOfRange",
            "hour: expected at least 6, observed -1 to 25; outside are 3 of 8 rows (37.5 %)",
        ),
    ),
    "an upper bound": (
        {"type": "Range", "column": "temp", "max": "6.5"},
        (
            "OutOfRange",
            "temp: expected at most 6.5, observed 1 to 7; outside are 1 of 8 rows (12.5 %)",
        ),
    ),
    "a range of text": (
        {"type": "Range", "column": "carrier", "min": "0"},
        ("OutOfRange", "carrier: expected numbers, at least 0, but it is a String"),
    ),
    "values that are allowed": (
        {"type": "AllowedValues", "column": "carrier", "values": ["UA", "B6", "??", "XX"]},
        None,
    ),
    "values that are not": (
        {"type": "AllowedValues", "column": "carrier", "values": ["UA", "B6"]},
        (
            "UnknownValues",
            "carrier: expected 2 values, the listed ones, others in at most 0 % of rows; others are"
            " in 3 of 8 rows (37.5 %), such as '??', 'XX'",
        ),
    ),
    "a share of others that is allowed": (
        {
            "type": "AllowedValues",
            "column": "carrier",
            "values": ["UA", "B6"],
            "maxShareUnknown": "0.375",
        },
        None,
    ),
    "numbers that are allowed": (
        {"type": "AllowedValues", "column": "temp", "values": ["1", "2.5", "4", "5", "6", "7"]},
        None,
    ),
    "numbers that are not": (
        {"type": "AllowedValues", "column": "hour", "values": ["5", "6", "7", "noon"]},
        (
            "UnknownValues",
            "hour: expected 4 values, the listed ones, others in at most 0 % of rows; others are in"
            " 3 of 8 rows (37.5 %), such as '-1', '24', '25'",
        ),
    ),
    "booleans": ({"type": "AllowedValues", "column": "flag", "values": ["true", "false"]}, None),
    "values of a first version": (
        {"type": "AllowedValues", "column": "carrier", "from": "FirstVersion"},
        (
            "UnknownValues",
            "carrier: expected 3 values, those of the first version, others in at most 0 % of rows;"
            " others are in 2 of 8 rows (25 %), such as '??'",
        ),
    ),
    "no first version yet": (
        {"type": "AllowedValues", "column": "hour", "from": "FirstVersion"},
        None,
    ),
    "complete enough": ({"type": "Complete", "column": "temp", "minShare": "0.75"}, None),
    "not complete enough": (
        {"type": "Complete", "column": "temp", "minShare": "0.8"},
        (
            "Incomplete",
            "temp: expected values in at least 80 % of rows; missing in 2 of 8 rows (25 %)",
        ),
    ),
    "unique": ({"type": "Unique", "column": "temp"}, None),
    "not unique": (
        {"type": "Unique", "column": "carrier"},
        (
            "Duplicates",
            "carrier: expected every value once; values seen before are in 3 of 8 rows (37.5 %)",
        ),
    ),
    "rows enough": ({"type": "RowCount", "min": "8", "max": "8"}, None),
    "too few rows": (
        {"type": "RowCount", "min": "10000"},
        ("RowCount", "expected at least 10000 rows, observed 8"),
    ),
    "too many rows": (
        {"type": "RowCount", "max": "7"},
        ("RowCount", "expected at most 7 rows, observed 8"),
    ),
    "a column that is gone": (
        {"type": "Unique", "column": "tail"},
        ("MissingColumn", "tail: expected by rule, but the data do not have it"),
    ),
}


@pytest.mark.parametrize(("body", "expected"), CASES.values(), ids=CASES)
def test_check(
    connection: duckdb.DuckDBPyConnection, body: dict[str, Any], expected: Broken
) -> None:
    item = Expectation.model_validate({"name": "rule", "severity": "Warn", **body})
    first = {"carrier": frozenset({"UA", "B6", "XX"})}

    found = check(connection, "given", SCHEMA, [item], first)

    if expected is None:
        assert found == ()
        return
    (violation,) = found
    assert (violation.reason, violation.message) == expected
    assert (violation.name, violation.severity) == ("rule", "Warn")
    assert violation.column == body.get("column", "")


def test_many_are_answered_by_one_scan_in_their_order(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    items = [
        Expectation.model_validate({"name": f"r{place}", **body})
        for place, (body, _) in enumerate(CASES.values())
    ]

    found = check(connection, "given", SCHEMA, items, {})

    broken = [place for place, (_, expected) in enumerate(CASES.values()) if expected]
    broken.remove(list(CASES).index("values of a first version"))
    assert [violation.name for violation in found] == [f"r{place}" for place in broken]


def test_values_are_the_text_a_user_would_write(connection: duckdb.DuckDBPyConnection) -> None:
    found = {
        name: values_of(connection, "given", name, kind)
        for name, kind in SCHEMA.items()
        if name != "at"
    }

    assert found == {
        "hour": {"5", "6", "7", "24", "25", "-1"},
        "temp": {"1", "2.5", "4", "5", "6", "7"},
        "carrier": {"UA", "B6", "??", "XX"},
        "flag": {"true", "false"},
    }
