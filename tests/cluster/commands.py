"""Running other programs to their end, with their output kept."""

from __future__ import annotations

import fcntl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class ClusterError(Exception):
    """Something about the cluster went wrong, in words for the person who asked for it."""


def tail(path: Path, lines: int = 25) -> str:
    """Return the last lines of a log, or why there are none."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(text.splitlines()[-lines:])


def run(
    argv: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 1800.0,
) -> None:
    """Run a program with its output appended to `log`; on failure raise with the log's tail."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in argv]
    with log.open("ab") as out:
        out.write(f"$ {' '.join(words)}\n".encode())
        out.flush()
        try:
            code = subprocess.run(
                words, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                env=env, cwd=cwd, timeout=timeout, check=False,
            ).returncode  # fmt: skip
        except FileNotFoundError as error:
            raise ClusterError(f"{words[0]} is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"{words[0]} did not end in {timeout:.0f} s; see {log}") from error
    if code != 0:
        raise ClusterError(f"{words[0]} failed ({code}); the end of {log}:\n{tail(log)}")


def output(argv: Sequence[str | Path], *, data: str | None = None, timeout: float = 120.0) -> str:
    """Return what a program prints; on failure raise with what it complained of."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, input=data, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{words[0]} did not end in {timeout:.0f} s") from error
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(words)} failed ({done.returncode}): {done.stderr.strip()}")
    return done.stdout


def wait_until(
    condition: Callable[[], bool], what: str, *, timeout: float, interval: float = 0.1
) -> None:
    """Wait for a condition; raise when it does not hold by the deadline."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} did not happen within {timeout:.0f} s")
        time.sleep(interval)


def keep_trying(action: Callable[[], None], *, timeout: float, interval: float = 1.0) -> None:
    """Do something until it succeeds; at the deadline its last failure is raised."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return action()
        except ClusterError:
            if time.monotonic() > deadline:
                raise
        time.sleep(interval)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file, waiting for whoever holds it; the kernel frees it if we crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
