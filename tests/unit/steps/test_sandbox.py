"""The sandbox: what a query can reach, and how it is ended."""

import os
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.steps.sandbox import Task, Trouble, Work, locked, memory_for_query, run, show


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A file of one row, with a secret beside it."""
    (tmp_path / "secret.txt").write_text("secret")
    file = tmp_path / "part.parquet"
    pq.write_table(pa.table({"a": [1]}), file)
    return file


def work(part: Path, select: str) -> Work:
    """A query of the file."""
    task = Task([str(part)], str(part.with_name("target.parquet")))
    return Work(select, ["a"], [task], str(part.with_name("spill")), memory_for_query())


ESCAPES = {
    "a file of the machine": "SELECT * FROM read_csv('/etc/passwd', header = false)",
    "a file beside its own": "SELECT * FROM read_text('{scratch}/secret.txt')",
    "a directory": "SELECT * FROM glob('{scratch}/*')",
    "writing": "COPY (SELECT 1 AS a) TO '{scratch}/other.parquet'",
    "a database": "ATTACH '{scratch}/x.db'",
    "an extension": "INSTALL httpfs",
    "loading one": "LOAD httpfs",
    "the network": "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    "a bucket": "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "unlocking": "SET enable_external_access = true",
    "unlocking the lock": "SET lock_configuration = false",
    "more memory": "SET memory_limit = '1TB'",
    "other files": "SET allowed_directories = ['/']",
    "a pragma": "PRAGMA enable_external_access = true",
    "a variable of Python": "SELECT * FROM stolen",
    "a secret": "CREATE SECRET (TYPE s3, KEY_ID 'x', SECRET 'y')",
}


@pytest.mark.parametrize("sql", ESCAPES.values(), ids=ESCAPES)
def test_it_holds_even_what_was_not_refused(part: Path, tmp_path: Path, sql: str) -> None:
    """The check before is one wall; behind it DuckDB itself refuses each of these."""
    stolen = pa.table({"a": [1]})
    given = work(part, "")

    with locked(given) as inside:
        show(inside, given, given.tasks[0])
        assert inside.execute("SELECT a FROM source").fetchall() == [(1,)]
        with pytest.raises(duckdb.Error):
            inside.execute(sql.format(scratch=tmp_path)).fetchall()

    assert stolen.num_rows == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"secret.txt", "part.parquet"}


def test_a_query_is_run(part: Path) -> None:
    given = work(part, "SELECT a + 1 AS b FROM source -- and no more")

    assert run(given, 30, 1 << 20) is None
    assert pq.read_table(given.tasks[0].target).to_pylist() == [{"b": 2}]


def test_what_fails_is_told(part: Path) -> None:
    trouble = run(work(part, "SELECT b FROM source"), 30, 1 << 20)

    assert trouble is not None
    assert trouble.kind == "Binder"
    assert trouble.said.startswith('Binder Error: Referenced column "b" not found')


def test_what_takes_too_long_is_ended(part: Path) -> None:
    select = "SELECT sum(x.range * y.range) AS b FROM range(10000000) x, range(10000000) y"

    assert run(work(part, select), 1.5, 1 << 20) == Trouble(
        "TimeOver", "took longer than 1.5 seconds"
    )


def test_it_knows_no_credential(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is started without the environment of the step."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    seen: list[dict[str, str]] = []

    class Popen:
        """A process that is only looked at."""

        def __init__(self, *_: object, env: dict[str, str], **__: object) -> None:
            seen.append(env)
            raise OSError

    monkeypatch.setattr("tidemill.steps.sandbox.subprocess.Popen", Popen)
    with pytest.raises(OSError):
        run(work(part, "SELECT 1"), 1, 1)

    assert [set(env) for env in seen] == [{"PYTHONPATH"}]
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "secret"
