"""Which kind of source a spec names."""

from tidemill.api.v1alpha1.datasource import Source as SourceSpec
from tidemill.steps.failures import StepError
from tidemill.steps.objects import SOURCE, Store
from tidemill.steps.sources.reading import Source
from tidemill.steps.sources.storage import Storage
from tidemill.steps.sources.web import Web


def open_source(spec: SourceSpec) -> Source:
    """The source that a spec names. Nothing is asked of it yet."""
    if spec.objects is not None and spec.objects.uri.startswith(("http://", "https://")):
        return Web(spec.objects)
    if spec.objects is not None:
        return Storage(Store(SOURCE), spec.objects)
    said = "spec.source names no source that this step knows; set one, such as objects"
    raise StepError("InvalidUri", said)
