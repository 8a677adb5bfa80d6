"""ModelDeployments on a real API server with its real controllers.

Pods do not run: their readiness, the Gateway's answers and Prometheus are played (see pods.py).
Everything the operator writes is checked by the API server.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_model, make_profile
from tests.cluster import gobuild
from tests.cluster.controlplane import ControlPlane
from tests.integration.audit import AuditLog
from tests.integration.conftest import RunOperator, install_crds, make_namespace
from tests.integration.kubectl import Kubectl, condition
from tests.integration.operator_process import OperatorProcess
from tests.integration.pods import Cluster, PlayedPrometheus, played
from tests.integration.waiting import stays, wait_for
from tests.unit.world import bundle_of

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

Body = dict[str, Any]
PATIENCE = 60.0
NAME = "delays"
SPRING, SUMMER = "2013-06-30T23:00:00Z", "2013-09-30T23:00:00Z"
TRAINED: Body = {
    "apiVersion": "tidemill.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": NAME},
    "spec": {"datasetRef": {"name": "flights"}, "retrain": {"suspend": True}},
}
QUICK: Body = {
    "canary": {"steps": [{"weight": 5, "holdSeconds": 2}, {"weight": 50, "holdSeconds": 2}]},
    "analysis": {
        "periodSeconds": 1,
        "minSamples": 5,
        "metrics": [{"name": "error-rate", "max": "0.01"}],
    },
    "drainSeconds": 1,
}
ROUTE: Body = {
    "gatewayRef": {"name": "public", "namespace": "gateways"},
    "hostnames": ["delays.example.com"],
}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with kube-controller-manager and the Gateway API."""
    folder = gobuild.module_dir("envoy-gateway", "sigs.k8s.io/gateway-api")
    with ControlPlane(tmp_path_factory.mktemp("plane"), audit=True, controllers=True) as plane:
        kubectl = Kubectl(plane.kubeconfig)
        for path in sorted((folder / "config/crd/standard").glob("gateway.networking*.yaml")):
            kubectl("apply", "--server-side", "-f", str(path))
        install_crds(kubectl)
        yield plane


@pytest.fixture(scope="module")
def around(plane: ControlPlane) -> Iterator[tuple[Cluster, PlayedPrometheus]]:
    """Kubelet, Gateway and Prometheus."""
    with played(plane.kubeconfig) as both:
        yield both


