"""An HTTP server whose answers a test writes."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.adapters.http_server import HttpServer


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    """The server, listening."""
    one = HttpServer()
    await one.start()
    yield one
    await one.stop()
