"""Reads -> Observed for a TrainingJob.

Documents are read when they are due: what the active run's executions handed back, and two
manifests where a trigger asks for a share of unseen rows.
"""

from dataclasses import replace
from decimal import Decimal

from tidemill.api.documents.manifest import Manifest
from tidemill.api.v1alpha1 import (
    Dataset,
    DatasetVersion,
    ModelDeployment,
    ModelVersion,
    TrainingJob,
)
from tidemill.core.identity import LABEL_TRAININGJOB, controller_uid, records_prefix
from tidemill.core.observed import TrainingJobObserved
from tidemill.core.plan import Body
from tidemill.core.retraining import unseen_share
from tidemill.core.run import models_by_age, names_of
from tidemill.core.trainingjob import last_data
from tidemill.ports import Index, Sight
from tidemill.shell.gather.dataset import executions_of
from tidemill.shell.gather.results import read_document, read_result


async def gather(body: Body, sight: Sight) -> TrainingJobObserved:
    """Everything a TrainingJob's next move may depend on."""
    job = TrainingJob.parse(body)
    meta, index, ref = job.metadata, sight.index, job.spec.dataset_ref
    found = index.get("Dataset", meta.namespace, ref.name)
    dataset = None if found is None else Dataset.parse(found)
    deployments = index.select("ModelDeployment", meta.namespace)
    seen = TrainingJobObserved(
        now=sight.now,
        job=job,
        store=records_prefix(
            sight.settings.artifact_root,
            sight.cluster_uid,
            meta.namespace,
            "trainingjobs",
            meta.name,
        ),
        dataset=dataset,
        version=_version(index, meta.namespace, ref.version or _accepted(dataset)),
        models=models_of(index, meta.namespace, meta.name),
        executions=executions_of(index, meta.uid),
        followers=_followers(deployments, meta.name),
        used=_used(index, meta.namespace, deployments),
    )
    seen = replace(seen, champions=_champions(index, seen))
    if job.status.active is not None:
        seen = await _with_active(seen, sight)
    return replace(seen, unseen_share=await _unseen_share(seen, sight))


def models_of(index: Index, namespace: str, job: str) -> tuple[ModelVersion, ...]:
    """A TrainingJob's records, also those an earlier TrainingJob of that name has left."""
    return tuple(
        ModelVersion.parse(item)
        for item in index.select("ModelVersion", namespace, LABEL_TRAININGJOB, job)
        if (item["spec"].get("trainingJobRef") or {}).get("name") == job
    )


def _used(index: Index, namespace: str, deployments: list[Body]) -> frozenset[str]:
    """The ModelVersions that deployments name, and that revisions still hold."""
    names = {name for item in deployments for name in models_named_by(item)}
    for revision in index.select("ControllerRevision", namespace):
        model = (revision.get("data") or {}).get("model") or {}
        names |= {model["version"]} if "version" in model else set()
    return frozenset(names)


def models_named_by(deployment: Body) -> set[str]:
    """The ModelVersions a ModelDeployment serves, is about to serve, or has just served."""
    status = deployment.get("status") or {}
    places = [status.get("stable"), status.get("candidate"), status.get("lastRollout")]
    names = {(place or {}).get("modelVersion") for place in places}
    names.add((deployment["spec"]["model"].get("modelVersionRef") or {}).get("name"))
    return {name for name in names if name}


def _followers(deployments: list[Body], job: str) -> tuple[ModelDeployment, ...]:
    return tuple(
        ModelDeployment.parse(item)
        for item in deployments
        if (item["spec"]["model"].get("trainingJobRef") or {}).get("name") == job
        and "deletionTimestamp" not in item["metadata"]
    )


def _accepted(dataset: Dataset | None) -> str | None:
    if dataset is None or dataset.status.accepted is None:
        return None
    return dataset.status.accepted.name


def _version(index: Index, namespace: str, name: str | None) -> DatasetVersion | None:
    found = None if name is None else index.get("DatasetVersion", namespace, name)
    return None if found is None else DatasetVersion.parse(found)


def _champions(index: Index, seen: TrainingJobObserved) -> dict[str, ModelVersion]:
    """Records of models served by followers, and of the one the active run is judged against."""
    stables = (item.status.stable for item in seen.followers)
    names = {stable.model_version for stable in stables if stable is not None}
    active = seen.job.status.active
    names |= set() if active is None or active.champion is None else {active.champion}
    bodies = (index.get("ModelVersion", seen.job.metadata.namespace, name) for name in names)
    return {
        item["metadata"]["name"]: ModelVersion.parse(item) for item in bodies if item is not None
    }


async def _with_active(seen: TrainingJobObserved, sight: Sight) -> TrainingJobObserved:
    """What the active run depends on: its data, its children, and what they handed back."""
    run, meta, index = seen.job.status.active, seen.job.metadata, sight.index
    if run is None:
        return seen
    ours = {item.metadata.name: item for item in seen.executions}
    names = names_of(seen, run)
    strangers = {
        name
        for name in names
        if (there := index.get("PipelineExecution", meta.namespace, name)) is not None
        and controller_uid(there) != meta.uid
    }
    models = {item.metadata.name for item in seen.models}
    if run.name not in models and index.get("ModelVersion", meta.namespace, run.name) is not None:
        strangers.add(run.name)
    results = {}
    if run.name not in models:
        for name in names:
            result = await read_result(sight.documents, ours.get(name))
            if result is not None:
                results[name] = result
    return replace(
        seen,
        run_version=_version(index, meta.namespace, run.dataset_version),
        strangers=frozenset(strangers),
        results=results,
    )


async def _unseen_share(seen: TrainingJobObserved, sight: Sight) -> Decimal | None:
    """The share of the newest version's rows that the last run had not, where a trigger asks."""
    asked = any(
        item.type == "NewData" and item.min_share is not None
        for item in seen.job.spec.retrain.triggers
    )
    before = last_data(seen.job.status, models_by_age(seen))
    version = seen.version
    if not asked or version is None or before is None or before == version.metadata.name:
        return None
    old = _version(sight.index, seen.job.metadata.namespace, before)
    new = await read_document(sight.documents, version.spec.manifest, Manifest)
    if old is None or not isinstance(new, Manifest):
        return None
    known = await read_document(sight.documents, old.spec.manifest, Manifest)
    return unseen_share(new, known) if isinstance(known, Manifest) else None
