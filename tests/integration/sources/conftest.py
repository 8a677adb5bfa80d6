"""Real servers that data is read from, one of each for the session."""

from collections.abc import Iterator

import pytest

from tests.servers.databases import Database
from tests.servers.mariadb import mariadb
from tests.servers.postgres import postgres


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Database]:
    """A PostgreSQL."""
    with postgres() as made:
        yield made


@pytest.fixture(scope="session")
def maria() -> Iterator[Database]:
    """A MariaDB."""
    with mariadb() as made:
        yield made


@pytest.fixture(params=["postgresql", "maria"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Each kind of database in turn; the step's Secret holds its URL."""
    made: Database = request.getfixturevalue(request.param)
    monkeypatch.setenv("SOURCE_url", made.url())
    return made
