"""Prometheus' HTTP API: instant queries.

The same query asked for by several at once is sent once. Redirects are not followed, answers are
bounded in time and size, and what a server says in an error never leaves this module but for its
first line.
"""

import asyncio
import json
import math
from datetime import datetime

import aiohttp

from tidemill import __version__
from tidemill.core.plan import Body
from tidemill.errors import TerminalError, TransientError
from tidemill.ports import Sample

_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)
_MAX_ANSWER = 8 * 1024 * 1024


class Prometheus:
    """Fills ports.Metrics."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") + "/api/v1/query"
        self._session: aiohttp.ClientSession | None = None
        self._running: dict[tuple[str, str], asyncio.Task[list[Sample]]] = {}

    async def query(self, promql: str, at: datetime | None = None) -> list[Sample]:
        """An instant query; elements that are no number (0/0) are left out.

        Raises TransientError when it cannot be answered, TerminalError("InvalidQuery") when
        Prometheus does not understand it.
        """
        moment = "" if at is None else f"{at.timestamp():.3f}"
        running = self._running.get((promql, moment))
        if running is None:
            running = asyncio.create_task(self._ask(promql, moment))
            self._running[promql, moment] = running
            running.add_done_callback(lambda done: self._running.pop((promql, moment), None))
        return await asyncio.shield(running)

    async def close(self) -> None:
        """End all connections."""
        for task in list(self._running.values()):
            task.cancel()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, promql: str, moment: str) -> list[Sample]:
        form = {"query": promql, "timeout": "8s"}
        if moment:
            form["time"] = moment
        try:
            async with self._opened().post(
                self._url, data=form, allow_redirects=False, timeout=_TIMEOUT
            ) as response:
                raw = await response.content.read(_MAX_ANSWER + 1)
                while len(raw) <= _MAX_ANSWER and not response.content.at_eof():
                    raw += await response.content.read(_MAX_ANSWER + 1 - len(raw))
                return _parse(response.status, raw)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransientError(f"Prometheus: {error or type(error).__name__}") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=16),
                headers={"User-Agent": f"tidemill/{__version__}"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _parse(status: int, raw: bytes) -> list[Sample]:
    if len(raw) > _MAX_ANSWER:
        raise TransientError(f"Prometheus answered with more than {_MAX_ANSWER} bytes")
    try:
        answer = json.loads(raw)
        if status in (400, 422):
            said = str(answer.get("error", "")).partition("\n")[0][:200]
            raise TerminalError("InvalidQuery", f"Prometheus does not understand a query: {said}")
        if status != 200 or answer.get("status") != "success":
            raise TransientError(f"Prometheus answered with HTTP {status}")
        data = answer["data"]
        if data["resultType"] != "vector":
            raise TerminalError("InvalidQuery", f"a query gives a {data['resultType']}, no vector")
        samples = [_sample(item) for item in data["result"]]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise TransientError(f"Prometheus answered HTTP {status} with no sense in it") from error
    return [sample for sample in samples if not math.isnan(sample.value)]


def _sample(item: Body) -> Sample:
    return Sample({str(k): str(v) for k, v in item["metric"].items()}, float(item["value"][1]))
