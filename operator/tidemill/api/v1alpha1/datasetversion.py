"""DatasetVersion: the record of one content-addressed snapshot."""

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
from tidemill.api.scalars import ColumnName, Digest, Name, Ratio, Short, StorageUri, Text, Timestamp
from tidemill.api.v1alpha1.datalabels import Provenance


class StoredDocument(Model):
    """A document in the artifact store, pinned by digest."""

    uri: StorageUri
    """Where it lies."""
    digest: Digest
    """The sha256 of its bytes."""


class SchemaColumn(Model):
    """One column of a snapshot."""

    name: ColumnName
    """Its name."""
    type: Annotated[str, Field(max_length=64)]
    """Boolean, Integer, Number, String, Timestamp or Date."""
    role: Annotated[str, Field(max_length=16)]
    """Key, EventTime, Label, Rater, Group, Weight, Sensitive, Context, Feature or Unused."""
    description: Short = ""
    """What it means, as columns.describe said when the snapshot was first read."""
    owner: Annotated[str, Field(max_length=128)] = ""
    """Who answers for it."""


class Violation(Model):
    """One broken expectation."""

    name: Short
    """The expectation's name, or Schema, or EventTime."""
    rule: Annotated[str, Field(max_length=32)] = ""
    """What was asked: the expectation's type, or Schema, or EventTime."""
    reason: Annotated[str, Field(max_length=64)]
    """What kind of violation: OutOfRange, UnknownValues, Incomplete, Duplicates, RowCount,
    PatternMismatch, MixedTypes, DuplicateRows, Outliers, Stale, ConditionBroken, MissingColumn,
    ExtraColumn, TypeChanged, Drifted, NoReference, LabelDisagreement, NoData."""
    severity: Annotated[str, Field(max_length=8)]
    """Fail or Warn."""
    column: Annotated[str, Field(max_length=128)] = ""
    """The column it is about."""
    message: Annotated[str, Field(max_length=1024)]
    """Column, rule, observed, expected, count, share and examples in one sentence."""
    expected: Annotated[str, Field(max_length=256)] = ""
    """What the rule asks for."""
    observed: Annotated[str, Field(max_length=256)] = ""
    """What was found instead."""
    count: int | None = None
    """How many rows break it, where that can be counted."""
    share: Annotated[str, Field(max_length=16)] = ""
    """Their share of all rows, as a decimal number between 0 and 1."""
    examples: Annotated[
        tuple[Annotated[str, Field(max_length=64)], ...],
        Field(max_length=5, json_schema_extra=ATOMIC_LIST),
    ] = ()
    """Up to five of the values that break it, the most frequent first; never of sensitive
    columns."""
    check: Annotated[str, Field(max_length=32)] = ""
    """What Amazon SageMaker calls it: data_type_check, completeness_check, baseline_drift_check,
    missing_column_check, extra_column_check or categorical_values_check. Empty where SageMaker
    has no such check."""


class HashSplit(Model):
    """Rows divided by a hash of what they belong to, not by time.

    The hash is the first 13 hex digits of the sha256 of the columns' values as text, read as a
    number of [0, 1): rows below testShare are the test, those below testShare + validationShare
    are for choosing, the others are fitted.
    """

    columns: Annotated[tuple[ColumnName, ...], Field(max_length=8, json_schema_extra=ATOMIC_LIST)]
    """What is hashed: the group, else the key."""
    test_share: Ratio
    """The share of groups that are the test."""
    validation_share: Ratio
    """The share of groups that are for choosing."""
    fit_rows: int
    """How many rows with a final label are fitted."""
    validation_rows: int
    """How many are for choosing."""
    test_rows: int
    """How many are the test."""


class DataWindow(Model):
    """The event times a snapshot covers, and how it is divided."""

    start: Timestamp
    """The oldest event time."""
    end: Timestamp
    """The newest event time."""
    mature_until: Timestamp
    """The newest event time whose label is final."""
    test_start: Timestamp | None = None
    """Rows from here on are the test; training never sees them. Not there if split by Hash."""
    validation_start: Timestamp | None = None
    """Rows from here up to testStart are for choosing; older ones are fitted. Not there if split
    by Hash."""
    hash: HashSplit | None = None
    """How rows are divided if split by Hash."""


