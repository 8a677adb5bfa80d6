"""OpenLineage run events of refreshes: what was read, what was made of it, and how it ended.

One run is one claimed refresh. START is told when it is claimed; COMPLETE, FAIL or ABORT when its
cause is spent. Events follow https://openlineage.io/spec/2-0-2/OpenLineage.json. Datasets are named
as that specification says: a namespace of scheme and host, and the path or table within.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from tidemill import __version__
from tidemill.api.v1alpha1 import Dataset, DatasetVersion
from tidemill.api.v1alpha1.dataset import ActiveExecution, HandledCause
from tidemill.core.plan import Body

SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
PRODUCER = f"https://tidemill.dev/operator/{__version__}"
_FACETS = "https://openlineage.io/spec/facets"
_MOST_FIELDS = 200
_MOST_OBJECTS = 50
_LONGEST = 1024


def started(dataset: Dataset, active: ActiveExecution) -> Body:
    """A refresh was claimed."""
    return _event("START", dataset, active, active.since, inputs=_inputs(dataset, ()))


def ended(
    dataset: Dataset,
    active: ActiveExecution,
    done: HandledCause,
    version: DatasetVersion | None,
    trouble: str,
) -> Body:
    """Its cause was spent. `version` is what it has made or found again, `trouble` why it failed.

    A version that breaks its contract was read and recorded all the same: the run is COMPLETE.
    """
    kind = {"Superseded": "ABORT", "Unchanged": "COMPLETE"}.get(
        done.outcome, "FAIL" if version is None else "COMPLETE"
    )
    objects = () if version is None else version.spec.objects
    facets = {}
    if kind == "FAIL":
        said = trouble or done.outcome
        facets["errorMessage"] = _facet(
            "1-0-1/ErrorMessageRunFacet",
            message=f"{done.outcome}: {said}"[:_LONGEST],
            programmingLanguage="Python",
        )
    return _event(
        kind,
        dataset,
        active,
        done.at,
        inputs=_inputs(dataset, objects),
        outputs=[] if version is None or kind != "COMPLETE" else [_output(version)],
        facets=facets,
    )


def _event(
    kind: str,
    dataset: Dataset,
    active: ActiveExecution,
    at: str,
    *,
    inputs: list[Body],
    outputs: Iterable[Body] = (),
    facets: dict[str, Body] | None = None,
) -> Body:
    meta = dataset.metadata
    engine = _facet(
        "1-1-1/ProcessingEngineRunFacet",
        name="tidemill",
        version=__version__,
        openlineageAdapterVersion=__version__,
    )
    job: dict[str, Body] = {
        "jobType": _facet(
            "2-0-3/JobTypeJobFacet",
            processingType="BATCH",
            integration="TIDEMILL",
            jobType="DATASET_REFRESH",
        )
    }
    contract = dataset.spec.contract
    if contract.description:
        described = contract.description[:_LONGEST]
        job["documentation"] = _facet("1-0-1/DocumentationJobFacet", description=described)
    if contract.owner:
        owners = [{"name": contract.owner}]
        job["ownership"] = _facet("1-0-1/OwnershipJobFacet", owners=owners)
    return {
        "eventType": kind,
        "eventTime": at,
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": {
            "runId": run_id(meta.uid, active.name),
            "facets": {"processing_engine": engine, **(facets or {})},
        },
        "job": {
            "namespace": f"tidemill/{meta.namespace}",
            "name": f"{meta.name}.refresh",
            "facets": job,
        },
        "inputs": inputs,
        "outputs": list(outputs),
    }


def run_id(uid: str, execution: str) -> str:
    """The run's UUID: the same for the START and the end of one claimed refresh."""
    return str(uuid5(NAMESPACE_URL, f"tidemill:{uid}/{execution}"))


def _facet(schema: str, **fields: Any) -> Body:
    name = schema.rpartition("/")[2]
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{_FACETS}/{schema}.json#/$defs/{name}",
        **fields,
    }


def _inputs(dataset: Dataset, objects: Iterable[str]) -> list[Body]:
    """The source, or the objects that were read of it."""
    body = dataset.spec.source.model_dump(mode="json", by_alias=True, exclude_none=True)
    kind, told = next(iter(body.items()))
    uri = str(told.get("uri") or told.get("url") or "") if isinstance(told, dict) else ""
    parts = urlsplit(uri)
    if not parts.scheme:
        # A database or another source whose place stands in a Secret: named by what reads it.
        place = dataset.metadata
        return [{"namespace": f"tidemill/{place.namespace}", "name": f"{place.name}.{kind}"}]
    host = parts.netloc.rpartition("@")[2]
    namespace = f"{parts.scheme}://{host}" if host else parts.scheme
    names = list(objects)[-_MOST_OBJECTS:] or [parts.path.lstrip("/") or "/"]
    return [{"namespace": namespace, "name": name} for name in dict.fromkeys(names)]


def _output(version: DatasetVersion) -> Body:
    spec = version.spec
    place = urlsplit(spec.manifest.uri)
    folder = place.path.rpartition("/versions/")[0]
    fields = [
        {"name": item.name, "type": item.type, "description": item.role}
        for item in spec.columns[:_MOST_FIELDS]
    ]
    return {
        "namespace": f"{place.scheme}://{place.netloc}" if place.netloc else place.scheme,
        "name": folder.lstrip("/") or version.metadata.name,
        "facets": {
            "schema": _facet("1-1-1/SchemaDatasetFacet", fields=fields),
            "version": _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=spec.digest),
        },
        "outputFacets": {
            "outputStatistics": _facet(
                "1-0-2/OutputStatisticsOutputDatasetFacet", rowCount=spec.rows
            )
        },
    }
