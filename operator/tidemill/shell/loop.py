"""The workers: take a key, run its pass, and put the key where its outcome says."""

import asyncio
import logging
import time
import zlib
from collections.abc import Iterable

from tidemill.errors import ConflictError, TerminalError, TransientError
from tidemill.shell.passes import Outcome, Passes
from tidemill.shell.queue import BASE_SECONDS, Queue
from tidemill.shell.store import Key, Store
from tidemill.shell.telemetry import CURRENT, Telemetry

logger = logging.getLogger(__name__)

BUG_SECONDS = 5.0
"""The least wait after an error of our own."""
_SLOTS = 30


class Loop:
    """Workers over one queue."""

    def __init__(self, queue: Queue, passes: Passes, telemetry: Telemetry) -> None:
        self._queue = queue
        self._passes = passes
        self._telemetry = telemetry

    async def work(self, workers: int) -> None:
        """Run passes until the queue is closed; those under way are finished."""
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self._worker(), name=f"worker {number}")

    async def _worker(self) -> None:
        while (taken := await self._queue.get()) is not None:
            key, waited = taken
            CURRENT.set(key)
            begun = time.monotonic()
            said = "Error"
            try:
                said = await self._pass(key)
            finally:
                self._queue.done(key)
                self._telemetry.passed(key, said, time.monotonic() - begun, waited)
                CURRENT.set(None)

    async def _pass(self, key: Key) -> str:
        try:
            outcome = await self._passes.run(key)
        except ConflictError as error:
            logger.info("%s: %s; looking again", key, error)
            self._queue.back_off(key, BASE_SECONDS)
            return "Conflict"
        except TransientError as error:
            wait = self._queue.back_off(key, max(error.retry_after or 0.0, BASE_SECONDS))
            logger.warning("%s: %s; again in %.2f s", key, error, wait)
            return "Transient"
        except TerminalError as error:
            return self._give_up(key, error)
        except Exception:
            logger.exception("%s: the pass failed", key)
            self._queue.back_off(key, BUG_SECONDS)
            return "Error"
        self._put(key, outcome)
        return outcome.kind

    def _give_up(self, key: Key, error: TerminalError) -> str:
        if error.reason == "NotFound":  # deleted meanwhile; the watch will say so
            self._queue.settle(key, BUG_SECONDS)
            return "Gone"
        logger.error("%s: its status cannot be written: %s: %s", key, error.reason, error)
        self._queue.back_off(key, BUG_SECONDS)
        return "Terminal"

    def _put(self, key: Key, outcome: Outcome) -> None:
        match outcome.kind:
            case "Gone":
                self._queue.forget(key)
            case "Claimed":  # the effects of a claim are derived from it
                self._queue.again(key)
            case "Wrote":  # what was written may ask for more; its echo may come first
                self._queue.again(key, BASE_SECONDS)
            case _:
                self._queue.settle(key, outcome.requeue_after)


async def resync(store: Store, queue: Queue, kinds: Iterable[str], seconds: float) -> None:
    """Add every object once in so many seconds, a thirtieth of them at a time."""
    slot = 0
    wanted = tuple(kinds)
    while True:
        await asyncio.sleep(seconds / _SLOTS)
        for kind in wanted:
            for key in store.keys(kind):
                if zlib.crc32(key.name.encode()) % _SLOTS == slot:
                    queue.add(key)
        slot = (slot + 1) % _SLOTS
