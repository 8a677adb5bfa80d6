"""What tests of steps share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.steps.small import Place, table


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty source and an empty store."""
    return Place(tmp_path)


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's user has in the environment is no part of a test."""
    for prefix in ("", "SOURCE_"):
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "ENDPOINT_URL", "REGION"):
            monkeypatch.delenv(f"{prefix}AWS_{name}", raising=False)


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A source with one table; shared, so do not change it."""
    made = Place(tmp_path_factory.mktemp("stocked"))
    made.put("all.parquet", table())
    yield made