class RaterReport(Model):
    """One rater's part in a snapshot's labels."""

    name: ColumnName
    """The rater's column."""
    ratings: int
    """How many rows it has seen."""


class LabelReport(Model):
    """What is known of a snapshot's labels."""

    provenance: Provenance | None = None
    """Where they come from."""
    coverage: Annotated[str, Field(max_length=16)]
    """The share of rows with a label, mature or not."""
    cost: Annotated[str, Field(max_length=32)] | None = None
    """What all ratings have cost, by labels.costPerLabel."""
    raters: Annotated[
        tuple[RaterReport, ...], Field(max_length=16, json_schema_extra=map_list("name"))
    ] = ()
    """Who has seen how much."""
    doubly_rated_rows: int | None = None
    """How many rows two or more raters have seen."""
    conflicting_rows: int | None = None
    """How many rows have raters who disagree."""
    statistic: Annotated[str, Field(max_length=16)] = ""
    """Cohen of two raters, Fleiss of more."""
    kappa: Annotated[str, Field(max_length=16)] | None = None
    """Agreement beyond chance: 1 is all, 0 none. Not there where everybody says one thing."""
    kappa_low: Annotated[str, Field(max_length=16)] | None = None
    """The lower end of its 95 % interval."""
    kappa_high: Annotated[str, Field(max_length=16)] | None = None
    """The upper end."""
    conflicts: StoredDocument | None = None
    """The newest rows whose raters disagree, at most 1000, with what each said."""


class SliceReport(Model):
    """How large a slice of a snapshot is."""

    name: Name
    """The slice."""
    rows: int
    """How many rows are in it."""
    labelled_rows: int
    """How many of them have a final label."""
    positive_rows: int
    """How many of those are of the positive class."""


class ReadRows(Model):
    """What became of the rows that were read, one thing after the other."""

    read: int
    """How many rows the source gave."""
    prepared: int | None = None
    """How many rows spec.prepare made of them, where there is one."""
    excluded: int = 0
    """How many of these fell into spec.exclude."""
    outside_window: int = 0
    """How many of the rest were older than spec.window, or had no event time."""


class SourceRead(Model):
    """How far a source was read, for a person to know and the next read to go on from."""

    kind: Annotated[str, Field(max_length=16)]
    """Sql or Git."""
    shape: Annotated[str, Field(max_length=64)] = ""
    """Hash of what was asked of the source; another one means all has to be read again."""
    rows: int | None = None
    """How many rows there were at the source."""
    watermark: Short | None = None
    """The largest value of source.sql.watermark."""
    watermark_type: Annotated[str, Field(max_length=16)] | None = None
    """Integer, Decimal, Number, Timestamp, Instant, Date or Text."""
    commit: Annotated[str, Field(max_length=64)] | None = None
    """The Git commit that was read."""


class Predecessor(Model):
    """The version that was in use when another was made."""

    name: Name
    """The DatasetVersion's name."""
    rows: int
    """Its number of rows."""


