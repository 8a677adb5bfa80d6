"""`Guard`: what kopf does not tell is found by a list of ours."""

import asyncio
from collections.abc import Callable

import pytest

from tests.unit.shell.bodies import a_dataset
from tests.unit.shell.fake_api import FakeApi
from tidemill.adapters.resources import OWN
from tidemill.errors import TransientError
from tidemill.shell import guard as module
from tidemill.shell.guard import Guard
from tidemill.shell.informer import Scope
from tidemill.shell.store import Key, Store

TIDES = Key("Dataset", "sea", "tides")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(module, "_RETRY_SECONDS", (0.0, 0.0))


async def watch_over(
    api: FakeApi, store: Store, meanwhile: Callable[[Guard], None], until: Callable[[], bool],
    resync_seconds: float = 1000.0,
) -> Guard:  # fmt: skip
    """Run a guard; once it is synced do `meanwhile`, and wait for `until`."""
    guard = Guard(api, [Scope(type=OWN["Dataset"])], store, resync_seconds=resync_seconds)
    task = asyncio.create_task(guard.run())
    async with asyncio.timeout(5):
        while not guard.synced:
            await asyncio.sleep(0)
        meanwhile(guard)
        while not until():
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return guard


async def test_it_fills_the_store_first() -> None:
    api, store = FakeApi(), Store()
    api.put(a_dataset())

    await watch_over(api, store, lambda guard: None, lambda: True)

    assert store.get(*TIDES) is not None


async def test_what_was_deleted_is_found_when_asked_to_look() -> None:
    api, store = FakeApi(), Store()
    api.put(a_dataset())

    def lose(guard: Guard) -> None:
        api.objects.clear()
        api.version += 1
        guard.ask("Dataset")

    await watch_over(api, store, lose, lambda: store.get(*TIDES) is None)

    assert len(api.asked) == 2


async def test_each_resync_lists_too() -> None:
    api, store = FakeApi(), Store()
    api.put(a_dataset())

    await watch_over(
        api, store, lambda guard: api.objects.clear(),
        lambda: len(api.asked) > 2, resync_seconds=0.01,
    )  # fmt: skip

    api.version += 1


async def test_it_is_not_synced_while_it_cannot_list() -> None:
    api, store = FakeApi(), Store()
    seen: list[bool] = []

    def fail(guard: Guard) -> None:
        api.failures = [("list", TransientError("503"))] * 3
        api.before = lambda verb: seen.append(guard.synced)
        guard.ask()

    await watch_over(api, store, fail, lambda: len(seen) == 4)

    assert seen == [True, False, False, False]
