"""One read of a Dataset's source: from the claim to the judged record.

The claim is status.active. From it alone the execution is created; a snapshot it hands back
becomes a DatasetVersion, or is found to be one already; and only when that is judged is the cause
spent.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from pydantic import ValidationError

from tidemill.api.base import Ref
from tidemill.api.documents.arguments import Known, RefreshArguments
from tidemill.api.documents.results import Snapshot, Unchanged
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1 import DatasetVersion, PipelineExecution
from tidemill.api.v1alpha1.dataset import (
    ActiveExecution,
    DatasetSpec,
    DatasetStatus,
    HandledCause,
    VersionSummary,
)
from tidemill.api.v1alpha1.datasetversion import DatasetVersionSpec, SchemaColumn
from tidemill.api.v1alpha1.datasource import Source
from tidemill.api.v1alpha1.pipelineexecution import (
    BuiltinIR,
    ExecutionState,
    PipelineExecutionSpec,
    PipelineSource,
)
from tidemill.core import conditions as c
from tidemill.core.acceptance import (
    contract_hash,
    current_hashes,
    is_accepted,
    is_rejected,
    labelling,
    roles,
)
from tidemill.core.causes import given, handled, shape, spend
from tidemill.core.freshness import last_change
from tidemill.core.identity import (
    LABEL_DATASET,
    dataset_version_name,
    execution_name,
    stable_hash,
)
from tidemill.core.manifests.executions import arguments_parameter, execution_body
from tidemill.core.manifests.records import dataset_version_body
from tidemill.core.observed import DatasetObserved, ended, failure_of
from tidemill.core.plan import Body
from tidemill.core.revocation import is_erased
from tidemill.core.trouble import Problem, invalid_result, name_conflict, stuck, unusable

EXECUTION = "dataset-refresh"

SUCCEEDED, UNCHANGED, REJECTED, SUPERSEDED = "Succeeded", "Unchanged", "Rejected", "Superseded"
MOST_ERASED = 100
"""As many erased contents are named to a read."""
READ = frozenset({SUCCEEDED, UNCHANGED, REJECTED})
"""Outcomes of a read that reached the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What becomes of the active read: `over` is the status that spends its cause."""

    over: DatasetStatus | None = None
    create: tuple[Body, ...] = ()
    problem: Problem | None = None


def spec_hash(spec: DatasetSpec) -> str:
    """Hash of the fields that shape a read. When to read, what a pod may cost, how many versions
    to keep and what people are told are not among them.
    """
    said = given(spec)
    contract = said.get("contract", {})
    read = {key: said.get(key) for key in ("source", "split", "slices")} | {"columns": roles(spec)}
    drift = [contract["drift"]] if "drift" in contract else []
    read |= {key: said[key] for key in ("prepare", "window", "exclude") if key in said}
    read |= {"labels": labelling(spec)} if labelling(spec) else {}
    return stable_hash([read, contract.get("schema"), contract.get("expectations"), *drift])


def refresh_name(seen: DatasetObserved, cause: str, key: str) -> str:
    """The name of the execution that a cause asks for."""
    meta = seen.dataset.metadata
    return execution_name(meta.name, kind=EXECUTION, uid=meta.uid, cause=cause, key=key)


def version_named(seen: DatasetObserved, name: str | None) -> DatasetVersion | None:
    """One of the Dataset's records."""
    return next((item for item in seen.versions if item.metadata.name == name), None)


def versions_by_age(seen: DatasetObserved, but: str | None = None) -> list[DatasetVersion]:
    """The Dataset's records, the oldest first, but those of one execution."""
    kept = (item for item in seen.versions if item.spec.execution != but)
    return sorted(kept, key=lambda item: (item.spec.created_at, item.metadata.name))


def summary_of(version: DatasetVersion) -> VersionSummary:
    """What a Dataset's status says of a version."""
    spec = version.spec
    return VersionSummary(
        name=version.metadata.name,
        digest=spec.digest,
        rows=spec.rows,
        docs=None if spec.docs is None else spec.docs.uri,
    )


