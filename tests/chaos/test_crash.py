"""Killed at any write, before or after it was told of it, the operator makes the same world.

The undisturbed cycle is run first, on every API server once: its writes are the moments to kill
at, and what it comes to is what every other cycle must come to (Sieve's intermediate states, with
its two oracles: the end state, and what was created how often).
"""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos.outcome import Outcome, outcome
from tests.chaos.proxy import Asked, Fault, Rule, plans
from tests.chaos.rollout import ROLLOUT
from tests.chaos.stage import Stage, staged
from tests.chaos.training import STUMBLING, TRAINING
from tests.chaos.workload import Workload
from tests.cluster.controlplane import ControlPlane
from tests.integration.conftest import install_crds
from tests.integration.kubectl import Kubectl
from tests.integration.waiting import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

LANES = 3
"""API servers side by side; each has one operator at a time and runs its cycles one by one."""
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Crash:
    """When to kill: at the `turn`-th write of this label, told of its answer or not."""

    label: str
    turn: int
    told: bool

    def __str__(self) -> str:
        when = "after its answer" if self.told else "its answer lost"
        return f"{self.label} ({self.turn}), {when}"


@dataclass
class Report:
    """What all lanes are to do, and what they have found."""

    workload: Workload
    told: tuple[bool, ...]
    """Whether the operator is told of the answer to the write it is killed at: each in turn."""
    about: str
    """Kill only at writes whose label holds this."""
    reference: Outcome | None = None
    crashes: "queue.Queue[Crash]" = field(default_factory=queue.Queue)
    ready: threading.Event = field(default_factory=threading.Event)
    """The reference is there."""
    writes: int = 0
    kills: int = 0
    extra: list[int] = field(default_factory=list)
    """For each killed cycle, how many more status writes it took than the undisturbed one."""
    missed: list[Crash] = field(default_factory=list)
    """Cycles that were over without the write to kill at."""
    troubles: list[str] = field(default_factory=list)


@dataclass
class Lane:
    """One API server with one operator, killed again and again."""

    stage: Stage
    report: Report
    settled: dict[str, int] = field(default_factory=dict)
    """Where the proxy's log stood when the cycle of a namespace was over."""

    def run(self, first: bool) -> None:
        """The undisturbed cycle, then as many crashes as there are left."""
        self.stage.start()
        undisturbed = self._cycle(None)
        assert undisturbed is not None
        if first:
            self._take_as_reference(undisturbed)
        elif self.report.ready.wait(_PATIENCE) and self.report.reference is not None:
            found = undisturbed.differs_from(self.report.reference)
            self._complain("two undisturbed cycles differ", found)
        while True:
            try:
                crash = self.report.crashes.get_nowait()
            except queue.Empty:
                break
            self._crash(crash)
        self._check_rest()
        self.stage.check()

    def _take_as_reference(self, undisturbed: Outcome) -> None:
        (namespace,) = self.settled
        done = self.stage.proxy.writes(namespace)
        moments = [one for one in plans(done) if self.report.about in one[0]]
        self.report.writes = len(moments)
        for label, turn in moments:
            for told in self.report.told:
                self.report.crashes.put(Crash(label=label, turn=turn, told=told))
        self.report.reference = undisturbed
        self.report.ready.set()

    def _crash(self, crash: Crash) -> None:
        wanted = self.report.reference
        assert wanted is not None
        try:
            held = self._cycle(crash)
        except AssertionError as error:
            self._complain(str(crash), [str(error)])
            return
        if held is None:
            self.report.missed.append(crash)
            return
        self.report.kills += 1
        self.report.extra.append(held.statuses.total() - wanted.statuses.total())
        self._complain(str(crash), held.differs_from(wanted))

    def _cycle(self, crash: Crash | None) -> Outcome | None:
        """Run a cycle in a new namespace, with a crash or without. None: it was over before."""
        stage, workload, since = self.stage, self.report.workload, datetime.now(UTC)
        namespace, operator = stage.make_namespace(), stage.started[-1]
        if crash is not None:
            stage.proxy.rules = (killing(crash, namespace, operator.pid),)
        workload.begin(stage, namespace)
        self._reach(lambda: workload.may_go_on(stage, namespace), "its first half")
        workload.go_on(stage, namespace)
        self._reach(lambda: workload.is_settled(stage, namespace), "its end")
        stage.proxy.rules = ()
        self.settled[namespace] = len(stage.proxy.log)
        if crash is not None and operator.alive:
            return None
        return outcome(stage, namespace, since, workload.kinds)

    def _reach(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for a point of the workload. An operator that dies on the way is replaced."""
        operator = self.stage.started[-1]
        wait_for(lambda: not operator.alive or holds(), _PATIENCE, what, 0.05)
        if not operator.alive:
            operator.kill()
            self.stage.start()
            wait_for(holds, _PATIENCE, f"{what}, by another operator", 0.05)

    def _check_rest(self) -> None:
        """No start of an operator has touched what was settled before it."""
        for namespace, mark in self.settled.items():
            late = plans(self.stage.proxy.writes(namespace, since=mark))
            self._complain(f"{namespace} was settled", [f"written later: {one}" for one in late])

    def _complain(self, about: str, found: list[str]) -> None:
        if found:
            self.report.troubles.append("\n    ".join([about, *found[:20]]))


def killing(crash: Crash, namespace: str, pid: int) -> Rule:
    """The rule that kills a process at its moment."""

    def rule(asked: Asked) -> Fault | None:
        if (asked.namespace, asked.label, asked.turn) != (namespace, crash.label, crash.turn):
            return None
        return Fault(tell=crash.told, then=lambda: os.kill(pid, signal.SIGKILL))

    return rule


def run_lane(directory: Path, report: Report, *, first: bool) -> None:
    """One lane from the start of its API server to its end."""
    try:
        with ControlPlane(directory / "plane") as plane:
            install_crds(Kubectl(plane.kubeconfig))
            with staged(plane, directory) as stage:
                report.workload.surround(stage)
                Lane(stage, report).run(first)
    finally:
        report.ready.set()  # nobody waits for a reference that has failed


@pytest.mark.parametrize(
    ("workload", "told", "about", "least"),
    [
        (TRAINING, (True, False), "", 45),
        (STUMBLING, (False,), "dataset-refresh", 9),
        (ROLLOUT, (False,), "", 40),
    ],
    ids=["training", "a second attempt", "rollout"],
)
def test_killed_at_any_write_it_makes_the_same_world(
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    workload: Workload,
    told: tuple[bool, ...],
    about: str,
    least: int,
) -> None:
    report, begun = Report(workload, told, about), time.monotonic()
    with ThreadPoolExecutor(LANES) as lanes:
        running = []
        for number in range(LANES):
            directory = tmp_path / f"lane-{number}"
            directory.mkdir()
            running.append(lanes.submit(run_lane, directory, report, first=number == 0))
        for lane in running:
            lane.result()

    said = (
        f"{report.writes} writes to kill at, {report.kills} kills"
        f" in {time.monotonic() - begun:.0f} s;"
        f" more status writes than undisturbed: {min(report.extra, default=0)} to"
        f" {max(report.extra, default=0)}; not met: {', '.join(map(str, report.missed)) or 'none'}"
    )
    print(said)
    record_property("crashes", said)
    assert not report.troubles, "\n".join([said, *report.troubles])
    assert report.writes >= least
    # Two moves that follow at once may be told of by one write: then there is none to kill at.
    assert report.kills >= 0.95 * report.writes * len(told)
    assert max(report.extra) <= 1
