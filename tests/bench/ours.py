"""Tidemill's side of the comparison: the operator as a process, and objects like a user's."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.rig import Body, Rig
from tests.integration.operator_process import OperatorProcess
from tidemill.api.documents.bundle import Bundle, Feature, Signature, StoredFile
from tidemill.api.documents.profile import ValueType

AGENT = "tidemill/"
GROUP_PATH = "/apis/tidemill.dev/v1alpha1/namespaces/{namespace}/{plural}"
DAY = "2026-01-0{}T00:00:00Z"


def digest(text: str) -> str:
    """A digest of something that is never read."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True)
class Operator:
    """How to run it: where its artifacts lie and which Prometheus it asks."""

    rig: Rig
    directory: Path
    prometheus: str

    @property
    def artifacts(self) -> Path:
        """The artifact store."""
        return self.directory / "artifacts"

    def start(self) -> OperatorProcess:
        """Run it and wait until it leads."""
        environment = {
            "TIDEMILL_ARTIFACT_ROOT": f"file://{self.artifacts}",
            "TIDEMILL_PROMETHEUS_URL": self.prometheus,
            "TIDEMILL_SCRAPE_SECONDS": "1",
            "TIDEMILL_LOG_LEVEL": "WARNING",
        }
        log = self.directory / "operator.log"
        return OperatorProcess(self.rig.plane.kubeconfig, log, environment).wait_leading()

    def store_model(self, name: str) -> Mapping[str, str]:
        """Put the document of a model into the store: what a ModelVersion says of it."""
        names = ("month", "hour", "distance", "carrier", "origin", "wind")
        features = tuple(Feature(name=item, type=ValueType.NUMBER) for item in names)
        bundle = Bundle(
            model=StoredFile(name="model.onnx", digest=digest(f"{name} model")),
            profile=StoredFile(name="profile.json", digest=digest(f"{name} profile")),
            signature=Signature(features=features, threshold=0.5, positive="1", label="late"),
            golden=(),
            data_start=DAY.format(1),
            data_end=DAY.format(2),
            twin_data_end=DAY.format(2),
        )
        text = bundle.model_dump_json(by_alias=True)
        path = self.artifacts / name / "bundle.json"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        return {"uri": f"file://{path}", "digest": digest(text)}


def _object(kind: str, name: str, namespace: str, spec: Body) -> Body:
    return {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def model_version(name: str, namespace: str, bundle: Mapping[str, str]) -> Body:
    """An imported model."""
    spec = {
        "origin": "Imported",
        "bundle": dict(bundle),
        "modelUri": bundle["uri"].replace("bundle.json", "model.onnx"),
        "digest": digest(f"{name} model"),
        "createdAt": DAY.format(2),
    }
    return _object("ModelVersion", name, namespace, spec)


def model_deployment(name: str, namespace: str, model: str, **spec: object) -> Body:
    """A ModelDeployment of one model, whose three steps hold as briefly as can be."""
    rollout = {
        "canary": {"steps": [{"weight": w, "holdSeconds": 0} for w in (5, 25, 50)]},
        "analysis": {"periodSeconds": 1},
        "drainSeconds": 0,
    }
    model_ref = {"modelVersionRef": {"name": model}}
    return _object(
        "ModelDeployment", name, namespace, {"model": model_ref, "rollout": rollout, **spec}
    )


def dataset(name: str, namespace: str) -> Body:
    """A Dataset of a bucket."""
    spec = {
        "source": {"objects": {"uri": "s3://tides/flights/*.parquet"}},
        "columns": {"eventTime": "time_hour", "label": {"name": "late"}},
    }
    return _object("Dataset", name, namespace, spec)


def dataset_version(name: str, namespace: str) -> Body:
    """A record of a snapshot of twenty columns."""
    stored = {"uri": f"s3://tides/{name}.json", "digest": digest(name)}
    spec = {
        "datasetRef": {"name": "flights"},
        "digest": digest(name),
        "rows": 336776,
        "labelledRows": 327346,
        "manifest": stored,
        "profile": stored,
        "columns": [{"name": f"column{n}", "type": "Number", "role": "Feature"} for n in range(20)],
        "window": {
            "start": DAY.format(1),
            "end": DAY.format(5),
            "matureUntil": DAY.format(4),
            "testStart": DAY.format(3),
            "validationStart": DAY.format(2),
        },
        "contractHash": "0" * 16,
        "fingerprint": "f",
        "execution": "e",
        "createdAt": DAY.format(6),
    }
    return _object("DatasetVersion", name, namespace, spec)


def training_job(name: str, namespace: str) -> Body:
    """A TrainingJob that waits for its Dataset."""
    return _object("TrainingJob", name, namespace, {"datasetRef": {"name": "flights"}})


def execution(name: str, namespace: str) -> Body:
    """A user's own PipelineExecution."""
    spec = {
        "pipeline": {"builtin": "dataset-refresh"},
        "parameters": [{"name": "arguments", "value": "{}"}],
    }
    return _object("PipelineExecution", name, namespace, spec)


def change(number: int) -> Body:
    """A change of spec that asks for no rollout."""
    return {"spec": {"rollout": {"analysis": {"periodSeconds": 31 + number}}}}


def canary(model: str) -> Body:
    """A change of spec that asks for a rollout."""
    return {"spec": {"model": {"modelVersionRef": {"name": model}}}}


def has_status(body: Body) -> bool:
    """Whether it has looked at this generation."""
    seen = (body.get("status") or {}).get("observedGeneration")
    return bool(seen == body["metadata"]["generation"])


def is_ready(body: Body) -> bool:
    """Whether what spec asks for serves."""
    held = (body.get("status") or {}).get("conditions", [])
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in held)
    return has_status(body) and ready


def is_promoted(body: Body) -> bool:
    """Whether the model that spec names is the stable one, and no rollout is left."""
    status = body.get("status") or {}
    wanted = body["spec"]["model"]["modelVersionRef"]["name"]
    stable = (status.get("stable") or {}).get("modelVersion")
    return has_status(body) and stable == wanted and "rollout" not in status
