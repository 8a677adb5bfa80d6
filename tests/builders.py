"""Objects for tests: each builder makes a healthy one; a test says only what is different."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from tidemill.api.base import Condition
from tidemill.api.documents.bundle import Feature, Signature
from tidemill.api.documents.profile import FeatureProfile, Profile, ValueType
from tidemill.api.documents.results import Candidate, Evaluation, Snapshot
from tidemill.api.v1alpha1 import (
    Dataset,
    DatasetVersion,
    ModelDeployment,
    ModelVersion,
    PipelineExecution,
    TrainingJob,
)
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.core.acceptance import contract_hash
from tidemill.core.conditions import rfc3339
from tidemill.core.gates import gates_hash
from tidemill.core.identity import LABEL_DATASET, LABEL_TRAININGJOB
from tidemill.core.run import spec_hash

START = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)
NAMESPACE = "tides"
STORE = "s3://artifacts/tidemill/cluster/tides/records"

Body = dict[str, Any]


def at(**after: float) -> datetime:
    """START and so much later."""
    return START + timedelta(**after)


def stamp(**after: float) -> str:
    """START and so much later, as Kubernetes writes it."""
    return rfc3339(at(**after))


def sha(text: str) -> str:
    """A digest that tells texts apart."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def stored(name: str) -> StoredDocument:
    """A document in the artifact store."""
    return StoredDocument(uri=f"{STORE}/{name}", digest=sha(name))


def condition(type_: str, status: str, reason: str = "Because", message: str = "") -> Condition:
    """A condition as it is stored."""
    return Condition(
        type=type_, status=status, reason=reason, message=message, last_transition_time=stamp()
    )


def metadata(name: str, *, uid: str = "", generation: int = 1, **more: Any) -> Body:
    """ObjectMeta of an object made at START."""
    return {
        "name": name,
        "namespace": NAMESPACE,
        "uid": uid or f"uid-{name}",
        "generation": generation,
        "resourceVersion": "1",
        "creationTimestamp": stamp(),
        **more,
    }


# --- Dataset -----------------------------------------------------------------------------------


def dataset_spec(**more: Any) -> Body:
    """The spec of the flights."""
    return {
        "source": {
            "objects": {
                "uri": "s3://tides/flights/*.parquet",
                "newest": 3,
                "secretRef": {"name": "tides"},
            }
        },
        "columns": {
            "key": ["flight_id"],
            "eventTime": "time_hour",
            "label": {"name": "late", "matureAfterSeconds": 86400},
            "features": ["dep_hour", "carrier"],
        },
        "contract": {
            "owner": "ops-research",
            "expectations": [
                {"name": "hours", "column": "dep_hour", "type": "Range", "min": "0", "max": "23"}
            ],
        },
        **more,
    }


def make_dataset(
    name: str = "flights",
    *,
    spec: Body | None = None,
    status: Body | None = None,
    **meta: Any,
) -> Dataset:
    """A Dataset; `spec` replaces fields of the healthy one."""
    return Dataset.parse(
        {
            "kind": "Dataset",
            "metadata": metadata(name, **meta),
            "spec": dataset_spec(**(spec or {})),
            "status": status or {},
        }
    )


WINDOW: Body = {
    "start": "2013-01-01T00:00:00Z",
    "end": "2013-03-31T23:00:00Z",
    "matureUntil": "2013-03-31T23:00:00Z",
    "testStart": "2013-03-13T00:00:00Z",
    "validationStart": "2013-03-04T00:00:00Z",
}
COLUMNS: list[Body] = [
    {"name": "flight_id", "type": "String", "role": "Key"},
    {"name": "time_hour", "type": "Timestamp", "role": "EventTime"},
    {"name": "late", "type": "Boolean", "role": "Label"},
    {"name": "dep_hour", "type": "Integer", "role": "Feature"},
    {"name": "carrier", "type": "String", "role": "Feature"},
]
VIOLATION: Body = {
    "name": "hours",
    "reason": "OutOfRange",
    "severity": "Fail",
    "column": "dep_hour",
    "message": "dep_hour lies between 0 and 27, outside the maximum 23.",
}


def make_snapshot(content: str = "winter", **more: Any) -> Snapshot:
    """What a read of `content` hands back."""
    return Snapshot.model_validate(
        {
            "digest": sha(content),
            "rows": 77911,
            "labelledRows": 75000,
            "positiveRows": 18000,
            "manifest": stored(f"{content}/manifest.json").to_wire(),
            "profile": stored(f"{content}/profile.json").to_wire(),
            "columns": COLUMNS,
            "window": WINDOW,
            "contractHash": contract_hash(make_dataset().spec, None),
            "fingerprint": f"print-of-{content}",
            "objects": ["2013-01.parquet", "2013-02.parquet", "2013-03.parquet"],
            "sourceChanged": stamp(days=-1),
            **more,
        }
    )


