"""Reads -> Observed for a Dataset: the index, and the result of the active read once it is over."""

from dataclasses import replace
from typing import Any

from tidemill.api.documents.results import Snapshot
from tidemill.api.v1alpha1 import Dataset, DatasetVersion, PipelineExecution
from tidemill.core.conditions import parse_time
from tidemill.core.identity import LABEL_DATASET, controller_uid, records_prefix
from tidemill.core.observed import DatasetObserved, Wish
from tidemill.core.plan import Body
from tidemill.core.refresh import record_names
from tidemill.ports import Index, Sight
from tidemill.shell.gather.results import read_result


async def gather(body: Body, sight: Sight) -> DatasetObserved:
    """Everything a Dataset's next move may depend on."""
    dataset = Dataset.parse(body)
    meta, index = dataset.metadata, sight.index
    jobs = _jobs(index, meta.namespace, meta.name)
    seen = DatasetObserved(
        now=sight.now,
        dataset=dataset,
        store=records_prefix(
            sight.settings.artifact_root, sight.cluster_uid, meta.namespace, "datasets", meta.name
        ),
        versions=versions_of(index, meta.namespace, meta.name),
        executions=executions_of(index, meta.uid),
        wishes=_wishes(jobs),
        used=_used(index, meta.namespace, meta.name, jobs),
    )
    active = dataset.status.active
    return seen if active is None else await _with_active(seen, active.name, sight)


async def _with_active(seen: DatasetObserved, name: str, sight: Sight) -> DatasetObserved:
    meta = seen.dataset.metadata
    there = sight.index.get("PipelineExecution", meta.namespace, name)
    if there is not None and controller_uid(there) != meta.uid:
        return replace(seen, stranger=True)
    execution = next((item for item in seen.executions if item.metadata.name == name), None)
    result = await read_result(sight.documents, execution)
    if not isinstance(result, Snapshot):
        return replace(seen, result=result)
    ours = {item.metadata.name for item in seen.versions}
    foreign = frozenset(
        name
        for name in record_names(meta.name, result)
        if name not in ours and sight.index.get("DatasetVersion", meta.namespace, name) is not None
    )
    return replace(seen, result=result, foreign=foreign)


def versions_of(index: Index, namespace: str, dataset: str) -> tuple[DatasetVersion, ...]:
    """A Dataset's records, also those an earlier Dataset of that name has left."""
    return tuple(
        DatasetVersion.parse(item)
        for item in index.select("DatasetVersion", namespace, LABEL_DATASET, dataset)
        if item["spec"]["datasetRef"]["name"] == dataset
    )


def executions_of(index: Index, uid: str) -> tuple[PipelineExecution, ...]:
    """The executions an object controls."""
    return tuple(PipelineExecution.parse(item) for item in index.owned("PipelineExecution", uid))


def _jobs(index: Index, namespace: str, dataset: str) -> list[Body]:
    """The TrainingJobs that learn from a Dataset."""
    found = index.referring("Dataset", namespace, dataset, "TrainingJob")
    return [item for item in found if item["metadata"]["namespace"] == namespace]


def _wishes(jobs: list[Body]) -> tuple[Wish, ...]:
    found = []
    for job in jobs:
        status: dict[str, Any] = job.get("status") or {}
        key, after = status.get("wantsDataFor"), status.get("wantsDataAfter")
        if key and after and "deletionTimestamp" not in job["metadata"]:
            found.append(Wish(key=key, after=parse_time(after)))
    return tuple(found)


def _used(index: Index, namespace: str, dataset: str, jobs: list[Body]) -> frozenset[str]:
    """The DatasetVersions that models, runs and pinned references name."""
    names: set[str | None] = {
        item["spec"].get("datasetVersion")
        for item in index.select("ModelVersion", namespace, LABEL_DATASET, dataset)
    }
    for job in jobs:
        status: dict[str, Any] = job.get("status") or {}
        names.add(job["spec"]["datasetRef"].get("version"))
        names.add((status.get("active") or {}).get("datasetVersion"))
        names.update(run.get("datasetVersion") for run in (status.get("history") or [])[:1])
    return frozenset(name for name in names if name is not None)