class DatasetVersionSpec(Model):
    """All facts of one snapshot. Never changed."""

    model_config = ConfigDict(
        json_schema_extra=rules(("self == oldSelf", "a record is never changed"))
    )

    dataset_ref: Ref
    """The Dataset it was made by."""
    digest: Digest
    """Of content and schema, whatever the order of rows or the split into files."""
    rows: int
    """How many rows."""
    labelled_rows: int
    """How many rows have a final label."""
    positive_rows: int = 0
    """How many of those are of the positive class."""
    manifest: StoredDocument
    """The list of parts."""
    profile: StoredDocument
    """The whole profile: histograms, counts and noise floors per column."""
    docs: StoredDocument | None = None
    """The page for people: distributions beside the version before, violations, labels over
    time, contract, lineage. One HTML file that loads nothing: open it in any browser."""
    columns: Annotated[
        tuple[SchemaColumn, ...], Field(max_length=1000, json_schema_extra=ATOMIC_LIST)
    ]
    """The snapshot's schema."""
    window: DataWindow
    """The event times it covers."""
    labels: LabelReport | None = None
    """Where its labels come from and how far raters agree, where spec.labels says something."""
    slices: Annotated[
        tuple[SliceReport, ...], Field(max_length=32, json_schema_extra=map_list("name"))
    ] = ()
    """How large each slice is, and how its labels are balanced."""
    read_rows: ReadRows | None = None
    """What became of the rows that were read; a version of an earlier release does not say."""
    violations: Annotated[
        tuple[Violation, ...], Field(max_length=100, json_schema_extra=ATOMIC_LIST)
    ] = ()
    """What was broken when it was read."""
    contract_hash: Annotated[str, Field(max_length=64)]
    """The contract, columns and schema anchor it was judged against."""
    fingerprint: Annotated[str, Field(max_length=128)]
    """What the source looked like."""
    objects: Annotated[tuple[Short, ...], Field(max_length=200, json_schema_extra=ATOMIC_LIST)] = ()
    """The source objects read, at most 200 of them."""
    source_changed: Timestamp | None = None
    """When the newest of them was last modified."""
    source_read: SourceRead | None = None
    """How far a database or a repository was read."""
    parent: Name | None = None
    """The version before it."""
    predecessor: Predecessor | None = None
    """The accepted version that was in use when it was made: what its growth is measured by."""
    execution: Name
    """The PipelineExecution that made it."""
    step_image: Annotated[str, Field(max_length=512)] = ""
    """The image that made it."""
    step_image_digest: Digest | None = None
    """The sha256 of that image, as the node pulled it."""
    code_revision: Annotated[str, Field(max_length=128)] | None = None
    """The revision of the code in it: what org.opencontainers.image.revision says."""
    created_at: Timestamp
    """When."""
    note: Text = ""
    """Anything a person should know of it."""


class Approval(Model):
    """A person's approval."""

    request: Annotated[str, Field(max_length=256)]
    """The request annotation it was given by."""
    at: Timestamp
    """When it was acted on."""
    of: Annotated[str, Field(max_length=64)]
    """What was approved: SchemaNeedsApproval, after which its schema is the schema, or
    GrowthNeedsApproval."""


class ContractVerdict(Model):
    """A verdict that another stands above."""

    reason: Annotated[str, Field(max_length=128)]
    """Why, as one word."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Why, as a sentence."""


class DatasetVersionStatus(Status):
    """Whether the snapshot is good, against which contract."""

    judged_against: Annotated[str, Field(max_length=64)] | None = None
    """The contract hash the Accepted condition was computed from."""
    approved: Approval | None = None
    """The approval that has accepted it, though its schema or its size had asked for one."""
    contract: ContractVerdict | None = None
    """What the contract says: it is kept. Present while the version waits for the approval of its
    growth."""


class DatasetVersion(Resource):
    """The record of one content-addressed snapshot."""

    names: ClassVar[KindNames] = KindNames(
        kind="DatasetVersion",
        plural="datasetversions",
        short="dsv",
        record=True,
        columns=(
            Column(name="Dataset", path=".spec.datasetRef.name"),
            Column(name="Accepted", path='.status.conditions[?(@.type=="Accepted")].status'),
            Column(name="Reason", path='.status.conditions[?(@.type=="Accepted")].reason'),
            Column(name="Rows", path=".spec.rows", type="integer"),
            Column(name="From", path=".spec.window.start"),
            Column(name="To", path=".spec.window.end"),
            Column(name="Labelled", path=".spec.labelledRows", type="integer", wide=True),
            Column(name="Before", path=".spec.parent", wide=True),
            Column(name="Docs", path=".spec.docs.uri", wide=True),
            Column(
                name="Message", path='.status.conditions[?(@.type=="Accepted")].message', wide=True
            ),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    )
    spec: DatasetVersionSpec
    status: DatasetVersionStatus = DatasetVersionStatus()
