"""What a decision about data and models may depend on: one frozen value per kind.

The gather functions of the shell fill these from the watched objects; nothing here is fetched
later, and the time is a field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from tidemill.api.documents.profile import Profile
from tidemill.api.documents.results import Result
from tidemill.api.v1alpha1 import (
    Dataset,
    DatasetVersion,
    ModelDeployment,
    ModelVersion,
    PipelineExecution,
    TrainingJob,
)
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.api.v1alpha1.pipelineexecution import ExecutionState
from tidemill.core.conditions import find
from tidemill.core.requests import Request

ENDED = frozenset({ExecutionState.SUCCEEDED, ExecutionState.FAILED, ExecutionState.CANCELED})


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document that is not there or cannot be believed."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A TrainingJob's drift episode that waits for labelled data."""

    key: str
    """status.wantsDataFor."""
    after: datetime
    """status.wantsDataAfter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetObserved:
    """All that a Dataset's next move may depend on."""

    now: datetime
    dataset: Dataset
    store: str
    """Where its parts, manifests and profiles lie."""
    versions: tuple[DatasetVersion, ...] = ()
    """Its records, also those of an earlier Dataset of the same name."""
    executions: tuple[PipelineExecution, ...] = ()
    """Those it controls."""
    stranger: bool = False
    """The active execution's name belongs to an object this Dataset does not control."""
    result: Result | Unreadable | None = None
    """What the active execution handed back, once it has succeeded."""
    foreign: frozenset[str] = frozenset()
    """Of the names its next record may get, those that belong to something else."""
    wishes: tuple[Wish, ...] = ()
    used: frozenset[str] = frozenset()
    """DatasetVersions that models, runs and pinned references name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersionObserved:
    """All that the verdict on a DatasetVersion may depend on."""

    now: datetime
    version: DatasetVersion
    dataset: Dataset | None
    """None: it has outlived the Dataset that made it."""
    newest: bool = False
    reading: bool = False
    """Its Dataset has not yet read its source to the end under the present spec."""
    anchor: DatasetVersion | None = None
    """The version whose schema is the norm; None if there is none."""
    evidence: tuple[Violation, ...] | None = None
    """What a later read of the same content found by the present contract; None: no such read."""
    profile: Profile | Unreadable | None = None
    """Its profile; read only where the contract has changed since it was judged."""
    revocation: Request | None = None
    """A person asks to revoke or erase this version."""
    erasing: bool = False
    """Its bytes are being deleted, or are about to be."""
    erased: bool = False
    """The run that was to delete its bytes has succeeded."""
    anchor_profile: Profile | Unreadable | None = None
    """The anchor's, where an expectation takes its values from the first version."""
    approval: Request | None = None
    """A person asks the Dataset to approve a version: the target is its name or digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJobObserved:
    """All that a TrainingJob's next move may depend on."""

    now: datetime
    job: TrainingJob
    store: str
    """Where its candidates and bundles lie."""
    dataset: Dataset | None = None
    version: DatasetVersion | None = None
    """The data a new run would learn from: the pinned version, else the newest accepted one."""
    run_version: DatasetVersion | None = None
    """The data the active run learns from."""
    models: tuple[ModelVersion, ...] = ()
    """Its records, also those of an earlier TrainingJob of the same name."""
    champions: Mapping[str, ModelVersion] = field(default_factory=dict)
    """Records of models it may be judged against, by name, whoever made them."""
    executions: tuple[PipelineExecution, ...] = ()
    """Those it controls."""
    strangers: frozenset[str] = frozenset()
    """Of the names of the active run's children, those that belong to something else."""
    results: Mapping[str, Result | Unreadable] = field(default_factory=dict)
    """Execution name -> what it handed back, for the active run's executions that succeeded."""
    followers: tuple[ModelDeployment, ...] = ()
    """ModelDeployments that follow it."""
    unseen_share: Decimal | None = None
    """The share of the version's rows that the last run had not; None if it was not needed."""
    used: frozenset[str] = frozenset()
    """ModelVersions that deployments name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersionObserved:
    """All that the verdict on a ModelVersion may depend on."""

    now: datetime
    model: ModelVersion
    job: TrainingJob | None = None
    """None: it has none, or has outlived it."""
    newest: bool = False
    revoked_data: str | None = None
    """The DatasetVersion it has learned from, if that was revoked."""
    serving: bool = False
    """A ModelDeployment gives it requests, or is about to."""
    approval: Request | None = None
    """A person asks to approve a model: the target is its digest."""


def ended(execution: PipelineExecution) -> bool:
    """Whether an execution is over, after all its attempts."""
    return execution.status.state in ENDED


def failure_of(execution: PipelineExecution) -> tuple[str, str]:
    """Why an execution that ended has made nothing: its own reason and message."""
    told = find(execution.status.conditions, "Ready")
    state = str(execution.status.state or ExecutionState.FAILED)
    if told is None:
        return state, f"PipelineExecution {execution.metadata.name} ended as {state}."
    said = f"PipelineExecution {execution.metadata.name} ended: {told.reason}."
    return told.reason, told.message or said


def stuck_of(execution: PipelineExecution) -> tuple[str, str] | None:
    """Why an execution waits for something a person has to do; None if it does not."""
    told = find(execution.status.conditions, "Stalled")
    if told is None or ended(execution):
        return None
    return told.reason, told.message
