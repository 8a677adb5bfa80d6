"""ModelVersion: the record of one trained model."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from tidemill.api.base import ATOMIC_LIST, Column, KindNames, Model, Ref, Resource, Status, rules
from tidemill.api.scalars import DecimalString, Digest, Name, StorageUri, Timestamp
from tidemill.api.v1alpha1.datasetversion import StoredDocument


class Measured(Model):
    """One metric on the test rows, as the judge needs it."""

    metric: Annotated[str, Field(max_length=32)]
    """Its name."""
    slice: Annotated[str, Field(max_length=63)] = ""
    """The slice; empty for all test rows."""
    samples: int
    """How many test rows."""
    value: DecimalString | None = None
    """Its value; absent if it cannot be computed, such as the AUC of one class."""
    champion: DecimalString | None = None
    """The champion's value on the same rows."""
    change: DecimalString | None = None
    """The challenger's value less the champion's."""
    change_low: DecimalString | None = None
    """The lower bound of the 95 % paired bootstrap interval of the change."""
    change_high: DecimalString | None = None
    """Its upper bound."""
    trivial: DecimalString | None = None
    """What the trivial baseline model gets."""


class ModelVersionSpec(Model):
    """All facts of one trained model. Never changed."""

    model_config = ConfigDict(
        json_schema_extra=rules(("self == oldSelf", "a record is never changed"))
    )

    origin: Literal["Trained", "Imported"] = "Trained"
    """Trained by a TrainingJob here, or Imported from a bundle."""
    training_job_ref: Ref | None = None
    """The TrainingJob that made it."""
    cause: Annotated[str, Field(max_length=32)] = ""
    """Why the run was started."""
    spec_hash: Annotated[str, Field(max_length=64)] = ""
    """Hash of the TrainingJob's fields that shaped the run; a TrainingJob made again with the
    same fields does not train again."""
    bundle: StoredDocument
    """The bundle's manifest (bundle.json): model, signature, baseline profile, metrics."""
    model_uri: StorageUri
    """The ONNX file that serves."""
    digest: Digest
    """The sha256 of the ONNX file that serves."""
    algorithm: Annotated[str, Field(max_length=64)] = ""
    """What was fitted."""
    feature_count: int = 0
    """How many columns it uses."""
    dataset_version: Name | None = None
    """The DatasetVersion it learned from."""
    dataset_digest: Digest | None = None
    """That version's content digest."""
    data_start: Timestamp | None = None
    """The oldest event it has learned from."""
    data_end: Timestamp | None = None
    """The newest event it has learned from."""
    champion: Name | None = None
    """What it was judged against."""
    champion_saw_test_rows: bool = False
    """The champion had learned from the test rows, so that the comparison says nothing."""
    metrics: Annotated[
        tuple[Measured, ...], Field(max_length=300, json_schema_extra=ATOMIC_LIST)
    ] = ()
    """Metrics on the test rows, for all of them and per slice."""
    parity: DecimalString | None = None
    """The largest difference of a probability between the trained model and its ONNX graph."""
    seed: int = 0
    """The seed of everything random."""
    parameters: Annotated[
        dict[str, Annotated[str, Field(max_length=256)]], Field(max_length=64)
    ] = Field(default_factory=dict)
    """The settings that were chosen."""
    pipeline_digest: Annotated[str, Field(max_length=71)] = ""
    """The sha256 of the compiled pipeline."""
    step_image: Annotated[str, Field(max_length=512)] = ""
    """The image that trained it."""
    executions: Annotated[tuple[Name, ...], Field(max_length=4, json_schema_extra=ATOMIC_LIST)] = ()
    """The PipelineExecutions that made it."""
    same_model_as: Name | None = None
    """An older ModelVersion with the same digest."""
    created_at: Timestamp
    """When."""


class GateResult(Model):
    """What one gate said."""

    name: Annotated[str, Field(max_length=63)]
    """The gate."""
    verdict: Literal["Successful", "Failed", "Inconclusive", "NoData", "Error"]
    """What the judge said."""
    blocking: bool = True
    """False for gates that only report."""
    message: Annotated[str, Field(max_length=512)]
    """Metric, value, bound and sample count in one sentence."""


class ModelVersionStatus(Status):
    """Whether the model may serve, by which gates."""

    judged_against: Annotated[str, Field(max_length=64)] | None = None
    """The hash of the gates the Approved condition was computed from."""
    gates: Annotated[
        tuple[GateResult, ...], Field(max_length=32, json_schema_extra=ATOMIC_LIST)
    ] = ()
    """What each gate said."""


class ModelVersion(Resource):
    """The record of one trained model."""

    names: ClassVar[KindNames] = KindNames(
        kind="ModelVersion",
        plural="modelversions",
        short="mv",
        record=True,
        columns=(
            Column(name="TrainingJob", path=".spec.trainingJobRef.name"),
            Column(name="Approved", path='.status.conditions[?(@.type=="Approved")].status'),
            Column(name="Reason", path='.status.conditions[?(@.type=="Approved")].reason'),
            Column(name="Metric", path=".spec.metrics[0].metric"),
            Column(name="Value", path=".spec.metrics[0].value"),
            Column(name="Champion", path=".spec.metrics[0].champion"),
            Column(name="Cause", path=".spec.cause"),
            Column(name="Data to", path=".spec.dataEnd"),
            Column(
                name="Message", path='.status.conditions[?(@.type=="Approved")].message', wide=True
            ),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    )
    spec: ModelVersionSpec
    status: ModelVersionStatus = ModelVersionStatus()
