"""DuckDB as the steps use it: bounded memory, spilling to scratch, no network, no other files."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

_CGROUP = Path("/sys/fs/cgroup")
_SHARE_OF_MEMORY = 0.5
_LEAST_MEMORY = 128 << 20


def memory_available() -> int:
    """Bytes this process may use: the container's limit, else the machine's memory."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
    except OSError:
        return machine
    return min(machine, int(limit)) if limit.isdigit() else machine


def processors_available() -> int:
    """Threads that can run at once: the container's quota, else those this process may use."""
    usable = len(os.sched_getaffinity(0))
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return usable
    return min(usable, max(1, math.ceil(int(quota) / int(period)))) if quota.isdigit() else usable


def quoted(name: str) -> str:
    """An identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string in SQL."""
    return "'" + value.replace("'", "''") + "'"


def one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The one row of a query's answer, fetched to its end: DuckDB keeps others open."""
    (row,) = connection.execute(query).fetchall()
    return tuple(row)


@contextmanager
def single_threaded(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Use one thread, so that what is made depends on the data alone."""
    (threads,) = one(connection, "SELECT current_setting('threads')")
    connection.execute("SET threads = 1")
    try:
        yield
    finally:
        connection.execute(f"SET threads = {threads}")


@contextmanager
def connect(scratch: Path, memory: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in memory that may read and write below `scratch` and nowhere else.

    `memory` is the most bytes it may hold, by default half of what the container has; what does
    not fit is spilled to scratch.
    """
    held = memory or max(_LEAST_MEMORY, int(memory_available() * _SHARE_OF_MEMORY))
    settings = {
        "memory_limit": f"{held >> 20}MiB",
        "temp_directory": str(scratch / "spill"),
        "threads": processors_available(),
        "allowed_directories": [f"{scratch}/"],
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_persistent_secrets": False,
        "python_enable_replacements": False,
        "TimeZone": "UTC",
        "enable_external_access": False,
        "preserve_insertion_order": True,
    }
    connection = duckdb.connect()
    try:
        for name, value in settings.items():
            connection.execute(f"SET {name} = {_setting(value)}")
        yield connection
    finally:
        connection.close()


def _setting(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(text(item) for item in value) + "]"
    return text(value) if isinstance(value, str) else str(value).lower()
