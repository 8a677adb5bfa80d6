"""Debian's packages, installed where they are missing, and their programs run unprivileged."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 60.0
_POLICY = Path("/usr/sbin/policy-rc.d")
_FORBIDS = "#!/bin/sh\nexit 101\n"


def program(package: str, pattern: str) -> Path:
    """The newest file below / that a pattern finds; its package is installed if there is none."""
    found = sorted(Path("/").glob(pattern.lstrip("/")))
    if not found:
        _install(package)
        found = sorted(Path("/").glob(pattern.lstrip("/")))
    assert found, f"{package} brought no {pattern}"
    return found[-1]


def _install(package: str) -> None:
    """Install a package without what it recommends; no service of its own is started."""
    assert shutil.which("apt-get"), f"please install {package}: there is no apt-get here"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text(_FORBIDS)
        _POLICY.chmod(0o755)
    try:
        for argv in (["update"], ["install", "-y", "--no-install-recommends", package]):
            subprocess.run(
                ["apt-get", "-qq", *argv], env=environment, check=True, capture_output=True
            )
    finally:
        if ours:
            _POLICY.unlink()


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Home:
    """A directory of one server, and the user it runs as: never root."""

    directory: Path
    user: str | None

    def run(self, argv: Sequence[str | Path], **more: object) -> None:
        """Run a program to its end as the server's user."""
        subprocess.run(argv, user=self.user, check=True, cwd=self.directory, **more)  # type: ignore[call-overload]

    @contextmanager
    def running(
        self,
        argv: Sequence[str | Path],
        ready: Callable[[], object],
        stop: signal.Signals = signal.SIGTERM,
    ) -> Iterator[None]:
        """Run a program until the end of the block; it is ready when `ready` raises nothing."""
        log = self.directory / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                argv, user=self.user, cwd=self.directory, stdout=out, stderr=out
            )
        try:
            _wait(process, ready, log)
            yield
        finally:
            process.send_signal(stop)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            ready()
        except Exception as error:
            gone = process.poll() is not None
            if gone or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-2000:]
                raise AssertionError(f"{process.args!r} did not start: {error}\n{said}") from error
            time.sleep(0.05)
        else:
            return


@contextmanager
def home(name: str) -> Iterator[Home]:
    """An empty directory of its own for a server, deleted at the end."""
    directory = Path(tempfile.mkdtemp(prefix=f"tidemill-{name}-"))
    user = None
    if os.geteuid() == 0:
        user = _unprivileged(name)
        shutil.chown(directory, user)
    try:
        yield Home(directory, user)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _unprivileged(name: str) -> str:
    """The user that the server's package has made, else nobody."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name).pw_name
    return "nobody"
