"""RowCount, Complete, Unique, Duplicates and Condition, kept and broken."""

from pathlib import Path

import pytest

from tests.unit.steps.expectations.asked import SCHEMA, Case, asked, expect
from tidemill.steps.failures import StepError
from tidemill.steps.schema import ColumnType

CASES: dict[str, Case] = {
    "rows enough": ({"type": "RowCount", "min": "8", "max": "8"}, None),
    "too few rows": (
        {"type": "RowCount", "min": "10000"},
        ("RowCount", "expected at least 10000 rows, observed 8 rows"),
    ),
    "too many rows": (
        {"type": "RowCount", "max": "7"},
        ("RowCount", "expected at most 7 rows, observed 8 rows"),
    ),
    "complete enough": ({"type": "Complete", "column": "temp", "minShare": "0.75"}, None),
    "not complete enough": (
        {"type": "Complete", "column": "temp", "minShare": "0.8"},
        (
            "Incomplete",
            "temp: expected values in at least 80 % of rows, observed values in 75 %; broken by 2"
            " of 8 rows (25 %)",
        ),
    ),
    "unique": ({"type": "Unique", "column": "temp"}, None),
    "not unique": (
        {"type": "Unique", "column": "carrier"},
        (
            "Duplicates",
            "carrier: expected every value once, observed values seen before; broken by 3 of 8 rows"
            " (37.5 %), such as '??', 'B6', 'UA'",
        ),
    ),
    "no row twice": ({"type": "Duplicates"}, None),
    "some columns twice": (
        {"type": "Duplicates", "columns": ["carrier", "flag"]},
        (
            "DuplicateRows",
            "carrier, flag: expected no two rows with the same carrier, flag, observed rows seen"
            " before; broken by 1 of 8 rows (12.5 %), such as 'carrier=??, flag=true'",
        ),
    ),
    "as many as may be": (
        {"type": "Duplicates", "columns": ["carrier", "flag"], "maxShare": "0.125"},
        None,
    ),
    "a missing value is like another": (
        {"type": "Duplicates", "columns": ["temp"]},
        (
            "DuplicateRows",
            "temp: expected no two rows with the same temp, observed rows seen before; broken by 1"
            " of 8 rows (12.5 %), such as 'temp='",
        ),
    ),
    "a condition that is kept": ({"type": "Condition", "where": "hour + temp > 0"}, None),
    "a condition that is not": (
        {"type": "Condition", "where": "hour - temp < 20"},
        (
            "ConditionBroken",
            "expected hour - temp < 20, observed others; broken by 1 of 8 rows (12.5 %), such as"
            " 'hour=25, temp=4'",
        ),
    ),
    "a condition that some rows may break": (
        {"type": "Condition", "where": "hour < 20", "maxShare": "0.25"},
        None,
    ),
    "a share of a number": (
        {"type": "Condition", "where": "temp <= 0.5 * hour + 1"},
        (
            "ConditionBroken",
            "expected temp <= 0.5 * hour + 1, observed others; broken by 2 of 8 rows (25 %), such"
            " as 'hour=-1, temp=5', 'hour=5, temp=7'",
        ),
    ),
    "a division by zero is open": ({"type": "Condition", "where": "hour / 0 > 1"}, None),
    "seconds between times": (
        {"type": "Condition", "where": "at - day <= 25200"},
        None,
    ),
    "too many seconds": (
        {"type": "Condition", "where": "at - day BETWEEN 0 AND 6 * 3600"},
        (
            "ConditionBroken",
            "expected at - day BETWEEN 0 AND 6 * 3600, observed others; broken by 1 of 8 rows"
            " (12.5 %), such as 'at=2013-06-30 07:00:00, day=2013-06-30'",
        ),
    ),
}


@pytest.mark.parametrize(("body", "wanted"), CASES.values(), ids=CASES)
def test_rows(tmp_path: Path, body: dict[str, object], wanted: tuple[str, str] | None) -> None:
    expect(tmp_path, body, wanted)


UNREADABLE = {
    "a column that neither these data nor the schema have": (
        "wind > 3",
        "names wind, which the data do not have; they have hour, temp, carrier, flag, at, day,"
        " code",
    ),
    "no column": ("1 < 2 + 3", "names no column"),
    "reckoning with texts": (
        "hour + carrier > 3",
        "reckons with carrier, a String; only numbers can be reckoned with",
    ),
}


@pytest.mark.parametrize(("where", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_condition_that_cannot_be_read(tmp_path: Path, where: str, message: str) -> None:
    with pytest.raises(StepError) as raised:
        asked(tmp_path, {"type": "Condition", "where": where})

    assert (raised.value.reason, str(raised.value)) == (
        "InvalidExpectation",
        f"expectation r0: {message}",
    )


def test_a_column_of_a_condition_that_is_gone_is_missing(tmp_path: Path) -> None:
    anchor = {**SCHEMA, "wind": ColumnType.NUMBER}

    (found,) = asked(tmp_path, {"type": "Condition", "where": "wind > temp"}, anchor=anchor)

    assert (found.reason, found.message) == (
        "MissingColumn",
        "wind: expected a column for r0, observed no such column",
    )


def test_a_column_of_a_condition_that_changed_its_type_breaks_it(tmp_path: Path) -> None:
    anchor = {**SCHEMA, "carrier": ColumnType.NUMBER}

    (found,) = asked(tmp_path, {"type": "Condition", "where": "carrier > temp"}, anchor=anchor)

    assert (found.reason, found.message) == (
        "ConditionBroken",
        "expected carrier > temp, observed compares carrier, a String, with temp, a Number",
    )
