"""How the demo speaks: chapters, facts, tables and progress, each line with the time elapsed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

T = TypeVar("T")


class StoryError(Exception):
    """The story did not go as told; the message says what was expected and what was seen."""


@dataclass
class Narrator:
    """Prints the story. On a terminal, long work shows a moving bar; in a file, one line each."""

    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    started: float = field(default_factory=time.monotonic)

    def clock(self) -> str:
        """Time since the demo began, as m:ss."""
        passed = int(time.monotonic() - self.started)
        return f"{passed // 60:2d}:{passed % 60:02d}"

    def chapter(self, title: str) -> None:
        """A new part of the story."""
        self.console.print(f"\n[bold cyan]{self.clock()}  {escape(title)}[/]")

    def say(self, text: str) -> None:
        """One fact."""
        self.console.print(f"[dim]{self.clock()}[/]  {escape(text)}")

    def show(self, text: str) -> None:
        """Something to read as it is, such as a command or its output."""
        for line in text.rstrip().splitlines():
            self.console.print(f"         {escape(line)}", style="green")

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """A small table."""
        table = Table(*columns, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[str, float | None], None]]:
        """Long work: a bar on a terminal; the callback takes a note and a share done (or None)."""
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        begun = time.monotonic()
        last = ""
        with bar:
            task = bar.add_task(what, total=None, note="")

            def update(note: str, share: float | None = None) -> None:
                nonlocal last
                bar.update(
                    task, note=note, total=None if share is None else 1.0, completed=share or 0.0
                )
                if note != last and note and not self.console.is_terminal:
                    self.say(f"  ... {what}: {note}")
                last = note

            yield update
        self.say(f"{what}: {time.monotonic() - begun:.0f} s")


def wait_for(
    look: Callable[[], T | None],
    what: str,
    seconds: float,
    *,
    pause: float = 1.0,
    on_wait: Callable[[], None] | None = None,
) -> T:
    """Look again until something is seen. Raises StoryError after `seconds`."""
    deadline = time.monotonic() + seconds
    while (seen := look()) is None:
        if time.monotonic() > deadline:
            raise StoryError(f"waited {seconds:.0f} s for {what}")
        if on_wait is not None:
            on_wait()
        time.sleep(pause)
    return seen
