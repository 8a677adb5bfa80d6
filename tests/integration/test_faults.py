"""The operator on bad days: each fault comes through a proxy, and what counts is the end state."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.controlplane import ControlPlane
from tests.integration.audit import AuditLog
from tests.integration.conftest import RunOperator
from tests.integration.fake_kind import a_dataset
from tests.integration.fault_proxy import FaultProxy, Refusal
from tests.integration.kubectl import Kubectl, condition
from tests.integration.operator_process import OperatorProcess
from tests.integration.waiting import stays, wait_for

pytestmark = pytest.mark.cluster
FAKE = ("-m", "tests.integration.fake_kind")
BUSY = {"kind": "Status", "status": "Failure", "reason": "TooManyRequests", "code": 429}
GONE = (
    b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"old"}}\n'
)
BROKEN = b'{"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcd"}}\n'
GARBAGE = b"<html>Bad Gateway</html>\n"

Start = Callable[..., OperatorProcess]


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[FaultProxy]:
    """A proxy before the session's API server."""
    with FaultProxy(control_plane) as one:
        yield one


@pytest.fixture
def start(run_operator: RunOperator, namespace: str, proxy: FaultProxy, tmp_path: Path) -> Start:
    """Start the small operator behind the proxy, and wait until it leads."""
    kubeconfig = proxy.kubeconfig(tmp_path / "proxy.kubeconfig")

    def run(lease: str = "first") -> OperatorProcess:
        env = {"TIDEMILL_NAMESPACE": namespace, "TIDEMILL_LEASE_NAME": f"{namespace}-{lease}"}
        return run_operator(env, command=FAKE, kubeconfig=kubeconfig).wait_leading()

    return run


def ready(kubectl: Kubectl, namespace: str, name: str = "tides") -> Callable[[], bool]:
    def check() -> bool:
        return condition(kubectl.get("datasets", name, namespace), "Ready").get("status") == "True"

    return check


def has(kubectl: Kubectl, kind: str, name: str, namespace: str) -> Callable[[], bool]:
    return lambda: kubectl.get(kind, name, namespace) is not None


@pytest.mark.parametrize("last", [GONE, BROKEN, GARBAGE, None], ids=["410", "500", "html", "cut"])
def test_what_was_deleted_while_the_watches_were_blind_is_found(
    start: Start, proxy: FaultProxy, kubectl: Kubectl, namespace: str, last: bytes | None
) -> None:
    operator = start()
    for name in ("ebb", "flood"):
        kubectl.apply(a_dataset(namespace, name, services=name))
        wait_for(ready(kubectl, namespace, name), what="Ready")
    operator.wait_idle()

    if last is not None:  # a stream that is merely cut goes on where it was: nothing is missed
        proxy.line = lambda path, line: None if b'"DELETED"' in line else line
    kubectl.delete("dataset", "ebb", namespace)
    kubectl.delete("service", "flood", namespace)
    wait_for(lambda: not has(kubectl, "dataset", "ebb", namespace)(), what="the deletion")
    assert proxy.end_watches(last) >= 10
    proxy.line = lambda path, line: line

    def objects(kind: str) -> float:
        return operator.metric("tidemill_operator_objects", kind=kind)

    wait_for(lambda: objects("Dataset") == 1.0, 30, "one Dataset in memory")
    wait_for(has(kubectl, "service", "flood", namespace), 30, "the child, made again")
    wait_for(operator.is_ready, 30, "readiness")
    kubectl.apply(a_dataset(namespace, "flood", services="flood more"))
    wait_for(has(kubectl, "service", "more", namespace), 30, "work to go on")


def test_watches_that_are_cut_all_the_time_miss_nothing(
    start: Start, proxy: FaultProxy, kubectl: Kubectl, namespace: str
) -> None:
    operator = start()
    for number in range(12):
        kubectl.apply(a_dataset(namespace, f"d{number}", services=f"s{number}"))
        proxy.end_watches()

    for number in range(12):
        wait_for(ready(kubectl, namespace, f"d{number}"), 30, f"d{number}")
    assert operator.alive


def outage(code: int, headers: dict[str, str]) -> Callable[[str, str], Refusal]:
    body = {**BUSY, "code": code, "message": "not now"}
    return lambda method, path: (code, body, headers)


@pytest.mark.parametrize(
    ("code", "headers"), [(429, {"Retry-After": "1"}), (500, {}), (503, {})], ids=str
)
def test_a_server_that_refuses_everything_is_waited_for(
    start: Start, proxy: FaultProxy, kubectl: Kubectl, namespace: str, code: int,
    headers: dict[str, str], audit: AuditLog,
) -> None:  # fmt: skip
    operator = start()
    kubectl.apply(a_dataset(namespace, services="mill"))
    wait_for(ready(kubectl, namespace), what="Ready")
    operator.wait_idle()
    proxy.refuse = outage(code, headers)
    proxy.end_watches()
    wait_for(lambda: operator.probe("/readyz")[0] == 503, what="not ready")
    kubectl.apply(a_dataset(namespace, services="mill weir"))
    stays(lambda: operator.alive and operator.probe("/healthz")[0] == 200, 6, "health")

    mark = audit.mark()
    proxy.refuse = lambda method, path: None

    wait_for(operator.is_ready, 10, "readiness")
    wait_for(has(kubectl, "service", "weir", namespace), 10, "the new Service")
    operator.wait_idle()
    assert len(audit.writes(mark)) <= 3  # the Service, the status and its Event


