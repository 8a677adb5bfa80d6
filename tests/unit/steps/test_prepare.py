"""spec.prepare: what it makes of rows, what it shares, and what it cannot reach."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.steps.small import Place, expectations, path_of, spec, table
from tidemill.api.documents.manifest import Manifest
from tidemill.api.documents.results import Snapshot
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps import prepare as module
from tidemill.steps import sandbox
from tidemill.steps.failures import StepError

COLUMNS = {
    "key": ["id"],
    "eventTime": "at",
    "label": {"name": "late"},
    "features": ["load", "place", "grade"],
}


def prepared(place: Place, select: str, **changes: Any) -> DatasetSpec:
    """A Dataset with a SELECT."""
    return spec(place.uri, prepare={"select": select}, **{"columns": COLUMNS, **changes})


@pytest.fixture
def halves(place: Place) -> Place:
    """Two objects, of 500 and 700 rows."""
    place.put("a.parquet", table()[:500])
    place.put("b.csv", table()[500:])
    return place


def parts_of(made: Snapshot) -> set[str]:
    """The digests of a version's parts."""
    manifest = Manifest.model_validate_json(path_of(made.manifest).read_bytes())
    return {part.digest for part in manifest.parts}


def counted(made: Snapshot) -> tuple[int, int | None, int]:
    """Rows read, prepared and kept."""
    assert made.read_rows is not None
    return made.read_rows.read, made.read_rows.prepared, made.rows


def test_rows_are_cleaned_and_columns_derived(halves: Place) -> None:
    wanted = prepared(
        halves,
        "SELECT * EXCLUDE (note) REPLACE (upper(place) AS place), load / 2 AS half,"
        " grade > 3 AS good FROM source WHERE grade <> 1",
    )

    made = halves.snapshot(wanted)

    ones = table()["grade"].to_pylist().count(1)
    assert counted(made) == (1200, 1200 - ones, 1200 - ones)
    types = {column.name: column.type for column in made.columns}
    assert "note" not in types
    assert (types["half"], types["good"], types["at"]) == ("Number", "Boolean", "Timestamp")
    manifest = Manifest.model_validate_json(path_of(made.manifest).read_bytes())
    rows = pq.read_table(path_of(manifest.parts[0].uri))
    assert set(rows["place"].to_pylist()) <= {"NORTH", "SOUTH", "WEST", None}


def test_without_one_nothing_is_prepared(halves: Place) -> None:
    assert counted(halves.snapshot()) == (1200, None, 1200)


def test_what_changes_nothing_has_the_same_digest(halves: Place) -> None:
    plain = halves.snapshot(spec(halves.uri, columns=COLUMNS))

    found = halves.snapshot(prepared(halves, "SELECT * FROM source"))

    assert found.digest == plain.digest
    assert found.columns == plain.columns


def test_row_wise_objects_keep_parts_of_their_own(halves: Place) -> None:
    wanted = prepared(halves, "SELECT * FROM source WHERE grade > 1")
    before = parts_of(halves.snapshot(wanted))

    halves.put("c.parquet", table(1300)[1200:])
    after = parts_of(halves.snapshot(wanted))

    assert len(before) == 2
    assert before < after


def test_a_query_over_all_rows_makes_one_part(halves: Place) -> None:
    wanted = prepared(
        halves,
        "SELECT * FROM source"
        ' QUALIFY row_number() OVER (PARTITION BY place ORDER BY "at" DESC) <= 90',
        split={"testShare": "0.25", "validationShare": "0.15"},
    )

    made = halves.snapshot(wanted)

    # Three places and the rows without one.
    assert counted(made)[:2] == (1200, 90 * 3 + sum(i % 60 == 9 for i in range(1200)))
    assert len(parts_of(made)) == 1
    assert halves.snapshot(wanted).digest == made.digest


