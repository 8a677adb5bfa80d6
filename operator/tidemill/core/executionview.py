"""What a decision about an execution may look at, and what follows from it directly."""

from dataclasses import dataclass
from datetime import datetime

from tidemill.api.v1alpha1.pipelineexecution import Engine, ExecutionState, PipelineExecution
from tidemill.core import attempts
from tidemill.core.attempts import Problem, StartError, Told
from tidemill.core.identity import FINALIZER, attempt_prefix, namespace_prefix
from tidemill.core.ir import Compiled
from tidemill.core.resultdocument import Reading
from tidemill.core.tasks import Tasks

ENDED = (ExecutionState.SUCCEEDED, ExecutionState.FAILED, ExecutionState.CANCELED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the admin has set, as far as executions depend on it."""

    cluster_uid: str
    artifact_root: str
    artifact_secret: str
    steps_image: str
    image_pull_policy: str
    default_engine: Engine
    kubeflow: bool
    """A Kubeflow Pipelines server is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything a decision about an execution may depend on, as of `now`."""

    now: datetime
    execution: PipelineExecution
    setup: Setup
    pipeline: Compiled | Problem | None = None
    """The compiled pipeline. None: not needed in this pass."""
    told: Told | None = None
    """What the engine tells of the claimed attempt. None: it does not know it."""
    trouble: Problem | None = None
    """Why the engine could not be asked."""
    read_at: datetime | None = None
    """Kubeflow: when it had answered, which may be much later than `now`."""
    start_error: StartError | None = None
    """Kubeflow: why the last start of this attempt failed."""
    job_uid: str | None = None
    """The Job of the claimed attempt, while it is there."""
    reading: Reading | None = None
    """The attempt's result document. None: not due."""
    tasks: Tasks | None = None
    """The steps as they stand. None: not due, or not told."""


def held(seen: Observed) -> bool:
    """Whether our finalizer holds the execution."""
    return FINALIZER in seen.execution.metadata.finalizers


def until(seen: Observed) -> datetime:
    """The deadline of all attempts together."""
    execution = seen.execution
    started = execution.status.started or execution.metadata.creation_timestamp
    return attempts.deadline(started, execution.spec.active_deadline_seconds)


def given(seen: Observed) -> list[tuple[str, str]]:
    """The parameters as the user wrote them."""
    return [(item.name, item.value) for item in seen.execution.spec.parameters]


def prefix(seen: Observed) -> str:
    """Where the attempt leaves its documents."""
    meta, status = seen.execution.metadata, seen.execution.status
    number = status.attempt.number if status.attempt is not None else 1
    root, cluster = seen.setup.artifact_root, seen.setup.cluster_uid
    return attempt_prefix(root, cluster, meta.namespace, meta.uid, number)


def tenant_prefix(seen: Observed) -> str:
    """Where everything of the namespace lies."""
    namespace = seen.execution.metadata.namespace
    return namespace_prefix(seen.setup.artifact_root, seen.setup.cluster_uid, namespace)