def test_an_answer_that_was_lost_is_no_second_effect(
    start: Start, proxy: FaultProxy, kubectl: Kubectl, namespace: str, audit: AuditLog
) -> None:
    lost: set[tuple[str, str]] = set()

    def lose(method: str, path: str, status: int) -> bool:
        if method == "GET" or "leases" in path or (method, path) in lost:
            return False
        lost.add((method, path))
        return True

    operator = start()
    proxy.lose = lose
    mark = audit.mark()
    kubectl.apply(a_dataset(namespace, services="mill", claim="run-1"))

    wait_for(ready(kubectl, namespace), 30, "Ready")
    operator.wait_idle()
    assert len(lost) >= 4
    made = [one for one in audit.writes(mark) if one.verb == "create" and one.code == 201]
    names = [one.name for one in made if one.resource == "controllerrevisions"]
    assert names == ["run-1"]
    assert len([one for one in made if one.resource == "events"]) <= 1


def test_a_conflict_on_a_claim_is_decided_again(
    start: Start, proxy: FaultProxy, kubectl: Kubectl, namespace: str
) -> None:
    refusals = 3

    def refuse(method: str, path: str) -> Refusal | None:
        nonlocal refusals
        if method == "PUT" and path.endswith("/status") and refusals:
            refusals -= 1
            return 409, {"kind": "Status", "reason": "Conflict", "message": "modified"}, {}
        return None

    start()
    proxy.refuse = refuse
    kubectl.apply(a_dataset(namespace, claim="run-1"))

    wait_for(has(kubectl, "controllerrevision", "run-1", namespace), what="the effect")
    assert refusals == 0


@pytest.mark.parametrize("nth", range(1, 6))
def test_killed_after_any_write_it_ends_in_the_same_state(
    start: Start, proxy: FaultProxy, kubectl: Kubectl, namespace: str, audit: AuditLog, nth: int
) -> None:
    """The writes are: claim, Service, ControllerRevision, status, Event."""
    operator = start()
    seen = 0

    def kill(method: str, path: str, status: int) -> bool:
        nonlocal seen
        if method == "GET" or "leases" in path:
            return False
        seen += 1
        if seen == nth:
            operator.kill()
        return seen == nth

    proxy.lose, mark = kill, audit.mark()
    kubectl.apply(a_dataset(namespace, services="mill", claim="run-1"))
    wait_for(lambda: not operator.alive, what="the end of the first process")
    start(lease="second")  # nobody needs to wait for the dead one's to run out

    wait_for(ready(kubectl, namespace), 40, "Ready")
    body = kubectl.get("datasets", "tides", namespace)
    assert body is not None and body["status"]["active"]["name"] == "run-1"
    made = [
        (one.resource, one.name)
        for one in audit.writes(mark)
        if one.verb in ("create", "patch") and one.code == 201 and one.resource != "events"
    ]
    assert sorted(made) == [("controllerrevisions", "run-1"), ("services", "mill")]


def test_own_writes_are_known_before_the_watch_tells(
    start: Start, proxy: FaultProxy, kubectl: Kubectl, namespace: str, audit: AuditLog
) -> None:
    operator = start()
    kubectl.apply(a_dataset(namespace, services="mill"))
    wait_for(ready(kubectl, namespace), what="Ready")
    operator.wait_idle()
    held: list[tuple[str, bytes]] = []

    def hold(path: str, line: bytes) -> bytes | None:
        event: dict[str, Any] = json.loads(line)
        note = event["object"].get("metadata", {}).get("annotations", {})
        by_person = "weir" in note.get("example.test/services", "")
        if by_person and "Holds 1" in json.dumps(event["object"]["status"]):
            return line
        held.append((path, line))
        return None

    proxy.line, mark = hold, audit.mark()
    kubectl.apply(a_dataset(namespace, services="mill weir", revisions="first"))
    wait_for(has(kubectl, "controllerrevision", "first", namespace), what="the effects")
    passes = operator.metric("tidemill_operator_passes_total")
    kubectl("annotate", "dataset", "tides", "-n", namespace, "again=1")
    operator.wait_idle()
    stays(lambda: operator.alive, 2, "life")

    written = sorted((one.verb, one.resource) for one in audit.writes(mark))
    assert written == [
        ("create", "controllerrevisions"),
        ("create", "events"),
        ("patch", "services"),
        ("update", "datasets"),
    ]
    assert operator.metric("tidemill_operator_passes_total") >= passes
    assert held
