"""Dataset: where data comes from, how often, and what it must satisfy."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from tidemill.api.base import Column, KindNames, Model, Resource, Status, map_list, rules
from tidemill.api.scalars import Cron, Digest, Name, PositiveSeconds, StorageUri, Timestamp
from tidemill.api.v1alpha1.datacolumns import Columns, Slice, Split
from tidemill.api.v1alpha1.datacontract import Contract
from tidemill.api.v1alpha1.datalabels import Labelling
from tidemill.api.v1alpha1.datashaping import ExcludedTime, Prepare, Window
from tidemill.api.v1alpha1.datasource import Source


class Refresh(Model):
    """When to look at the source again."""

    schedule: Cron | None = None
    """Cron, five fields, such as "0 5 * * *". Ticks missed while nothing ran count as one."""
    time_zone: Annotated[str, Field(max_length=64)] = "Etc/UTC"
    """The schedule's IANA time zone."""
    suspend: bool = False
    """Do not start refreshes by schedule."""
    fresh_within_seconds: PositiveSeconds | None = None
    """A source that has not changed for longer counts as an outage: Fresh becomes False."""


class StepResources(Model):
    """What a step's pod asks for and is held to."""

    cpu: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]{1,3})?m?$", max_length=16)] = "500m"
    """CPU requested, as a Kubernetes quantity."""
    memory: Annotated[str, Field(pattern=r"^[0-9]+(Mi|Gi)$", max_length=16)] = "1Gi"
    """Memory requested and the limit, as a Kubernetes quantity."""


class DatasetSpec(Model):
    """Where data comes from, how often, and what it must satisfy."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.split) || self.split.by != 'Hash' || has(self.columns.group)"
                " || (has(self.columns.key) && size(self.columns.key) > 0)",
                "split by Hash needs columns.group, or else columns.key, to hash",
            ),
            (
                "!has(self.labels) || !has(self.labels.raters) || size(self.labels.raters) == 0"
                " || !has(self.columns.label.absent) || self.columns.label.absent == 'Drop'",
                "labels.raters needs columns.label.absent: Drop, as a row its raters leave without"
                " a label has none",
            ),
            (
                "!has(self.labels) || !has(self.labels.raters) || !self.labels.raters.exists(r,"
                " r == self.columns.label.name || r == self.columns.eventTime"
                " || (has(self.columns.key) && r in self.columns.key)"
                " || (has(self.columns.features) && r in self.columns.features))",
                "raters may not be the label, the event time, a key or a feature",
            ),
            (
                "!has(self.source.sql) || !has(self.source.sql.mode)"
                " || self.source.sql.mode != 'Upsert'"
                " || (has(self.columns.key) && size(self.columns.key) > 0)",
                "source.sql.mode Upsert needs columns.key: rows of equal key replace one another",
            ),
        )
    )

    source: Source
    """Where data comes from."""
    refresh: Refresh = Refresh()
    """When to look at the source again."""
    columns: Columns
    """What the columns are for."""
    prepare: Prepare | None = None
    """One SELECT that cleans rows and derives columns. Left out: rows as the source has them."""
    window: Window | None = None
    """How far back a version reaches. Left out: as far as the source does."""
    exclude: Annotated[
        tuple[ExcludedTime, ...], Field(max_length=64, json_schema_extra=map_list("name"))
    ] = ()
    """Stretches of time whose rows are left out, such as a strike. Objects are left out by
    source.objects.exclude."""
    split: Split = Split()
    """How rows are divided into fit, validation and test."""
    labels: Labelling | None = None
    """Where labels come from, and how far those who gave them agree."""
    slices: Annotated[
        tuple[Slice, ...], Field(max_length=32, json_schema_extra=map_list("name"))
    ] = ()
    """Named parts of the data that are judged on their own."""
    contract: Contract = Contract()
    """What makes a version acceptable."""
    resources: StepResources = StepResources()
    """What the reading step's pod asks for."""
    version_history_limit: Annotated[int, Field(ge=1, le=1000)] = 10
    """How many versions to keep besides those in use."""


