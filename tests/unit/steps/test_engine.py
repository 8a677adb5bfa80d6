"""DuckDB as the steps use it: bounded, fenced in, and the same each time."""
# ruff: noqa: S608 -- the SQL is the test's own

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from tidemill.steps.engine import (
    connect,
    memory_available,
    one,
    processors_available,
    quoted,
    single_threaded,
    text,
)


def test_nothing_outside_of_scratch_can_be_read_or_written(tmp_path: Path) -> None:
    table_of_the_program = pa.table({"x": [1]})
    assert table_of_the_program.num_rows == 1
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.csv").write_text("x\n1\n")

    with connect(inside) as connection:
        connection.execute(f"COPY (SELECT 1 AS x) TO '{inside}/a.parquet' (FORMAT parquet)")
        assert one(connection, f"SELECT x FROM '{inside}/a.parquet'") == (1,)
        for refused in (
            f"SELECT * FROM '{outside}/secret.csv'",
            f"COPY (SELECT 1) TO '{outside}/x.csv'",
            f"SELECT * FROM '{inside}/../out/secret.csv'",
            "SELECT * FROM 'https://example.com/a.csv'",
            "INSTALL httpfs",
            "LOAD httpfs",
            f"ATTACH '{outside}/x.db' AS other",
            f"EXPORT DATABASE '{outside}/db'",
            f"IMPORT DATABASE '{outside}'",
            "SELECT * FROM read_text('/etc/passwd')",
            "SELECT * FROM read_blob('/proc/self/environ')",
            "SELECT * FROM read_csv('/etc/passwd')",
            "SELECT * FROM sniff_csv('/etc/passwd')",
            "SELECT * FROM glob('/*')",
            "SELECT getenv('HOME')",
            "COPY (SELECT 1) TO '/dev/stdout'",
            "CREATE PERSISTENT SECRET s (TYPE s3)",
            f"SET log_query_path = '{outside}/log'",
            f"SET temp_directory = '{outside}'",
            "SET enable_external_access = true",
            "SET allowed_directories = ['/']",
            "SET allowed_paths = ['/etc/passwd']",
            "SELECT * FROM table_of_the_program",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(refused).fetchall()
    assert list(outside.iterdir()) == [outside / "secret.csv"]


def test_more_than_memory_is_spilled(tmp_path: Path) -> None:
    """Sorting 80 MB within 64 MB goes by way of the disk."""
    with connect(tmp_path, memory=64 << 20) as connection:
        rows = "(SELECT range AS n, hash(range) AS h FROM range(5_000_000))"
        query = f"SELECT n FROM {rows} ORDER BY h LIMIT 1 OFFSET 4_999_999"
        (last,) = one(connection, query)

    assert isinstance(last, int)


def test_more_than_may_be_held_is_an_error(tmp_path: Path) -> None:
    with (
        connect(tmp_path, memory=32 << 20) as connection,
        pytest.raises(duckdb.OutOfMemoryException),
    ):
        connection.execute("SELECT list(range) FROM range(50_000_000)").fetchall()


def test_one_thread_for_a_while(tmp_path: Path) -> None:
    with connect(tmp_path) as connection:
        before = one(connection, "SELECT current_setting('threads')")
        with single_threaded(connection):
            assert one(connection, "SELECT current_setting('threads')") == (1,)
        assert one(connection, "SELECT current_setting('threads')") == before


def test_names_and_values_are_quoted(tmp_path: Path) -> None:
    with connect(tmp_path) as connection:
        name, value = 'a"; DROP TABLE x; --', "it's; --"
        row = one(
            connection, f"SELECT {quoted(name)} FROM (SELECT {text(value)} AS {quoted(name)})"
        )

    assert row == (value,)


LIMITS = {
    "a limit": ("512000000\n", 512000000),
    "no limit": ("max\n", None),
    "no cgroup": (None, None),
}


@pytest.mark.parametrize(("written", "expected"), LIMITS.values(), ids=LIMITS)
def test_memory_is_the_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str | None, expected: int | None
) -> None:
    monkeypatch.setattr("tidemill.steps.engine._CGROUP", tmp_path / "none")
    machine = memory_available()
    monkeypatch.setattr("tidemill.steps.engine._CGROUP", tmp_path)
    if written is not None:
        (tmp_path / "memory.max").write_text(written)

    assert memory_available() == (expected or machine)


QUOTAS = {
    "half a processor": ("50000 100000", 1),
    "one": ("100000 100000", 1),
    "no quota": ("max 100000", None),
    "no cgroup": (None, None),
}


@pytest.mark.parametrize(("written", "expected"), QUOTAS.values(), ids=QUOTAS)
def test_processors_are_the_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str | None, expected: int | None
) -> None:
    monkeypatch.setattr("tidemill.steps.engine._CGROUP", tmp_path / "none")
    machine = processors_available()
    monkeypatch.setattr("tidemill.steps.engine._CGROUP", tmp_path)
    if written is not None:
        (tmp_path / "cpu.max").write_text(written)

    assert processors_available() == (expected or machine)
