"""PipelineExecution: one run of one compiled Kubeflow pipeline."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from tidemill.api.base import (
    ATOMIC_LIST,
    Column,
    KindNames,
    Model,
    Ref,
    Resource,
    Status,
    map_list,
    rules,
)
from tidemill.api.scalars import Digest, Name, PositiveSeconds, Timestamp
from tidemill.api.v1alpha1.dataset import StepResources
from tidemill.api.v1alpha1.datasetversion import StoredDocument


class Engine(StrEnum):
    """What runs pipelines."""

    JOB = "Job"
    KUBEFLOW = "Kubeflow"


class BuiltinIR(StrEnum):
    """The pipelines that come with Tidemill."""

    DATASET_REFRESH = "dataset-refresh"
    DATASET_ERASE = "dataset-erase"
    TRAIN_TABULAR = "train-tabular"
    EVALUATE = "evaluate"


class KeyRef(Model):
    """A key of a ConfigMap in the same namespace."""

    name: Name
    """The ConfigMap."""
    key: Annotated[str, Field(max_length=253)] = "pipeline.yaml"
    """Its key."""


class PipelineSource(Model):
    """The compiled pipeline."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.builtin), has(self.inline), has(self.configMapRef)]"
                ".filter(x, x).size() == 1",
                "set exactly one of builtin, inline and configMapRef",
            )
        )
    )

    builtin: BuiltinIR | None = None
    """One of the pipelines that come with Tidemill."""
    inline: Annotated[str, Field(max_length=262144)] | None = None
    """Compiled pipeline YAML (Kubeflow IR), at most 256 KiB."""
    config_map_ref: KeyRef | None = None
    """A ConfigMap of this namespace that holds compiled pipeline YAML."""


class Parameter(Model):
    """One parameter of the pipeline."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Its name in the pipeline."""
    value: Annotated[str, Field(max_length=65536)]
    """Its value: text as it is for a string parameter, JSON for every other type."""


class PipelineExecutionSpec(Model):
    """One run of one compiled Kubeflow pipeline."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self == oldSelf", "an execution is never changed; create another")
        )
    )

    pipeline: PipelineSource
    """The compiled pipeline."""
    parameters: Annotated[
        tuple[Parameter, ...], Field(max_length=64, json_schema_extra=map_list("name"))
    ] = ()
    """The pipeline's parameters. tidemill_result_uri is set by the operator where declared."""
    engine: Engine | None = None
    """Job or Kubeflow. Left out: the admin's default."""
    secret_refs: Annotated[
        tuple[Ref, ...], Field(max_length=8, json_schema_extra=map_list("name"))
    ] = ()
    """Secrets of this namespace whose keys become environment of every step."""
    service_account_name: Annotated[str, Field(max_length=63)] = ""
    """The ServiceAccount of the pods; the namespace's default when left out."""
    active_deadline_seconds: PositiveSeconds = 3600
    """The longest it may take, all attempts together."""
    backoff_limit: Annotated[int, Field(ge=0, le=10)] = 2
    """How often it is tried again after a failure that may pass."""
    resources: StepResources = StepResources()
    """What a pod asks for."""


class ExecutionState(StrEnum):
    """Where an execution stands, in Kubeflow's words."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"


class TaskStatus(Model):
    """One step of the pipeline."""

    name: Annotated[str, Field(max_length=128)]
    """Its name."""
    state: Annotated[str, Field(max_length=16)]
    """Pending, Running, Succeeded, Failed, Skipped or Canceled."""
    seconds: int | None = None
    """How long it has taken."""


class Attempt(Model):
    """The attempt that is under way or was the last, claimed before it was started."""

    number: int = 1
    """Counted from one."""
    started: Timestamp
    """When it was claimed."""
    seen: bool = False
    """The engine was seen to know it: from then on it is never started again."""
    not_before: Timestamp | None = None
    """Backing off: it starts at this time."""
    submitted: Timestamp | None = None
    """Kubeflow: when its start was last asked for, claimed before asking."""


class PipelineExecutionStatus(Status):
    """What has become of it."""

    state: ExecutionState | None = None
    """Pending, Running, Succeeded, Failed or Canceled."""
    engine: Engine | None = None
    """What runs it, fixed at the first attempt."""
    attempt: Attempt | None = None
    """The attempt that is under way or was the last."""
    run_id: Annotated[str, Field(max_length=64)] | None = None
    """The Kubeflow run id, or the Job's name."""
    started: Timestamp | None = None
    """When the first attempt was claimed."""
    ended: Timestamp | None = None
    """When it was over."""
    tasks: Annotated[
        tuple[TaskStatus, ...], Field(max_length=64, json_schema_extra=ATOMIC_LIST)
    ] = ()
    """The pipeline's steps."""
    result: StoredDocument | None = None
    """The result document, checked before it is believed."""
    image: Annotated[str, Field(max_length=512)] = ""
    """The step image it ran with."""
    image_digest: Digest | None = None
    """The sha256 of that image, as the node has pulled it; the Job engine tells it."""
    pipeline_digest: Annotated[str, Field(max_length=71)] = ""
    """The sha256 of the compiled pipeline."""


class PipelineExecution(Resource):
    """One run of one compiled Kubeflow pipeline."""

    names: ClassVar[KindNames] = KindNames(
        kind="PipelineExecution",
        plural="pipelineexecutions",
        short="pex",
        columns=(
            Column(name="State", path=".status.state"),
            Column(name="Reason", path='.status.conditions[?(@.type=="Ready")].reason'),
            Column(name="Pipeline", path=".spec.pipeline.builtin"),
            Column(name="Engine", path=".status.engine"),
            Column(name="Attempt", path=".status.attempt.number", type="integer"),
            Column(name="Run", path=".status.runId", wide=True),
            Column(
                name="Message", path='.status.conditions[?(@.type=="Ready")].message', wide=True
            ),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    )
    spec: PipelineExecutionSpec
    status: PipelineExecutionStatus = PipelineExecutionStatus()