class VersionSummary(Model):
    """The version a Dataset stands at."""

    name: Name
    """The DatasetVersion's name."""
    digest: Digest
    """Its content digest."""
    rows: int = 0
    """Its number of rows."""
    docs: StorageUri | None = None
    """Where its docs page lies: one HTML file, for any browser."""


class ActiveExecution(Model):
    """The run that is under way, claimed before it was started."""

    name: Name
    """The PipelineExecution's name."""
    cause: Annotated[str, Field(max_length=32)]
    """Spec, Manual, Drift, NewData, Retry or Schedule; Erase or Collect, which read nothing."""
    key: Annotated[str, Field(max_length=128)]
    """What tells this cause from others of its kind."""
    since: Timestamp
    """When it was claimed."""
    for_generation: int = 0
    """The metadata.generation that asked for it; 0 when no change of spec did."""


class HandledCause(Model):
    """The newest spent cause of one kind."""

    cause: Annotated[str, Field(max_length=32)]
    """Spec, Manual, Drift, NewData, Retry or Schedule; Erase or Collect, which read nothing."""
    key: Annotated[str, Field(max_length=128)]
    """What tells it from others of its kind."""
    at: Timestamp
    """When it was spent."""
    outcome: Annotated[str, Field(max_length=64)] = ""
    """Succeeded or the reason it failed."""


HandledCauses = Annotated[
    tuple[HandledCause, ...], Field(max_length=8, json_schema_extra=map_list("cause"))
]


class DatasetStatus(Status):
    """What is known of the data."""

    latest: VersionSummary | None = None
    """The newest version, accepted or not."""
    accepted: VersionSummary | None = None
    """The newest accepted version: the one that is trained on."""
    schema_anchor: Name | None = None
    """The DatasetVersion whose schema is the schema."""
    active: ActiveExecution | None = None
    """The refresh that is under way, or the run that deletes bytes."""
    handled: HandledCauses = ()
    """The newest spent cause of each kind."""
    last_tick: Timestamp | None = None
    """The newest schedule tick that was acted on."""
    last_read: Timestamp | None = None
    """When the source was last read with success."""
    source_changed: Timestamp | None = None
    """When the source was last seen to have changed."""
    fingerprint: Annotated[str, Field(max_length=128)] | None = None
    """What the source looked like at the last read; unchanged means nothing to read."""
    pruned: int | None = None
    """Versions whose records left by versionHistoryLimit since their bytes were last collected."""
    request: Annotated[str, Field(max_length=256)] | None = None
    """The newest request annotation that was answered."""


class Dataset(Resource):
    """Where data comes from, how often, and what it must satisfy."""

    names: ClassVar[KindNames] = KindNames(
        kind="Dataset",
        plural="datasets",
        short="dset",
        max_name=40,
        columns=(
            Column(name="Ready", path='.status.conditions[?(@.type=="Ready")].status'),
            Column(name="Reason", path='.status.conditions[?(@.type=="Ready")].reason'),
            Column(name="Fresh", path='.status.conditions[?(@.type=="Fresh")].status'),
            Column(name="Version", path=".status.accepted.name"),
            Column(name="Rows", path=".status.accepted.rows", type="integer"),
            Column(name="Read", path=".status.lastRead", type="date"),
            Column(
                name="Source",
                path='.status.conditions[?(@.type=="SourceAvailable")].reason',
                wide=True,
            ),
            Column(name="Changed", path=".status.sourceChanged", type="date", wide=True),
            Column(name="Latest", path=".status.latest.name", wide=True),
            Column(
                name="Message", path='.status.conditions[?(@.type=="Ready")].message', wide=True
            ),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    )
    spec: DatasetSpec
    status: DatasetStatus = DatasetStatus()
