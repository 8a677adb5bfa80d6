"""Which records and executions may go. Never one in use."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from tidemill.api.base import API_VERSION
from tidemill.api.v1alpha1 import PipelineExecution
from tidemill.core.observed import ended
from tidemill.core.plan import Delete


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A DatasetVersion or ModelVersion, as far as keeping it goes."""

    kind: str
    namespace: str
    name: str
    uid: str
    created_at: str
    parents: tuple[str, ...] = ()
    """Records of the same kind it was made from or judged against."""
    deleting: bool = False


def superfluous(
    records: Sequence[Record], *, used: Collection[str], keep: int
) -> tuple[Delete, ...]:
    """The records that may go: not used, no parent of a used one, and older than the newest
    `keep` of the others.
    """
    held = set(used)
    for record in records:
        if record.name in used:
            held.update(record.parents)
    idle = [record for record in records if record.name not in held and not record.deleting]
    idle.sort(key=lambda record: (record.created_at, record.name), reverse=True)
    return tuple(
        Delete(
            api_version=API_VERSION,
            kind=record.kind,
            namespace=record.namespace,
            name=record.name,
            uid=record.uid,
        )
        for record in idle[keep:]
    )


def newest_first(executions: Iterable[PipelineExecution]) -> list[PipelineExecution]:
    """Executions that have ended, the one that ended last first."""
    over = [item for item in executions if ended(item)]
    over.sort(key=lambda item: (item.status.ended or "", item.metadata.name), reverse=True)
    return over


def spent(
    executions: Iterable[PipelineExecution], *, active: Collection[str], keep: int
) -> tuple[Delete, ...]:
    """The ended executions that may go: all but the newest `keep`, and none of an active run.

    Call it only where what they were for stands in status.handled already.
    """
    idle = [item for item in newest_first(executions) if item.metadata.name not in active]
    return tuple(
        remove_execution(item) for item in idle[keep:] if item.metadata.deletion_timestamp is None
    )


def remove_execution(item: PipelineExecution) -> Delete:
    """Delete this very execution, with its pods."""
    return Delete(
        api_version=API_VERSION,
        kind="PipelineExecution",
        namespace=item.metadata.namespace,
        name=item.metadata.name,
        uid=item.metadata.uid,
    )
