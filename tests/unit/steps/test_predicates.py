"""`parse`: what a slice may say, and that nothing else gets through."""

from pathlib import Path

import pytest

from tidemill.api.v1alpha1.datacolumns import Slice
from tidemill.steps.engine import connect
from tidemill.steps.failures import StepError
from tidemill.steps.predicates import parse, parse_condition
from tidemill.steps.schema import ColumnType

SCHEMA = {
    "origin": ColumnType.STRING,
    "hour": ColumnType.INTEGER,
    "temp": ColumnType.NUMBER,
    "late": ColumnType.BOOLEAN,
    "at": ColumnType.TIMESTAMP,
    "day": ColumnType.DATE,
    'odd "name"': ColumnType.STRING,
}

ALLOWED = {
    "equal text": ("origin = 'JFK'", "(\"origin\" = 'JFK')"),
    "a quote in text": ("origin = 'O''Hare'", "(\"origin\" = 'O''Hare')"),
    "not equal, both ways": (
        "origin <> 'a' AND origin != 'b'",
        "((\"origin\" <> 'a') AND (\"origin\" <> 'b'))",
    ),
    "a number": ("hour >= 17", '("hour" >= 17)'),
    "a negative number": ("temp < -1.5", '("temp" < -1.5)'),
    "the literal first": ("17 <= hour", '("hour" >= 17)'),
    "two columns": ("hour < temp", '("hour" < "temp")'),
    "a list": ("origin IN ('a', 'b')", "(\"origin\" IN ('a', 'b'))"),
    "not in a list": ("origin NOT IN ('a')", "(NOT (\"origin\" IN ('a')))"),
    "between": ("hour BETWEEN 1 AND 3", '("hour" BETWEEN 1 AND 3)'),
    "null": ("temp IS NULL", '("temp" IS NULL)'),
    "not null": ("temp IS NOT NULL", '(NOT ("temp" IS NULL))'),
    "and, or, not, parentheses": (
        "NOT (hour = 1 OR hour = 2) AND late",
        '((NOT (("hour" = 1) OR ("hour" = 2))) AND "late")',
    ),
    "a boolean": ("late = TRUE", '("late" = TRUE)'),
    "a time": (
        "at >= '2013-06-01'",
        "(\"at\" >= CAST('2013-06-01T00:00:00' AS TIMESTAMP))",
    ),
    "a date": ("day = '2013-06-01'", "(\"day\" = CAST('2013-06-01T00:00:00' AS TIMESTAMP))"),
    "a quoted name": ('"odd ""name""" = \'x\'', '("odd ""name""" = \'x\')'),
    "small letters": (
        "origin in ('a') or hour is null",
        '(("origin" IN (\'a\')) OR ("hour" IS NULL))',
    ),
    "a comment is not read": ("hour = 1 -- really", '("hour" = 1)'),
}


@pytest.mark.parametrize(("where", "sql"), ALLOWED.values(), ids=ALLOWED)
def test_allowed(where: str, sql: str) -> None:
    assert parse(Slice(name="s", where=where), SCHEMA).sql == sql


