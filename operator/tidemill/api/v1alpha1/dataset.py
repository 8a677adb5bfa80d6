"""Dataset: where data comes from, how often, and what it must satisfy."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from tidemill.api.base import (
    MIN_BELOW_MAX,
    SET_LIST,
    Column,
    KindNames,
    Model,
    Ref,
    Resource,
    Status,
    map_list,
    rules,
)
from tidemill.api.scalars import (
    ColumnName,
    Cron,
    DecimalString,
    Digest,
    Name,
    PositiveSeconds,
    Ratio,
    Seconds,
    Short,
    StorageUri,
    Text,
    Timestamp,
)


class NewestBy(StrEnum):
    """What "newest" means among the objects a glob finds."""

    NAME = "Name"
    MODIFICATION = "Modification"


class ObjectsSource(Model):
    """Objects in an object store: csv, jsonl or parquet, told by their suffix."""

    uri: StorageUri
    """An object or a glob, such as s3://tides/flights/*.parquet. All objects have one schema."""
    newest: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Read only this many of the newest objects. Left out: all."""
    newest_by: NewestBy = NewestBy.NAME
    """Newest by Name (the last in lexical order) or by Modification time."""
    exclude: Annotated[tuple[Short, ...], Field(max_length=100, json_schema_extra=SET_LIST)] = ()
    """Object names (what follows the last slash) to leave out, such as a month known to be bad."""
    secret_ref: Ref | None = None
    """A Secret of this namespace whose keys become the reading step's environment, such as
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL."""


class Source(Model):
    """Where data comes from."""

    objects: ObjectsSource
    """Objects in an object store."""


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


class AbsentLabel(StrEnum):
    """What a row whose label is missing means."""

    DROP = "Drop"
    NEGATIVE = "Negative"


class Label(Model):
    """The column to predict."""

    name: ColumnName
    """The column's name. Two values, for a binary classification."""
    mature_after_seconds: Seconds = 0
    """How long after its event time a row's label is final. Younger rows are not trained on."""
    absent: AbsentLabel = AbsentLabel.DROP
    """A mature row without a label is dropped, or counts as the negative class."""


class Columns(Model):
    """What the columns are for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.features) || !self.features.exists(f,"
                " f == self.eventTime || f == self.label.name"
                " || (has(self.key) && f in self.key)"
                " || (has(self.context) && f in self.context))",
                "features may not name the event time, the label, a key or a context column",
            ),
        )
    )

    key: Annotated[tuple[ColumnName, ...], Field(max_length=8, json_schema_extra=SET_LIST)] = ()
    """Columns that name a row. Never features."""
    event_time: ColumnName
    """When the row's event happened; decides the split and what is mature. Never a feature."""
    label: Label
    """The column to predict."""
    context: Annotated[
        tuple[ColumnName, ...], Field(max_length=64, json_schema_extra=SET_LIST)
    ] = ()
    """Kept for error analysis, never features."""
    features: Annotated[
        tuple[ColumnName, ...], Field(max_length=64, json_schema_extra=SET_LIST)
    ] = ()
    """The columns a model may use. Left out: every column without another role."""


class Split(Model):
    """How rows are divided: the newest are the test, those before validate, the rest is fitted."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "double(self.testShare) + double(self.validationShare) < 1.0",
                "testShare and validationShare must leave something to fit: together below 1",
            ),
            ("double(self.testShare) > 0.0", "testShare must be above 0: a model has to be judged"),
        )
    )

    by: Literal["Time"] = "Time"
    """Time: by the event time column."""
    test_share: Ratio = "0.2"
    """The newest share, which training never sees."""
    validation_share: Ratio = "0.1"
    """The share before the test rows, on which training chooses."""


class Slice(Model):
    """A named part of the data that is judged on its own."""

    name: Name
    """Its name in gates and metrics."""
    where: Annotated[str, Field(min_length=1, max_length=1024)]
    """A predicate: comparisons, IN, BETWEEN, IS NULL, AND, OR, NOT. NULL is false."""


class SchemaPolicy(Model):
    """How the schema is found and may change."""

    policy: Literal["InferThenFreeze"] = "InferThenFreeze"
    """The first accepted version's schema is the schema from then on."""
    evolution: Literal["Additive", "None"] = "Additive"
    """Additive: new columns are welcome; None: any difference is a violation."""


