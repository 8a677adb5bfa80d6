"""Where a user's SELECT runs: a process of its own that can be ended, in a database that is locked.

The process gets no environment, so that it knows no credential, and is killed when its time is
over or what it writes grows too large; a query cannot hold it off. The database sees one view of
the files it is given, may write the one file it is told, and nothing else: no other file, no
network, no extension, no setting, and its configuration is locked before the query is touched.

`python -m tidemill.steps.sandbox` reads the work as JSON from its standard input and answers with
one line of JSON: what failed, or nothing.
"""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from tidemill.steps.engine import memory_available, quoted, text
from tidemill.steps.selects import TABLE

_MEMORY_SHARE = 0.25
_LEAST_MEMORY = 128 << 20
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Task:
    """One run of a query: the files behind the view, and the file it writes."""

    files: list[str]
    target: str


@dataclass(frozen=True, slots=True)
class Work:
    """A query, and all it is run on, one after the other."""

    select: str
    names: list[str]
    """The view's columns."""
    tasks: list[Task]
    spill: str
    """A directory for what does not fit into memory."""
    memory: int
    """The most bytes DuckDB may hold."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a query has not come to an end."""

    kind: str
    """DuckDB's name of the error, such as Conversion; or OutOfMemory, TimeOver, TooLarge."""
    said: str


def memory_for_query() -> int:
    """Bytes a query may hold: a quarter of what the container has."""
    return max(_LEAST_MEMORY, int(memory_available() * _MEMORY_SHARE))


def run(work: Work, most_seconds: float, most_bytes: int) -> Trouble | None:
    """Do the work in a process of its own; None if all of it is done."""
    said = json.dumps(asdict(work)).encode()
    process = subprocess.Popen(
        [sys.executable, "-m", "tidemill.steps.sandbox"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd="/",
    )
    try:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both are pipes")
        with process.stdin:
            process.stdin.write(said)
        trouble = _watched(process, work, most_seconds, most_bytes)
        if trouble is not None:
            return trouble
        answer = process.stdout.read()
        if process.returncode != 0 or not answer:
            return Trouble("OutOfMemory", f"its process ended with {process.returncode}")
        found = json.loads(answer)
        return Trouble(**found) if found else None
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _watched(
    process: "subprocess.Popen[bytes]", work: Work, most_seconds: float, most_bytes: int
) -> Trouble | None:
    """Wait for the process to end, unless it takes too long or writes too much."""
    over = time.monotonic() + most_seconds
    while True:
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            written = sum(_size(task.target) for task in work.tasks)
            if written > most_bytes:
                return Trouble("TooLarge", f"wrote more than {most_bytes:,} bytes")
            if time.monotonic() > over:
                return Trouble("TimeOver", f"took longer than {most_seconds:g} seconds")
        else:
            return None


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def locked(work: Work) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database that can reach the work's files and nothing else."""
    allowed = [path for task in work.tasks for path in (*task.files, task.target)]
    connection = duckdb.connect()
    try:
        for setting in (
            f"memory_limit = '{work.memory >> 20}MiB'",
            f"temp_directory = {text(work.spill)}",
            f"max_temp_directory_size = '{4 * work.memory >> 20}MiB'",
            "threads = 1",
            "TimeZone = 'UTC'",
            "preserve_insertion_order = true",
            "autoinstall_known_extensions = false",
            "autoload_known_extensions = false",
            "allow_community_extensions = false",
            "python_enable_replacements = false",
            f"allowed_paths = [{', '.join(text(path) for path in allowed)}]",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            connection.execute(f"SET {setting}")
        yield connection
    finally:
        connection.close()


def show(connection: duckdb.DuckDBPyConnection, work: Work, task: Task) -> None:
    """Make the view of a task's files."""
    files = ", ".join(text(path) for path in task.files)
    columns = ", ".join(quoted(name) for name in work.names)
    rows = f"SELECT {columns} FROM read_parquet([{files}])"
    connection.execute(f"CREATE OR REPLACE VIEW {quoted(TABLE)} AS {rows}")


def do(work: Work) -> Trouble | None:
    """Do the work in this process."""
    try:
        with locked(work) as connection:
            for task in work.tasks:
                show(connection, work, task)
                options = "FORMAT parquet, COMPRESSION zstd"
                # On a line of its own, as the query may end in a comment.
                query = f"(\n{work.select}\n)"
                connection.execute(f"COPY {query} TO {text(task.target)} ({options})")
    except (duckdb.OutOfMemoryException, MemoryError):
        return Trouble("OutOfMemory", "")
    except duckdb.Error as error:
        line = str(error).strip().splitlines()[0][:300]
        return Trouble(type(error).__name__.removesuffix("Exception"), line)
    return None


def _read(said: str) -> Work:
    given = json.loads(said)
    return Work(**{**given, "tasks": [Task(**task) for task in given["tasks"]]})


def main(said: Sequence[str]) -> str:
    """The answer to the work that was written on standard input."""
    trouble = do(_read("".join(said)))
    return json.dumps({} if trouble is None else asdict(trouble))


if __name__ == "__main__":
    sys.stdout.write(main(sys.stdin.readlines()))
