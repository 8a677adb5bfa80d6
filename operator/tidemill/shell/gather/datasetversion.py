"""Reads -> Observed for a DatasetVersion.

Documents are read only while its verdict is by another contract than its Dataset's present one.
"""

from dataclasses import replace

from tidemill.api.documents.profile import Profile
from tidemill.api.documents.results import Snapshot
from tidemill.api.v1alpha1 import Dataset, DatasetVersion
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.core.approval import VERBS as APPROVE
from tidemill.core.causes import handled
from tidemill.core.dataset import spec_is_read
from tidemill.core.datasetversion import present_hashes
from tidemill.core.identity import LABEL_DATASET
from tidemill.core.manifests.executions import arguments_of
from tidemill.core.observed import DatasetVersionObserved, ended
from tidemill.core.plan import Body
from tidemill.core.requests import Request, parse_request, read_request
from tidemill.core.retention import newest_first
from tidemill.core.revocation import ERASE, ERASE_CAUSE, VERBS, erases, is_erased_by, named
from tidemill.ports import Index, Sight
from tidemill.shell.gather.dataset import executions_of, versions_of
from tidemill.shell.gather.results import read_document, read_result


async def gather(body: Body, sight: Sight) -> DatasetVersionObserved:
    """Everything the verdict on a DatasetVersion may depend on."""
    version = DatasetVersion.parse(body)
    namespace, name = version.metadata.namespace, version.spec.dataset_ref.name
    found = sight.index.get("Dataset", namespace, name)
    if found is None:
        return DatasetVersionObserved(now=sight.now, version=version, dataset=None)
    dataset = Dataset.parse(found)
    request = read_request(dataset.metadata, answered=None, now=sight.now, verbs=APPROVE)
    seen = DatasetVersionObserved(
        now=sight.now,
        version=version,
        dataset=dataset,
        newest=_newest(sight.index, dataset) == version.metadata.name,
        reading=dataset.status.active is not None or not spec_is_read(dataset),
        approval=request if isinstance(request, Request) else None,
        anchor=_version(sight.index, namespace, dataset.status.schema_anchor),
    )
    seen = _with_revocation(seen, dataset, sight)
    against, present = version.status.judged_against, present_hashes(seen)
    if against is None or against in present or version.spec.contract_hash in present:
        return seen
    evidence = await _evidence(seen, dataset, present, sight)
    if evidence is not None or not seen.newest:
        return replace(seen, evidence=evidence)
    return replace(
        seen,
        profile=await read_document(sight.documents, version.spec.profile, Profile),
        anchor_profile=await _anchor_profile(seen, dataset, sight),
    )


def _with_revocation(
    seen: DatasetVersionObserved, dataset: Dataset, sight: Sight
) -> DatasetVersionObserved:
    """What is asked of this version, and what has become of it."""
    request = read_request(
        dataset.metadata, answered=dataset.status.request, now=sight.now, verbs=VERBS
    )
    active = dataset.status.active
    asked = isinstance(request, Request)
    erasing = active is not None and active.cause == ERASE_CAUSE
    spent = handled(dataset.status.handled, ERASE_CAUSE)
    if not asked and not erasing and spent is None:
        return seen
    meta = dataset.metadata
    versions = versions_of(sight.index, meta.namespace, meta.name)
    target = request.target if isinstance(request, Request) else None
    ours = request if seen.version in named(versions, target) else None
    body = None
    if active is not None and erasing:
        erasing = erases(active.cause, active.key, seen.version, versions)
        body = sight.index.get("PipelineExecution", meta.namespace, active.name)
    ended = body is not None and (body.get("status") or {}).get("state") == "Succeeded"
    revocation = ours if isinstance(ours, Request) else None
    if revocation is None and active is not None and erasing:
        revocation = parse_request(active.key)
    return replace(
        seen,
        revocation=revocation,
        erasing=erasing or (revocation is not None and revocation.verb == ERASE),
        erased=is_erased_by(dataset, seen.version, versions, ended=ended),
    )


def _newest(index: Index, dataset: Dataset) -> str | None:
    """The version a Dataset stands at; before its first look the one made last."""
    if dataset.status.latest is not None:
        return dataset.status.latest.name
    meta = dataset.metadata
    made = index.select("DatasetVersion", meta.namespace, LABEL_DATASET, meta.name)
    ranked = [(item["spec"]["createdAt"], str(item["metadata"]["name"])) for item in made]
    return max(ranked)[1] if ranked else None


def _version(index: Index, namespace: str, name: str | None) -> DatasetVersion | None:
    found = None if name is None else index.get("DatasetVersion", namespace, name)
    return None if found is None else DatasetVersion.parse(found)


async def _evidence(
    seen: DatasetVersionObserved, dataset: Dataset, present: frozenset[str], sight: Sight
) -> tuple[Violation, ...] | None:
    """What the newest read of this very content under the present contract has found."""
    for execution in newest_first(executions_of(sight.index, dataset.metadata.uid)):
        if not ended(execution) or arguments_of(execution).get("contractHash") not in present:
            continue
        result = await read_result(sight.documents, execution)
        if isinstance(result, Snapshot) and result.digest == seen.version.spec.digest:
            return result.violations
    return None


async def _anchor_profile(
    seen: DatasetVersionObserved, dataset: Dataset, sight: Sight
) -> Profile | None:
    wanted = any(item.from_ is not None for item in dataset.spec.contract.expectations)
    if seen.anchor is None or not wanted:
        return None
    profile = await read_document(sight.documents, seen.anchor.spec.profile, Profile)
    return profile if isinstance(profile, Profile) else None
