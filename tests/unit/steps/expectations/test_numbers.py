"""Range, Outliers and Freshness, kept and broken."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.steps.expectations.asked import Case, asked, expect
from tidemill.steps.schema import ColumnType

CASES: dict[str, Case] = {
    "a range that is kept": ({"type": "Range", "column": "temp", "min": "1", "max": "7"}, None),
    "a range that is not": (
        {"type": "Range", "column": "hour", "min": "0", "max": "23"},
        (
            "OutOfRange",
            "hour: expected 0 to 23, observed -1 to 25; broken by 3 of 8 rows (37.5 %), such as"
            " '-1', '24', '25'",
        ),
    ),
    "a range that some rows may break": (
        {"type": "Range", "column": "hour", "min": "0", "max": "23", "maxShare": "0.375"},
        None,
    ),
    "a range that more rows break than may": (
        {"type": "Range", "column": "hour", "min": "0", "max": "23", "maxShare": "0.25"},
        (
            "OutOfRange",
            "hour: expected 0 to 23, but for 25 % of rows, observed -1 to 25; broken by 3 of 8 rows"
            " (37.5 %), such as '-1', '24', '25'",
        ),
    ),
    "a lower bound": (
        {"type": "Range", "column": "hour", "min": "6"},
        (
            "OutOfRange",
            "hour: expected at least 6, observed -1 to 25; broken by 3 of 8 rows (37.5 %), such as"
            " '5', '-1'",
        ),
    ),
    "an upper bound": (
        {"type": "Range", "column": "temp", "max": "6.5"},
        (
            "OutOfRange",
            "temp: expected at most 6.5, observed 1 to 7; broken by 1 of 8 rows (12.5 %), such as"
            " '7'",
        ),
    ),
    "a range of text": (
        {"type": "Range", "column": "carrier", "min": "0"},
        ("OutOfRange", "carrier: expected numbers, at least 0, observed a String"),
    ),
    "no outliers by deviations": (
        {"type": "Outliers", "column": "temp", "method": "Deviations", "maxShare": "0"},
        None,
    ),
    "outliers by deviations": (
        {
            "type": "Outliers",
            "column": "hour",
            "method": "Deviations",
            "factor": "1.5",
            "maxShare": "0.1",
        },
        (
            "Outliers",
            "hour: expected numbers within 1.5 standard deviations of the mean, -3.93817656 to"
            " 24.2238908, but for 10 % of rows, observed -1 to 25; broken by 1 of 8 rows (12.5 %),"
            " such as '25'",
        ),
    ),
    "as many outliers as may be": (
        {
            "type": "Outliers",
            "column": "hour",
            "method": "Deviations",
            "factor": "1.5",
            "maxShare": "0.125",
        },
        None,
    ),
    "no outliers by quartiles": (
        {"type": "Outliers", "column": "hour", "method": "Quartiles", "maxShare": "0"},
        None,
    ),
    "outliers by quartiles": (
        {
            "type": "Outliers",
            "column": "temp",
            "method": "Quartiles",
            "factor": "0.5",
            "maxShare": "0",
        },
        (
            "Outliers",
            "temp: expected numbers within 0.5 quartile distances of the quartiles, 1.4375 to"
            " 7.1875, observed 1 to 7; broken by 1 of 8 rows (12.5 %), such as '1'",
        ),
    ),
    "outliers of text": (
        {"type": "Outliers", "column": "carrier", "method": "Quartiles", "maxShare": "0"},
        (
            "Outliers",
            "carrier: expected numbers, numbers within 1.5 quartile distances of the quartiles,"
            " observed a String",
        ),
    ),
    "fresh": ({"type": "Freshness", "column": "at", "maxAgeSeconds": 61200}, None),
    "stale": (
        {"type": "Freshness", "column": "at", "maxAgeSeconds": 61199},
        (
            "Stale",
            "at: expected a newest time at most 61199 seconds before the read, observed"
            " 2013-06-30T07:00:00Z, which is 61200 seconds before it",
        ),
    ),
    "a stale day": (
        {"type": "Freshness", "column": "day", "maxAgeSeconds": 3600},
        (
            "Stale",
            "day: expected a newest time at most 3600 seconds before the read, observed"
            " 2013-06-30T00:00:00Z, which is 86400 seconds before it",
        ),
    ),
    "the freshness of a number": (
        {"type": "Freshness", "column": "hour", "maxAgeSeconds": 3600},
        (
            "Stale",
            "hour: expected a newest time at most 3600 seconds before the read, observed a Integer",
        ),
    ),
}


@pytest.mark.parametrize(("body", "wanted"), CASES.values(), ids=CASES)
def test_numbers(tmp_path: Path, body: dict[str, object], wanted: tuple[str, str] | None) -> None:
    expect(tmp_path, body, wanted)


@pytest.mark.parametrize("method", ["Deviations", "Quartiles"])
def test_no_numbers_have_no_outliers(tmp_path: Path, method: str) -> None:
    nothing = pa.table({"load": pa.nulls(3, pa.float64())})
    body = {"type": "Outliers", "column": "load", "method": method, "maxShare": "0"}

    assert asked(tmp_path, body, rows=nothing, schema={"load": ColumnType.NUMBER}) == ()


def test_no_time_is_not_fresh(tmp_path: Path) -> None:
    nothing = pa.table({"at": pa.nulls(3, pa.timestamp("us"))})
    body = {"type": "Freshness", "column": "at", "maxAgeSeconds": 60}

    (found,) = asked(tmp_path, body, rows=nothing, schema={"at": ColumnType.TIMESTAMP})

    assert found.observed == "no time at all"


def test_a_time_to_come_is_fresh(tmp_path: Path) -> None:
    body = {"type": "Freshness", "column": "at", "maxAgeSeconds": 60}

    assert asked(tmp_path, body, now=datetime(2013, 1, 1)) == ()