def version_in_use(
    status: DatasetStatus, latest: DatasetVersion | None, by_age: list[DatasetVersion]
) -> VersionSummary | None:
    """The version in use: the latest if it is accepted, else the one in use before unless it is
    refused or gone, else the newest accepted one.
    """
    if latest is not None and is_accepted(latest):
        return summary_of(latest)
    before = status.accepted.name if status.accepted is not None else None
    for item in by_age:
        if item.metadata.name == before and not is_rejected(item):
            return summary_of(item)
    return next((summary_of(item) for item in reversed(by_age) if is_accepted(item)), None)


def carry_on(seen: DatasetObserved, status: DatasetStatus, active: ActiveExecution) -> Move:
    """Take the active read one step further."""
    execution = next((i for i in seen.executions if i.metadata.name == active.name), None)
    if _is_superseded(seen, status, active, execution):
        return Move(over=close(seen, status, active, SUPERSEDED))
    if execution is None:
        return _start(seen, status, active)
    if not ended(execution):
        return Move(problem=stuck(execution))
    if execution.status.state is not ExecutionState.SUCCEEDED:
        reason, _ = failure_of(execution)
        return Move(over=close(seen, status, active, reason))
    if isinstance(seen.result, Snapshot):
        return _keep(seen, status, active, execution, seen.result)
    if isinstance(seen.result, Unchanged):
        read = status.model_copy(
            update={
                "last_read": execution.status.ended or active.since,
                "source_changed": seen.result.source_changed or status.source_changed,
            }
        )
        return Move(over=close(seen, read, active, UNCHANGED))
    return Move(over=close(seen, status, active, unusable(seen.result).reason))


def _is_superseded(
    seen: DatasetObserved,
    status: DatasetStatus,
    active: ActiveExecution,
    execution: PipelineExecution | None,
) -> bool:
    """Whether the spec has moved on from what the active read was claimed for.

    A read for an older spec is not worth its end; one for another cause is, once it has begun.
    """
    key = spec_hash(seen.dataset.spec)
    if active.cause == "Spec":
        return shape(active.key) != key
    of_spec = handled(status.handled, "Spec")
    return execution is None and (of_spec is None or shape(of_spec.key) != key)


def source_secret(source: Source) -> Ref | None:
    """The Secret that the step needs to read the source."""
    return next(
        (kind.secret_ref for kind in (source.objects, source.sql, source.git) if kind is not None),
        None,
    )


def _start(seen: DatasetObserved, status: DatasetStatus, active: ActiveExecution) -> Move:
    """Create the execution of a claimed read."""
    dataset = seen.dataset
    if seen.stranger:
        return Move(problem=name_conflict("PipelineExecution", active.name, "Dataset"))
    parameter = arguments_parameter(_arguments(seen, status, active).to_wire())
    if parameter is None:
        message = (
            "The spec is too large to hand to a step (64 KiB); shorten the lists of allowed values"
            " in contract.expectations."
        )
        return Move(problem=Problem(reason=Reason.INVALID_SPEC, message=message, unready=True))
    secret = source_secret(dataset.spec.source)
    spec = PipelineExecutionSpec(
        pipeline=PipelineSource(builtin=BuiltinIR.DATASET_REFRESH),
        parameters=(parameter,),
        secret_refs=() if secret is None else (secret,),
        resources=dataset.spec.resources,
    )
    body = execution_body(
        "Dataset", dataset.metadata, name=active.name, label=LABEL_DATASET, spec=spec
    )
    return Move(create=(body,))


def _arguments(
    seen: DatasetObserved, status: DatasetStatus, active: ActiveExecution
) -> RefreshArguments:
    """What the step is told. The time is that of the claim, so that asking twice asks the same."""
    spec = seen.dataset.spec
    anchor = version_named(seen, status.schema_anchor)
    previous = version_named(seen, None if status.latest is None else status.latest.name)
    if previous is not None and is_erased(previous):
        previous = None  # there is nothing left to compare with or to add to
    return RefreshArguments(
        dataset=seen.dataset.metadata.name,
        spec=spec,
        store=seen.store,
        anchor=None if anchor is None else _known(anchor),
        previous=None if previous is None else _known(previous),
        drift_references=tuple(_known(item) for item in _drift_references(seen)),
        fingerprint=_fingerprint(seen, status, active, previous),
        contract_hash=contract_hash(spec, None if anchor is None else anchor.metadata.name),
        now=active.since,
        erased=tuple(
            item.spec.digest for item in reversed(versions_by_age(seen)) if is_erased(item)
        )[:MOST_ERASED],
        execution=active.name,
    )


