"""What tests do with a SQL database of theirs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import sqlalchemy as sa


class Database:
    """A running server's only database."""

    USER: ClassVar[str] = "miller"
    PASSWORD: ClassVar[str] = "open-sesame/42"

    def __init__(self, scheme: str, driver: str, port: int, name: str) -> None:
        self.scheme = scheme
        self._driver = driver
        self._port = port
        self._name = name
        self._engine: sa.Engine | None = None

    def url(
        self, *, user: str = USER, password: str = PASSWORD, port: int = 0, name: str = ""
    ) -> str:
        """As a user writes it into a Secret."""
        made = sa.URL.create(
            self.scheme, user, password, "127.0.0.1", port or self._port, name or self._name
        )
        return made.render_as_string(hide_password=False)

    @property
    def engine(self) -> sa.Engine:
        """Connections with every right."""
        if self._engine is None:
            made = sa.make_url(self.url()).set(drivername=self._driver)
            self._engine = sa.create_engine(made)
        return self._engine

    def check(self) -> None:
        """Raise if it does not answer yet."""
        with self.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))

    def run(self, *statements: str) -> None:
        """Execute statements as they stand and commit."""
        with self.engine.connect().execution_options(no_parameters=True) as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.commit()

    @contextmanager
    def table(self, name: str, columns: str) -> Iterator[str]:
        """A new table until the end of the block."""
        self.run(f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name} ({columns})")
        try:
            yield name
        finally:
            self.run(f"DROP TABLE IF EXISTS {name}")

    def close(self) -> None:
        """Hang up."""
        if self._engine is not None:
            self._engine.dispose()
