"""`Queue`: who comes next, when, and how often."""

import asyncio
from collections.abc import Callable

import pytest

from tidemill.shell.queue import BURST, CAP_SECONDS, PACE_SECONDS, Queue
from tidemill.shell.store import Key

A, B, C = (Key("Dataset", "sea", name) for name in "abc")


class Time:
    """A clock that is moved by hand, with its timers."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> "Timer":
        timer = Timer(self.now + seconds, call)
        self.timers.append(timer)
        return timer

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        for timer in [item for item in self.timers if item.due <= self.now and not item.over]:
            timer.over = True
            timer.call()


class Timer:
    """One call at a time to come."""

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due, self.call, self.over = due, call, False

    def cancel(self) -> None:
        self.over = True


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def queue(time: Time) -> Queue:
    return Queue(call_later=time.call_later, clock=lambda: time.now, chance=lambda: 0.5)


def ready(queue: Queue) -> list[Key]:
    """All keys a worker could take now, in their order; each is done at once."""
    found = []
    while queue.lanes["urgent"] + queue.lanes["patient"]:
        taken = asyncio.run(_get(queue))
        found.append(taken)
        queue.done(taken)
    return found


async def _get(queue: Queue) -> Key:
    taken = await queue.get()
    assert taken is not None
    return taken[0]


def test_a_key_asked_for_twice_comes_once(queue: Queue) -> None:
    queue.add(A)
    queue.add(B)
    queue.add(A)

    assert ready(queue) == [A, B]


def test_urgent_keys_come_first_and_a_waiting_key_may_become_urgent(queue: Queue) -> None:
    queue.add(A)
    queue.add(B)
    queue.add(C, urgent=True)
    queue.add(B, urgent=True)

    assert ready(queue) == [C, B, A]


def test_an_urgent_key_stays_urgent(queue: Queue) -> None:
    queue.add(A)
    queue.add(B, urgent=True)
    queue.add(B)

    assert ready(queue) == [B, A]


def test_the_patient_are_not_starved(queue: Queue) -> None:
    for number in range(20):
        queue.add(Key("Dataset", "sea", f"u{number}"), urgent=True)
    queue.add(A)

    assert ready(queue).index(A) < 8


async def test_a_key_is_worked_on_once_at_a_time_and_comes_again_if_asked(queue: Queue) -> None:
    queue.add(A)
    assert await _get(queue) == A

    queue.add(A)
    assert queue.lanes == {"urgent": 0, "patient": 0, "running": 1}
    queue.done(A)

    assert queue.lanes == {"urgent": 0, "patient": 1, "running": 0}


async def test_what_became_urgent_during_its_pass_comes_again_urgently(queue: Queue) -> None:
    queue.add(A)
    await _get(queue)
    queue.add(A, urgent=True)
    queue.add(A)

    queue.done(A)

    assert queue.lanes["urgent"] == 1


async def test_a_worker_waits_for_a_key(queue: Queue) -> None:
    waiting = asyncio.create_task(_get(queue))
    await asyncio.sleep(0)
    queue.add(A)

    assert await waiting == A


async def test_get_says_how_long_a_key_has_waited(queue: Queue, time: Time) -> None:
    queue.add(A)
    time.pass_by(3)
    queue.add(A, urgent=True)

    assert await queue.get() == (A, 3.0)


def test_a_delayed_key_comes_at_its_time(queue: Queue, time: Time) -> None:
    queue.add_after(A, 5)
    time.pass_by(4.9)
    assert ready(queue) == []

    time.pass_by(0.2)
    assert ready(queue) == [A]


def test_of_two_delays_the_earlier_counts(queue: Queue, time: Time) -> None:
    queue.add_after(A, 5)
    queue.add_after(A, 50)
    queue.add_after(A, 2)

    time.pass_by(2)
    assert ready(queue) == [A]
    time.pass_by(100)
    assert ready(queue) == []


def test_settling_replaces_what_was_due(queue: Queue, time: Time) -> None:
    queue.add_after(A, 5)
    queue.settle(A, 60)
    time.pass_by(10)
    assert ready(queue) == []

    time.pass_by(50)
    assert ready(queue) == [A]


def test_settling_without_a_time_leaves_only_changes_to_wake_it(queue: Queue, time: Time) -> None:
    queue.add_after(A, 5)
    queue.settle(A, None)
    time.pass_by(1000)

    assert ready(queue) == []


def test_backing_off_begins_at_once_doubles_and_is_capped(queue: Queue) -> None:
    waits = [queue.back_off(A) for _ in range(20)]

    assert waits[:5] == [0.0, 0.005, 0.01, 0.02, 0.04]
    assert waits[-1] == CAP_SECONDS


def test_settling_ends_a_streak(queue: Queue) -> None:
    for _ in range(10):
        queue.back_off(A)
    queue.settle(A, None)

    assert queue.back_off(A) == 0.0


def test_backing_off_is_jittered(time: Time) -> None:
    lucky = Queue(call_later=time.call_later, clock=lambda: time.now, chance=lambda: 0.0)
    unlucky = Queue(call_later=time.call_later, clock=lambda: time.now, chance=lambda: 1.0)
    for queue in (lucky, unlucky):
        queue.back_off(A)

    assert (lucky.back_off(A), unlucky.back_off(A)) == (0.0025, 0.0075)


def test_a_server_that_asks_for_more_time_gets_it(queue: Queue, time: Time) -> None:
    assert queue.back_off(A, 30.0) == 30.0
    time.pass_by(29)
    assert ready(queue) == []
    time.pass_by(1)
    assert ready(queue) == [A]


async def test_backing_off_takes_the_place_of_a_wish_during_the_pass(
    queue: Queue, time: Time
) -> None:
    queue.back_off(A)
    queue.add(A)
    await _get(queue)
    queue.add(A)
    queue.back_off(A)
    queue.done(A)

    assert queue.lanes["patient"] == 0
    time.pass_by(1)
    assert queue.lanes["patient"] == 1


async def test_a_person_is_not_made_to_wait_by_a_streak(queue: Queue) -> None:
    for _ in range(10):
        queue.back_off(A)
    queue.add(A)
    await _get(queue)
    queue.add(A, urgent=True)
    queue.back_off(A)
    queue.done(A)

    assert queue.lanes["urgent"] == 1


def test_what_writes_comes_again_at_once_even_long_into_a_rollout(queue: Queue, time: Time) -> None:
    for _ in range(100):
        assert [queue.again(A) for _ in range(4)] == [0.0] * 4
        time.pass_by(4)


def test_what_never_ceases_to_write_is_held_to_a_pace(queue: Queue, time: Time) -> None:
    assert [queue.again(A) for _ in range(BURST)] == [0.0] * BURST

    for _ in range(5):
        assert queue.again(A) == PACE_SECONDS
        time.pass_by(PACE_SECONDS)

    assert queue.again(B) == 0.0


def test_the_pace_is_never_slower_than_the_cap(queue: Queue) -> None:
    assert [queue.again(A) for _ in range(1000)][-1] == CAP_SECONDS


def test_a_write_ends_a_streak_of_failures(queue: Queue) -> None:
    for _ in range(10):
        queue.back_off(A)
    queue.again(A)

    assert queue.back_off(A) == 0.0


def test_what_has_rested_is_not_remembered(queue: Queue, time: Time) -> None:
    for number in range(1000):
        queue.again(Key("Dataset", "sea", f"d{number}"))
        time.pass_by(1)

    assert len(queue._spent) == 1


async def test_a_closed_queue_hands_out_nothing(queue: Queue) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close()

    assert await waiting is None
    queue.add(A)
    assert await queue.get() is None


def test_a_forgotten_key_is_not_due_any_more(queue: Queue, time: Time) -> None:
    queue.add_after(A, 5)
    queue.forget(A)
    time.pass_by(10)

    assert ready(queue) == []
    assert queue.delayed == 0