def _drift_references(seen: DatasetObserved) -> list[DatasetVersion]:
    """What a read may be compared with: the version that is pinned, or the two that were accepted
    last, as the content read may be that of the last one again.
    """
    rule = seen.dataset.spec.contract.drift
    if rule is None:
        return []
    if rule.version is not None:
        pinned = version_named(seen, rule.version)
        return [] if pinned is None or is_erased(pinned) else [pinned]
    return [item for item in reversed(versions_by_age(seen)) if is_accepted(item)][:2]


def _known(version: DatasetVersion) -> Known:
    return Known(
        name=version.metadata.name,
        digest=version.spec.digest,
        rows=version.spec.rows,
        manifest=version.spec.manifest,
        profile=version.spec.profile,
        # Nothing is added to what was not accepted: the source is read anew.
        source_read=version.spec.source_read if is_accepted(version) else None,
    )


def _fingerprint(
    seen: DatasetObserved,
    status: DatasetStatus,
    active: ActiveExecution,
    previous: DatasetVersion | None,
) -> str | None:
    """What the source looked like, where finding it so again means there is nothing to read.

    Not before the present spec has been read to the end once, and not while the last read left
    out rows whose label is final by now.
    """
    of_spec = handled(status.handled, "Spec")
    met = of_spec is not None and shape(of_spec.key) == spec_hash(seen.dataset.spec)
    if active.cause == "Spec" or previous is None or not met or of_spec is None:
        return None
    if of_spec.outcome not in READ:
        return None
    window = previous.spec.window
    wait = timedelta(seconds=seen.dataset.spec.columns.label.mature_after_seconds)
    final = c.parse_time(active.since) - wait
    if c.parse_time(window.mature_until) < min(final, c.parse_time(window.end)):
        return None
    return status.fingerprint


# --- what a read has made ----------------------------------------------------------------------


def _keep(
    seen: DatasetObserved,
    status: DatasetStatus,
    active: ActiveExecution,
    execution: PipelineExecution,
    snapshot: Snapshot,
) -> Move:
    """Record a snapshot, or find it recorded; once that record is judged the cause is spent."""
    record = _record_of(seen, snapshot)
    if record is None:
        return _write_record(seen, status, active, execution, snapshot)
    if not _is_judged(seen, status, record, snapshot):
        return Move()
    at = execution.status.ended or active.since
    is_new = status.latest is None or status.latest.digest != snapshot.digest
    changed = last_change(snapshot.source_changed, status.source_changed, at, is_new=is_new)
    read = status.model_copy(
        update={
            "latest": summary_of(record),
            "last_read": at,
            "fingerprint": snapshot.fingerprint,
            "source_changed": changed,
        }
    )
    in_use = version_in_use(read, record, versions_by_age(seen))
    read = read.model_copy(update={"accepted": in_use})
    return Move(over=close(seen, read, active, REJECTED if is_rejected(record) else SUCCEEDED))


def _is_same(version: DatasetVersion, snapshot: Snapshot) -> bool:
    """The same content, of which the same counts: roles of columns, and what is mature."""
    spec = version.spec
    return (
        spec.digest == snapshot.digest
        and spec.window == snapshot.window
        and _without_notes(spec.columns) == _without_notes(snapshot.columns)
        and (spec.labelled_rows, spec.positive_rows)
        == (snapshot.labelled_rows, snapshot.positive_rows)
    )


def _without_notes(columns: Iterable[SchemaColumn]) -> list[SchemaColumn]:
    """What people are told of columns makes no other version."""
    return [item.model_copy(update={"description": "", "owner": ""}) for item in columns]


def _record_of(seen: DatasetObserved, snapshot: Snapshot) -> DatasetVersion | None:
    return next((item for item in seen.versions if _is_same(item, snapshot)), None)


