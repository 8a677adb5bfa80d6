"""The machinery on a real API server, with one small kind of work."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.controlplane import ControlPlane
from tests.integration.audit import AuditLog
from tests.integration.conftest import LEASE_NAMESPACE, RunOperator, make_namespace
from tests.integration.fake_kind import a_dataset
from tests.integration.kubectl import Kubectl, condition
from tests.integration.operator_process import OperatorProcess
from tests.integration.waiting import stays, wait_for

pytestmark = pytest.mark.cluster
FAKE = ("-m", "tests.integration.fake_kind")
Start = Callable[..., OperatorProcess]


@pytest.fixture
def start(run_operator: RunOperator, namespace: str) -> Start:
    """Start the small operator for this test's namespace and wait until it leads."""

    def run(**settings: str) -> OperatorProcess:
        env = {"TIDEMILL_NAMESPACE": namespace, "TIDEMILL_LEASE_NAME": namespace, **settings}
        return run_operator(env, command=FAKE).wait_leading()

    return run


def is_held(kubectl: Kubectl, namespace: str, name: str = "tides") -> Callable[[], bool]:
    """Whether the Dataset is Ready at its newest generation."""

    def held() -> bool:
        body = kubectl.get("datasets", name, namespace)
        told = condition(body, "Ready")
        return bool(
            body
            and told.get("status") == "True"
            and body["status"]["observedGeneration"] == body["metadata"]["generation"]
        )

    return held


def test_children_status_and_event_take_one_write_each(
    start: Start, kubectl: Kubectl, namespace: str, audit: AuditLog
) -> None:
    operator, mark = start(), audit.mark()

    kubectl.apply(a_dataset(namespace, services="mill weir", revisions="first"))
    wait_for(is_held(kubectl, namespace), what="Ready")
    operator.wait_idle()
    wait_for(lambda: kubectl.all("events.events.k8s.io", namespace), what="the Event")

    written = sorted((one.verb, one.resource, one.subresource) for one in audit.writes(mark))
    assert written == [
        ("create", "controllerrevisions", ""),
        ("create", "events", ""),
        ("patch", "services", ""),
        ("patch", "services", ""),
        ("update", "datasets", "status"),
    ]
    service = kubectl.get("service", "mill", namespace)
    assert service is not None
    managers = {
        (item["manager"], item["operation"])
        for item in service["metadata"].get("managedFields", [])
    }
    assert managers <= {("tidemill", "Apply")}


def test_at_rest_only_the_lease_is_written_and_nothing_is_read(
    start: Start, kubectl: Kubectl, namespace: str, audit: AuditLog
) -> None:
    operator = start(TIDEMILL_RESYNC_SECONDS="300")
    kubectl.apply(a_dataset(namespace, services="mill", revisions="first"))
    wait_for(is_held(kubectl, namespace), what="Ready")
    operator.wait_idle()
    before = operator.metric("tidemill_operator_passes_total")
    mark = audit.mark()

    # A change that asks for nothing new still makes a pass.
    kubectl("annotate", "dataset", "tides", "-n", namespace, "note=1")
    wait_for(lambda: operator.metric("tidemill_operator_passes_total") > before, what="a pass")
    operator.wait_idle()
    stays(lambda: operator.is_ready(), 6, "readiness")

    asked = {(one.verb, one.resource) for one in audit.since(mark)}
    assert asked == {("update", "leases")}


def test_a_restart_writes_nothing_but_the_lease(
    start: Start, kubectl: Kubectl, namespace: str, audit: AuditLog
) -> None:
    operator = start()
    for number in range(20):
        kubectl.apply(a_dataset(namespace, f"tides-{number}", services=f"mill-{number}"))
    wait_for(is_held(kubectl, namespace, "tides-19"), what="Ready")
    operator.wait_idle()
    assert operator.stop() == 0
    mark = audit.mark()

    again = start().wait_idle()
    wait_for(lambda: again.metric("tidemill_operator_passes_total") >= 20, what="20 passes")
    again.wait_idle()

    assert audit.writes(mark) == []