def version_name(content: str = "winter", dataset: str = "flights") -> str:
    """The name of the record of `content`."""
    return f"{dataset}-{sha(content).removeprefix('sha256:')[:8]}"


def make_version(
    content: str = "winter",
    *,
    accepted: bool | None = True,
    judged_against: str | None = None,
    execution: str = "flights-0000000000",
    created: str = "",
    name: str = "",
    dataset: str = "flights",
    **spec: Any,
) -> DatasetVersion:
    """A DatasetVersion of `content`, accepted by the contract of `make_dataset()`; accepted=None
    is one that nobody has looked at.
    """
    snapshot = make_snapshot(content).to_wire()
    facts = {key: value for key, value in snapshot.items() if key not in ("kind", "version")}
    whole = {
        "datasetRef": {"name": dataset},
        **facts,
        "execution": execution,
        "createdAt": created or stamp(),
        **({} if accepted is not False else {"violations": [VIOLATION]}),
        **spec,
    }
    status: Body = {}
    if accepted is not None:
        reason = "ContractKept" if accepted else "ContractBroken"
        said = f"hours: {VIOLATION['message']}"
        if accepted:
            said = f"All of the contract is kept by {whole['rows']:,} rows."
        status = {
            "observedGeneration": 1,
            "judgedAgainst": judged_against or whole["contractHash"],
            "conditions": [
                condition("Accepted", str(accepted), reason, said).to_wire(),
                condition("Ready", "True", "Judged").to_wire(),
            ],
        }
    named = name or version_name(content, dataset)
    return DatasetVersion.parse(
        {
            "kind": "DatasetVersion",
            "metadata": metadata(named, labels={LABEL_DATASET: dataset}),
            "spec": whole,
            "status": status,
        }
    )


def make_profile(**more: Any) -> Profile:
    """The profile of the flights: an hour and a carrier, on 1,000 rows."""
    hour = FeatureProfile(
        name="dep_hour",
        type=ValueType.NUMBER,
        edges=(6.0, 12.0, 18.0),
        counts=(200, 300, 300, 200),
        minimum=0.0,
        maximum=23.0,
    )
    carrier = FeatureProfile(
        name="carrier",
        type=ValueType.CATEGORY,
        categories=("UA", "B6"),
        rare=("HA", "OO"),
        counts=(600, 340, 10),
        missing=50,
    )
    told: dict[str, Any] = {
        "rows": 1000,
        "start": WINDOW["start"],
        "end": WINDOW["end"],
        "features": (hour, carrier),
        **more,
    }
    return Profile(**told)


# --- executions --------------------------------------------------------------------------------


def make_execution(
    name: str,
    *,
    owner: str = "uid-flights",
    state: str | None = "Succeeded",
    reason: str = "",
    message: str = "",
    ended: str = "",
    stuck: bool = False,
    arguments: str | None = None,
    builtin: str = "dataset-refresh",
    **meta: Any,
) -> PipelineExecution:
    """An execution of ours; it has succeeded unless said."""
    over = state in ("Succeeded", "Failed", "Canceled")
    good = state == "Succeeded"
    conditions = [condition("Ready", str(good), reason or str(state), message).to_wire()]
    if stuck:
        conditions.append(condition("Stalled", "True", reason, message).to_wire())
    reference = {"apiVersion": "tidemill.dev/v1alpha1", "kind": "Any", "name": "any"}
    parameters = [] if arguments is None else [{"name": "arguments", "value": arguments}]
    status: Body = {"state": state, "conditions": conditions, "image": "tidemill/steps:1"}
    if over:
        status["ended"] = ended or stamp(minutes=1)
    if good:
        status["result"] = stored(f"{name}/result.json").to_wire()
        status["pipelineDigest"] = sha("pipeline")
    return PipelineExecution.parse(
        {
            "kind": "PipelineExecution",
            "metadata": metadata(
                name, ownerReferences=[{**reference, "uid": owner, "controller": True}], **meta
            ),
            "spec": {"pipeline": {"builtin": builtin}, "parameters": parameters},
            "status": {} if state is None else status,
        }
    )


# --- TrainingJob -------------------------------------------------------------------------------

GATES: list[Body] = [
    {"name": "useful", "type": "Absolute", "metric": "roc_auc", "min": "0.62"},
    {"name": "no-worse", "type": "Champion", "metric": "roc_auc", "minChange": "-0.005"},
]


