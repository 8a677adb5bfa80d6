"""Deleting bytes: of versions that are to be erased, and of what retention has left behind.

Both are one run of `dataset-erase`, claimed as the Dataset's active execution like a read: no read
writes parts while another run deletes them. The run is told what to keep, by the first digits of
content digests, and deletes every version that is not kept and every part that no kept version
has. Records leave at once, when retention says so; their bytes are collected at most once a day.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tidemill.api.documents.arguments import EraseArguments
from tidemill.api.documents.results import Erased
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1 import DatasetVersion
from tidemill.api.v1alpha1.dataset import ActiveExecution, DatasetStatus
from tidemill.api.v1alpha1.pipelineexecution import (
    BuiltinIR,
    ExecutionState,
    PipelineExecutionSpec,
    PipelineSource,
)
from tidemill.core import conditions as c
from tidemill.core.causes import Cause, handled
from tidemill.core.identity import LABEL_DATASET
from tidemill.core.manifests.executions import arguments_parameter, execution_body
from tidemill.core.observed import DatasetObserved, ended, failure_of
from tidemill.core.refresh import SUCCEEDED, Move, close
from tidemill.core.requests import Request
from tidemill.core.revocation import ERASE, ERASE_CAUSE, is_erased, named, target_of
from tidemill.core.trouble import Problem, name_conflict, stuck, unusable

COLLECT_CAUSE = "Collect"
UPKEEP = frozenset({ERASE_CAUSE, COLLECT_CAUSE})
"""Causes that read nothing."""
COLLECT_EVERY = timedelta(days=1)
KEPT_DIGITS = 16
"""As many hex digits of a content digest tell what is kept; too few keep too much, never less."""


def due_erasure(seen: DatasetObserved, request: Request | None) -> Cause | None:
    """The erasure that a person asks for, if there is anything to erase."""
    if request is None or request.verb != ERASE:
        return None
    wanted = [item for item in named(seen.versions, request.target) if not is_erased(item)]
    if not wanted:
        return None
    return Cause(cause=ERASE_CAUSE, key=request.token, request=request.text)


def due_collection(seen: DatasetObserved, status: DatasetStatus) -> Cause | None:
    """The collection of what retention has left behind, if its time has come."""
    at = next_collection(seen, status)
    if at is None or at > seen.now:
        return None
    return Cause(cause=COLLECT_CAUSE, key=c.rfc3339(seen.now))


def next_collection(seen: DatasetObserved, status: DatasetStatus) -> datetime | None:
    """When bytes are collected next; None if there are none to collect."""
    if not status.pruned:
        return None
    last = handled(status.handled, COLLECT_CAUSE)
    since = last.at if last is not None else seen.dataset.metadata.creation_timestamp
    return c.parse_time(since) + COLLECT_EVERY if since else seen.now


def carry_on_upkeep(seen: DatasetObserved, status: DatasetStatus, active: ActiveExecution) -> Move:
    """Take the active run one step further; it is over once the records say they are erased."""
    execution = next((i for i in seen.executions if i.metadata.name == active.name), None)
    if execution is None:
        return _start(seen, active)
    if not ended(execution):
        return Move(problem=stuck(execution))
    if execution.status.state is not ExecutionState.SUCCEEDED:
        reason, _ = failure_of(execution)
        return Move(over=close(seen, status, active, reason))
    if not isinstance(seen.result, Erased):
        return Move(over=close(seen, status, active, unusable(seen.result).reason))
    if not all(is_erased(item) for item in _wanted(seen, active)):
        return Move()
    done = status.model_copy(update={"pruned": None})
    return Move(over=close(seen, done, active, SUCCEEDED))


@dataclass(frozen=True, slots=True)
class _Split:
    kept: tuple[str, ...]
    erased: tuple[str, ...]


def _wanted(seen: DatasetObserved, active: ActiveExecution) -> list[DatasetVersion]:
    if active.cause != ERASE_CAUSE:
        return []
    return named(seen.versions, target_of(active.key))


def _split(seen: DatasetObserved, active: ActiveExecution) -> _Split:
    wanted = {item.spec.digest for item in _wanted(seen, active)}
    gone = wanted | {item.spec.digest for item in seen.versions if is_erased(item)}
    kept = {item.spec.digest for item in seen.versions} - gone
    short = sorted({digest.removeprefix("sha256:")[:KEPT_DIGITS] for digest in kept})
    return _Split(tuple(short), tuple(sorted(wanted)))


def _start(seen: DatasetObserved, active: ActiveExecution) -> Move:
    dataset = seen.dataset
    if seen.stranger:
        return Move(problem=name_conflict("PipelineExecution", active.name, "Dataset"))
    split = _split(seen, active)
    arguments = EraseArguments(
        dataset=dataset.metadata.name,
        store=seen.store,
        keep=split.kept,
        erase=split.erased,
        now=active.since,
    )
    parameter = arguments_parameter(arguments.to_wire())
    if parameter is None:
        message = (
            f"{len(split.kept)} versions are too many to name to the run that deletes bytes; lower"
            " versionHistoryLimit."
        )
        return Move(problem=Problem(reason=Reason.INVALID_SPEC, message=message))
    spec = PipelineExecutionSpec(
        pipeline=PipelineSource(builtin=BuiltinIR.DATASET_ERASE),
        parameters=(parameter,),
        resources=dataset.spec.resources,
    )
    return Move(
        create=(
            execution_body(
                "Dataset", dataset.metadata, name=active.name, label=LABEL_DATASET, spec=spec
            ),
        )
    )
