"""At rest nothing is asked and nothing is written, however many objects there are."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.cluster import Body
from tests.chaos.rollout import play_serving
from tests.chaos.stage import Stage
from tests.chaos.training import dataset, training_job
from tests.integration.audit import AuditLog, Request
from tests.integration.kubectl import condition
from tests.integration.operator_process import OperatorProcess
from tests.integration.waiting import wait_for
from tidemill.adapters.resources import OWN

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

COUNT = 100
REST_SECONDS = 60.0
_PATIENCE = 300.0
_GETS = {"namespaces", "leases", ""}
"""What is asked for by name at the start: the cluster's uid, the Lease, and what is served."""


@pytest.fixture
def world(stage: Stage) -> Iterator[Stage]:
    """Everything the whole loop leans on: steps, pods, endpoints, a gateway and Prometheus."""
    play_serving(stage)
    stage.engine.patient = False
    yield stage


def deployment(namespace: str, number: int) -> Body:
    """Serve whatever delays<number> makes."""
    return {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": f"delays{number}", "namespace": namespace},
        "spec": {
            "model": {"trainingJobRef": {"name": f"delays{number}"}},
            "route": {
                "gatewayRef": {"name": "public"},
                "hostnames": [f"delays{number}.example.com"],
            },
        },
    }


def settle(stage: Stage, namespace: str) -> None:
    """Make the objects and wait until every ModelDeployment serves and no run is under way."""
    numbers = range(COUNT)
    with ThreadPoolExecutor(8) as at_once:
        for number in numbers:
            suffix = str(number)
            loop = (dataset(namespace, suffix), training_job(namespace, suffix))
            at_once.submit(stage.cluster.create, *loop, deployment(namespace, number))

    def unsettled() -> Counter[str]:
        stage.background.check()
        return Counter(
            kind
            for kind in ("Dataset", "TrainingJob", "ModelDeployment")
            for body in stage.cluster.all(kind, namespace)
            if is_ready(body)
            and not (body["status"].get("active") or body["status"].get("rollout"))
        )

    wanted = dict.fromkeys(("Dataset", "TrainingJob", "ModelDeployment"), COUNT)
    wait_for(lambda: unsettled() == wanted, _PATIENCE, "a hundred loops at work", 1.0)


def is_ready(body: Body) -> bool:
    return condition(body, "Ready").get("status") == "True"


def await_rest(operator: OperatorProcess, audit: AuditLog) -> None:
    """Wait until the operator has nothing queued and has written nothing for three seconds."""
    since, mark = time.monotonic(), audit.mark()

    def rests() -> bool:
        nonlocal since, mark
        now = audit.mark()
        busy = operator.metric("tidemill_operator_queue_depth") > 0
        if busy or audit.writes(mark):
            since = time.monotonic()
        mark = now
        return time.monotonic() - since > 3.0

    wait_for(rests, _PATIENCE, "rest", 0.5)


def test_a_hundred_settled_objects_of_each_kind_cost_nothing(world: Stage) -> None:
    stage, audit = world, AuditLog(world.plane.audit_log)
    namespace = stage.make_namespace()
    operator = stage.start()
    settle(stage, namespace)
    await_rest(operator, audit)
    counts = {kind: len(stage.cluster.all(kind)) for kind in OWN}
    assert min(counts.values()) >= COUNT, counts

    mark = audit.mark()
    asked = watch(operator, audit, mark, REST_SECONDS)

    assert {(one.verb, one.resource) for one in asked} == {("update", "leases")}
    assert 20 <= len(asked) <= 40, "one renewal every two seconds"
    # Killed, not stopped: whatever it had in mind is gone.
    operator.kill()
    passes = sum(counts.values())
    mark = audit.mark()
    again = stage.start(TIDEMILL_RESYNC_SECONDS="15")
    wait_for(lambda: done(again) >= 2 * passes, 60.0, "two looks at everything")
    await_rest(again, audit)

    asked = audit.since(mark)
    written = [one for one in asked if one.is_write and one.resource != "leases"]
    assert not written, Counter((one.verb, one.resource, one.name) for one in written)
    odd = {(one.verb, one.resource) for one in asked if one.verb not in ("list", "watch")}
    assert {resource for verb, resource in odd if verb == "get"} <= _GETS
    assert {(verb, resource) for verb, resource in odd if verb != "get"} <= {
        ("create", "leases"),
        ("update", "leases"),
    }


def done(operator: OperatorProcess) -> float:
    """How many passes there were."""
    return operator.metric("tidemill_operator_passes_total")


def watch(operator: OperatorProcess, audit: AuditLog, mark: int, seconds: float) -> list[Request]:
    """What the operator asks of the API server in so many seconds."""
    deadline = time.monotonic() + seconds
    wait_for(
        lambda: time.monotonic() > deadline or not operator.is_ready(), seconds + 5.0, "time", 1.0
    )
    assert operator.is_ready()
    return audit.since(mark)
