"""Faults of the API server and of the artifact store: waited out, then all is as without them."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos.artifacts import AWAY, Artifacts, Bucket
from tests.chaos.cluster import Body
from tests.chaos.outcome import Outcome, outcome
from tests.chaos.proxy import Asked, Fault, Rule
from tests.chaos.stage import Stage, staged
from tests.chaos.training import TRAINING
from tests.cluster.controlplane import ControlPlane
from tests.integration.kubectl import condition
from tests.integration.operator_process import OperatorProcess
from tests.integration.waiting import stays, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

OUTAGE_SECONDS = 20.0
BACK_SECONDS = 15.0
"""How soon after an outage the operator leads again: a wait of five seconds, a Lease of two, and
room for a busy machine."""
EXPIRED: Body = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "too old resource version",
        "reason": "Expired",
        "code": 410,
    },
}
WATCHED = ("Dataset", "DatasetVersion", "Job", "ModelVersion", "PipelineExecution", "TrainingJob")
_PATIENCE = 120.0


@dataclass
class Trial:
    """One cycle under a fault, beside one without."""

    stage: Stage
    operator: OperatorProcess
    wanted: Outcome
    namespace: str
    since: datetime

    def begin(self) -> None:
        """Commit the objects."""
        begin(self.stage, self.namespace)

    def wait_for_write(self, label: str) -> None:
        """Wait until the API server has carried out a write of the cycle."""

        def there() -> bool:
            done = self.stage.proxy.writes(self.namespace)
            return any(one.asked.label == label for one in done)

        wait_for(there, _PATIENCE, label, 0.01)

    def finish(self, *, more: int = 3) -> None:
        """See the cycle end as the undisturbed one, with at most so many more status writes."""
        held = run_out(self.stage, self.namespace, self.since)
        assert held.differs_from(self.wanted) == []
        assert held.statuses.total() <= self.wanted.statuses.total() + more
        assert self.operator.alive


def run_out(stage: Stage, namespace: str, since: datetime) -> Outcome:
    """Wait for the end of a cycle; what it has come to."""
    wait_for(lambda: TRAINING.is_settled(stage, namespace), _PATIENCE, "the end of the cycle")
    return outcome(stage, namespace, since, TRAINING.kinds)


def begin(stage: Stage, namespace: str) -> None:
    """Commit the objects of a cycle."""
    TRAINING.begin(stage, namespace)
    TRAINING.go_on(stage, namespace)


def prepare(stage: Stage) -> Trial:
    """Start an operator, have it do one undisturbed cycle, and make room for another."""
    operator, since = stage.start(), datetime.now(UTC)
    namespace = stage.make_namespace()
    begin(stage, namespace)
    wanted = run_out(stage, namespace, since)
    return Trial(stage, operator, wanted, stage.make_namespace(), datetime.now(UTC))


@pytest.fixture
def trial(stage: Stage) -> Trial:
    """A cycle that is about to be disturbed."""
    return prepare(stage)


def refuse(code: int, retry_after: int | None = None) -> Rule:
    """Answer everything with this."""
    return lambda asked: Fault(code=code, retry_after=retry_after)


def every(nth: int, which: Callable[[Asked], bool], fault: Fault) -> Rule:
    """Do this to every n-th of such requests."""
    count = 0

    def rule(asked: Asked) -> Fault | None:
        nonlocal count
        if not which(asked):
            return None
        count += 1
        return fault if count % nth == 0 else None

    return rule


@pytest.mark.parametrize(("code", "retry_after"), [(503, None), (429, 1)], ids=["503", "429"])
def test_an_outage_in_the_midst_of_a_cycle_is_waited_out(
    trial: Trial, code: int, retry_after: int | None
) -> None:
    stage, operator = trial.stage, trial.operator
    trial.begin()
    trial.wait_for_write("create Job dataset-refresh-1")

    stage.proxy.rules = (refuse(code, retry_after),)
    stage.background.run(stage.proxy.cut())
    wait_for(lambda: operator.probe("/readyz")[0] == 503, 10.0, "a word that it is not ready")
    stays(lambda: operator.probe("/healthz")[0] == 200, OUTAGE_SECONDS, "health", 0.5)
    assert operator.metric("tidemill_operator_leader") == 0.0
    assert not operator.is_ready()
    stage.proxy.rules = ()

    operator.wait_leading(BACK_SECONDS)
    trial.finish()


def test_watches_cut_every_two_seconds_miss_nothing(trial: Trial) -> None:
    stage, namespaces = trial.stage, [trial.namespace]
    namespaces += [stage.make_namespace() for _ in range(5)]
    cuts = 0
    for namespace in namespaces:
        begin(stage, namespace)
        cuts += stage.background.run(stage.proxy.cut())
        stays(lambda: trial.operator.alive, 2.0, "life")

    assert cuts >= 5 * len(namespaces)
    for namespace in namespaces:
        held = run_out(stage, namespace, trial.since)
        assert held.differs_from(trial.wanted) == []
        assert held.statuses.total() <= trial.wanted.statuses.total() + 3
    assert trial.operator.alive


@pytest.mark.parametrize("how", ["in the stream", "as an answer"])
def test_what_was_deleted_where_no_watch_looked_is_forgotten(trial: Trial, how: str) -> None:
    """The watches' version is too old when they come back, so nobody tells of the deletions."""
    stage, operator, gone = trial.stage, trial.operator, trial.namespace
    stage.engine.held.add(gone)
    trial.begin()
    trial.wait_for_write("create Job dataset-refresh-1")
    wait_for(lambda: state(stage, gone) == "Running", 30.0, "a running execution")
    blind = every(1, lambda asked: asked.verb in ("list", "watch"), Fault(code=503))
    stage.proxy.rules = (blind,)
    stage.background.run(stage.proxy.cut(EXPIRED if how == "in the stream" else None))
    wait_for(lambda: operator.probe("/readyz")[0] == 503, 10.0, "a word that it is not ready")

    job = stage.cluster.all("Job", gone)[0]["metadata"]["name"]
    stage.cluster.delete("Job", gone, job)
    stage.cluster.delete("TrainingJob", gone, "delays")
    settled = next(iter(stage.cluster.all("ModelVersion")))["metadata"]
    stage.cluster.delete("ModelVersion", settled["namespace"], settled["name"])
    expired = every(1, first_watches(), Fault(code=410))
    stage.proxy.rules = () if how == "in the stream" else (expired,)

    wait_for(operator.is_ready, BACK_SECONDS, "readiness")
    wait_for(lambda: remembered(operator) == there(stage), 15.0, "a memory like a fresh list")
    wait_for(lambda: state(stage, gone) == "Failed", 15.0, "a word on the Job")
    execution = stage.cluster.all("PipelineExecution", gone)[0]
    assert condition(execution, "Ready")["reason"] == "RunVanished"
    assert operator.alive


