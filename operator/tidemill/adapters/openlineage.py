"""An OpenLineage endpoint: events are sent one after the other, and never waited for.

Nobody's pass depends on it: what does not fit the queue, or is not taken after a few tries, is
dropped and counted. Redirects are not followed.
"""

import asyncio
import logging
from collections.abc import Callable

import aiohttp

from tidemill import __version__
from tidemill.core.plan import Body

logger = logging.getLogger(__name__)

SENT, DROPPED = "Sent", "Dropped"
MOST_WAITING = 1000
_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)
_PAUSES = (1.0, 5.0)
"""Seconds before each further try."""
_PATH = "/api/v1/lineage"


class OpenLineage:
    """Sends events to `url`/api/v1/lineage. `told` hears the outcome of each: Sent or Dropped."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        told: Callable[[str], None] = lambda outcome: None,
        pauses: tuple[float, ...] = _PAUSES,
        most: int = MOST_WAITING,
    ) -> None:
        self._url = url.rstrip("/") + _PATH
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._told = told
        self._pauses = pauses
        self._waiting: asyncio.Queue[Body] = asyncio.Queue(most)
        self._session: aiohttp.ClientSession | None = None

    def offer(self, event: Body) -> None:
        """Have an event sent when its turn comes; drop it if too many wait."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            self._drop("too many events wait")

    async def run(self) -> None:
        """Send what is offered, for ever."""
        while True:
            event = await self._waiting.get()
            await self._send(event)
            self._waiting.task_done()

    async def drain(self) -> None:
        """Wait until everything offered was sent or dropped."""
        await self._waiting.join()

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(self, event: Body) -> None:
        why = ""
        for pause in (0.0, *self._pauses):
            await asyncio.sleep(pause)
            try:
                status = await self._post(event)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = str(error) or type(error).__name__
                continue
            if 200 <= status < 300:
                self._told(SENT)
                return
            why = f"HTTP {status}"
            if status < 500 and status != 429:
                break  # it will not be taken the next time either
        self._drop(why)

    async def _post(self, event: Body) -> int:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={"User-Agent": f"tidemill/{__version__}", **self._headers},
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=_TIMEOUT,
            )
        async with self._session.post(self._url, json=event, allow_redirects=False) as answer:
            return answer.status

    def _drop(self, why: str) -> None:
        logger.warning("an OpenLineage event was dropped: %s", why)
        self._told(DROPPED)
