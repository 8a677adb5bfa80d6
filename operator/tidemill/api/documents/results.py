"""What steps hand back: one result.json per attempt, written last and only if absent.

At most 256 KiB. URIs lie under the namespace's prefix and carry a sha256. `kind` tells which
document it is; `Failure` is written by a step that knows why it cannot go on.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from tidemill.api.base import Model
from tidemill.api.documents.bundle import Signature
from tidemill.api.v1alpha1.datasetversion import (
    DataWindow,
    LabelReport,
    ReadRows,
    SchemaColumn,
    SliceReport,
    SourceRead,
    StoredDocument,
    Violation,
)
from tidemill.api.v1alpha1.modelversion import Measured

MAX_BYTES = 262144


class Failure(Model):
    """A step knows why it cannot go on."""

    kind: Literal["Failure"] = "Failure"
    version: int = 1
    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]{1,63}$")]
    """SourceUnavailable, AccessDenied, NoObjects, UnreadableObject, MissingColumn, TypeMismatch,
    EmptyVersion, TooFewRows, LabelNotBinary, InvalidSlice, ModelUnreadable, ParityFailed, ..."""
    message: Annotated[str, Field(max_length=1024)]
    """What, where and what to do, in one or two sentences, without credentials."""
    transient: bool = False
    """Whether trying again may help."""


class Unchanged(Model):
    """The source looks as it did at the last read."""

    kind: Literal["Unchanged"] = "Unchanged"
    version: int = 1
    fingerprint: str
    source_changed: str | None = None


class Snapshot(Model):
    """A snapshot was read, checked and stored."""

    kind: Literal["Snapshot"] = "Snapshot"
    version: int = 1
    digest: str
    rows: int
    labelled_rows: int
    positive_rows: int
    manifest: StoredDocument
    profile: StoredDocument
    code_revision: Annotated[str, Field(max_length=128)] | None = None
    """The revision of the code in the step's image."""
    docs: StoredDocument | None = None
    """The page for people; a step of an earlier release makes none."""
    columns: tuple[SchemaColumn, ...]
    window: DataWindow
    read_rows: ReadRows | None = None
    labels: LabelReport | None = None
    slices: tuple[SliceReport, ...] = ()
    violations: tuple[Violation, ...] = ()
    contract_hash: str
    fingerprint: str
    objects: tuple[str, ...] = ()
    source_changed: str | None = None
    source_read: SourceRead | None = None


class Erased(Model):
    """Bytes were deleted."""

    kind: Literal["Erased"] = "Erased"
    version: int = 1
    objects: int
    """How many objects."""
    bytes: int
    """How many bytes they had."""


class Candidate(Model):
    """A model was trained (also stored as candidate.json beside the ONNX file)."""

    kind: Literal["Candidate"] = "Candidate"
    version: int = 1
    document: StoredDocument | None = None
    """candidate.json itself, in the result only."""
    model: StoredDocument
    """The ONNX file, fitted on fit rows (and validation rows for early stopping only)."""
    trivial: float
    """The probability the trivial baseline model always answers: the fit rows' positive share."""
    algorithm: str
    parameters: dict[str, str]
    signature: Signature
    feature_count: int
    validation: dict[str, float]
    """Metric -> value on the validation rows."""
    trials: tuple[dict[str, Any], ...] = ()
    """Each setting tried and its value."""
    parity: float
    data_start: str
    data_end: str
    seed: int


class Evaluation(Model):
    """Candidate and champion were scored on the same rows, and the bundle was written."""

    kind: Literal["Evaluation"] = "Evaluation"
    version: int = 1
    bundle: StoredDocument
    model: StoredDocument
    algorithm: str
    parameters: dict[str, str]
    feature_count: int
    metrics: tuple[Measured, ...]
    """The pipeline's metric on all test rows first, then everything the gates ask for."""
    champion: str | None = None
    champion_saw_test_rows: bool = False
    parity: float
    seed: int
    data_start: str
    data_end: str


class Published(Model):
    """A user's own pipeline says what it made."""

    kind: Literal["Published"] = "Published"
    version: int = 1
    metrics: dict[str, float] = Field(default_factory=dict)
    artifacts: dict[str, StoredDocument] = Field(default_factory=dict)


Result = Annotated[
    Failure | Unchanged | Snapshot | Erased | Candidate | Evaluation | Published,
    Field(discriminator="kind"),
]

RESULT: TypeAdapter[Result] = TypeAdapter(Result)
"""Validates result.json; raises pydantic.ValidationError."""


class Progress(Model):
    """progress.json: written by the runner while it works, polled only while running."""

    tasks: tuple[dict[str, Any], ...] = ()
    """name, state (Pending Running Succeeded Failed Skipped), seconds."""
