"""A database as a source, on a real PostgreSQL and a real MariaDB."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.servers.databases import Database
from tests.servers.debian import free_port
from tests.unit.steps.small import Place, known, path_of, spec
from tidemill.api.documents.manifest import Manifest
from tidemill.api.documents.results import Snapshot, Unchanged
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasource import SqlSource
from tidemill.steps.failures import StepError
from tidemill.steps.sources import sql
from tidemill.steps.sources.sql import Sql

COLUMNS = "id varchar(20), at timestamp NULL, load_ double precision, late boolean, seen bigint"


def source(**body: Any) -> Sql:
    """The source as a step opens it."""
    return Sql(SqlSource.model_validate({"secretRef": {"name": "harbour"}, **body}), "shape", None)


def rows_of(made: Any) -> list[dict[str, Any]]:
    """What was read."""
    (file,) = made.files
    found: list[dict[str, Any]] = pq.read_table(file.path).to_pylist()
    return found


# --- what is read -------------------------------------------------------------------------------

OF_POSTGRESQL = (
    "SELECT 7::smallint AS i, 1.25::numeric(10,2) AS d, 'NaN'::numeric AS nan, true AS b,"
    " 'é:x %s 漢'::text AS t, DATE '2026-02-03' AS day, TIMESTAMP '2026-02-03 04:05:06.5' AS m,"
    " TIMESTAMPTZ '2026-02-03 04:05:06+02' AS z, 'infinity'::timestamptz AS never,"
    " NULL::int AS n, '{\"a\": 1}'::jsonb AS j, 0.1::real AS r, 'x'::char(3) AS c,"
    " '12345678-1234-1234-1234-123456789012'::uuid AS u -- the end"
)


def test_types_of_postgresql(
    postgresql: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_url", postgresql.url())
    (row,) = rows_of(source(query=OF_POSTGRESQL).read(tmp_path))

    assert row == {
        "i": 7, "d": 1.25, "nan": None, "b": True, "t": "é:x %s 漢", "day": date(2026, 2, 3),
        "m": datetime(2026, 2, 3, 4, 5, 6, 500000), "z": datetime(2026, 2, 3, 2, 5, 6, tzinfo=UTC),
        "never": None, "n": None, "j": '{"a": 1}', "r": pytest.approx(0.1), "c": "x  ",
        "u": "12345678-1234-1234-1234-123456789012",
    }  # fmt: skip


def test_types_of_mariadb(maria: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_url", maria.url())
    columns = (
        "tiny boolean, stamp timestamp NULL, zero date, big bigint unsigned, year_ year,"
        " bit_ bit(1), words text, day date, m datetime(6), j json"
    )
    with maria.table("kinds", columns):
        maria.run(
            "SET time_zone = '+02:00', sql_mode = ''",
            "INSERT INTO kinds VALUES (true, '2026-02-03 04:05:06', '0000-00-00', 9, 2026, b'1',"
            " 'é:x %s 漢', '2026-02-03', '2026-02-03 04:05:06.5', '{\"a\": 1}')",
        )
        (row,) = rows_of(source(table="kinds").read(tmp_path))

    assert row == {
        "tiny": True, "stamp": datetime(2026, 2, 3, 2, 5, 6), "zero": None, "big": 9,
        "year_": 2026, "bit_": True, "words": "é:x %s 漢", "day": date(2026, 2, 3),
        "m": datetime(2026, 2, 3, 4, 5, 6, 500000), "j": '{"a": 1}',
    }  # fmt: skip


def test_signs_of_parameters_are_the_querys_own(database: Database, tmp_path: Path) -> None:
    own = ", $$50%$$ AS d, E'it\\'s 5%' AS e" if database.scheme == "postgresql" else ""
    query = f"SELECT 10 % 3 AS m, 'a%b :x %s' AS t{own} -- 100%"
    (row,) = rows_of(source(query=query, watermark="m", mode="Append").read(tmp_path))

    assert row == {
        "m": 1,
        "t": "a%b :x %s",
        **({"d": "50%", "e": "it's 5%"} if own else {}),
    }


def test_many_rows_come_a_page_at_a_time(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result without an end is left after its third page, at once: nobody had gathered it."""
    endless = (
        "SELECT generate_series(1, 1000000000000) AS i"
        if database.scheme == "postgresql"
        else "SELECT seq AS i FROM seq_1_to_1000000000000"
    )
    pages: list[int] = []

    def write(columns: object, first: Any, rest: Iterator[Any], target: Path) -> int:
        pages.extend([len(first), len(next(rest)), len(next(rest))])
        raise StepError("StopHere", "this is enough")

    monkeypatch.setattr(sql, "_write", write)
    with pytest.raises(StepError, match="this is enough"):
        source(query=endless).read(tmp_path)

    assert pages == [20_000] * 3