class Severity(StrEnum):
    """What a broken expectation does."""

    FAIL = "Fail"
    WARN = "Warn"


class Expectation(Model):
    """One thing the data must satisfy."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.type == 'RowCount' || has(self.column)", "column is required for this type"),
            (
                "self.type != 'AllowedValues' || has(self.values) || has(self.from)",
                "AllowedValues needs values, or from: FirstVersion",
            ),
            (
                "!(self.type in ['Range', 'RowCount']) || has(self.min) || has(self.max)",
                "Range and RowCount need min, max or both",
            ),
            ("self.type != 'Complete' || has(self.minShare)", "Complete needs minShare"),
            MIN_BELOW_MAX,
        )
    )

    name: Name
    """Its name in violations."""
    type: Literal["Range", "AllowedValues", "Complete", "Unique", "RowCount"]
    """Range: values lie between min and max. AllowedValues: values come from a list. Complete: at
    least minShare of the values are present. Unique: no value occurs twice. RowCount: the number
    of rows lies between min and max."""
    column: ColumnName | None = None
    """The column it is about; not for RowCount."""
    min: DecimalString | None = None
    """The least value, included."""
    max: DecimalString | None = None
    """The greatest value, included."""
    values: (
        Annotated[tuple[Short, ...], Field(max_length=500, json_schema_extra=SET_LIST)] | None
    ) = None
    """The allowed values."""
    from_: Annotated[Literal["FirstVersion"] | None, Field(alias="from")] = None
    """FirstVersion: the values seen in the first accepted version are the allowed ones."""
    max_share_unknown: Ratio = "0"
    """For AllowedValues: the share of rows that may hold another value."""
    min_share: Ratio | None = None
    """For Complete: the least share of values present."""
    severity: Severity = Severity.FAIL
    """Fail: the version is not accepted. Warn: it is, and says so."""


class Contract(Model):
    """What makes a version acceptable."""

    owner: Short = ""
    """Who answers for this data."""
    description: Text = ""
    """What the data are, for people."""
    schema_: Annotated[SchemaPolicy, Field(alias="schema")] = SchemaPolicy()
    """How the schema is found and may change."""
    expectations: Annotated[
        tuple[Expectation, ...], Field(max_length=200, json_schema_extra=map_list("name"))
    ] = ()
    """What the data must satisfy, each with a name."""


class StepResources(Model):
    """What a step's pod asks for and is held to."""

    cpu: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]{1,3})?m?$", max_length=16)] = "500m"
    """CPU requested, as a Kubernetes quantity."""
    memory: Annotated[str, Field(pattern=r"^[0-9]+(Mi|Gi)$", max_length=16)] = "1Gi"
    """Memory requested and the limit, as a Kubernetes quantity."""


class DatasetSpec(Model):
    """Where data comes from, how often, and what it must satisfy."""

    source: Source
    """Where data comes from."""
    refresh: Refresh = Refresh()
    """When to look at the source again."""
    columns: Columns
    """What the columns are for."""
    split: Split = Split()
    """How rows are divided into fit, validation and test."""
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


class ActiveExecution(Model):
    """The run that is under way, claimed before it was started."""

    name: Name
    """The PipelineExecution's name."""
    cause: Annotated[str, Field(max_length=32)]
    """Spec, Manual, Drift, NewData, Retry or Schedule."""
    key: Annotated[str, Field(max_length=128)]
    """What tells this cause from others of its kind."""
    since: Timestamp
    """When it was claimed."""
    for_generation: int = 0
    """The metadata.generation that asked for it; 0 when no change of spec did."""


class HandledCause(Model):
    """The newest spent cause of one kind."""

    cause: Annotated[str, Field(max_length=32)]
    """Spec, Manual, Drift, NewData, Retry or Schedule."""
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
    """The refresh that is under way."""
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
            Column(name="Version", path=".status.accepted.name"),
            Column(name="Rows", path=".status.accepted.rows", type="integer"),
            Column(name="Latest", path=".status.latest.name", wide=True),
            Column(name="Read", path=".status.lastRead", type="date"),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    )
    spec: DatasetSpec
    status: DatasetStatus = DatasetStatus()
