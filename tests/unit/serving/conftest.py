"""Fixtures: a model trained once, its bundle on disk, and servers of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.serving.bundles import MadeBundle, train
from tests.unit.serving.servers import ServerProcess


@pytest.fixture(scope="session")
def model() -> bytes:
    """A real ONNX model."""
    return train()


@pytest.fixture(scope="session")
def bundle(model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a valid bundle of it."""
    directory = tmp_path_factory.mktemp("bundle")
    MadeBundle(model).write(directory)
    return directory


@pytest.fixture
def start(bundle: Path, tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers with settings of the test's own; they end with the test."""
    servers: list[ServerProcess] = []

    def start_one(**settings: Any) -> ServerProcess:
        log = tmp_path / f"server-{len(servers)}.log"
        settings.setdefault("model_dir", str(bundle))
        servers.append(ServerProcess(log, **settings))
        return servers[-1]

    yield start_one
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for a module's tests that change nothing but counts."""
    log = tmp_path_factory.mktemp("server") / "server.log"
    process = ServerProcess(log, model_dir=str(bundle)).wait_ready()
    yield process
    process.kill()