KNOWN = 'they have origin, hour, temp, late, at, day, odd "name"'
OTHERS = "comparisons, IN, BETWEEN, IS NULL, AND, OR and NOT of columns and literals are allowed"
REFUSED = {
    "a second statement": ("hour = 1; DROP TABLE x", f"is more than one condition; {OTHERS}"),
    "a union": ("hour = 1 UNION SELECT 1", f"is more than one condition; {OTHERS}"),
    "a limit": ("hour = 1 LIMIT 1", f"has a clause LIMIT; {OTHERS}"),
    "a group": ("hour = 1 GROUP BY hour", f"has a clause GROUP; {OTHERS}"),
    "a window filter": ("hour = 1 QUALIFY TRUE", f"has a clause QUALIFY; {OTHERS}"),
    "a subquery": (
        "hour = (SELECT 1)",
        "compares hour, a Integer, with '(SELECT 1)'; give it a literal of its type",
    ),
    "a subquery in a list": (
        "origin IN (SELECT 'a')",
        "does not allow \"origin IN (SELECT 'a')\"; IN takes a list of literals",
    ),
    "exists": ("EXISTS(SELECT 1)", f"does not allow 'EXISTS(SELECT 1)'; {OTHERS}"),
    "a function of a column": (
        "length(origin) = 3",
        f"has 'LENGTH(origin)' where a column is expected; {OTHERS}",
    ),
    "a function that reads a file": (
        "read_text('/etc/passwd') = ''",
        f"has \"READ_TEXT('/etc/passwd')\" where a column is expected; {OTHERS}",
    ),
    "a function alone": ("pg_sleep(9)", f"does not allow 'PG_SLEEP(9)'; {OTHERS}"),
    "a cast": ("temp::int = 1", f"has 'CAST(temp AS INT)' where a column is expected; {OTHERS}"),
    "arithmetic": (
        "temp = temp + 1",
        "compares temp, a Number, with 'temp + 1'; give it a literal of its type",
    ),
    "case": (
        "CASE WHEN late THEN late END",
        f"does not allow 'CASE WHEN late THEN late END'; {OTHERS}",
    ),
    "like": ("origin LIKE 'J%'", f"does not allow \"origin LIKE 'J%'\"; {OTHERS}"),
    "a pattern": ("origin ~ 'J'", f"does not allow \"REGEXP_MATCHES(origin, 'J')\"; {OTHERS}"),
    "a parameter": (
        "origin = $1",
        "compares origin, a String, with '$1'; give it a literal of its type",
    ),
    "a clock": (
        "at > CURRENT_TIMESTAMP",
        "compares at, a Timestamp, with 'CURRENT_TIMESTAMP'; give it a literal of its type",
    ),
    "two literals": ("1 = 1", f"has '1' where a column is expected; {OTHERS}"),
    "a literal alone": ("TRUE", f"does not allow 'TRUE'; {OTHERS}"),
    "equal to null": (
        "origin = NULL",
        "compares origin, a String, with 'NULL'; give it a literal of its type",
    ),
    "is true": ("late IS TRUE", "does not allow 'late IS TRUE'; IS is for NULL"),
    "a symmetric between": (
        "hour BETWEEN SYMMETRIC 3 AND 1",
        "does not allow SYMMETRIC; write the lower bound first",
    ),
    "a column of a table": ("f.hour = 1", f"has 'f.hour' where a column is expected; {OTHERS}"),
    "a column that is not there": (
        "speed = 1",
        f"names speed, which the data do not have; {KNOWN}",
    ),
    "text in double quotes": ('origin = "JFK"', f"names JFK, which the data do not have; {KNOWN}"),
    "a number for text": (
        "origin = 5",
        "compares origin, a String, with '5'; give it a literal of its type",
    ),
    "text for a number": ("hour = 'five'", "compares hour, a Integer, with the text 'five'"),
    "a number for a boolean": (
        "late = 1",
        "compares late, a Boolean, with '1'; give it a literal of its type",
    ),
    "a number alone as a condition": ("hour", "'hour' is a Integer, not a condition; compare it"),
    "columns of unlike types": ("origin = hour", "compares origin, a String, with hour, a Integer"),
    "no time": (
        "at > 'noon'",
        "compares at, a Timestamp, with 'noon'; write a time as 2013-06-30T12:00:00",
    ),
    "a time with a zone": (
        "at > '2013-06-30T12:00:00+02:00'",
        "has the time '2013-06-30T12:00:00+02:00' with a zone; times are UTC and written without",
    ),
    "a number no column can hold": (
        "temp < 1e999",
        "has the number '1e999', which no column can hold",
    ),
    "half a condition": ("hour = 1 AND", f"cannot be read at 'AND'; {OTHERS}"),
    "parentheses without end": ("((((", f"cannot be read at '('; {OTHERS}"),
    "nothing": (" ", f"is empty; {OTHERS}"),
    "nested without end": ("(" * 500 + "late" + ")" * 500, f"is nested too deep; {OTHERS}"),
    "denied without end": ("NOT " * 250 + "late", f"is nested too deep; {OTHERS}"),
}


