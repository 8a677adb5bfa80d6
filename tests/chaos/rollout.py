"""A rollout: a model serves, another one is named, and takes over by a canary of one step."""

from typing import Any

from tests.bench.stand_ins import Pods, Prometheus
from tests.builders import SIGNATURE, WINDOW, make_profile
from tests.chaos.stage import Stage
from tests.chaos.workload import Workload
from tests.cluster import gobuild
from tests.integration.kubectl import Kubectl, condition
from tidemill.api.documents.bundle import Bundle, GoldenExample, StoredFile

Body = dict[str, Any]
_NAME = "delays"


def play_serving(stage: Stage) -> None:
    """Play kubelets, endpoints, a gateway and Prometheus."""
    install_gateway_api(Kubectl(stage.plane.kubeconfig))
    pods = Pods(stage.engine.api)
    stage.background.start(pods.run())
    prometheus = stage.background.enter(Prometheus(pods))
    stage.environment["TIDEMILL_PROMETHEUS_URL"] = prometheus.url
    stage.environment["TIDEMILL_SCRAPE_SECONDS"] = "1"


def install_gateway_api(kubectl: Kubectl) -> None:
    """Install the CRDs of the Gateway API's standard channel."""
    folder = gobuild.module_dir("envoy-gateway", "sigs.k8s.io/gateway-api") / "config"
    for path in sorted((folder / "crd" / "standard").glob("gateway.networking*.yaml")):
        kubectl("apply", "--server-side", "-f", str(path))
    kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")


def model_version(stage: Stage, namespace: str, name: str) -> Body:
    """An imported model, with its bundle in the artifact store."""
    store = stage.artifacts
    place = f"{store.root}/{stage.uid}/{namespace}/records/trainingjobs/any/{name}"
    model = store.put(f"{place}/model.onnx", name.encode(), own=False)
    profile = store.put(f"{place}/profile.json", make_profile(), own=False)
    bundle = Bundle(
        model=StoredFile(name="model.onnx", digest=model.digest),
        profile=StoredFile(name="profile.json", digest=profile.digest),
        signature=SIGNATURE,
        golden=(GoldenExample(inputs={"dep_hour": 17}, probability=0.5),),
        data_start=WINDOW["start"],
        data_end=WINDOW["end"],
        twin_data_end=WINDOW["end"],
    )
    return {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "origin": "Imported",
            "bundle": store.put(f"{place}/bundle.json", bundle, own=False).to_wire(),
            "modelUri": model.uri,
            "digest": model.digest,
            "createdAt": "2026-01-01T00:00:00Z",
        },
    }


def model_deployment(namespace: str) -> Body:
    """Serve the old model; a later one gets half of the requests first."""
    analysis = {
        "periodSeconds": 1,
        "minSamples": 1,
        "metrics": [{"name": "error-rate", "max": "0.01"}],
    }
    return {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": _NAME, "namespace": namespace},
        "spec": {
            "model": {"modelVersionRef": {"name": "old"}},
            "route": {"gatewayRef": {"name": "public"}, "hostnames": ["delays.example.com"]},
            "rollout": {
                "canary": {"steps": [{"weight": 50, "holdSeconds": 0}]},
                "analysis": analysis,
                "drainSeconds": 1,
            },
        },
    }


def _begin(stage: Stage, namespace: str) -> None:
    models = (model_version(stage, namespace, name) for name in ("old", "new"))
    stage.cluster.create(*models, model_deployment(namespace))


def _name_another(stage: Stage, namespace: str) -> None:
    patch = {"spec": {"model": {"modelVersionRef": {"name": "new"}}}}
    stage.cluster.merge("ModelDeployment", namespace, _NAME, patch)


def _serves(stage: Stage, namespace: str, model: str) -> bool:
    """Whether this model alone serves, and nothing of a rollout is left to do."""
    found = stage.cluster.get("ModelDeployment", namespace, _NAME) or {}
    status = found.get("status") or {}
    busy = any(status.get(part) for part in ("rollout", "candidate", "retiring"))
    stable = (status.get("stable") or {}).get("modelVersion")
    routed = condition(found, "Routed").get("status") == "True"
    ready = condition(found, "Ready").get("status") == "True"
    return ready and routed and stable == model and not busy


ROLLOUT = Workload(
    kinds=(
        *("ModelVersion", "ModelDeployment", "ControllerRevision", "Deployment", "Service"),
        *("HTTPRoute", "PodDisruptionBudget"),
    ),
    surround=play_serving,
    begin=_begin,
    may_go_on=lambda stage, namespace: _serves(stage, namespace, "old"),
    go_on=_name_another,
    is_over=lambda stage, namespace: _serves(stage, namespace, "new"),
)