def make_trainingjob(
    name: str = "delays",
    *,
    spec: Body | None = None,
    status: Body | None = None,
    **meta: Any,
) -> TrainingJob:
    """A TrainingJob on the flights, with an absolute and a champion gate."""
    return TrainingJob.parse(
        {
            "kind": "TrainingJob",
            "metadata": metadata(name, **meta),
            "spec": {"datasetRef": {"name": "flights"}, "gates": GATES, **(spec or {})},
            "status": status or {},
        }
    )


MEASURED: Body = {"metric": "roc_auc", "samples": 15582, "value": "0.713"}
AGAINST: Body = {
    **MEASURED,
    "champion": "0.662",
    "change": "0.051",
    "changeLow": "0.038",
    "changeHigh": "0.064",
}


def make_model(
    name: str = "delays-0000000001",
    *,
    approved: bool | None | str = True,
    content: str = "",
    created: str = "",
    judged_against: str | None = None,
    job: str = "delays",
    **spec: Any,
) -> ModelVersion:
    """A ModelVersion, approved by the gates of `make_trainingjob()`; approved="new" is one that
    nobody has looked at, approved=None one the gates could not decide on.
    """
    whole: Body = {
        "trainingJobRef": {"name": job},
        "cause": "Spec",
        "specHash": spec_hash(make_trainingjob().spec),
        "bundle": stored(f"{name}/bundle.json").to_wire(),
        "modelUri": f"{STORE}/{name}/model.onnx",
        "digest": sha(content or name),
        "datasetVersion": version_name(),
        "datasetDigest": sha("winter"),
        "dataStart": WINDOW["start"],
        "dataEnd": WINDOW["end"],
        "metrics": [MEASURED],
        "createdAt": created or stamp(),
        **spec,
    }
    status: Body = {}
    if approved != "new":
        told = {True: "True", False: "False", None: "Unknown"}[approved]  # type: ignore[index]
        reason = {"True": "GatesPassed", "False": "GatesMissed", "Unknown": "GatesUndecided"}[told]
        status = {
            "observedGeneration": 1,
            "judgedAgainst": judged_against or gates_hash(make_trainingjob().spec.gates),
            "conditions": [condition("Approved", told, reason, "As the gates say.").to_wire()],
        }
    labels = {LABEL_TRAININGJOB: job, LABEL_DATASET: "flights"}
    return ModelVersion.parse(
        {
            "kind": "ModelVersion",
            "metadata": metadata(name, labels=labels),
            "spec": {key: value for key, value in whole.items() if value is not None},
            "status": status,
        }
    )


def make_follower(
    name: str = "delays",
    *,
    stable: str | None = None,
    episode: Body | None = None,
    job: str = "delays",
    **meta: Any,
) -> ModelDeployment:
    """A ModelDeployment that follows a TrainingJob."""
    status: Body = {}
    if stable is not None:
        status["stable"] = {
            "revision": f"{name}-r1",
            "modelVersion": stable,
            "digest": sha(stable),
            "weight": 100,
        }
    if episode is not None:
        status["episode"] = {
            "number": 1,
            "baseline": sha("baseline"),
            "since": stamp(),
            "dataAfter": "2013-04-01T00:00:00Z",
            "features": ["dep_hour"],
            **episode,
        }
    return ModelDeployment.parse(
        {
            "kind": "ModelDeployment",
            "metadata": metadata(name, uid=f"uid-md-{name}", **meta),
            "spec": {"model": {"trainingJobRef": {"name": job}}},
            "status": status,
        }
    )


SIGNATURE = Signature(
    features=(Feature(name="dep_hour", type=ValueType.NUMBER),),
    threshold=0.4,
    positive="true",
    label="late",
)


def make_candidate(**more: Any) -> Candidate:
    """What a training hands back."""
    told: dict[str, Any] = {
        "document": stored("candidate/candidate.json"),
        "model": stored("candidate/model.onnx"),
        "trivial": 0.23,
        "algorithm": "lightgbm",
        "parameters": {"num_leaves": "31"},
        "signature": SIGNATURE,
        "feature_count": 2,
        "validation": {"roc_auc": 0.72},
        "parity": 2.4e-7,
        "data_start": WINDOW["start"],
        "data_end": WINDOW["end"],
        "seed": 0,
        **more,
    }
    return Candidate(**told)


def make_evaluation(model: str = "new-model", **more: Any) -> Evaluation:
    """What a judging hands back."""
    return Evaluation.model_validate(
        {
            "bundle": stored(f"{model}/bundle.json").to_wire(),
            "model": {"uri": f"{STORE}/{model}/model.onnx", "digest": sha(model)},
            "algorithm": "lightgbm",
            "parameters": {"num_leaves": "31"},
            "featureCount": 2,
            "metrics": [MEASURED],
            "parity": 2.4e-7,
            "seed": 0,
            "dataStart": WINDOW["start"],
            "dataEnd": WINDOW["end"],
            **more,
        }
    )
