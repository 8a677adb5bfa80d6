"""dataset-refresh: look at the source, read what changed, check it, store it, say what it is.

Parts, profile and manifest are written first and the result last; every one of them is named by
what is in it, or is written only if absent, so that a run killed half way leaves nothing that
anybody would take for a version, and a second run of the same data writes the same again.
"""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import duckdb

from tidemill.api.base import Model
from tidemill.api.documents.arguments import Known, RefreshArguments
from tidemill.api.documents.manifest import Manifest
from tidemill.api.documents.results import Result, Snapshot, Unchanged
from tidemill.api.v1alpha1.datacontract import Severity
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.core.violations import EVENT_TIME, bounded, violation
from tidemill.steps import drift, expectations, predicates
from tidemill.steps.cuts import cut
from tidemill.steps.datadocs.publish import publish_docs
from tidemill.steps.engine import connect, one, quoted
from tidemill.steps.erase import refuse_erased
from tidemill.steps.failures import StepError
from tidemill.steps.hush import hushed
from tidemill.steps.labels import label_raw, report_labels
from tidemill.steps.objects import Store, join
from tidemill.steps.parts import (
    LocalPart,
    RawObject,
    check_event_times,
    content_digest,
    fetch_parts,
    inspect,
    opinions,
    publish_parts,
    read_manifest,
    scan_parts,
    schema_of_part,
    write_part,
)
from tidemill.steps.prepare import Prepared, prepare
from tidemill.steps.profiles import Subject, profile
from tidemill.steps.provenance import code_revision
from tidemill.steps.schema import (
    NUMERIC,
    ColumnType,
    Role,
    Schema,
    check_columns,
    describe,
    merge,
)
from tidemill.steps.slicing import report_slices
from tidemill.steps.sources.choice import open_source
from tidemill.steps.sources.growing import OutgrownError, fetch_base, grow
from tidemill.steps.sources.reading import Reading
from tidemill.steps.weights import check_weights
from tidemill.steps.windows import find_window, label_rule, naive

logger = logging.getLogger(__name__)

_MOST_OBJECTS = 200
_OBJECT_LENGTH = 256


def as_document(model: Model) -> bytes:
    """A document's bytes: the same for the same content."""
    return json.dumps(model.to_wire(), sort_keys=True, indent=1).encode()


def refresh(arguments: RefreshArguments, scratch: Path) -> Result:
    """Make a snapshot of the source, or find that nothing has changed. Raises StepError."""
    source = open_source(arguments)
    seen = source.look()
    if seen.fingerprint is not None and seen.fingerprint == arguments.fingerprint:
        logger.info("the source has not changed since it was last read")
        return Unchanged(fingerprint=seen.fingerprint, source_changed=seen.changed)
    read = source.read(scratch)
    if read.fingerprint == arguments.fingerprint:
        logger.info("the source holds what it did when it was last read")
        return Unchanged(fingerprint=read.fingerprint, source_changed=read.changed)
    logger.info("read %d objects", len(read.files))
    with connect(scratch) as connection, hushed(arguments.spec):
        try:
            return _snapshot(connection, Store(), arguments, read, scratch)
        except OutgrownError:
            logger.info("rows have gone at the source; all are read")
        read = source.read(scratch, whole=True)
        return _snapshot(connection, Store(), arguments, read, scratch)


def _snapshot(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    arguments: RefreshArguments,
    read: Reading,
    scratch: Path,
) -> Snapshot:
    spec = arguments.spec
    anchor = _Anchor(connection, store, arguments.anchor, scratch)
    base = fetch_base(connection, store, read, arguments.previous, scratch)
    schema, written, prepared = _written(connection, spec, read, base, anchor.schema, scratch)
    kept = cut(connection, written, spec, naive(arguments.now), scratch)
    parts = kept.parts
    table = scan_parts([part.file for part in parts])
    rows = sum(part.rows for part in parts)
    anchor.have(parts)
    columns = describe(spec, schema)
    rule = label_rule(connection, table, spec, schema[spec.columns.label.name])
    labelled = find_window(connection, table, spec, rule, naive(arguments.now), schema)
    violations = _violations(connection, table, arguments, schema, anchor, rows)
    digest = content_digest(connection, table, schema)
    refuse_erased(digest, arguments.erased)
    logger.info("%d rows, %d violations, %s", rows, len(violations), digest)
    subjects = [
        Subject(item.name, ColumnType(item.type), item.role == Role.FEATURE)
        for item in columns
        if item.role != Role.SENSITIVE
    ]
    profiled = profile(connection, table, spec.columns.event_time, subjects)
    seen = drift.Found(table, spec.columns.event_time, digest, columns, profiled)
    moved = drift.drifted(connection, store, arguments, seen)
    published = publish_parts(store, arguments.store, parts)
    place = join(arguments.store, "versions", digest.removeprefix("sha256:"))
    labels, disputed = report_labels(connection, store, place, table, spec, schema)
    manifest = Manifest(digest=digest, parts=published, rows=rows)
    snapshot = Snapshot(
        digest=digest,
        rows=rows,
        labelled_rows=labelled.rows,
        positive_rows=labelled.positive,
        profile=store.publish(place, "profile.json", as_document(profiled)),
        manifest=store.publish(place, "manifest.json", as_document(manifest)),
        columns=columns,
        window=labelled.window,
        read_rows=prepared.counted(written, kept),
        violations=bounded((*disputed, *violations, *moved)),
        labels=labels,
        slices=report_slices(connection, table, spec, rule, schema, labelled.window),
        contract_hash=arguments.contract_hash,
        fingerprint=read.fingerprint,
        objects=tuple(item.name[-_OBJECT_LENGTH:] for item in read.files[-_MOST_OBJECTS:]),
        source_changed=read.changed,
        source_read=read.record,
        code_revision=code_revision(),
    )
    return publish_docs(
        connection, store, place, arguments, table, rule, schema, snapshot, profiled
    )