def test_the_contract_is_of_the_prepared_rows(halves: Place) -> None:
    contract = expectations(
        {"name": "half", "column": "half", "type": "Range", "max": "40"},
        {"name": "note", "column": "half", "type": "Complete", "minShare": "0"},
    )
    wanted = prepared(halves, "SELECT *, load / 2 AS half FROM source", contract=contract)

    made = halves.snapshot(wanted)

    assert [item.name for item in made.violations] in ([], ["half"])
    with pytest.raises(StepError, match="names half, which the data do not have"):
        halves.snapshot(spec(halves.uri, columns=COLUMNS, contract=contract))


def test_a_text_becomes_the_event_time(place: Place) -> None:
    rows = table().drop_columns(["at"])
    days = [
        f"{1 + number // 24 % 28:02}.{1 + number // 24 // 28:02}.2026" for number in range(1200)
    ]
    place.put("a.parquet", rows.append_column("day", pa.array(days)))
    wanted = prepared(
        place, "SELECT * EXCLUDE (day), strptime(day, '%d.%m.%Y') AS \"at\" FROM source"
    )

    assert place.snapshot(wanted).window.start == "2026-01-01T00:00:00Z"


FAILS = {
    "a column that is not there": (
        "SELECT speed FROM source",
        'prepare.select fails: Binder Error: Referenced column "speed" not found',
    ),
    "a text that is no number": (
        "SELECT * EXCLUDE (note), note::INTEGER AS n FROM source",
        "prepare.select fails: Conversion Error: Could not convert string 'note 0' to INT32",
    ),
    "an error asked for": (
        "SELECT error('x') AS e FROM source",
        "does not allow the function error",
    ),
}


@pytest.mark.parametrize(("select", "said"), FAILS.values(), ids=FAILS)
def test_a_query_that_fails_says_why(halves: Place, select: str, said: str) -> None:
    with pytest.raises(StepError) as raised:
        halves.snapshot(prepared(halves, select))

    assert raised.value.reason in ("PrepareFailed", "InvalidSelect")
    assert said in str(raised.value)
    assert not (halves.root / "store").exists()


def test_an_error_does_not_tell_sensitive_values(halves: Place) -> None:
    columns = {**COLUMNS, "sensitive": ["note"]}
    select = "SELECT * REPLACE (note::INTEGER AS note) FROM source"

    with pytest.raises(StepError) as raised:
        halves.snapshot(prepared(halves, select, columns=columns))

    assert str(raised.value) == (
        "prepare.select fails (Conversion error; its words may hold sensitive values); change it"
    )


def test_all_rows_gone_is_an_empty_version(halves: Place) -> None:
    with pytest.raises(StepError) as raised:
        halves.snapshot(prepared(halves, "SELECT * FROM source WHERE grade > 99"))

    assert raised.value.reason == "EmptyVersion"


BOMBS = {
    "of time": "SELECT a.* FROM source a, source b, source c, source d WHERE a.load + d.load < -99",
    "of sorted rows": "SELECT a.* FROM source a, source b, source c ORDER BY md5(a.id || c.id)",
}


@pytest.mark.parametrize("select", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_put_out(halves: Place, select: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SECONDS", 1.0)

    with pytest.raises(StepError) as raised:
        halves.snapshot(prepared(halves, select))

    assert raised.value.reason == "PrepareFailed"
    assert "took longer than 1 seconds" in str(raised.value) or "memory" in str(raised.value)


def test_what_it_writes_is_bounded(halves: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_ALLOWED_BYTES", 1 << 20)
    monkeypatch.setattr(module, "MOST_TIMES_LARGER", 1)
    select = "SELECT a.*, sha256(a.id || b.id || c.id) AS x FROM source a, source b, source c"

    with pytest.raises(StepError, match=r"prepare.select wrote more than [0-9,]+ bytes; change it"):
        halves.snapshot(prepared(halves, select))


def test_memory_is_bounded(halves: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_MEMORY_SHARE", 0.0)
    select = "SELECT string_agg(repeat(a.id, 10000), '') AS x FROM source a, source b"

    with pytest.raises(StepError) as raised:
        halves.snapshot(prepared(halves, select))

    assert str(raised.value) == (
        "prepare.select needs more memory than resources.memory leaves it; change it"
    )
