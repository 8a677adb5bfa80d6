"""Waiting for a condition with a deadline; the only way tests here let time pass."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T], timeout: float = 30.0, what: str = "", interval: float = 0.05
) -> T:
    """Return the condition's first true answer; fail, saying `what`, when there is none in time."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(
                f"{what or getattr(condition, '__name__', 'the condition')} did not hold within "
                f"{timeout:g} s; the last answer was {answer!r}"
            )
        time.sleep(interval)


def stays(condition: Callable[[], bool], seconds: float, what: str, interval: float = 0.1) -> None:
    """Fail when the condition stops holding before so many seconds have passed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"{what} stopped holding"
        time.sleep(interval)