def test_a_query_sees_one_state_and_changes_none(database: Database, tmp_path: Path) -> None:
    with database.table("written", "a int"):
        if database.scheme == "postgresql":
            writing = (
                "CREATE OR REPLACE FUNCTION write_one() RETURNS int LANGUAGE sql VOLATILE AS"
                " 'INSERT INTO written VALUES (1) RETURNING a'"
            )
        else:
            writing = (
                "CREATE OR REPLACE FUNCTION write_one() RETURNS int MODIFIES SQL DATA"
                " BEGIN INSERT INTO written VALUES (1); RETURN 1; END"
            )
        database.run(writing)
        with pytest.raises(StepError) as raised:
            source(query="SELECT write_one() AS a").read(tmp_path)
        (counted,) = rows_of(source(query="SELECT count(*) AS n FROM written").read(tmp_path))

    assert raised.value.reason == "InvalidQuery"
    assert "read-only transaction" in str(raised.value).lower().replace("read only", "read-only")
    assert counted == {"n": 0}


# --- what it costs, and how versions grow --------------------------------------------------------


def columns() -> dict[str, Any]:
    """The roles of the table's columns."""
    body: dict[str, Any] = spec("file:///none").to_wire()["columns"]
    return {**body, "context": ["seen"], "features": ["load_"]}


def dataset(mode: str, table: str = "arrivals") -> DatasetSpec:
    """A Dataset of the table."""
    wanted = {"secretRef": {"name": "harbour"}, "table": table, "watermark": "seen", "mode": mode}
    return spec("", source={"sql": wanted}, columns=columns(), slices=[])


def fill(database: Database, first: int, last: int, seen: int | None = None) -> None:
    """Rows first..last, one an hour, seen in the order of their numbers or all at once."""
    values = ", ".join(
        f"('r{i}', TIMESTAMP '2026-01-{1 + i // 24:02d} {i % 24:02d}:00:00', {i % 37}.5,"
        f" {'true' if i % 3 else 'false'}, {seen or i})"
        for i in range(first, last + 1)
    )
    database.run(f"INSERT INTO arrivals VALUES {values}")  # noqa: S608


@pytest.fixture
def arrivals(database: Database) -> Iterator[Database]:
    """Two hundred rows."""
    with database.table("arrivals", COLUMNS):
        fill(database, 1, 200)
        yield database


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An artifact store."""
    return Place(tmp_path)


def parts(made: Snapshot) -> dict[str, int]:
    """Digest -> rows of a version's parts."""
    manifest = Manifest.model_validate_json(path_of(made.manifest).read_bytes())
    return {part.digest: part.rows for part in manifest.parts}


def after(place: Place, mode: str, before: Snapshot) -> Snapshot:
    """The next version."""
    base = known(before).model_copy(update={"source_read": before.source_read})
    return place.snapshot(dataset(mode), previous=base, fingerprint=before.fingerprint)


@pytest.mark.parametrize("mode", ["Full", "Append", "Upsert"])
def test_what_did_not_change_costs_one_query(arrivals: Database, place: Place, mode: str) -> None:
    made = place.snapshot(dataset(mode))
    again = place.refresh(dataset(mode), fingerprint=made.fingerprint)

    assert made.rows == 200
    assert isinstance(again, Unchanged)
    assert made.source_read is not None
    assert (made.source_read.rows, made.source_read.watermark) == (200, "200")


