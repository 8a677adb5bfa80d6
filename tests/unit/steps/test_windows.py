"""Which rows are mature, where validation and test begin, and what a label's yes is."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tests.unit.steps.small import spec
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import DataWindow
from tidemill.steps.engine import connect
from tidemill.steps.failures import StepError
from tidemill.steps.schema import ColumnType
from tidemill.steps.windows import (
    Portion,
    bucket,
    find_window,
    label_rule,
    naive,
    rfc3339,
    where_portion,
)

START = datetime(2026, 1, 1)
LATER = datetime(2030, 1, 1)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database as the steps use it."""
    with connect(tmp_path) as opened:
        yield opened


def dataset(
    *, absent: str = "Drop", mature: int = 0, test: str = "0.2", validation: str = "0.1"
) -> DatasetSpec:
    """A Dataset with a label rule and a split."""
    columns = {
        "eventTime": "at",
        "label": {"name": "late", "absent": absent, "matureAfterSeconds": mature},
    }
    split = {"testShare": test, "validationShare": validation}
    return spec("s3://b/*", columns=columns, split=split)


YES = {
    "booleans": ([True, False, None], ColumnType.BOOLEAN, "true", [1, 0, None]),
    "only false": ([False], ColumnType.BOOLEAN, "true", [0]),
    "0 and 1": ([1, 0], ColumnType.INTEGER, "1", [1, 0]),
    "only 0": ([0], ColumnType.INTEGER, "1", [0]),
    "only 1": ([1], ColumnType.INTEGER, "1", [1]),
    "-1 and 1": ([-1, 1], ColumnType.INTEGER, "1", [0, 1]),
    "two numbers": ([0.5, 2.5], ColumnType.NUMBER, "2.5", [0, 1]),
    "two words": (["no", "yes", None], ColumnType.STRING, "yes", [0, 1, None]),
    "a word with a quote": (["don't", "do"], ColumnType.STRING, "don't", [1, 0]),
    "two days": (
        [date(2026, 1, 1), date(2026, 1, 2)],
        ColumnType.DATE,
        "2026-01-02",
        [0, 1],
    ),
}


@pytest.mark.parametrize(("values", "kind", "positive", "expected"), YES.values(), ids=YES)
def test_the_greater_value_is_yes(
    connection: duckdb.DuckDBPyConnection,
    values: list[Any],
    kind: ColumnType,
    positive: str,
    expected: list[int | None],
) -> None:
    connection.register("given", pa.table({"n": range(len(values)), "late": values}))

    rule = label_rule(connection, "given", dataset(), kind)

    found = connection.execute(f"SELECT {rule.sql} FROM given ORDER BY n").fetchall()  # noqa: S608
    assert (rule.positive, [row[0] for row in found]) == (positive, expected)


def test_an_absent_label_can_be_a_no(connection: duckdb.DuckDBPyConnection) -> None:
    connection.register("given", pa.table({"late": ["yes", None]}))

    rule = label_rule(connection, "given", dataset(absent="Negative"), ColumnType.STRING)

    found = connection.execute(f"SELECT {rule.sql} FROM given").fetchall()  # noqa: S608
    assert found == [(1,), (0,)]


def test_three_values_are_no_yes_or_no(connection: duckdb.DuckDBPyConnection) -> None:
    connection.register("given", pa.table({"late": [1, 2, 3]}))

    with pytest.raises(StepError) as raised:
        label_rule(connection, "given", dataset(), ColumnType.INTEGER)

    assert raised.value.reason == "LabelNotBinary"
    assert str(raised.value) == (
        "label late has more than two values ('1', '2', '3', ...); a classification into two"
        " classes needs a column with two"
    )


def window(
    connection: duckdb.DuckDBPyConnection,
    times: Sequence[datetime | None],
    labels: Sequence[bool | None] | None = None,
    *,
    now: datetime = LATER,
    **changes: Any,
) -> tuple[list[str | None], int, int]:
    """Validation start, test start, mature until; labelled and positive rows."""
    late = labels if labels is not None else [True] * len(times)
    at = pa.array(times, pa.timestamp("us"))
    connection.register("given", pa.table({"at": at, "late": pa.array(late, pa.bool_())}))
    wanted = dataset(**changes)
    rule = label_rule(connection, "given", wanted, ColumnType.BOOLEAN)
    found = find_window(connection, "given", wanted, rule, now)
    shown = found.window
    return (
        [shown.validation_start, shown.test_start, shown.mature_until],
        found.rows,
        found.positive,
    )


def day(number: int) -> datetime:
    """Day 0 is the first of January."""
    return START + timedelta(days=number)


TEN = [day(number) for number in range(10)]


def text(*numbers: int) -> list[str | None]:
    """Days as documents write them."""
    return [f"{day(number).isoformat()}Z" for number in numbers]


