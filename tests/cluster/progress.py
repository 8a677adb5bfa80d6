"""One line per piece of work, with the time it took, and a spinner where somebody watches."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_HEARTBEAT_SECONDS = 30.0


@dataclass
class Step:
    """A piece of work under way; `note` ends up on its line."""

    title: str
    note: str = ""
    quiet: bool = False


def say(text: str) -> None:
    """Print one line for people; stdout stays free for results."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Show a piece of work: a spinner on a terminal, a sign of life every half minute elsewhere."""
    current = Step(title)
    done = threading.Event()
    start = time.monotonic()
    watcher = threading.Thread(target=_watch, args=(current, done, start), daemon=True)
    watcher.start()
    mark = "failed"
    try:
        yield current
        mark = "ok"
    finally:
        done.set()
        watcher.join()
        if not (current.quiet and mark == "ok"):
            say(line(mark, current, time.monotonic() - start))


def line(mark: str, current: Step, seconds: float) -> str:
    """Return the line that ends a step."""
    note = f"  ({current.note})" if current.note else ""
    return f"{mark:>6}  {current.title:<44}{elapsed(seconds):>9}{note}"


def elapsed(seconds: float) -> str:
    """Return a duration as people write it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def _watch(current: Step, done: threading.Event, start: float) -> None:
    terminal = sys.stderr.isatty()
    frame = 0
    while not done.wait(0.1 if terminal else _HEARTBEAT_SECONDS):
        spent = time.monotonic() - start
        if not terminal:
            say(line("...", current, spent))
            continue
        frame += 1
        text = line(_FRAMES[frame % len(_FRAMES)], current, spent)
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
    if terminal:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