def state(stage: Stage, namespace: str) -> str:
    """Where the only execution of a namespace stands."""
    found = stage.cluster.all("PipelineExecution", namespace)
    return str((found[0].get("status") or {}).get("state", "")) if found else ""


def first_watches() -> Callable[[Asked], bool]:
    """The first watch of each kind from now on."""
    seen: set[str] = set()

    def which(asked: Asked) -> bool:
        new = asked.verb == "watch" and asked.resource not in seen
        seen.update({asked.resource} if new else ())
        return new

    return which


def remembered(operator: OperatorProcess) -> dict[str, float]:
    """How many objects of each kind the operator believes to be there."""
    return {kind: operator.metric("tidemill_operator_objects", kind=kind) for kind in WATCHED}


def there(stage: Stage) -> dict[str, float]:
    """How many there are."""
    return {kind: float(len(stage.cluster.all(kind))) for kind in WATCHED}


def test_every_third_status_write_meets_a_conflict(trial: Trial) -> None:
    statuses = every(3, lambda asked: asked.subresource == "status", Fault(code=409))
    trial.stage.proxy.rules = (statuses,)

    trial.begin()

    trial.finish()
    refused = [one for one in trial.stage.proxy.log if one.invented]
    assert len(refused) >= 5


def test_every_third_answer_to_a_write_is_lost(trial: Trial) -> None:
    lost = every(3, lambda asked: asked.is_write, Fault(tell=False))
    trial.stage.proxy.rules = (lost,)

    trial.begin()

    trial.finish()


def test_a_slow_api_server_only_delays(trial: Trial) -> None:
    trial.stage.proxy.rules = (lambda asked: Fault(seconds=0.5),)

    trial.begin()
    trial.wait_for_write("create Job dataset-refresh-1")

    assert trial.operator.is_ready()
    trial.finish()


# The artifact store


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    """An object store in a directory."""
    return Bucket(tmp_path / "artifacts")


@pytest.fixture
def stored(plane: ControlPlane, tmp_path: Path, bucket: Bucket) -> Iterator[Trial]:
    """A cycle whose documents lie in that store."""
    artifacts = Artifacts(bucket.directory, "s3://bucket/tidemill")
    with staged(plane, tmp_path, artifacts) as stage:
        stage.background.enter(bucket)
        stage.environment.update(bucket.environment)
        yield prepare(stage)
        stage.check()


@pytest.mark.parametrize("refuses", [503, AWAY], ids=["503", "away"])
def test_a_result_that_cannot_be_read_is_waited_for(
    stored: Trial, bucket: Bucket, refuses: int
) -> None:
    stage = stored.stage
    bucket.refuses = refuses
    stored.begin()

    def waits() -> bool:
        found = stage.cluster.all("PipelineExecution", stored.namespace)
        return bool(found) and condition(found[0], "Ready").get("reason") == "ResultUnreadable"

    wait_for(waits, 60.0, "a word on the artifact store")
    stays(lambda: waits() and stored.operator.is_ready(), 3.0, "waiting")
    assert state(stage, stored.namespace) == "Running"
    bucket.refuses = 0

    stored.finish(more=6)
    assert bucket.refused > 0


def test_started_while_the_store_is_away_it_goes_on_when_it_is_back(
    stored: Trial, bucket: Bucket
) -> None:
    stage, killed = stored.stage, stored.operator

    dying = threading.Event()

    def leave(asked: Asked) -> Fault | None:
        if dying.is_set():  # the watch may be faster than the answer
            return Fault(code=503)
        if asked.body.get("status", {}).get("state") != "Succeeded":
            return None
        dying.set()
        return Fault(tell=False, then=lambda: os.kill(killed.pid, signal.SIGKILL))

    stage.proxy.rules = (leave,)
    stored.begin()
    wait_for(lambda: not killed.alive, 60.0, "the end of the first operator")
    killed.kill()
    stage.proxy.rules, bucket.refuses = (), AWAY
    stored.operator = stage.start()
    wait_for(lambda: "the artifact store did not give" in stored.operator.log(), 30.0, "a word")
    assert state(stage, stored.namespace) == "Succeeded"
    assert not stage.cluster.all("DatasetVersion", stored.namespace)
    bucket.refuses = 0

    stored.finish()
