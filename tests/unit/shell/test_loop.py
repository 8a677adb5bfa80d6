"""`Loop` and `resync`: where a key goes after its pass."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from tests.unit.shell.bodies import a_dataset
from tidemill.errors import ConflictError, TerminalError, TransientError
from tidemill.shell.loop import Loop, resync
from tidemill.shell.passes import Outcome, Passes
from tidemill.shell.queue import Queue
from tidemill.shell.store import Key, Store
from tidemill.shell.telemetry import CURRENT, Telemetry

TIDES = Key("Dataset", "sea", "tides")


class Delays(Queue):
    """A queue that notes what it is told after a pass."""

    def __init__(self) -> None:
        super().__init__(chance=lambda: 0.5)
        self.told: list[str] = []

    def back_off(self, key: Key, at_least: float = 0.0) -> float:
        self.told.append(f"back off {at_least:g}")
        return at_least

    def again(self, key: Key, seconds: float = 0.0) -> float:
        self.told.append(f"again {seconds:g}")
        return seconds

    def settle(self, key: Key, requeue_after: float | None) -> None:
        self.told.append(f"settle {requeue_after}")

    def forget(self, key: Key) -> None:
        self.told.append("forget")


class Scripted:
    """Passes that answer as told."""

    def __init__(self, answer: Outcome | Exception, after: Callable[[], None]) -> None:
        self.answer, self.after = answer, after
        self.current: list[Key | None] = []

    async def run(self, key: Key) -> Outcome:
        self.current.append(CURRENT.get())
        self.after()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


CASES: dict[str, tuple[Outcome | Exception, str]] = {
    "a claim comes again at once": (Outcome("Claimed"), "again 0"),
    "a write comes again very soon": (Outcome("Wrote", 60.0), "again 0.005"),
    "an idle pass waits for its time": (Outcome("Idle", 60.0), "settle 60.0"),
    "an idle pass without a time waits for a change": (Outcome("Idle"), "settle None"),
    "a stalled object waits for a change or a resync": (Outcome("Stalled"), "settle None"),
    "a terminating namespace needs nothing": (Outcome("Ended"), "settle None"),
    "what is gone is forgotten": (Outcome("Gone"), "forget"),
    "a conflict looks again": (ConflictError("moved"), "back off 0.005"),
    "a busy server is given its time": (TransientError("busy", 7.0), "back off 7"),
    "other trouble backs off": (TransientError("down"), "back off 0.005"),
    "an object deleted meanwhile": (TerminalError("NotFound", "gone"), "settle 5.0"),
    "a status that is refused": (TerminalError("Invalid", "no"), "back off 5"),
    "a bug": (ZeroDivisionError(), "back off 5"),
}


@pytest.mark.parametrize(("answer", "told"), CASES.values(), ids=CASES)
async def test_after_a_pass(answer: Outcome | Exception, told: str) -> None:
    queue, telemetry = Delays(), Telemetry()
    passes = Scripted(answer, queue.close)
    queue.add(TIDES)

    await Loop(queue, cast("Passes", passes), telemetry).work(1)

    assert queue.told == [told]
    assert queue.lanes["running"] == 0
    assert passes.current == [TIDES]
    assert CURRENT.get() is None


async def test_a_resync_comes_by_every_object(monkeypatch: pytest.MonkeyPatch) -> None:
    store, queue = Store(), Queue()
    keys = [Key("Dataset", "sea", f"d{number}") for number in range(20)]
    for number, key in enumerate(keys):
        store.put(a_dataset(key.name, uid=f"u{number}", version=number + 1))
    store.put({**a_dataset("other", uid="x", version=90), "kind": "TrainingJob"})
    naps = 0

    async def nap(seconds: float) -> None:
        nonlocal naps
        naps += 1
        assert seconds == 20.0
        if naps > 30:
            raise asyncio.CancelledError

    monkeypatch.setattr("tidemill.shell.loop.asyncio.sleep", nap)
    with pytest.raises(asyncio.CancelledError):
        await resync(store, queue, ["Dataset"], 600.0)

    assert queue.lanes["patient"] == 20