def test_the_newest_rows_are_the_test(connection: duckdb.DuckDBPyConnection) -> None:
    assert window(connection, TEN) == (text(7, 8, 9), 10, 10)


def test_the_order_of_rows_does_not_matter(connection: duckdb.DuckDBPyConnection) -> None:
    assert window(connection, TEN[::-1]) == (text(7, 8, 9), 10, 10)


def test_shares_are_of_labelled_rows(connection: duckdb.DuckDBPyConnection) -> None:
    labels = [True] * 5 + [None] * 5

    assert window(connection, TEN, labels, test="0.4", validation="0.2") == (text(2, 3, 9), 5, 5)


def test_young_rows_are_not_divided(connection: duckdb.DuckDBPyConnection) -> None:
    found = window(connection, TEN, now=day(8), mature=3 * 86400, test="0.5", validation="0")

    assert found == (text(3, 3, 5), 6, 6)


def test_rows_of_one_instant_stay_together(connection: duckdb.DuckDBPyConnection) -> None:
    times = [day(0)] * 4 + [day(1)] * 4 + [day(2)] * 2

    # A fifth is two rows; a half would cut the four of day 1 and takes them all.
    assert window(connection, times)[0] == text(1, 2, 2)
    assert window(connection, times, test="0.5", validation="0.1")[0] == text(0, 1, 2)


def test_without_a_share_nothing_is_set_aside(connection: duckdb.DuckDBPyConnection) -> None:
    after = rfc3339(day(9) + timedelta(microseconds=1))

    found, _, _ = window(connection, TEN, test="0", validation="0")

    assert found == [after, after, text(9)[0]]


def test_nothing_is_mature_yet(connection: duckdb.DuckDBPyConnection) -> None:
    found, rows, positive = window(connection, TEN, now=day(-5))

    assert (rows, positive) == (0, 0)
    assert str(found[2]) < str(text(0)[0])


def test_rows_without_an_event_time_have_no_place(connection: duckdb.DuckDBPyConnection) -> None:
    assert window(connection, [*TEN, None, None]) == (text(7, 8, 9), 10, 10)


