"""A real PostgreSQL."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.databases import Database
from tests.servers.debian import free_port, home, program

_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB")


@contextmanager
def postgres() -> Iterator[Database]:
    """A server with an empty database until the end of the block."""
    server = program("postgresql", "/usr/lib/postgresql/*/bin/postgres")
    with home("postgres") as place:
        word = place.directory / "word"
        word.write_text(Database.PASSWORD)
        word.chmod(0o644)
        data, port = place.directory / "data", free_port()
        place.run(
            [
                server.with_name("initdb"), "--pgdata", data, "--username", Database.USER,
                "--auth", "scram-sha-256", "--pwfile", word, "--encoding", "UTF8",
                "--locale", "C.UTF-8", "--no-sync",
            ],
            capture_output=True,
        )  # fmt: skip
        argv: list[str | Path] = [
            server,
            "-D",
            data,
            "-p",
            str(port),
            "-k",
            place.directory,
            "-h",
            "127.0.0.1",
        ]
        for setting in _FAST:
            argv += ["-c", setting]
        made = Database("postgresql", "postgresql+pg8000", port, "postgres")
        # SIGINT ends it without waiting for clients that have not hung up.
        with place.running(argv, made.check, stop=signal.SIGINT):
            try:
                yield made
            finally:
                made.close()