def _written(
    connection: duckdb.DuckDBPyConnection,
    spec: DatasetSpec,
    read: Reading,
    base: Sequence[RawObject],
    anchor: Schema | None,
    scratch: Path,
) -> tuple[Schema, list[LocalPart], Prepared]:
    """The schema of all that was read and of what it is added to, and their parts."""
    raw = [inspect(connection, item.name, item.path, read.advice) for item in read.files]
    prepared = prepare(connection, raw, spec, scratch)
    raw = label_raw(connection, prepared.raw, spec, scratch)
    schema = _schema(connection, spec, [*raw, *base], anchor)
    new = [write_part(connection, item, schema, scratch) for item in raw]
    written = grow(connection, spec, read, new, base, schema, scratch)
    if not any(part.rows for part in written):
        said = f"the {len(new)} objects read hold no rows; check the source, or exclude the empty"
        raise StepError("EmptyVersion", f"{said} ones")
    return schema, written, prepared


def _schema(
    connection: duckdb.DuckDBPyConnection,
    spec: DatasetSpec,
    raw: Sequence[RawObject],
    anchor: Schema | None,
) -> Schema:
    """The schema of all objects, with the event time as a time."""
    schema = merge(opinions(connection, raw, anchor), anchor)
    check_columns(spec, schema, anchor)
    for wanted in spec.slices:
        predicates.parse(wanted, {**(anchor or {}), **schema})
    moment = spec.columns.event_time
    if schema[moment] in NUMERIC:
        said = f"event time {moment} is a {schema[moment]}; make it a timestamp, or text such as"
        raise StepError("TypeMismatch", f"{said} 2013-06-30T12:00:00Z")
    check_event_times(connection, raw, moment)
    schema[moment] = ColumnType.TIMESTAMP
    return schema


class _Anchor:
    """The version whose schema, and where asked for values, are the norm."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        store: Store,
        known: Known | None,
        scratch: Path,
    ) -> None:
        self._connection = connection
        self._store = store
        self._scratch = scratch
        self._parts = () if known is None else read_manifest(store, known.manifest).parts
        self.schema: Schema | None = schema_of_part(store, self._parts[0]) if self._parts else None

    def have(self, parts: Sequence[LocalPart]) -> None:
        """Take the parts that were just written for those the anchor shares with them."""
        for part in parts:
            shared = self._scratch / part.name
            if any(item.digest == part.digest for item in self._parts) and not shared.exists():
                shared.hardlink_to(part.file)

    def values(self, name: str) -> frozenset[str] | None:
        """All values of a column as text; None if there is no anchor, or it has no such column."""
        if self.schema is None or name not in self.schema:
            return None
        files = fetch_parts(self._store, self._parts, self._scratch)
        table = scan_parts(files)
        return expectations.values_of(self._connection, table, name, self.schema[name])


def _violations(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    arguments: RefreshArguments,
    schema: Schema,
    anchor: _Anchor,
    rows: int,
) -> tuple[Violation, ...]:
    spec = arguments.spec
    contract, sensitive = spec.contract, frozenset(spec.columns.sensitive)
    first = {}
    for item in contract.expectations:
        if item.from_ is not None and item.column is not None and item.column not in first:
            values = anchor.values(item.column)
            if values is not None:
                first[item.column] = values
    frozen, evolution = anchor.schema, contract.schema_.evolution
    scene = expectations.Scene(
        schema=schema,
        anchor=frozen or {},
        first=first,
        sensitive=sensitive,
        now=naive(arguments.now),
    )
    return (
        *(
            expectations.compare(connection, table, schema, frozen, evolution, sensitive, rows)
            if frozen
            else ()
        ),
        *_without_event_time(connection, table, spec.columns.event_time, rows),
        *check_weights(connection, table, spec, rows),
        *expectations.check(connection, table, contract.expectations, scene),
    )


def _without_event_time(
    connection: duckdb.DuckDBPyConnection, table: str, name: str, rows: int
) -> tuple[Violation, ...]:
    """Rows without an event time are kept but belong to no window: that is worth a warning."""
    (known,) = one(connection, f"SELECT count({quoted(name)}) FROM {table}")
    if known == rows:
        return ()
    expected = "an event time in every row, as others are never trained on"
    return (
        violation(
            EVENT_TIME,
            EVENT_TIME,
            "Incomplete",
            severity=Severity.WARN,
            column=name,
            expected=expected,
            observed="rows without",
            count=rows - known,
            rows=rows,
        ),
    )
