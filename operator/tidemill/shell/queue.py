"""The work queue: which objects are to be looked at, and when.

Level-triggered: a key is either wanted or not, however often it was asked for. One key is worked
on by one worker at a time; asked for meanwhile, it comes again afterwards. What a person changed
goes before what only came round again. A key that failed waits longer each time; one that never
ceases to write is held to a pace.
"""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from tidemill.shell.store import Key

BASE_SECONDS = 0.005
CAP_SECONDS = 10.0
BURST = 40
"""So many passes in a row may write before the pace holds: twice what a short rollout needs."""
PACE_SECONDS = 1.0
"""How far apart passes that write are in the long run, whatever their plan says."""
_EVERY_NTH_IS_PATIENT = 8
"""One in so many turns goes to the patient lane, that it starves never."""


class Timer(Protocol):
    """What `call_later` gives back."""

    def cancel(self) -> None:
        """Do not call."""
        ...


CallLater = Callable[[float, Callable[[], None]], Timer]


class Queue:
    """Keys to work on. All methods belong to one event loop; only `get` waits."""

    def __init__(
        self,
        *,
        call_later: CallLater | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._urgent: OrderedDict[Key, float] = OrderedDict()
        self._patient: OrderedDict[Key, float] = OrderedDict()
        self._running: set[Key] = set()
        self._again: dict[Key, bool] = {}
        self._timers: dict[Key, tuple[float, Timer]] = {}
        self._streaks: dict[Key, int] = {}
        self._spent: OrderedDict[Key, float] = OrderedDict()
        self._call_later = call_later
        self._clock = clock
        self._chance = chance
        self._turns = 0
        self._wakeup = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        """How many keys are waiting or being worked on; those that wait for a time are not."""
        return len(self._urgent) + len(self._patient) + len(self._running)

    @property
    def lanes(self) -> dict[str, int]:
        """How many keys are waiting in each lane, being worked on, and put off."""
        return {
            "urgent": len(self._urgent),
            "patient": len(self._patient),
            "running": len(self._running),
        }

    @property
    def delayed(self) -> int:
        """How many keys wait for their time."""
        return len(self._timers)

    def add(self, key: Key, *, urgent: bool = False) -> None:
        """Have a key looked at as soon as a worker is free."""
        if key in self._running:
            self._again[key] = urgent or self._again.get(key, False)
            return
        if key in self._urgent:
            return
        since = self._clock()
        if urgent:
            since = self._patient.pop(key, since)
            self._urgent[key] = since
        elif key not in self._patient:
            self._patient[key] = since
        self._wakeup.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Have a key looked at in a while; the earlier of two such times counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock() + seconds
        held = self._timers.get(key)
        if held is not None:
            if held[0] <= due:
                return
            held[1].cancel()
        later = self._call_later or asyncio.get_running_loop().call_later
        self._timers[key] = (due, later(seconds, lambda: self._due(key)))

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a key: its object is gone."""
        self._streaks.pop(key, None)
        self._spent.pop(key, None)
        held = self._timers.pop(key, None)
        if held is not None:
            held[1].cancel()

    async def get(self) -> tuple[Key, float] | None:
        """Wait for the next key; with it how long it has waited. `done` must follow.

        None once the queue is closed.
        """
        while not self._closed:
            lane = self._next_lane()
            if lane:
                key, since = lane.popitem(last=False)
                self._running.add(key)
                return key, self._clock() - since
            self._wakeup.clear()
            await self._wakeup.wait()
        return None

    def done(self, key: Key) -> None:
        """A worker has finished with a key."""
        self._running.discard(key)
        urgent = self._again.pop(key, None)
        if urgent is not None:
            self.add(key, urgent=urgent)

    def settle(self, key: Key, requeue_after: float | None) -> None:
        """A pass of this key found nothing to do: forget its streak, and look again at its time.

        The newest pass knows best when that is; what an older one had asked for is dropped.
        """
        self._streaks.pop(key, None)
        held = self._timers.pop(key, None)
        if held is not None:
            held[1].cancel()
        if requeue_after is not None:
            self.add_after(key, max(requeue_after, BASE_SECONDS))

    def again(self, key: Key, seconds: float = 0.0) -> float:
        """Look again so soon after a pass that wrote; later, if it has written too often of late.

        Takes the place of what would have woken it right after this pass. Returns the seconds.
        """
        now = self._clock()
        self._streaks.pop(key, None)
        spent = max(self._spent.pop(key, now), now) + PACE_SECONDS
        spent = min(spent, now + BURST * PACE_SECONDS + CAP_SECONDS)
        self._spent[key] = spent
        while next(iter(self._spent.values())) <= now:
            self._spent.popitem(last=False)
        seconds = max(seconds, spent - now - BURST * PACE_SECONDS)
        self._put_off(key, seconds)
        return seconds

    def back_off(self, key: Key, at_least: float = 0.0) -> float:
        """Put a key off: not at all the first time, then longer each time until `settle`.

        Takes the place of what would have woken it right after this pass. Returns the seconds.
        """
        streak = self._streaks.get(key, 0)
        self._streaks[key] = streak + 1
        delay = min(BASE_SECONDS * 2.0 ** min(streak - 1, 32), CAP_SECONDS) if streak else 0.0
        seconds = max(delay * (0.5 + self._chance()), at_least)
        self._put_off(key, seconds)
        return seconds

    def close(self) -> None:
        """Have all waiting workers end; no key is handed out any more."""
        self._closed = True
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._wakeup.set()

    def _put_off(self, key: Key, seconds: float) -> None:
        if not self._again.get(key, False):  # an urgent wish is not put off
            self._again.pop(key, None)
        self.add_after(key, seconds)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _next_lane(self) -> OrderedDict[Key, float]:
        self._turns += 1
        first, second = self._urgent, self._patient
        if self._turns % _EVERY_NTH_IS_PATIENT == 0:
            first, second = second, first
        return first or second