def test_a_clean_stop_hands_the_lease_over_at_once(
    start: Start, run_operator: RunOperator, kubectl: Kubectl, namespace: str
) -> None:
    first = start()
    second = run_operator(
        {"TIDEMILL_NAMESPACE": namespace, "TIDEMILL_LEASE_NAME": namespace}, command=FAKE
    ).wait_ready()
    assert second.metric("tidemill_operator_leader") == 0.0

    assert first.stop() == 0

    second.wait_leading(timeout=5)


def test_a_strangers_object_is_named_and_not_touched(
    start: Start, kubectl: Kubectl, namespace: str
) -> None:
    start()
    foreign: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "mill", "namespace": namespace},
        "spec": {"ports": [{"port": 9}]},
    }
    before = kubectl.create(foreign)

    kubectl.apply(a_dataset(namespace, services="mill weir"))

    def stalled() -> dict[str, Any]:
        return condition(kubectl.get("datasets", "tides", namespace), "Stalled")

    told = wait_for(stalled, what="Stalled")
    assert (told["reason"], told["message"]) == (
        "NameConflict",
        "Service mill exists and does not belong to this Dataset; delete or rename it, or give "
        "this Dataset another name.",
    )
    after = kubectl.get("service", "mill", namespace)
    assert after is not None
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert kubectl.get("service", "weir", namespace) is not None

    kubectl.delete("service", "mill", namespace)
    kubectl("annotate", "dataset", "tides", "-n", namespace, "tidemill.dev/request=look@now")
    wait_for(is_held(kubectl, namespace), what="Ready again")
    assert stalled() == {}


def test_what_someone_changed_or_deleted_is_put_right(
    start: Start, kubectl: Kubectl, namespace: str
) -> None:
    start()
    kubectl.apply(a_dataset(namespace, services="mill"))
    wait_for(is_held(kubectl, namespace), what="Ready")

    kubectl.patch("service", "mill", namespace, {"spec": {"selector": {"app": "other"}}})

    def selects(app: str) -> Callable[[], bool]:
        def check() -> bool:
            body = kubectl.get("service", "mill", namespace)
            return bool(body and body["spec"]["selector"] == {"app": app})

        return check

    wait_for(selects("mill"), what="the selector")
    kubectl.delete("service", "mill", namespace)
    wait_for(selects("mill"), what="the Service")


def test_a_child_that_lost_our_label_is_found_and_marked_again(
    start: Start, kubectl: Kubectl, namespace: str
) -> None:
    operator = start()
    kubectl.apply(a_dataset(namespace, services="mill"))
    wait_for(is_held(kubectl, namespace), what="Ready")

    kubectl("label", "service", "mill", "-n", namespace, "app.kubernetes.io/managed-by-")

    def marked() -> bool:
        body = kubectl.get("service", "mill", namespace)
        return bool(body and "app.kubernetes.io/managed-by" in body["metadata"]["labels"])

    wait_for(marked, what="the label")
    wait_for(
        lambda: operator.metric("tidemill_operator_objects", kind="Service") == 1.0,
        what="the Service in the store",
    )


def test_a_status_written_by_another_is_a_conflict_and_resolved(
    start: Start, kubectl: Kubectl, namespace: str
) -> None:
    operator = start()
    kubectl.apply(a_dataset(namespace, services="mill"))
    wait_for(is_held(kubectl, namespace), what="Ready")
    operator.freeze()
    kubectl("annotate", "dataset", "tides", "-n", namespace, "example.test/claim=run-1")
    operator.thaw()

    def claimed() -> bool:
        body = kubectl.get("datasets", "tides", namespace)
        return bool(body and body["status"].get("active", {}).get("name") == "run-1")

    wait_for(claimed, what="the claim")
    wait_for(lambda: kubectl.get("controllerrevision", "run-1", namespace), what="its effect")


def test_a_deletion_takes_the_object_out_of_memory(
    start: Start, kubectl: Kubectl, namespace: str
) -> None:
    operator = start()
    kubectl.apply(a_dataset(namespace))
    wait_for(is_held(kubectl, namespace), what="Ready")

    kubectl.delete("datasets", "tides", namespace)

    wait_for(
        lambda: operator.metric("tidemill_operator_objects", kind="Dataset") == 0.0,
        what="an empty store",
    )
    assert operator.metric("tidemill_operator_conditions", kind="Dataset") == 0.0


