"""`Informer`: the store is true again after whatever the API server did."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from tests.unit.shell.bodies import a_service
from tests.unit.shell.fake_api import FakeApi
from tidemill.adapters.apiserver import WatchEvent
from tidemill.adapters.resources import TYPES, ResourceType
from tidemill.core.plan import Body
from tidemill.errors import TerminalError, TidemillError, TransientError
from tidemill.shell import informer as module
from tidemill.shell.informer import Informer, Scope
from tidemill.shell.store import Key, Store

MILL = Key("Service", "sea", "mill")
Script = list[WatchEvent | TidemillError | None]


class Streams(FakeApi):
    """A fake whose watches follow scripts: events, an error, or None for the stream's end."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[Script] = []
        self.quiet = asyncio.Event()
        """Set when the last script is used up: that stream stays open."""

    async def watch(
        self, type_: ResourceType, namespace: str, selector: str, since: str
    ) -> AsyncGenerator[WatchEvent, None]:
        self.asked.append(f"watch {since}")
        if not self.scripts:
            self.quiet.set()
            await asyncio.Event().wait()
        for step in self.scripts.pop(0):
            if step is None:
                return
            if isinstance(step, TidemillError):
                raise step
            yield step
        self.quiet.set()
        await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(module, "_LONGEST_WAIT", 0.002)


async def follow(
    api: Streams, store: Store, *, selector: str = "", until: Callable[[], bool] | None = None,
    optional: bool = False,
) -> Informer:  # fmt: skip
    """Run an informer until the scripts are used up."""
    scope = Scope(type=TYPES["Service"], selector=selector, optional=optional)
    one = Informer(api, scope, store, resync_seconds=0.01)
    task = asyncio.create_task(one.run())
    try:
        async with asyncio.timeout(5):
            if until is None:
                await api.quiet.wait()
            else:
                while not until():
                    await asyncio.sleep(0)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return one


def event(type_: str, version: int, **more: str) -> WatchEvent:
    return WatchEvent(type_, a_service(uid=more.get("uid", "s"), version=version))


async def test_it_lists_then_watches_from_the_lists_version() -> None:
    api, store = Streams(), Store()
    api.put(a_service())

    informer = await follow(api, store)

    assert api.asked == ["list Service/", "watch 101"]
    assert store.get(*MILL) is not None
    assert informer.synced


async def test_events_change_the_store_and_bookmarks_only_the_place() -> None:
    api, store = Streams(), Store()
    bookmark = WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "150"}})
    api.scripts = [[event("ADDED", 110), event("MODIFIED", 120), bookmark, None], []]

    await follow(api, store)

    record = store.record(MILL)
    assert record is not None and record.version == 120
    assert api.asked == ["list Service/", "watch 100", "watch 150"]


async def test_a_deleted_event_takes_the_object_out() -> None:
    api, store = Streams(), Store()
    api.scripts = [[event("ADDED", 110), event("DELETED", 111)]]

    await follow(api, store)

    assert store.get(*MILL) is None


@pytest.mark.parametrize(
    "error",
    [TransientError("410"), TransientError("429", 0.001), TerminalError("Forbidden", "no")],
    ids=["gone", "busy", "forbidden"],
)
async def test_any_error_begins_again_with_a_list(error: TidemillError) -> None:
    api, store = Streams(), Store()
    api.scripts = [[event("ADDED", 110), error], []]

    await follow(api, store)

    assert api.asked == ["list Service/", "watch 100", "list Service/", "watch 100"]


async def test_what_was_deleted_while_nobody_watched_is_found_by_the_list() -> None:
    api, store = Streams(), Store()
    live = api.put(a_service())
    api.scripts = [[TransientError("410")], []]

    def forget(verb: str) -> None:
        if verb == "list" and len(api.asked) > 1:
            api.objects.clear()
            api.version += 1

    api.before = forget
    heard: list[bool] = []
    store.subscribe(lambda change: heard.append(change.after is not None))

    await follow(api, store)

    assert heard == [True, False]
    assert store.put(live) is None


async def test_a_list_that_fails_is_tried_again_until_it_does_not() -> None:
    api, store = Streams(), Store()
    api.failures = [("list", TransientError("503"))] * 3

    informer = await follow(api, store)

    assert api.asked == ["list Service/"] * 4 + ["watch 100"]
    assert informer.synced


async def test_it_is_not_synced_while_it_cannot_list() -> None:
    api, store = Streams(), Store()
    api.failures = [("list", TransientError("503"))] * 1000

    informer = await follow(api, store, until=lambda: len(api.asked) > 3)

    assert not informer.synced


async def test_something_unheard_of_is_survived() -> None:
    api, store = Streams(), Store()
    nonsense: Body = {"metadata": {"resourceVersion": "x"}}
    api.scripts = [[WatchEvent("ADDED", nonsense)], []]

    await follow(api, store)

    assert api.asked.count("list Service/") == 2


async def test_an_optional_kind_that_is_absent_counts_as_synced_and_is_looked_for() -> None:
    api, store = Streams(), Store()
    api.failures = [("list", TerminalError("NotFound", "no such resource"))] * 2

    informer = await follow(api, store, optional=True)

    assert informer.synced
    assert store.served("Service")
    assert api.asked == ["list Service/"] * 3 + ["watch 100"]


async def test_an_absent_kind_is_not_served() -> None:
    api, store = Streams(), Store()
    api.failures = [("list", TerminalError("NotFound", "no such resource"))] * 1000

    await follow(api, store, optional=True, until=lambda: len(api.asked) > 2)

    assert not store.served("Service")


async def test_an_absent_kind_that_is_needed_is_looked_for_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WANTED_SECONDS", 0.001)
    api, store, appeared = Streams(), Store(), list[str]()
    api.failures = [("list", TerminalError("NotFound", "no such resource"))] * 3
    scope = Scope(type=TYPES["HTTPRoute"], optional=True)
    one = Informer(api, scope, store, resync_seconds=1000, appeared=appeared.append)
    task = asyncio.create_task(one.run())
    async with asyncio.timeout(5):
        while not one.synced:
            await asyncio.sleep(0)
        one.want()
        await api.quiet.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert appeared == ["HTTPRoute"]
    assert api.asked == ["list HTTPRoute/"] * 4 + ["watch 100"]


async def test_a_kind_that_must_be_there_and_is_not_keeps_it_unready() -> None:
    api, store = Streams(), Store()
    api.failures = [("list", TerminalError("NotFound", "no such resource"))] * 1000

    informer = await follow(api, store, until=lambda: len(api.asked) > 3)

    assert not informer.synced
