"""Tidemill's side of the comparison: the operator as a process, and objects like a user's."""

from pathlib import Path

from tests.bench.rig import Body, Rig
from tests.integration.operator_process import OperatorProcess

AGENT = "tidemill/"
GROUP_PATH = "/apis/tidemill.dev/v1alpha1/namespaces/{namespace}/{plural}"
DIGEST = "sha256:" + "{:064x}"


def start(rig: Rig, log: Path, artifacts: Path, prometheus: str = "") -> OperatorProcess:
    """Run it and wait until it leads."""
    environment = {
        "TIDEMILL_ARTIFACT_ROOT": f"file://{artifacts}",
        "TIDEMILL_PROMETHEUS_URL": prometheus,
        "TIDEMILL_SCRAPE_SECONDS": "1",
        "TIDEMILL_LOG_LEVEL": "WARNING",
    }
    return OperatorProcess(rig.plane.kubeconfig, log, environment).wait_leading()


def model_version(name: str, namespace: str, number: int) -> Body:
    """An imported model."""
    stored = {"uri": f"s3://models/{name}/bundle.json", "digest": DIGEST.format(number)}
    return {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "origin": "Imported",
            "bundle": stored,
            "modelUri": f"s3://models/{name}/model.onnx",
            "digest": DIGEST.format(number),
            "createdAt": "2026-01-01T00:00:00Z",
        },
    }


def model_deployment(name: str, namespace: str, model: str, **spec: object) -> Body:
    """A ModelDeployment of one model."""
    return {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"model": {"modelVersionRef": {"name": model}}, "replicas": 1, **spec},
    }


def dataset(name: str, namespace: str, **spec: object) -> Body:
    """A Dataset of a bucket."""
    return {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "source": {"objects": {"uri": "s3://tides/flights/*.parquet"}},
            "columns": {"eventTime": "time_hour", "label": {"name": "late"}},
            **spec,
        },
    }


def training_job(name: str, namespace: str, data: str) -> Body:
    """A TrainingJob on a Dataset."""
    return {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"datasetRef": {"name": data}},
    }


def execution(name: str, namespace: str) -> Body:
    """A user's own PipelineExecution."""
    return {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "PipelineExecution",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "pipeline": {"builtin": "dataset-refresh"},
            "parameters": [{"name": "arguments", "value": "{}"}],
        },
    }


def has_status(body: Body) -> bool:
    """Whether it has looked at this generation."""
    seen = (body.get("status") or {}).get("observedGeneration")
    return bool(seen == body["metadata"]["generation"])