@pytest.mark.parametrize("mode", ["Append", "Upsert"])
def test_new_rows_are_added(
    arrivals: Database, place: Place, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = place.snapshot(dataset(mode))
    fill(arrivals, 201, 260)
    with caplog.at_level(logging.INFO):
        second = after(place, mode, first)

    assert "read 60 of 260 rows" in caplog.messages
    assert second.digest == place.snapshot(dataset("Full")).digest
    assert sorted(parts(second).values()) == [60, 200]
    assert set(parts(first)) < set(parts(second))


CHANGES = {
    "a row gone": ["DELETE FROM arrivals WHERE id = 'r7'"],
    "a row that is late": [
        "INSERT INTO arrivals VALUES ('late', TIMESTAMP '2026-01-02 00:00:00', 1, true, 50)"
    ],
    "a row written again": [
        "UPDATE arrivals SET load_ = 99, seen = 300 WHERE id = 'r7'",
    ],
    "one written again, one new, one gone": [
        "UPDATE arrivals SET load_ = 99, seen = 300 WHERE id = 'r7'",
        "INSERT INTO arrivals VALUES ('new', TIMESTAMP '2026-01-09 00:00:00', 1, true, 301)",
        "DELETE FROM arrivals WHERE id = 'r8'",
    ],
    "a row without a watermark": [
        "INSERT INTO arrivals VALUES ('none', TIMESTAMP '2026-01-09 00:00:00', 1, true, NULL)"
    ],
    "everything gone but one": ["DELETE FROM arrivals WHERE seen < 200 AND seen <> 12"],
}


@pytest.mark.parametrize("mode", ["Append", "Upsert"])
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_the_version_is_the_table(
    arrivals: Database, place: Place, mode: str, changes: list[str]
) -> None:
    if changes is CHANGES["everything gone but one"]:
        arrivals.run("UPDATE arrivals SET at = TIMESTAMP '2026-01-03 00:00:00' WHERE seen = 12")
    first = place.snapshot(dataset(mode))
    arrivals.run(*changes)
    if changes is CHANGES["everything gone but one"]:
        fill(arrivals, 301, 340)

    assert after(place, mode, first).digest == place.snapshot(dataset("Full")).digest


def test_an_upsert_reads_only_what_was_written(
    arrivals: Database, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    first = place.snapshot(dataset("Upsert"))
    arrivals.run("UPDATE arrivals SET load_ = 99, seen = seen + 1000 WHERE seen > 190")
    fill(arrivals, 500, 500, seen=2000)
    with caplog.at_level(logging.INFO):
        second = after(place, "Upsert", first)

    assert "read 11 of 201 rows" in caplog.messages
    assert "10 rows replace older ones of the same key" in caplog.messages
    assert (second.rows, sorted(parts(second).values())) == (201, [11, 190])


def test_of_rows_with_one_key_the_newest_stays(arrivals: Database, place: Place) -> None:
    arrivals.run("INSERT INTO arrivals SELECT id, at, 77, late, seen + 500 FROM arrivals")
    made = place.snapshot(dataset("Upsert"))

    assert made.rows == 200
    (digest,) = parts(made)
    part = path_of(place.store) / "parts" / f"{digest.removeprefix('sha256:')}.parquet"
    assert set(pq.read_table(part)["load_"].to_pylist()) == {77.0}


def test_another_question_is_no_base(arrivals: Database, place: Place) -> None:
    first = place.snapshot(dataset("Append"))
    assert first.source_read is not None
    other = first.source_read.model_copy(update={"shape": "another", "watermark": "100"})
    base = known(first).model_copy(update={"source_read": other})

    assert place.snapshot(dataset("Append"), previous=base).rows == 200


# --- what goes wrong ----------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no such table": ({"table": "nowhere"}, "InvalidQuery", "table nowhere: "),
    "no such column": ({"query": "SELECT nothing"}, "InvalidQuery", "the query: "),
    "not a SELECT": ({"query": "DELETE FROM arrivals"}, "InvalidQuery", "the query: "),
    "two statements": ({"query": "SELECT 1 AS a; SELECT 2 AS a"}, "InvalidQuery", "the query: "),
    "out of its brackets": (
        {"query": "SELECT 1 AS a) AS x; DROP TABLE arrivals; --"},
        "InvalidQuery",
        "the query: ",
    ),
    "out of its brackets and of its transaction": (
        {
            "query": "SELECT 1 AS a) AS x; COMMIT; DELETE FROM arrivals; --",
            "watermark": "a",
        },
        "InvalidQuery",
        "the query: ",
    ),
    "two columns of one name": (
        {"query": "SELECT a.id, b.id FROM arrivals AS a, arrivals AS b WHERE 1 = 0"},
        "InvalidQuery",
        "",
    ),
    "no such watermark": (
        {"table": "arrivals", "watermark": "nothing", "mode": "Append"},
        "InvalidQuery",
        "table arrivals: ",
    ),
    "a watermark of truth values": (
        {"query": "SELECT true AND late IS NULL AS w FROM arrivals", "watermark": "w"},
        "InvalidQuery",
        "",
    ),
}


@pytest.mark.parametrize(("body", "reason", "said"), WRONG.values(), ids=WRONG)
def test_questions_that_cannot_be_answered(
    arrivals: Database, tmp_path: Path, body: dict[str, Any], reason: str, said: str
) -> None:
    if body.get("watermark") == "w" and arrivals.scheme == "mysql":
        body = {"table": "nowhere", "watermark": "w"}  # there truth values are numbers
    with pytest.raises(StepError) as raised:
        source(**body).read(tmp_path)

    assert (raised.value.reason, raised.value.transient) == (reason, False)
    assert str(raised.value).startswith(said)
    (left,) = rows_of(source(query="SELECT count(*) AS n FROM arrivals").read(tmp_path))
    assert left == {"n": 200}


def test_bytes_are_refused(database: Database, tmp_path: Path) -> None:
    kind = "bytea" if database.scheme == "postgresql" else "blob"
    with database.table("pictures", f"a int, picture {kind}"):
        database.run("INSERT INTO pictures VALUES (1, NULL), (2, 'abc')")
        with pytest.raises(StepError) as raised:
            source(table="pictures").read(tmp_path)

    assert raised.value.reason == "InvalidQuery"
    assert str(raised.value) == (
        "column picture holds bytes, which no model reads; leave it out of source.sql.query"
    )


def test_an_empty_table_is_told_from_an_outage(database: Database, place: Place) -> None:
    with database.table("arrivals", COLUMNS), pytest.raises(StepError) as raised:
        place.refresh(dataset("Full"))

    assert (raised.value.reason, raised.value.transient) == ("EmptyVersion", False)


def urls(database: Database) -> dict[str, tuple[str | None, str, bool]]:
    """URLs that do not work, and what each is called."""
    return {
        "another password": (database.url(password="wrong-guess/7"), "AccessDenied", False),
        "another user": (database.url(user="stranger"), "AccessDenied", False),
        "no such database": (database.url(name="nowhere"), "NoObjects", False),
        "nobody listens": (database.url(port=free_port()), "SourceUnavailable", True),
        "no driver": ("oracle://miller:open-sesame/42@127.0.0.1/x", "InvalidUri", False),
        "no URL": ("open-sesame/42", "InvalidUri", False),
        "no port": ("postgresql://miller:open-sesame42@127.0.0.1:x/y", "InvalidUri", False),
        "no key": (None, "AccessDenied", False),
    }


@pytest.mark.parametrize("case", list(urls(Database("postgresql", "", 1, ""))))
def test_urls_that_do_not_work_are_never_told(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    case: str,
) -> None:
    url, reason, transient = urls(database)[case]
    monkeypatch.delenv("SOURCE_url")
    if url is not None:
        monkeypatch.setenv("SOURCE_url", url)

    with caplog.at_level(logging.DEBUG), pytest.raises(StepError) as raised:
        source(table="arrivals").read(tmp_path)

    assert (raised.value.reason, raised.value.transient) == (reason, transient)
    chain, seen = [], raised.value
    while seen is not None and not seen.__suppress_context__:
        chain.append(str(seen))
        seen = seen.__cause__ or seen.__context__  # type: ignore[assignment]
    told = json.dumps([*caplog.messages, *chain, str(raised.value)])
    for secret in ("open-sesame", "wrong-guess", "://miller", "://stranger"):
        assert secret not in told


def test_a_right_that_is_missing(database: Database, arrivals: Database, tmp_path: Path) -> None:
    host = "" if database.scheme == "postgresql" else "@'127.0.0.1'"
    word = "PASSWORD" if database.scheme == "postgresql" else "IDENTIFIED BY"
    database.run(f"CREATE USER guest{host} {word} 'only-looking'")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOURCE_url", database.url(user="guest", password="only-looking"))
            with pytest.raises(StepError) as raised:
                source(table="arrivals").read(tmp_path)
    finally:
        database.run(f"DROP USER guest{host}")

    assert (raised.value.reason, raised.value.transient) == ("AccessDenied", False)
    assert "only-looking" not in str(raised.value)