@pytest.mark.parametrize(("where", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(where: str, message: str) -> None:
    with pytest.raises(StepError) as raised:
        parse(Slice(name="evening", where=where), SCHEMA)

    assert raised.value.reason == "InvalidSlice"
    assert str(raised.value) == f"slice evening: {message}"


GOLDEN = {
    "temp > 10": [2],
    "NOT (temp > 10)": [1],
    "temp IS NULL": [3],
    "temp > 10 OR origin = 'a'": [1, 2],
    "temp > 10 OR temp IS NULL": [2, 3],
    "origin NOT IN ('a')": [2],
    "temp BETWEEN 5 AND 20": [1, 2],
    "NOT late": [2],
    "at < '2013-01-02' AND late": [1],
}


@pytest.mark.parametrize(("where", "rows"), GOLDEN.items(), ids=GOLDEN)
def test_a_comparison_with_null_is_false(tmp_path: Path, where: str, rows: list[int]) -> None:
    table = (
        "(VALUES (1, 'a', 5.0, TRUE, TIMESTAMP '2013-01-01'), (2, 'b', 15.0, FALSE, TIMESTAMP"
        " '2013-01-02'), (3, NULL, NULL, NULL, NULL)) AS t(n, origin, temp, late, \"at\")"
    )
    sql = parse(Slice(name="s", where=where), SCHEMA).sql

    with connect(tmp_path) as connection:
        found = connection.execute(f"SELECT n FROM {table} WHERE {sql} ORDER BY n").fetchall()  # noqa: S608

    assert [row[0] for row in found] == rows


def test_says_which_columns_it_needs() -> None:
    found = parse(Slice(name="s", where="hour = 1 OR temp IS NULL"), SCHEMA)

    assert found.columns == {"hour", "temp"}


CONDITIONS = {
    "n < temp": [1, 2, 3],
    "temp - n > 4": [2, 3],
    "temp + n * 2 <= 7": [1, 3],
    "(temp + n) * 2 <= 14": [1, 3],
    "temp / n BETWEEN 5 AND 7": [1, 3],
    "temp / 0 > 1": [1, 2, 3],
    "temp / (n - 1) < 20": [1, 2, 3],
    "-n < -1": [2, 3],
    "10 > temp - n": [1, 3],
    "n = 2 OR temp - n = 4": [1, 2, 3],
    "NOT (temp - n = 4)": [2, 3],
    "temp * 1e308 * 1e308 > 0": [1, 2, 3],
    '"at" - day = 3600': [1, 3],
    'day <= "at"': [1, 2, 3],
    "temp IS NOT NULL": [1, 2],
}
RECKONING = {
    **SCHEMA,
    "n": ColumnType.INTEGER,
    "day": ColumnType.DATE,
}


@pytest.mark.parametrize(("where", "rows"), CONDITIONS.items(), ids=CONDITIONS)
def test_a_condition_reckons_and_lets_open_rows_pass(
    tmp_path: Path, where: str, rows: list[int]
) -> None:
    table = (
        "(VALUES (1, 5.0, TIMESTAMP '2013-01-01 01:00:00', DATE '2013-01-01'), (2, 15.0, TIMESTAMP"
        " '2013-01-02 02:00:00', DATE '2013-01-02'), (3, NULL, NULL, NULL))"
        ' AS t(n, temp, "at", day)'
    )
    sql = parse_condition("c", where, RECKONING).sql

    with connect(tmp_path) as connection:
        query = f"SELECT n FROM {table} WHERE COALESCE({sql}, TRUE) ORDER BY n"  # noqa: S608
        found = connection.execute(query).fetchall()

    assert [row[0] for row in found] == rows


NO_CONDITION = {
    "a slice's words are allowed, others are not": ("abs(temp) > 3", "has 'ABS(temp)' where a"),
    "the remainder": ("n % 2 = 0", "has 'n % 2' where a"),
    "times and numbers": ('"at" - n > 3', "reckons with at, a Timestamp; only numbers can be"),
    "a text alone": ("origin - 1 > 3", "reckons with origin, a String; only numbers can be"),
    "a text as a number": ("n - '1' > 3", "has \"'1'\" where a number is expected; "),
    "a number no float can hold": ("n - 1e999 > 3", "has the number '1e999', which no column"),
    "deep": ("(" * 400 + "n" + ")" * 400 + " - 1 > 0", "is nested too deep; "),
    "long": ("n" + " + n" * 400 + " > 0", "is nested too deep; "),
}


@pytest.mark.parametrize(("where", "message"), NO_CONDITION.values(), ids=NO_CONDITION)
def test_a_condition_that_is_refused(where: str, message: str) -> None:
    with pytest.raises(StepError) as raised:
        parse_condition("sane", where, RECKONING)

    assert raised.value.reason == "InvalidExpectation"
    assert str(raised.value).startswith(f"expectation sane: {message}")


def test_a_slice_does_not_reckon() -> None:
    """The server judges slices too, and knows only their own few words."""
    with pytest.raises(StepError) as raised:
        parse(Slice(name="s", where="temp - hour > 3"), SCHEMA)

    assert raised.value.reason == "InvalidSlice"
