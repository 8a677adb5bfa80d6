"""Which kind of source a spec names."""

from tidemill.api.documents.arguments import RefreshArguments
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.core.causes import given
from tidemill.core.identity import stable_hash
from tidemill.steps.failures import StepError
from tidemill.steps.objects import SOURCE, Store
from tidemill.steps.sources.git import Git
from tidemill.steps.sources.reading import Source
from tidemill.steps.sources.sql import Sql
from tidemill.steps.sources.storage import Storage
from tidemill.steps.sources.web import Web

_NO_MATTER = {"refresh", "resources", "contract", "slices", "split", "versionHistoryLimit"}
"""Fields of a Dataset's spec that change no row of a version."""


def open_source(arguments: RefreshArguments) -> Source:
    """The source that a spec names. Nothing is asked of it yet. Raises StepError."""
    spec = arguments.spec.source
    if spec.objects is not None and spec.objects.uri.startswith(("http://", "https://")):
        return Web(spec.objects)
    if spec.objects is not None:
        return Storage(Store(SOURCE), spec.objects)
    if spec.sql is not None:
        before = arguments.previous
        read = None if before is None else before.source_read
        return Sql(spec.sql, shape(arguments.spec), read)
    if spec.git is not None:
        return Git(spec.git)
    said = "spec.source names no source that this step knows; its image is of another version"
    raise StepError("InvalidUri", said)


def shape(spec: DatasetSpec) -> str:
    """Hash of everything that rows depend on: what was read under another one is no base."""
    return stable_hash({name: one for name, one in given(spec).items() if name not in _NO_MATTER})
