"""`check`: many expectations together, what is shown, and names that mean harm."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.steps.expectations import test_numbers, test_rows, test_texts
from tests.unit.steps.expectations.asked import ROWS, SCHEMA, asked
from tidemill.steps.engine import connect
from tidemill.steps.expectations import values_of
from tidemill.steps.schema import ColumnType

CASES = {**test_numbers.CASES, **test_rows.CASES, **test_texts.CASES}


def test_many_are_answered_together_in_their_order(tmp_path: Path) -> None:
    found = asked(tmp_path, *(body for body, _ in CASES.values()))

    broken = {
        f"r{place}": wanted
        for place, (name, (_, wanted)) in enumerate(CASES.items())
        if wanted is not None and name != "values of a first version"
    }
    assert {item.name: (item.reason, item.message) for item in found} == broken
    assert [item.name for item in found] == list(broken)


def test_a_violation_says_all_its_parts(tmp_path: Path) -> None:
    (found,) = asked(tmp_path, {"type": "Range", "column": "hour", "min": "0", "max": "23"})

    assert found.model_dump(exclude={"message"}) == {
        "name": "r0",
        "rule": "Range",
        "reason": "OutOfRange",
        "severity": "Warn",
        "column": "hour",
        "expected": "0 to 23",
        "observed": "-1 to 25",
        "count": 3,
        "share": "0.375",
        "examples": ("-1", "24", "25"),
        "check": "",
    }


def test_a_column_that_is_gone(tmp_path: Path) -> None:
    for body in ({"type": "Unique", "column": "tail"}, {"type": "Duplicates", "columns": ["tail"]}):
        (found,) = asked(tmp_path, body)

        assert (found.reason, found.column, found.check, found.message) == (
            "MissingColumn",
            "tail",
            "missing_column_check",
            "tail: expected a column for r0, observed no such column",
        )


def test_nothing_asked_is_nothing_found(tmp_path: Path) -> None:
    assert asked(tmp_path) == ()


SECRETS = ("UA", "B6", "??", "XX", "-1", "24", "four", "2013-06-30", "-4.0", "1.4375")


@pytest.mark.parametrize(
    "body",
    [body for body, wanted in CASES.values() if wanted is not None],
    ids=[name for name, (_, wanted) in CASES.items() if wanted is not None],
)
def test_values_of_sensitive_columns_are_never_shown(tmp_path: Path, body: dict[str, Any]) -> None:
    found = asked(tmp_path, body, sensitive=frozenset(SCHEMA))

    for item in found:
        assert item.examples == ()
        assert not [word for word in SECRETS if word in f"{item.observed}{item.message}"]


def test_of_a_row_only_columns_that_are_not_sensitive_are_shown(tmp_path: Path) -> None:
    (found,) = asked(
        tmp_path,
        {"type": "Condition", "where": "hour - temp < 20"},
        sensitive=frozenset({"temp"}),
    )

    assert found.examples == ("hour=25",)


HOSTILE = (
    "a.b",
    'quo"te',
    "semi; DROP TABLE given; --",
    "it's",
    "größe 🌊",
    "c0",
    "b0",
    "rows",
    "SELECT",
)


def test_a_column_may_have_any_name(tmp_path: Path) -> None:
    rows = pa.table({name: [1, 2, 2, 900] for name in HOSTILE})
    schema = dict.fromkeys(HOSTILE, ColumnType.INTEGER)
    bodies = [
        body
        for name in HOSTILE
        for body in (
            {"type": "Range", "column": name, "max": "100"},
            {"type": "Unique", "column": name},
            {"type": "Duplicates", "columns": [name]},
            {
                "type": "Outliers",
                "column": name,
                "method": "Quartiles",
                "factor": "1",
                "maxShare": "0",
            },
            {"type": "Complete", "column": name, "minShare": "1"},
        )
    ]

    found = asked(tmp_path, *bodies, rows=rows, schema=schema)

    assert [item.column for item in found] == [name for name in HOSTILE for _ in range(4)]
    assert {item.examples for item in found if item.rule == "Range"} == {("900",)}


def test_values_that_look_like_sql_are_values(tmp_path: Path) -> None:
    evil = "x'); COPY (SELECT 1) TO 'out.csv'; --"
    rows = pa.table({"code": [evil, "ok"]})

    (found,) = asked(
        tmp_path,
        {"type": "AllowedValues", "column": "code", "values": ["ok", "' OR TRUE --"]},
        rows=rows,
        schema={"code": ColumnType.STRING},
    )

    assert found.examples == (evil,)
    assert list(tmp_path.glob("*.csv")) == []


def test_what_is_long_is_cut(tmp_path: Path) -> None:
    rows = pa.table({"code": ["x" * 1000, "y" * 64]})

    (found,) = asked(
        tmp_path,
        {"type": "AllowedValues", "column": "code", "values": ["ok"]},
        rows=rows,
        schema={"code": ColumnType.STRING},
    )

    assert found.examples == ("x" * 63 + "…", "y" * 64)


def test_values_are_the_text_a_user_would_write(tmp_path: Path) -> None:
    with connect(tmp_path) as connection:
        connection.register("given", ROWS)
        found = {
            name: values_of(connection, "given", name, SCHEMA[name])
            for name in ("hour", "temp", "carrier", "flag")
        }

    assert found == {
        "hour": {"5", "6", "7", "24", "25", "-1"},
        "temp": {"1", "2.5", "4", "5", "6", "7"},
        "carrier": {"UA", "B6", "??", "XX"},
        "flag": {"true", "false"},
    }
