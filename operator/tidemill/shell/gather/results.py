"""Reading what executions handed back, and other documents of the artifact store, as values.

A document that is not there or cannot be believed is an observation; only a store that cannot be
reached is an error, and the pass comes back to it.
"""

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from tidemill.api.base import Model
from tidemill.api.documents.results import RESULT, Result
from tidemill.api.v1alpha1 import PipelineExecution
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.api.v1alpha1.pipelineexecution import ExecutionState
from tidemill.core.observed import Unreadable
from tidemill.errors import TerminalError
from tidemill.ports import Documents

PROFILE_LIMIT = 16 << 20
"""Profiles and manifests of wide or long snapshots are larger than results may be."""

M = TypeVar("M", bound=Model)


async def read_result(
    documents: Documents, execution: PipelineExecution | None
) -> Result | Unreadable | None:
    """What an execution handed back; None while it has not succeeded."""
    if execution is None or execution.status.state is not ExecutionState.SUCCEEDED:
        return None
    stored = execution.status.result
    if stored is None:
        name = execution.metadata.name
        return Unreadable("ResultMissing", f"PipelineExecution {name} has left no result document.")
    return await _read(documents, stored, RESULT, 262144)


async def read_document(
    documents: Documents, stored: StoredDocument, model: type[M]
) -> M | Unreadable:
    """A profile or manifest."""
    return await _read(documents, stored, TypeAdapter(model), PROFILE_LIMIT)


T = TypeVar("T")


async def _read(
    documents: Documents, stored: StoredDocument, adapter: TypeAdapter[T], limit: int
) -> T | Unreadable:
    try:
        data = await documents.read(stored.uri, stored.digest, limit)
    except TerminalError as error:
        return Unreadable(error.reason, str(error))
    if data is None:
        return Unreadable("ResultMissing", f"There is no document at {stored.uri}.")
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "its beginning"
        return Unreadable("ResultInvalid", f"The document {stored.uri} is not valid at {where}.")
