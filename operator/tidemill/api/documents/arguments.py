"""What the operator hands to its own pipelines: one JSON document in the parameter `arguments`."""

from tidemill.api.base import Model
from tidemill.api.v1alpha1.datacolumns import Slice
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import DataWindow, SourceRead, StoredDocument
from tidemill.api.v1alpha1.trainingjob import BuiltinPipeline, Decision, Gate


class Known(Model):
    """An earlier DatasetVersion, as a later read needs it."""

    name: str
    digest: str
    rows: int
    manifest: StoredDocument
    profile: StoredDocument
    source_read: SourceRead | None = None
    """How far the source was read for it, where the next read may go on from there."""


class RefreshArguments(Model):
    """For dataset-refresh."""

    dataset: str
    """The Dataset's name."""
    spec: DatasetSpec
    store: str
    """Where this Dataset's parts, manifests and profiles lie: <root>/<cluster uid>/<namespace>/
    records/datasets/<name>; the step writes parts/<sha256>.parquet and
    versions/<digest hex>/{manifest,profile}.json under it."""
    anchor: Known | None = None
    """The version whose schema (and, for from: FirstVersion, values) is the norm."""
    previous: Known | None = None
    """The newest version."""
    drift_references: tuple[Known, ...] = ()
    """For contract.drift: the first of other content is what this read is compared with."""
    fingerprint: str | None = None
    """What the source looked like at the last read; if it still does, the result is Unchanged."""
    contract_hash: str
    now: str
    """The time maturity is measured at."""
    erased: tuple[str, ...] = ()
    """Content digests that must not come back, the newest at most 100."""
    execution: str = ""
    """The PipelineExecution's name, for the version's docs page."""


class EraseArguments(Model):
    """For dataset-erase."""

    dataset: str
    """The Dataset's name."""
    store: str
    """Where its parts and versions lie, as in RefreshArguments."""
    keep: tuple[str, ...]
    """The first hex digits of the content digests of all versions that are kept."""
    erase: tuple[str, ...] = ()
    """Content digests that a person has named: their bytes go whatever their age."""
    now: str
    """When it was claimed; younger objects of no version are left alone."""


class TrainArguments(Model):
    """For train-tabular: sees fit and validation rows only."""

    manifest: StoredDocument
    profile: StoredDocument
    window: DataWindow
    """The DatasetVersion's window: where validation and test begin, and what is mature."""
    columns_spec: DatasetSpec
    """The Dataset's spec: roles and slices."""
    pipeline: BuiltinPipeline
    decision: Decision
    output: str
    """Prefix to write the candidate under."""


class Champion(Model):
    """The model to beat."""

    name: str
    bundle: StoredDocument


class EvaluateArguments(Model):
    """For evaluate: score candidate and champion on the same test rows, refit, make the bundle."""

    manifest: StoredDocument
    profile: StoredDocument
    window: DataWindow
    """The DatasetVersion's window."""
    dataset_spec: DatasetSpec
    dataset_digest: str
    slices: tuple[Slice, ...] = ()
    pipeline: BuiltinPipeline
    candidate: StoredDocument
    """candidate.json of the training execution (results.Candidate)."""
    champion: Champion | None = None
    gates: tuple[Gate, ...] = ()
    """Which metrics and slices the judge will ask for, besides the pipeline's metric."""
    refit: bool = True
    output: str
    """Prefix to write the bundle under: <root>/<cluster uid>/<namespace>/records/trainingjobs/
    <name>/<run>/against-<champion or none>; another champion, another bundle."""
    now: str
