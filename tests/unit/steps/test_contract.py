"""A contract with one of each rule: break them one at a time, and each gives its own reason."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.unit.steps.small import START, Place, known, spec, table
from tidemill.api.documents.results import Snapshot
from tidemill.steps.failures import StepError

Rows = Callable[[pa.Table], pa.Table]
CONTRACT: dict[str, Any] = {
    "schema": {"evolution": "None"},
    "expectations": [
        {"name": "loads", "type": "Range", "column": "load", "min": "-50", "max": "150"},
        {"name": "places", "type": "AllowedValues", "column": "place", "from": "FirstVersion"},
        {"name": "grades", "type": "Complete", "column": "grade", "minShare": "0.999"},
        {"name": "ids", "type": "Unique", "column": "id"},
        {"name": "size", "type": "RowCount", "min": "1000"},
        {"name": "codes", "type": "Pattern", "column": "code", "pattern": "K[0-9]+"},
        {"name": "serials", "type": "MixedTypes", "column": "serial"},
        {"name": "once", "type": "Duplicates", "columns": ["at", "place"]},
        {
            "name": "near",
            "type": "Outliers",
            "column": "spread",
            "method": "Quartiles",
            "factor": "3",
            "maxShare": "0",
        },
        {"name": "fresh", "type": "Freshness", "column": "at", "maxAgeSeconds": 10368000},
        {"name": "order", "type": "Condition", "where": "ended - started >= 0 AND ended < 1e6"},
    ],
}


def rows() -> pa.Table:
    """The table, with columns for every rule."""
    numbers = range(1200)
    more: dict[str, Any] = {
        "code": [f"K{number}" for number in numbers],
        "serial": [f"s{number}" for number in numbers],
        "spread": [number % 10 for number in numbers],
        "started": list(numbers),
        "ended": [number + 3 for number in numbers],
        "spare": [number % 7 for number in numbers],
    }
    made = table()
    for name, values in more.items():
        made = made.append_column(name, pa.array(values))
    return made


def replaced(name: str, place: int, value: Any) -> Rows:
    """One value of a column becomes another."""

    def change(given: pa.Table) -> pa.Table:
        values = given[name].to_pylist()
        values[place] = value
        at = given.column_names.index(name)
        return given.set_column(at, name, pa.array(values, given[name].type))

    return change


def repeated(given: pa.Table) -> pa.Table:
    """The second row is at the time and place of the first."""
    for name in ("at", "place"):
        given = replaced(name, 1, given[name][0].as_py())(given)
    return given


def as_texts(given: pa.Table) -> pa.Table:
    """A column of numbers becomes one of texts, of which two are no numbers."""
    texts = [*(["many"] * 2), *(str(value) for value in given["spare"].to_pylist()[2:])]
    return given.set_column(given.column_names.index("spare"), "spare", pa.array(texts))


def older(given: pa.Table) -> pa.Table:
    """The same, sixty days before."""
    earlier = pc.subtract(given["at"], pa.scalar(timedelta(days=60)))
    return given.set_column(given.column_names.index("at"), "at", earlier)


# What is done -> name, rule, reason, column, count, examples, SageMaker's name of it.
Told = tuple[str, str, str, str, int | None, tuple[str, ...], str]
BREAKS: dict[str, tuple[Rows, Told]] = {
    "a number far out": (
        replaced("load", 0, 5000.5),
        ("loads", "Range", "OutOfRange", "load", 1, ("5000.5",), ""),
    ),
    "a new place": (
        replaced("place", 0, "moon"),
        (
            "places",
            "AllowedValues",
            "UnknownValues",
            "place",
            1,
            ("moon",),
            "categorical_values_check",
        ),
    ),
    "missing grades": (
        lambda given: replaced("grade", 0, None)(replaced("grade", 1, None)(given)),
        ("grades", "Complete", "Incomplete", "grade", 2, (), "completeness_check"),
    ),
    "an id twice": (
        replaced("id", 0, "r7"),
        ("ids", "Unique", "Duplicates", "id", 1, ("r7",), ""),
    ),
    "too few rows": (
        lambda given: given[-999:],
        ("size", "RowCount", "RowCount", "", None, (), ""),
    ),
    "a code of another form": (
        replaced("code", 0, "Q1"),
        ("codes", "Pattern", "PatternMismatch", "code", 1, ("Q1",), ""),
    ),
    "a number among words": (
        replaced("serial", 0, "17"),
        ("serials", "MixedTypes", "MixedTypes", "serial", 1, ("17",), "data_type_check"),
    ),
    "time and place twice": (
        repeated,
        (
            "once",
            "Duplicates",
            "DuplicateRows",
            "at, place",
            1,
            (f"at={START}, place={table()['place'][0].as_py()}",),
            "",
        ),
    ),
    "a number unlike the others": (
        replaced("spread", 0, 500),
        ("near", "Outliers", "Outliers", "spread", 1, ("500",), ""),
    ),
    "nothing new for long": (
        older,
        ("fresh", "Freshness", "Stale", "at", None, (), ""),
    ),
    "an end before its start": (
        replaced("ended", 9, 2),
        ("order", "Condition", "ConditionBroken", "", 1, ("started=9, ended=2",), ""),
    ),
    "a column that went": (
        lambda given: given.drop_columns(["spare"]),
        ("Schema", "Schema", "MissingColumn", "spare", None, (), "missing_column_check"),
    ),
    "a column that changed its type": (
        as_texts,
        ("Schema", "Schema", "TypeChanged", "spare", 2, ("many",), "data_type_check"),
    ),
    "a column that came": (
        lambda given: given.append_column("extra", pa.array([1.5] * 1200)),
        ("Schema", "Schema", "ExtraColumn", "extra", None, (), "extra_column_check"),
    ),
    "a row without a time": (
        replaced("at", 5, None),
        ("EventTime", "EventTime", "Incomplete", "at", 1, (), "completeness_check"),
    ),
}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Snapshot]:
    """A first version that keeps the contract."""
    place = Place(tmp_path_factory.mktemp("contract"))
    file = place.put("a.parquet", rows())
    made = place.snapshot(spec(place.uri, contract=CONTRACT))
    file.unlink()
    return place, made


def test_the_sample_keeps_its_contract(first: tuple[Place, Snapshot]) -> None:
    assert first[1].violations == ()


@pytest.mark.parametrize(("change", "told"), BREAKS.values(), ids=BREAKS)
def test_each_rule_broken_alone_gives_its_own_reason(
    first: tuple[Place, Snapshot], change: Rows, told: Told
) -> None:
    place, made = first
    file = place.put("b.parquet", change(rows()))

    found = place.snapshot(spec(place.uri, contract=CONTRACT), anchor=known(made)).violations
    file.unlink()

    assert [(v.name, v.rule, v.reason, v.column, v.count, v.examples, v.check) for v in found] == [
        told
    ]
    (one,) = found
    assert one.expected in one.message
    assert one.observed in one.message
    assert (one.share != "") == (one.count is not None)


def test_no_two_rules_give_the_same_reason() -> None:
    reasons = [(rule, reason) for _, (_, (_, rule, reason, *_)) in BREAKS.items()]

    assert len({reason for _, reason in reasons}) == len(BREAKS) - 1  # a time is missing, too
    assert len(set(reasons)) == len(BREAKS)


def test_a_condition_that_cannot_be_read_stops_the_read(place: Place) -> None:
    place.put("a.parquet", table())
    contract = {"expectations": [{"name": "sane", "type": "Condition", "where": "load >"}]}

    with pytest.raises(StepError) as raised:
        place.snapshot(spec(place.uri, contract=contract))

    assert raised.value.reason == "InvalidExpectation"


# --- what means harm ---------------------------------------------------------------------------

OUT = "/tmp/out"  # noqa: S108 -- never written
HOSTILE = {
    "a file is read": "load > (SELECT count(*) FROM read_csv('/etc/passwd'))",
    "a file is read as text": "place = (SELECT content FROM read_text('/etc/passwd'))",
    "a file is found by its name": "load > (SELECT count(*) FROM '/etc/passwd')",
    "a URL is fetched": "load > (SELECT count(*) FROM 'http://example.com/x.csv')",
    "files are listed": "place IN (SELECT file FROM glob('/*'))",
    "a file is written": f"TRUE; COPY (SELECT 1) TO '{OUT}'; --",
    "a file is written inside": f"load > (COPY (SELECT 1) TO '{OUT}')",
    "a database is attached": f"TRUE; ATTACH '{OUT}' AS other",
    "an extension is installed": "TRUE; INSTALL httpfs; LOAD httpfs",
    "settings are made": "TRUE; SET enable_external_access = true",
    "a pragma": "TRUE; PRAGMA database_list",
    "settings are read": "place = current_setting('allowed_directories')",
    "the environment is read": "place = getenv('AWS_SECRET_ACCESS_KEY')",
    "secrets are listed": "load > (SELECT count(*) FROM duckdb_secrets())",
    "a table is dropped": "TRUE; DROP TABLE given",
    "rows are multiplied": "load IN (SELECT range FROM range(1000000000000))",
    "another part of the query": "TRUE GROUP BY load HAVING TRUE",
    "a union": "TRUE UNION SELECT * FROM duckdb_settings()",
    "a comment": "load > 1 /* */ OR query('SELECT 1')",
    "a function": "regexp_matches(place, '(a+)+$')",
    "a power": "load ** 1000000 > 1",
    "a cast": "CAST(place AS INTEGER) > 1",
    "a star": "COLUMNS(*) > 1",
    "a lambda": "list_any_value([x for x in [1]]) = 1",
    "a parameter": "load > $1",
    "a concatenation": "place || 'x' = 'y'",
    "a quoted name that closes the quote": '"load"" > 1; DROP TABLE given; --" > 1',
}


@pytest.mark.parametrize("where", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("place_of_it", ["slice", "condition"])
def test_hostile_sql_is_refused_before_it_is_run(
    stocked: Place, where: str, place_of_it: str
) -> None:
    if place_of_it == "slice":
        changes: dict[str, Any] = {"slices": [{"name": "bad", "where": where}]}
    else:
        item = {"name": "bad", "type": "Condition", "where": where}
        changes = {"contract": {"expectations": [item]}}

    with pytest.raises(StepError) as raised:
        stocked.refresh(spec(stocked.uri, **changes))

    assert raised.value.reason in ("InvalidSlice", "InvalidExpectation")
    assert str(raised.value).partition(": ")[0] in ("slice bad", "expectation bad")
    assert not Path(OUT).exists()
