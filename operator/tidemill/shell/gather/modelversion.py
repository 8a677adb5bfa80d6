"""Reads -> Observed for a ModelVersion: the index alone."""

from tidemill.api.v1alpha1 import ModelVersion, TrainingJob
from tidemill.core.identity import LABEL_TRAININGJOB
from tidemill.core.observed import ModelVersionObserved
from tidemill.core.plan import Body
from tidemill.core.requests import Request, read_request
from tidemill.core.trainingjob import VERBS
from tidemill.ports import Index, Sight


async def gather(body: Body, sight: Sight) -> ModelVersionObserved:
    """Everything the verdict on a ModelVersion may depend on."""
    model = ModelVersion.parse(body)
    meta, index, ref = model.metadata, sight.index, model.spec.training_job_ref
    found = None if ref is None else index.get("TrainingJob", meta.namespace, ref.name)
    revoked = _revoked_data(index, model)
    if ref is None or found is None:
        return ModelVersionObserved(now=sight.now, model=model, revoked_data=revoked)
    job = TrainingJob.parse(found)
    request = read_request(job.metadata, answered=None, now=sight.now, verbs=VERBS)
    asked = isinstance(request, Request) and request.verb == "approve"
    return ModelVersionObserved(
        now=sight.now,
        model=model,
        job=job,
        newest=_newest(index, meta.namespace, ref.name) == meta.name,
        serving=_serves(index, meta.namespace, meta.name),
        revoked_data=revoked,
        approval=request if asked and isinstance(request, Request) else None,
    )


def _revoked_data(index: Index, model: ModelVersion) -> str | None:
    """The DatasetVersion it has learned from, if that was revoked."""
    name = model.spec.dataset_version
    body = None if name is None else index.get("DatasetVersion", model.metadata.namespace, name)
    held = [] if body is None else (body.get("status") or {}).get("conditions") or []
    tainted = any(item["type"] == "Revoked" and item["status"] == "True" for item in held)
    return name if tainted else None


def _newest(index: Index, namespace: str, job: str) -> str | None:
    made = index.select("ModelVersion", namespace, LABEL_TRAININGJOB, job)
    ranked = [(item["spec"]["createdAt"], str(item["metadata"]["name"])) for item in made]
    return max(ranked)[1] if ranked else None


def _serves(index: Index, namespace: str, name: str) -> bool:
    """Whether a ModelDeployment serves it, or is about to."""
    for item in index.select("ModelDeployment", namespace):
        status = item.get("status") or {}
        for place in (status.get("stable"), status.get("candidate")):
            if place and place.get("modelVersion") == name:
                return True
    return False