def test_a_terminating_namespace_is_no_trouble(
    start: Start, kubectl: Kubectl, namespace: str
) -> None:
    operator = start()
    kubectl("delete", "namespace", namespace, "--wait=false")
    kubectl("patch", "namespace", namespace, "--type=merge", "-p", "{}")
    done = kubectl.run("apply", "-f", "-", data=json.dumps(a_dataset(namespace, services="mill")))
    assert "being terminated" in done.stderr

    assert operator.is_ready()


def test_with_nothing_to_do_it_takes_little_memory(run_operator: RunOperator) -> None:
    operator = run_operator().wait_leading().wait_idle()

    assert operator.rss < 80 * 1024 * 1024, f"{operator.rss / 2**20:.1f} MiB"


def test_settings_that_make_no_sense_are_refused(run_operator: RunOperator) -> None:
    operator = run_operator({"TIDEMILL_WORKERS": "many"})

    wait_for(lambda: not operator.alive, what="the end")

    assert operator.returncode == 2
    assert operator.log() == ("tidemill: TIDEMILL_WORKERS is 'many'; it must be a whole number\n")


def test_what_was_deleted_while_it_was_frozen_is_gone(
    own_plane: ControlPlane, run_operator: RunOperator
) -> None:
    kubectl = Kubectl(own_plane.kubeconfig)
    namespace = make_namespace(kubectl)
    operator = run_operator(plane=own_plane, command=FAKE).wait_leading()
    for name in ("ebb", "flood"):
        kubectl.apply(a_dataset(namespace, name, services=name))
        wait_for(is_held(kubectl, namespace, name), what="Ready")
    operator.freeze()
    kubectl.delete("datasets", "ebb", namespace)
    kubectl.delete("service", "ebb", namespace)
    own_plane.restart()  # its watch cache is new: the old places are too old for it
    operator.thaw()

    def objects(kind: str) -> float:
        return operator.metric("tidemill_operator_objects", kind=kind)

    wait_for(lambda: objects("Dataset") == 1.0, 60, "one Dataset")
    wait_for(lambda: objects("Service") == 1.0, 60, "one Service")
    wait_for(operator.is_ready, 60, "readiness")


def test_an_outage_of_the_api_server_is_survived(
    own_plane: ControlPlane, run_operator: RunOperator
) -> None:
    kubectl = Kubectl(own_plane.kubeconfig)
    namespace = make_namespace(kubectl)
    operator = run_operator(plane=own_plane, command=FAKE).wait_leading()
    kubectl.apply(a_dataset(namespace, services="mill"))
    wait_for(is_held(kubectl, namespace), what="Ready")

    own_plane.stop_apiserver()
    wait_for(lambda: operator.probe("/readyz")[0] == 503, what="not ready")
    wait_for(lambda: operator.metric("tidemill_operator_leader") == 0.0, 20, "stepping down")
    stays(lambda: operator.alive and operator.probe("/healthz")[0] == 200, 8, "health")
    own_plane.start_apiserver()

    wait_for(operator.is_ready, 15, "readiness")
    kubectl.apply(a_dataset(namespace, services="mill weir"))
    wait_for(lambda: kubectl.get("service", "weir", namespace), 15, "the new Service")


def test_a_leader_whose_lease_was_taken_ends(
    start: Start, kubectl: Kubectl, namespace: str
) -> None:
    operator = start()
    operator.freeze()
    stolen = {"spec": {"holderIdentity": "another", "leaseDurationSeconds": 60}}
    kubectl.patch("lease", namespace, LEASE_NAMESPACE, stolen)
    kubectl.apply(a_dataset(namespace, services="mill"))
    operator.thaw()

    wait_for(lambda: not operator.alive, 30, "the end")

    assert operator.returncode == 1
    assert "leadership is lost to another" in operator.log()


def test_a_lost_leader_is_replaced(start: Start, run_operator: RunOperator, namespace: str) -> None:
    first = start()
    second = run_operator(
        {"TIDEMILL_NAMESPACE": namespace, "TIDEMILL_LEASE_NAME": namespace}, command=FAKE
    ).wait_ready()

    first.kill()

    second.wait_leading(timeout=20)


