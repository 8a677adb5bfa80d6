"""List and watch one kind into the store, for ever.

A list is compared with the store, so that deletions nobody told us of are found. A stream that
merely ends or is cut goes on from the last version seen; any other trouble (410, an ERROR in the
stream, garbage, 429, 5xx) begins again with a list. No trouble ends it: it waits, a little longer
each time, and says meanwhile that it is not synced.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tidemill.adapters.apiserver import ApiServer
from tidemill.adapters.resources import ResourceType
from tidemill.core.plan import Body
from tidemill.errors import TerminalError, TidemillError, TransientError
from tidemill.shell.store import Change, Key, Store

logger = logging.getLogger(__name__)

_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0
WANTED_SECONDS = 60.0
"""How often to look for a kind that is not installed and is needed."""
_GOOD_STREAM = 5.0
"""A stream that held for so many seconds starts the waits afresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What to watch of a kind."""

    type: ResourceType
    namespace: str = ""
    """Empty: all."""
    selector: str = ""
    optional: bool = False
    """The kind need not be installed; its absence counts as synced."""


async def take_list(api: ApiServer, scope: Scope, store: Store) -> tuple[str, list[Change]]:
    """List a kind into the store; returns the list's version and the deletions it revealed."""
    seen: dict[Key, str] = {}

    def each(body: Body) -> None:
        metadata = body["metadata"]
        key = Key(scope.type.kind, metadata.get("namespace", ""), metadata["name"])
        seen[key] = metadata["uid"]
        store.put(body)

    version = await api.list_all(scope.type, scope.namespace, scope.selector, each)
    return version, store.retain(scope.type.kind, scope.namespace, seen, int(version))


class Informer:
    """Keeps one kind of the store true."""

    def __init__(
        self,
        api: ApiServer,
        scope: Scope,
        store: Store,
        *,
        resync_seconds: float,
        relisted: Callable[[str], None] = lambda kind: None,
        appeared: Callable[[str], None] = lambda kind: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.scope = scope
        self.synced = False
        self._api = api
        self._store = store
        self._resync_seconds = resync_seconds
        self._relisted = relisted
        self._appeared = appeared
        self._chance = chance
        self._wanted = asyncio.Event()
        self._failures = 0

    def want(self) -> None:
        """Someone needs this kind: if it is not installed, look now, then again and again."""
        self._wanted.set()

    async def run(self) -> None:
        """List and watch until cancelled."""
        version: str | None = None
        while True:
            begun = time.monotonic()
            try:
                if version is None:
                    version = await self._list()
                    if version is None:
                        continue
                self.synced = True
                version = await self._watch(version)
            except TidemillError as error:
                self.synced = False
                logger.warning("%s: %s; listing again", self.scope.type.kind, error)
                version = None
                await self._wait(begun, error)
            except Exception:
                self.synced = False
                logger.exception("%s: listing again", self.scope.type.kind)
                version = None
                await self._wait(begun, None)

    async def _list(self) -> str | None:
        """The version to watch from; None after having waited for a kind that is absent."""
        try:
            version, missed = await take_list(self._api, self.scope, self._store)
        except TerminalError as error:
            if error.reason != "NotFound" or not self.scope.optional:
                raise
            await self._wait_for_kind()
            return None
        self._relisted(self.scope.type.kind)
        self._wanted.clear()
        if self._store.set_served(self.scope.type.kind, True):
            self._appeared(self.scope.type.kind)
        if missed:
            logger.info("%s: %d deletions were missed", self.scope.type.kind, len(missed))
        return version

    async def _wait_for_kind(self) -> None:
        self._store.retain(self.scope.type.kind, self.scope.namespace, {}, 1 << 62)
        self._store.set_served(self.scope.type.kind, False)
        self.synced = True
        if self._wanted.is_set():
            await asyncio.sleep(min(WANTED_SECONDS, self._resync_seconds))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._resync_seconds):
                await self._wanted.wait()

    async def _watch(self, version: str) -> str:
        begun = time.monotonic()
        scope = self.scope
        stream = self._api.watch(scope.type, scope.namespace, scope.selector, version)
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                version = event.body["metadata"]["resourceVersion"]
                if event.type == "DELETED":
                    self._store.remove(event.body)
                elif event.type != "BOOKMARK":
                    self._store.put(event.body)
        if time.monotonic() - begun > _GOOD_STREAM:
            self._failures = 0
        else:
            await self._wait(begun, None)
        return version

    async def _wait(self, begun: float, error: TidemillError | None) -> None:
        if time.monotonic() - begun > _GOOD_STREAM:
            self._failures = 0
        delay = min(_FIRST_WAIT * 2.0 ** min(self._failures, 16), _LONGEST_WAIT)
        self._failures += 1
        asked = error.retry_after if isinstance(error, TransientError) else None
        await asyncio.sleep(max(delay * (0.5 + self._chance()), min(asked or 0.0, 60.0)))
