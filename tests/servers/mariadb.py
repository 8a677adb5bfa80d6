"""A real MariaDB."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.databases import Database
from tests.servers.debian import free_port, home, program

_TABLES = (
    "mysql_system_tables.sql",
    "mysql_performance_tables.sql",
    "mysql_system_tables_data.sql",
)
_FAST = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=32M",
    "--character-set-server=utf8mb4",
    "--skip-log-bin",
)


@contextmanager
def mariadb() -> Iterator[Database]:
    """A server with an empty database until the end of the block."""
    server = program("mariadb-server-core", "/usr/sbin/mariadbd")
    share = program("mariadb-server-core", f"/usr/share/*/{_TABLES[0]}").parent
    with home("mysql") as place:
        data, port = place.directory / "data", free_port()
        place.run(["mkdir", data])
        common: list[str | Path] = [server, "--no-defaults", f"--datadir={data}", *_FAST]
        user = f"'{Database.USER}'@'127.0.0.1'"
        first = "".join(
            [
                "CREATE DATABASE mysql;\nUSE mysql;\n",
                *((share / name).read_text() for name in _TABLES if (share / name).exists()),
                "FLUSH PRIVILEGES;\nCREATE DATABASE tides;\n",
                f"CREATE USER {user} IDENTIFIED BY '{Database.PASSWORD}';\n",
                f"GRANT ALL ON *.* TO {user} WITH GRANT OPTION;\n",
            ]
        )
        place.run([*common, "--bootstrap"], input=first.encode(), capture_output=True)
        argv: list[str | Path] = [
            *common, f"--port={port}", "--bind-address=127.0.0.1",
            f"--socket={place.directory}/socket", f"--pid-file={place.directory}/pid",
        ]  # fmt: skip
        made = Database("mysql", "mysql+pymysql", port, "tides")
        with place.running(argv, made.check):
            try:
                yield made
            finally:
                made.close()