def _is_judged(
    seen: DatasetObserved, status: DatasetStatus, record: DatasetVersion, snapshot: Snapshot
) -> bool:
    """Whether the record's verdict is by the contract it was read for, if that is still ours."""
    present = current_hashes(
        seen.dataset.spec,
        record.metadata.name,
        status.schema_anchor,
        anchor_exists=version_named(seen, status.schema_anchor) is not None,
    )
    against = record.status.judged_against
    return against is not None and (against in present or snapshot.contract_hash not in present)


def record_names(dataset: str, snapshot: Snapshot) -> tuple[str, ...]:
    """The names a snapshot's record may get, in order: by content; by more of it where another
    content has that name; by content and reading where the same content was read otherwise.
    """
    reading = [snapshot.to_wire()[key] for key in ("digest", "window", "columns", "labelledRows")]
    short = dataset_version_name(dataset, snapshot.digest, {})
    return (
        short,
        dataset_version_name(dataset, snapshot.digest, {short: ""}),
        f"{dataset}-{stable_hash(reading, 16)}",
    )


def _write_record(
    seen: DatasetObserved,
    status: DatasetStatus,
    active: ActiveExecution,
    execution: PipelineExecution,
    snapshot: Snapshot,
) -> Move:
    meta = seen.dataset.metadata
    names = record_names(meta.name, snapshot)
    if any(item.spec.digest == snapshot.digest for item in seen.versions):
        names = names[2:]  # the names by content belong to another reading of it
    taken = {item.metadata.name for item in seen.versions} | seen.foreign
    free = [name for name in names if name not in taken]
    if not free:
        message = (
            f"All names for the new DatasetVersion are taken ({', '.join(names)}). Delete one of"
            " them."
        )
        return Move(problem=Problem(reason=Reason.NAME_CONFLICT, message=message))
    try:
        spec = _record_spec(seen, status, active, execution, snapshot)
    except ValidationError as error:
        return Move(over=close(seen, status, active, invalid_result(error).reason))
    return Move(create=(dataset_version_body(meta.namespace, free[0], spec),))


def _record_spec(
    seen: DatasetObserved,
    status: DatasetStatus,
    active: ActiveExecution,
    execution: PipelineExecution,
    snapshot: Snapshot,
) -> DatasetVersionSpec:
    return DatasetVersionSpec.model_validate(
        {
            "datasetRef": {"name": seen.dataset.metadata.name},
            **{
                key: value
                for key, value in snapshot.to_wire().items()
                if key not in ("kind", "version", "objects", "violations")
            },
            "violations": [item.to_wire() for item in snapshot.violations[:100]],
            "objects": list(snapshot.objects[:200]),
            "parent": None if status.latest is None else status.latest.name,
            "predecessor": _predecessor(status),
            "execution": active.name,
            "stepImage": execution.status.image,
            "stepImageDigest": execution.status.image_digest,
            "createdAt": execution.status.ended or active.since,
        }
    )


def _predecessor(status: DatasetStatus) -> dict[str, object] | None:
    """The version in use, which the growth of a new one is measured by."""
    used = status.accepted
    return None if used is None else {"name": used.name, "rows": used.rows}


def close(
    seen: DatasetObserved, status: DatasetStatus, active: ActiveExecution, outcome: str
) -> DatasetStatus:
    """Spend the active cause. A later read that succeeds also meets what the spec had asked for."""
    now = c.rfc3339(seen.now)
    done = HandledCause(cause=active.cause, key=active.key, at=now, outcome=outcome[:64])
    causes = tuple(
        item.model_copy(update={"outcome": done.outcome})
        if item.cause == "Spec" and _replaces(done.outcome, item.outcome)
        else item
        for item in status.handled
    )
    return status.model_copy(update={"active": None, "handled": spend(causes, done)})


def _replaces(outcome: str, before: str) -> bool:
    """Whether a later read's outcome is also the one of the spec's own read."""
    if before in (SUCCEEDED, UNCHANGED) or outcome in (UNCHANGED, SUPERSEDED):
        return False
    return outcome in READ or before not in READ