@dataclass
class Stage:
    """A namespace with a TrainingJob, an artifact store and an operator."""

    kubectl: Kubectl
    audit: AuditLog
    namespace: str
    store: Path
    cluster: Cluster
    prometheus: PlayedPrometheus
    start: Callable[..., OperatorProcess]
    cluster_uid: str = ""
    operator: OperatorProcess | None = None

    def run(self, **env: str) -> OperatorProcess:
        """Start an operator and wait until it leads."""
        self.operator = self.start(env).wait_leading()
        return self.operator

    def model(self, name: str, data_end: str) -> None:
        """A trained model appears; its TrainingJob has no gates, so it is approved."""
        prefix = f"file://{self.store}/{self.cluster_uid}/{self.namespace}/models/{name}"
        place = Path(prefix.removeprefix("file://"))
        place.mkdir(parents=True)
        profile = json.dumps(make_profile().to_wire()).encode()
        (place / "profile.json").write_bytes(profile)
        version = make_model(name, dataEnd=data_end)
        document = bundle_of(version).model_dump_json(by_alias=True).encode()
        (place / "bundle.json").write_bytes(document)
        wire = version.to_wire()
        digest = f"sha256:{hashlib.sha256(document).hexdigest()}"
        self.kubectl.create(
            {
                "apiVersion": "tidemill.dev/v1alpha1",
                "kind": "ModelVersion",
                "metadata": {
                    "name": name,
                    "namespace": self.namespace,
                    "labels": wire["metadata"]["labels"],
                },
                "spec": {
                    **wire["spec"],
                    "bundle": {"uri": f"{prefix}/bundle.json", "digest": digest},
                    "modelUri": f"{prefix}/model.onnx",
                },
            }
        )

    def deploy(self, **more: Any) -> None:
        """Commit the ModelDeployment."""
        spec = {
            "model": {"trainingJobRef": {"name": NAME}},
            "replicas": 2,
            "route": ROUTE,
            "rollout": QUICK,
            **more,
        }
        self.kubectl.apply(
            {
                "apiVersion": "tidemill.dev/v1alpha1",
                "kind": "ModelDeployment",
                "metadata": {"name": NAME, "namespace": self.namespace},
                "spec": {key: value for key, value in spec.items() if value is not None},
            },
            manager="git",
        )

    @property
    def md(self) -> Body:
        """The ModelDeployment as it is."""
        return self.kubectl.get("modeldeployment", NAME, self.namespace) or {}

    @property
    def status(self) -> Body:
        """Its status."""
        found: Body = self.md.get("status") or {}
        return found

    def get(self, kind: str, name: str) -> Body:
        """An object of the namespace, or an empty dict."""
        return self.kubectl.get(kind, name, self.namespace) or {}

    def told(self, type_: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        found = condition(self.md, type_)
        return found.get("status", ""), found.get("reason", "")

    def wait(self, so: Callable[[], Any], what: str) -> Any:
        """Wait until something is so."""
        try:
            return wait_for(so, PATIENCE, what, interval=0.2)
        except AssertionError as error:
            log = self.operator.log()[-3000:] if self.operator is not None else ""
            raise AssertionError(f"{error}\n{json.dumps(self.status, indent=1)}\n{log}") from None

    def serves(self, version: str) -> Callable[[], bool]:
        """Whether a model is stable, Ready and alone."""

        def so() -> bool:
            body = self.md
            status = body.get("status") or {}
            stable = (status.get("stable") or {}).get("modelVersion")
            alone = not status.get("candidate") and not status.get("retiring")
            ready = condition(body, "Ready").get("status") == "True"
            return bool(stable == version and alone and ready)

        return so

    def until_serves(self, version: str) -> None:
        """Wait until a model is stable, Ready and alone."""
        self.wait(self.serves(version), f"{version} to serve alone")

    def route(self) -> dict[str, int]:
        """The weights of the route by Service."""
        spec = self.get("httproute", NAME).get("spec") or {"rules": [{"backendRefs": []}]}
        return {item["name"]: item["weight"] for item in spec["rules"][0]["backendRefs"]}

    def pods(self, revision: str) -> set[str]:
        """The uids of a revision's pods."""
        held = self.kubectl.all("pods", self.namespace, f"tidemill.dev/revision={revision}")
        return {item["metadata"]["uid"] for item in held}


@pytest.fixture
def stage(
    plane: ControlPlane,
    around: tuple[Cluster, PlayedPrometheus],
    run_operator: RunOperator,
    tmp_path: Path,
) -> Iterator[Stage]:
    """A stage of one test."""
    kubectl = Kubectl(plane.kubeconfig)
    cluster, prometheus = around
    cluster.broken.clear()
    cluster.silent = False
    numbers = prometheus.numbers
    numbers.failing, numbers.rate, numbers.down = 0.0, 20.0, False
    store = tmp_path / "store"
    namespace = make_namespace(kubectl)
    uid = (kubectl.get("namespace", "kube-system") or {})["metadata"]["uid"]

    def start(env: dict[str, str]) -> OperatorProcess:
        settings = {
            "TIDEMILL_ARTIFACT_ROOT": f"file://{store}",
            "TIDEMILL_NAMESPACE": namespace,
            "TIDEMILL_PROMETHEUS_URL": prometheus.url,
            "TIDEMILL_SCRAPE_SECONDS": "1",
            **env,
        }
        return run_operator(settings, plane=plane)

    kubectl.apply({**TRAINED, "metadata": {"name": NAME, "namespace": namespace}})
    yield Stage(
        kubectl=kubectl,
        audit=AuditLog(plane.audit_log),
        namespace=namespace,
        store=store,
        cluster=cluster,
        prometheus=prometheus,
        start=start,
        cluster_uid=uid,
    )
    kubectl.delete("modeldeployments", "--all", namespace)
    kubectl.delete("namespace", namespace, "default")


@pytest.fixture
def serving(stage: Stage) -> Stage:
    """A first model serves."""
    stage.run()
    stage.model("delays-v1", "2013-03-31T23:00:00Z")
    stage.deploy()
    stage.until_serves("delays-v1")
    return stage


class RouteLog:
    """Every change of the route's weights, as the API server tells them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._ended = threading.Event()
        self.seen: list[dict[str, int]] = []
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "RouteLog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ended.is_set():
            weights = self._stage.route()
            if weights and (not self.seen or self.seen[-1] != weights):
                self.seen.append(weights)
            time.sleep(0.1)


def test_a_whole_canary_is_promoted_and_restarts_nothing(serving: Stage) -> None:
    first = serving.status["stable"]["revision"]
    assert serving.route() == {first: 100}
    assert serving.status["url"] == "http://delays.example.com"

    with RouteLog(serving) as log:
        serving.model("delays-v2", SPRING)
        second = serving.wait(
            lambda: (serving.status.get("candidate") or {}).get("revision"), "a candidate"
        )
        serving.wait(lambda: len(serving.pods(second)) == 1, "the candidate's pod")
        born = serving.pods(second)
        serving.until_serves("delays-v2")
        serving.wait(lambda: set(log.seen[-1]) == {second}, "the old backend to go")

    assert serving.status["stable"]["revision"] == second
    weights = [weight for weight, _ in groupby(item.get(second, 0) for item in log.seen)]
    assert weights == [0, 5, 50, 100]
    assert born <= serving.pods(second), "the candidate's pod serves on"
    serving.wait(lambda: not serving.get("deployment", first), "the old Deployment to go")
    serving.wait(lambda: not serving.get("service", first), "the old Service to go")
    assert serving.get("controllerrevision", first)
    assert serving.status["lastRollout"]["outcome"] == "Promoted"
    assert serving.status["selector"].endswith(f"tidemill.dev/revision={second}")
    assert serving.status["replicas"] == 2
    reasons = {
        item["reason"]
        for item in serving.kubectl.all("events.events.k8s.io", serving.namespace)
        if item["regarding"]["kind"] == "ModelDeployment"
    }
    assert {"RolloutStarted", "StepStarted", "Promoting", "Promoted"} <= reasons


def test_a_bad_candidate_is_rolled_back_and_stable_is_not_touched(serving: Stage) -> None:
    first = serving.status["stable"]["revision"]
    untouched = serving.pods(first)
    serving.prometheus.numbers.failing = 0.034

    serving.model("delays-v2", SPRING)
    serving.wait(lambda: serving.status.get("refused"), "the model to be refused")

    (refused,) = serving.status["refused"]
    assert refused["reason"] == "AnalysisFailed"
    assert "error-rate 0.034 > 0.01 (n=" in refused["message"]
    serving.until_serves("delays-v1")
    assert serving.route()[first] == 100
    serving.wait(lambda: not serving.get("service", refused["revision"]), "its Service to go")
    assert serving.pods(first) == untouched
    assert serving.told("RolloutComplete") == ("False", "AnalysisFailed")
    assert serving.told("Stalled") == ("", "")


def test_a_pass_that_changes_nothing_makes_no_request(serving: Stage) -> None:
    operator = serving.operator
    assert operator is not None
    operator.wait_idle()

    def passes() -> float:
        return operator.metric("tidemill_operator_passes_total", kind="ModelDeployment")

    before, mark = passes(), serving.audit.mark()
    serving.kubectl("label", "modeldeployment", NAME, "-n", serving.namespace, "looked=at")
    serving.wait(lambda: passes() > before, "a pass")
    operator.wait_idle()

    asked = [item for item in serving.audit.since(mark) if item.resource != "leases"]
    assert [item for item in asked if item.verb != "watch"] == []


def test_an_operator_upgrade_restarts_nothing(serving: Stage) -> None:
    assert serving.operator is not None
    first = serving.status["stable"]["revision"]
    pods, body = serving.pods(first), serving.get("deployment", first)
    serving.operator.stop()
    mark = serving.audit.mark()

    serving.run(TIDEMILL_SERVING_IMAGE="tidemill/serving:next").wait_idle()
    stays(lambda: serving.pods(first) == pods, 3, "every pod")

    writes = [item for item in serving.audit.writes(mark) if item.namespace == serving.namespace]
    assert writes == []
    assert serving.get("deployment", first)["spec"] == body["spec"]
    serving.model("delays-v2", SPRING)
    serving.until_serves("delays-v2")
    second = serving.status["stable"]["revision"]
    made = serving.get("deployment", second)["spec"]["template"]["spec"]["containers"][0]
    assert made["image"] == "tidemill/serving:next"


def test_an_operator_that_is_killed_again_and_again_ends_the_same_canary(serving: Stage) -> None:
    serving.model("delays-v2", SPRING)
    with RouteLog(serving) as log:
        for number in range(12):
            assert serving.operator is not None
            time.sleep(0.15 * (number % 5))  # where in a pass it ends is left to chance
            serving.operator.kill()
            serving.run()
            if serving.serves("delays-v2")():
                break
        serving.until_serves("delays-v2")

    second = serving.status["stable"]["revision"]
    seen = [item.get(second, 0) for item in log.seen]
    assert set(seen) <= {0, 5, 50, 100}
    assert seen == sorted(seen), "the weight only rises"
    revisions = serving.kubectl.all("controllerrevisions", serving.namespace)
    assert len(revisions) == 2
    assert serving.status["lastRollout"]["outcome"] == "Promoted"
    assert serving.status["refused"] == []


def test_a_service_of_somebody_else_is_never_touched(stage: Stage) -> None:
    stranger = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": stage.namespace},
        "spec": {"selector": {"app": "else"}, "ports": [{"port": 81, "protocol": "TCP"}]},
    }
    before = stage.kubectl.create(stranger)
    stage.run()
    stage.model("delays-v1", "2013-03-31T23:00:00Z")

    stage.deploy()
    stage.wait(lambda: stage.told("Ready") == ("False", "NameConflict"), "NameConflict")

    assert stage.told("Stalled") == ("True", "NameConflict")
    assert stage.get("service", NAME)["spec"] == before["spec"]
    stage.kubectl("delete", "service", NAME, "-n", stage.namespace)
    stage.kubectl("label", "modeldeployment", NAME, "-n", stage.namespace, "look=again")
    stage.until_serves("delays-v1")
    assert stage.told("Stalled") == ("", "")


def test_without_a_route_the_weight_is_the_share_of_the_pods(stage: Stage) -> None:
    stage.run()
    stage.model("delays-v1", "2013-03-31T23:00:00Z")
    slow = {
        **QUICK,
        "canary": {"steps": [{"weight": 5, "holdSeconds": 3}, {"weight": 50, "holdSeconds": 3}]},
    }
    stage.deploy(route=None, rollout=slow)
    stage.until_serves("delays-v1")
    first = stage.status["stable"]["revision"]
    entry = stage.get("service", NAME)
    assert entry["spec"]["selector"]["tidemill.dev/revision"] == first

    stage.model("delays-v2", SPRING)
    seen: list[int] = []

    def weights() -> bool:
        weight = (stage.status.get("candidate") or {}).get("weight", 0)
        if weight and weight not in seen:
            seen.append(weight)
        return bool(seen == [33, 50])

    stage.wait(weights, "one pod in three, then one in two")
    assert "tidemill.dev/revision" not in stage.get("service", NAME)["spec"]["selector"]
    stage.until_serves("delays-v2")
    second = stage.status["stable"]["revision"]
    assert stage.get("service", NAME)["spec"]["selector"]["tidemill.dev/revision"] == second


def test_it_scales_by_its_scale_subresource(serving: Stage) -> None:
    revision = serving.status["stable"]["revision"]

    serving.kubectl("scale", "modeldeployment", NAME, "-n", serving.namespace, "--replicas=3")
    serving.wait(lambda: serving.status["replicas"] == 3, "three pods")

    assert len(serving.pods(revision)) == 3
    scale = json.loads(
        serving.kubectl(
            "get", "--raw",
            f"/apis/tidemill.dev/v1alpha1/namespaces/{serving.namespace}/modeldeployments/"
            f"{NAME}/scale",
        )
    )  # fmt: skip
    assert scale["status"] == {"replicas": 3, "selector": serving.status["selector"]}


def test_everything_goes_with_the_deployment_but_the_models(serving: Stage) -> None:
    serving.kubectl("delete", "modeldeployment", NAME, "-n", serving.namespace)

    kinds = ("deployments", "services", "httproutes", "controllerrevisions", "pods")

    def left() -> list[Body]:
        return [item for kind in kinds for item in serving.kubectl.all(kind, serving.namespace)]

    serving.wait(lambda: not left(), "no child left")
    assert serving.get("modelversion", "delays-v1")


def test_a_child_somebody_changed_or_deleted_is_mended(serving: Stage) -> None:
    revision = serving.status["stable"]["revision"]

    serving.kubectl("scale", "deployment", revision, "-n", serving.namespace, "--replicas=5")
    serving.wait(
        lambda: serving.get("deployment", revision)["spec"]["replicas"] == 2, "two pods again"
    )
    serving.kubectl("delete", "httproute", NAME, "-n", serving.namespace)
    serving.wait(lambda: serving.route() == {revision: 100}, "the route again")
    serving.until_serves("delays-v1")


def test_a_request_promotes_at_once(stage: Stage) -> None:
    stage.run()
    stage.model("delays-v1", "2013-03-31T23:00:00Z")
    long = {**QUICK, "canary": {"steps": [{"weight": 5, "holdSeconds": 3600}]}}
    stage.deploy(rollout=long)
    stage.until_serves("delays-v1")
    stage.model("delays-v2", SPRING)
    second = stage.wait(
        lambda: (
            (stage.status.get("candidate") or {}).get("weight") == 5
            and stage.status["candidate"]["revision"]
        ),
        "the first step",
    )

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    stage.kubectl(
        "annotate", "modeldeployment", NAME, "-n", stage.namespace,
        f"tidemill.dev/request=promote/{second}@{now}",
    )  # fmt: skip
    stage.until_serves("delays-v2")

    assert stage.status["request"] == f"promote/{second}@{now}"