def test_no_row_has_an_event_time(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(StepError) as raised:
        window(connection, [None, None])

    assert raised.value.reason == "EmptyVersion"


def test_times_are_written_and_read_in_utc() -> None:
    assert rfc3339(datetime(2013, 6, 30, 12)) == "2013-06-30T12:00:00Z"
    assert rfc3339(datetime(2013, 6, 30, 12, 0, 0, 500)) == "2013-06-30T12:00:00.000500Z"
    assert rfc3339(datetime(2013, 6, 30, 12, tzinfo=UTC)) == "2013-06-30T12:00:00Z"
    assert naive("2013-06-30T14:00:00+02:00") == datetime(2013, 6, 30, 12)
    assert naive("2013-06-30T12:00:00Z") == datetime(2013, 6, 30, 12)


PORTIONS = {
    Portion.ALL: [0, 1, 2, 3],
    Portion.FIT: [0],
    Portion.VALIDATION: [1, 2],
    Portion.TEST: [3],
}


@pytest.mark.parametrize(("portion", "days"), PORTIONS.items())
def test_portions_by_time(
    connection: duckdb.DuckDBPyConnection, portion: Portion, days: list[int]
) -> None:
    at = [day(number) for number in range(5)]
    connection.register("given", pa.table({"at": pa.array(at, pa.timestamp("us"))}))
    divided = DataWindow(
        start="2026-01-01T00:00:00Z",
        end="2026-01-05T00:00:00Z",
        mature_until="2026-01-04T00:00:00Z",
        test_start="2026-01-04T00:00:00Z",
        validation_start="2026-01-02T00:00:00Z",
    )
    where = where_portion(dataset(), divided, {}, portion)

    found = connection.execute(f'SELECT "at" FROM given WHERE {where} ORDER BY 1').fetchall()  # noqa: S608

    assert [row[0] for row in found] == [day(number) for number in days]


GROUPS = 400


def by_hash(**changes: Any) -> DatasetSpec:
    """A Dataset that is split by customer."""
    columns = {"eventTime": "at", "label": {"name": "late"}, "group": "customer"}
    split = {"by": "Hash", "testShare": "0.25", "validationShare": "0.15"}
    return spec("s3://b/*", columns=columns, split={**split, **changes})


def customers(connection: duckdb.DuckDBPyConnection, seed: int = 0) -> None:
    """Five rows a customer, in any order; every seventh row has no label."""
    order = random.Random(seed).sample(range(GROUPS * 5), GROUPS * 5)
    late = [None if place % 7 == 0 else place % 3 == 0 for place in order]
    connection.register(
        "given",
        pa.table(
            {
                "customer": [f"c{place % GROUPS}" for place in order],
                "at": pa.array(
                    [START + timedelta(hours=place) for place in order], pa.timestamp("us")
                ),
                "late": pa.array(late, pa.bool_()),
            }
        ),
    )


CUSTOMERS = {
    "customer": ColumnType.STRING,
    "at": ColumnType.TIMESTAMP,
    "late": ColumnType.BOOLEAN,
}


def of_portion(
    connection: duckdb.DuckDBPyConnection,
    wanted: DatasetSpec,
    divided: DataWindow,
    portion: Portion,
) -> list[str]:
    """The customers of a portion's rows."""
    where = where_portion(wanted, divided, CUSTOMERS, portion)
    query = f"SELECT customer FROM given WHERE {where} AND late IS NOT NULL"  # noqa: S608
    return [row[0] for row in connection.execute(query).fetchall()]


def test_by_hash_no_group_is_in_two_portions(connection: duckdb.DuckDBPyConnection) -> None:
    customers(connection)
    wanted = by_hash()
    rule = label_rule(connection, "given", wanted, ColumnType.BOOLEAN)

    found = find_window(connection, "given", wanted, rule, LATER, CUSTOMERS)

    divided = found.window.hash
    assert divided is not None
    assert (found.window.test_start, found.window.validation_start) == (None, None)
    assert divided.columns == ("customer",)
    parts = {
        portion: of_portion(connection, wanted, found.window, portion)
        for portion in (Portion.FIT, Portion.VALIDATION, Portion.TEST)
    }
    counted = (divided.fit_rows, divided.validation_rows, divided.test_rows)
    assert counted == tuple(len(rows) for rows in parts.values())
    assert (
        sum(counted) == found.rows == len(of_portion(connection, wanted, found.window, Portion.ALL))
    )
    groups = [set(rows) for rows in parts.values()]
    assert sum(len(group) for group in groups) == len(set.union(*groups)) == GROUPS
    assert 0.2 < len(groups[2]) / GROUPS < 0.3
    assert 0.1 < len(groups[1]) / GROUPS < 0.2


def test_a_larger_test_holds_all_of_a_smaller_one(connection: duckdb.DuckDBPyConnection) -> None:
    customers(connection)
    tested = []
    for share in ("0.1", "0.25", "0.4"):
        wanted = by_hash(testShare=share)
        rule = label_rule(connection, "given", wanted, ColumnType.BOOLEAN)
        divided = find_window(connection, "given", wanted, rule, LATER, CUSTOMERS).window
        tested.append(set(of_portion(connection, wanted, divided, Portion.TEST)))

    assert tested[0] < tested[1] < tested[2]


def test_the_hash_is_the_documented_one(connection: duckdb.DuckDBPyConnection) -> None:
    """Anybody can say where a row belongs, in any language."""
    connection.register(
        "given",
        pa.table(
            {
                "a": ["c7", None, "x|y"],
                "b": [12, 3, None],
                "c": [12.0, 2.5, None],
                "d": pa.array([START, None, START], pa.timestamp("us")),
            }
        ),
    )
    schema = {
        "a": ColumnType.STRING,
        "b": ColumnType.INTEGER,
        "c": ColumnType.NUMBER,
        "d": ColumnType.TIMESTAMP,
    }
    written = [
        "2:c7|2:12|2:12|16:1767225600000000",
        "N|1:3|3:2.5|N",
        "3:x|y|N|N|16:1767225600000000",
    ]

    found = connection.execute(f"SELECT {bucket(list(schema), schema)} FROM given").fetchall()  # noqa: S608

    expected = [int(hashlib.sha256(line.encode()).hexdigest()[:13], 16) / 2**52 for line in written]
    assert [row[0] for row in found] == expected


def test_a_number_keeps_its_place_when_its_type_widens(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.register("given", pa.table({"a": [1, 2, 3]}))
    connection.register("wider", pa.table({"a": [1.0, 2.0, 3.0]}))

    found = [
        connection.execute(f"SELECT {bucket(['a'], {'a': kind})} FROM {name}").fetchall()  # noqa: S608
        for name, kind in (("given", ColumnType.INTEGER), ("wider", ColumnType.NUMBER))
    ]

    assert found[0] == found[1]


def test_a_group_that_is_not_there_cannot_be_hashed(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    customers(connection)
    wanted = by_hash()
    rule = label_rule(connection, "given", wanted, ColumnType.BOOLEAN)
    schema = {name: kind for name, kind in CUSTOMERS.items() if name != "customer"}

    with pytest.raises(StepError) as raised:
        find_window(connection, "given", wanted, rule, LATER, schema)

    assert raised.value.reason == "MissingColumn"
    assert str(raised.value) == (
        "split by Hash needs customer, which the data do not have; they have at, late"
    )