def test_the_effect_follows_a_claim_made_by_an_earlier_process(
    start: Start, kubectl: Kubectl, namespace: str
) -> None:
    kubectl.apply(a_dataset(namespace, claim="run-1"))
    claimed = {
        "active": {
            "name": "run-1", "cause": "Manual", "key": "run-1", "since": "2026-01-01T00:00:00Z",
        }
    }  # fmt: skip
    kubectl.patch("dataset", "tides", namespace, {"status": claimed}, "--subresource=status")

    start()

    wait_for(lambda: kubectl.get("controllerrevision", "run-1", namespace), what="the effect")
    body = kubectl.get("datasets", "tides", namespace)
    assert body is not None
    assert body["status"]["active"]["since"] == "2026-01-01T00:00:00Z"


def test_endpoint_slices_of_our_services_are_seen(
    controlled_plane: ControlPlane, run_operator: RunOperator
) -> None:
    kubectl = Kubectl(controlled_plane.kubeconfig)
    namespace = make_namespace(kubectl)
    settings = {"TIDEMILL_NAMESPACE": namespace}
    operator = run_operator(settings, plane=controlled_plane, command=FAKE).wait_leading()

    kubectl.apply(a_dataset(namespace, services="mill"))

    wait_for(
        lambda: operator.metric("tidemill_operator_objects", kind="EndpointSlice") == 1.0,
        what="the EndpointSlice",
    )
    (found,) = kubectl.all("endpointslices", namespace, "tidemill.dev/dataset=tides")
    assert found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "tidemill"


def test_children_of_a_deleted_object_go_with_it(
    controlled_plane: ControlPlane, run_operator: RunOperator
) -> None:
    kubectl = Kubectl(controlled_plane.kubeconfig)
    namespace = make_namespace(kubectl)
    settings = {"TIDEMILL_NAMESPACE": namespace}
    operator = run_operator(settings, plane=controlled_plane, command=FAKE).wait_leading()
    kubectl.apply(a_dataset(namespace, services="mill", revisions="first"))
    wait_for(is_held(kubectl, namespace), what="Ready")
    before = kubectl.get("service", "mill", namespace)

    for propagation in ("background", "foreground"):
        kubectl.delete("dataset", "tides", namespace, f"--cascade={propagation}")
        # The garbage collector looks for new kinds, such as ours, each half minute.
        wait_for(lambda: kubectl.get("service", "mill", namespace) is None, 90, "no Service")
        wait_for(lambda: kubectl.get("dataset", "tides", namespace) is None, what="no Dataset")
        kubectl.apply(a_dataset(namespace, services="mill", revisions="first"))
        wait_for(is_held(kubectl, namespace), what="Ready again")
        wait_for(lambda: kubectl.get("service", "mill", namespace), what="the Service again")

    after = kubectl.get("service", "mill", namespace)
    assert before is not None and after is not None
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert operator.alive


def test_a_kind_that_is_installed_later_is_watched(
    own_plane: ControlPlane, run_operator: RunOperator
) -> None:
    kubectl = Kubectl(own_plane.kubeconfig)
    namespace = make_namespace(kubectl)
    settings = {"TIDEMILL_RESYNC_SECONDS": "3"}
    operator = run_operator(settings, plane=own_plane, command=FAKE).wait_leading()
    name = "gateways.gateway.networking.k8s.io"
    kubectl.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": name,
                "annotations": {"api-approved.kubernetes.io": "https://example.test"},
            },
            "spec": {
                "group": "gateway.networking.k8s.io",
                "scope": "Namespaced",
                "names": {"kind": "Gateway", "plural": "gateways"},
                "versions": [
                    {
                        "name": "v1", "served": True, "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object"}},
                    }
                ],
            },
        }
    )  # fmt: skip
    kubectl("wait", f"crd/{name}", "--for=condition=Established", "--timeout=30s")
    metadata = {"name": "gate", "namespace": namespace}
    kubectl.create(
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": metadata}
    )

    def gateways() -> float:
        return operator.metric("tidemill_operator_objects", kind="Gateway")

    wait_for(lambda: gateways() == 1.0, what="the Gateway")
    kubectl("delete", "crd", name)
    wait_for(lambda: gateways() == 0.0, what="no Gateway")
    wait_for(operator.is_ready, what="readiness")
