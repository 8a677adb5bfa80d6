"""Guards the stores of our own kinds.

kopf replays what exists after it has lost its place, and never tells what was deleted meanwhile.
So each list kopf takes is followed by one of ours that is compared with the store; so is each
resync. Objects that are gone are taken out, those we never heard of are put in.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from tidemill.adapters.apiserver import ApiServer
from tidemill.errors import TidemillError
from tidemill.shell.informer import Scope, take_list
from tidemill.shell.store import Store

logger = logging.getLogger(__name__)

_RETRY_SECONDS = (0.5, 5.0)
_SETTLE_SECONDS = 0.2
"""kopf lists all kinds at about the same time: one round of ours serves them."""


class Guard:
    """Lists our own kinds when asked, and on every resync."""

    def __init__(
        self,
        api: ApiServer,
        scopes: Sequence[Scope],
        store: Store,
        *,
        resync_seconds: float,
        listed: Callable[[str], None] = lambda kind: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.synced = False
        self._api = api
        self._scopes = {scope.type.kind: scope for scope in scopes}
        self._store = store
        self._resync_seconds = resync_seconds
        self._listed = listed
        self._chance = chance
        self._asked: set[str] = set()
        self._wakeup = asyncio.Event()

    def ask(self, *kinds: str) -> None:
        """Have these kinds listed, or all of them."""
        self._asked.update(kinds or self._scopes)
        self._wakeup.set()

    async def run(self) -> None:
        """List all kinds, then what is asked for, until cancelled."""
        self.ask()
        while True:
            if self._asked:
                await self._round()
            try:
                wait = self._resync_seconds * (0.9 + 0.2 * self._chance())
                async with asyncio.timeout(wait):
                    await self._wakeup.wait()
                await asyncio.sleep(_SETTLE_SECONDS)
            except TimeoutError:
                self.ask()
            self._wakeup.clear()

    async def _round(self) -> None:
        failures = 0
        while self._asked:
            kind = min(self._asked)
            self._asked.discard(kind)
            try:
                _, missed = await take_list(self._api, self._scopes[kind], self._store)
            except TidemillError as error:
                self.synced = False
                self._asked.add(kind)
                logger.warning("%s cannot be listed: %s", kind, error)
                first, last = _RETRY_SECONDS
                await asyncio.sleep(min(first * 2.0**failures, last) * (0.5 + self._chance()))
                failures = min(failures + 1, 8)
                continue
            self._listed(kind)
            if missed:
                logger.info("%s: %d deletions were missed", kind, len(missed))
        self.synced = True
