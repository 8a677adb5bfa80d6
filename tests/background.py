"""An event loop in a thread of its own, for what has to go on while a test waits."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
_PATIENCE = 60.0
_CLOSING = 5.0


class Background:
    """Runs coroutines for a test that is not one."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> "Background":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.run(self._end())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(_PATIENCE)
            self.loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end and return its answer."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_PATIENCE)

    def enter(self, what: AbstractAsyncContextManager[T]) -> T:
        """Enter something that is left when this ends."""
        return self.run(self._stack.enter_async_context(what))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something run beside the test until this ends. What it raises fails the test."""

        async def begin() -> None:
            self._tasks.add(asyncio.create_task(work))

        self.run(begin())

    def check(self) -> None:
        """Raise what something that was started has died of."""
        for task in list(self._tasks):
            if task.done() and not task.cancelled():
                self._tasks.discard(task)
                task.result()

    async def _end(self) -> None:
        dead = [task for task in self._tasks if task.done()]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                while self._open():  # TLS takes its leave of the other end
                    await asyncio.sleep(0.01)
        for task in dead:
            if not task.cancelled():
                task.result()

    def _open(self) -> bool:
        sockets = [one.get_extra_info("socket") for one in vars(self.loop)["_transports"].values()]
        return any(one.fileno() >= 0 for one in sockets)
