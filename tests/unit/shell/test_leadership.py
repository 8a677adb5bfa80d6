"""`Leadership`: who may write, measured on a clock that only goes forward."""

import pytest

from tests.unit.shell.fake_api import FakeApi
from tidemill.core.plan import Body
from tidemill.errors import TransientError
from tidemill.shell.leadership import Leadership
from tidemill.shell.store import Key

LEASE = Key("Lease", "system", "operator")


class Clock:
    """A monotonic clock moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


def candidate(api: FakeApi, clock: Clock) -> Leadership:
    return Leadership(api, "system", "operator", "pod", clock=clock)


def spec(api: FakeApi) -> Body:
    held: Body = api.objects[LEASE]["spec"]
    return held


async def test_without_a_lease_the_first_one_leads(api: FakeApi, clock: Clock) -> None:
    one = candidate(api, clock)

    assert await one._attempt()

    assert one.held
    assert spec(api)["holderIdentity"] == one.identity
    assert spec(api)["leaseDurationSeconds"] == 15


async def test_two_processes_of_one_host_are_two(api: FakeApi, clock: Clock) -> None:
    assert candidate(api, clock).identity != candidate(api, clock).identity


async def test_a_second_one_waits_while_the_first_renews(api: FakeApi, clock: Clock) -> None:
    one, two = candidate(api, clock), candidate(api, clock)
    await one._attempt()

    for _ in range(20):
        clock.now += 2
        assert await one._attempt()
        assert not await two._attempt()

    assert spec(api)["leaseTransitions"] == 0


async def test_a_lease_that_stands_still_for_its_whole_duration_is_taken(
    api: FakeApi, clock: Clock
) -> None:
    one, two = candidate(api, clock), candidate(api, clock)
    await one._attempt()

    assert not await two._attempt()
    clock.now += 14.9
    assert not await two._attempt()
    clock.now += 0.2
    assert await two._attempt()

    assert spec(api)["holderIdentity"] == two.identity
    assert spec(api)["leaseTransitions"] == 1


async def test_the_first_has_stopped_writing_five_seconds_before_that(
    api: FakeApi, clock: Clock
) -> None:
    one = candidate(api, clock)
    await one._attempt()

    clock.now += 9.9
    one.fence()
    clock.now += 0.2
    with pytest.raises(TransientError, match="does not lead"):
        one.fence()


async def test_a_renewal_counts_from_before_it_was_sent(api: FakeApi, clock: Clock) -> None:
    one = candidate(api, clock)
    await one._attempt()

    def slow(verb: str) -> None:
        clock.now += 4

    api.before = slow
    await one._attempt()
    clock.now += 6.1

    assert not one.held


async def test_trouble_does_not_end_leadership_before_the_deadline(
    api: FakeApi, clock: Clock
) -> None:
    one = candidate(api, clock)
    await one._attempt()
    api.failures = [("update", TransientError("503"))] * 3

    for _ in range(3):
        clock.now += 2
        assert not await one._attempt()
    assert one.held

    assert await one._attempt()


async def test_who_lost_a_race_reads_again_and_yields(api: FakeApi, clock: Clock) -> None:
    one = candidate(api, clock)
    await one._attempt()
    stolen = {**api.objects[LEASE], "spec": {**spec(api), "holderIdentity": "another"}}
    api.put(stolen)

    assert not await one._attempt()
    assert not await one._attempt()

    assert spec(api)["holderIdentity"] == "another"


async def test_a_released_lease_is_taken_at_once(api: FakeApi, clock: Clock) -> None:
    one, two = candidate(api, clock), candidate(api, clock)
    await one._attempt()

    await one.release()

    assert not one.held
    assert await two._attempt()


async def test_who_does_not_lead_releases_nothing(api: FakeApi, clock: Clock) -> None:
    one, two = candidate(api, clock), candidate(api, clock)
    await one._attempt()
    await two._attempt()
    api.asked.clear()

    await two.release()

    assert api.asked == []
