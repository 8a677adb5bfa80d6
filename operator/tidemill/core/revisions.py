"""Revisions: what a model is served with, written down once.

A revision is an apps/v1 ControllerRevision with the resolved spec, the model and the rendered pod
template, image included. Its Deployment is always applied from that template, byte for byte. So
what is running changes only by another revision, which takes over like any other candidate: a
new operator, or another serving image in its settings, restarts nothing.
"""

import posixpath
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tidemill.api.documents.bundle import Bundle
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentSpec, ModelSource
from tidemill.core.identity import (
    ANNOTATION_SPEC_HASH,
    LABEL_REVISION,
    controller_uid,
    stable_hash,
)
from tidemill.core.manifests.serving import Owner
from tidemill.core.plan import Body, Delete

HISTORY = 3
"""How many revisions that no longer serve are kept for reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as a revision needs it."""

    version: str
    """The ModelVersion."""
    digest: str
    """The sha256 of the ONNX file."""
    uri: str
    """The ONNX file."""
    bundle: StoredDocument
    """bundle.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A ControllerRevision as it was read."""

    name: str
    uid: str
    number: int
    model: Model
    profile: StoredDocument
    """The model's baseline profile."""
    shape: Mapping[str, Any]
    """The fields of spec that shaped its pods."""
    source: str
    """Where its model came from, as `source` says it."""
    template: Body
    """The pod template, as it was rendered."""
    deleting: bool = False


def shape(spec: ModelDeploymentSpec) -> Mapping[str, Any]:
    """The fields of spec that shape pods: a change of them is another revision."""
    kept = spec.request_log.to_wire() if spec.request_log is not None else None
    return {"resources": spec.resources.to_wire(), "requestLog": kept}


def source(model: ModelSource) -> str:
    """Where spec says the model comes from, in one word and a name."""
    if model.training_job_ref is not None:
        return f"TrainingJob/{model.training_job_ref.name}"
    if model.model_version_ref is not None:
        return f"ModelVersion/{model.model_version_ref.name}"
    return f"Bundle/{model.bundle.digest if model.bundle else ''}"


def revision_name(deployment: str, digest: str, shaped: Mapping[str, Any]) -> str:
    """`<deployment>-<10 hex of model digest and pod-shaping fields>`."""
    return f"{deployment}-{stable_hash([digest, shaped], 10)}"


def spec_hash(spec: ModelDeploymentSpec) -> str:
    """Hash of a spec without its replicas, which an autoscaler may change at any time."""
    wire = spec.to_wire()
    wire.pop("replicas", None)
    return stable_hash(wire)


def beside(uri: str, name: str) -> str:
    """The URI of a file beside another one."""
    return f"{posixpath.dirname(uri)}/{name}"


def controller_revision(
    owner: Owner,
    *,
    name: str,
    number: int,
    model: Model,
    document: Bundle,
    spec: ModelDeploymentSpec,
    template: Body,
) -> Body:
    """The ControllerRevision of a model and a spec; it is made once and never changed."""
    shaped = shape(spec)
    profile = beside(model.bundle.uri, document.profile.name)
    metadata = owner.metadata(name, "revision", {LABEL_REVISION: name})
    metadata["annotations"] = {ANNOTATION_SPEC_HASH: stable_hash([model.digest, shaped])}
    signature = document.signature
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "revision": number,
        "data": {
            "source": source(spec.model),
            "shape": shaped,
            "model": {
                "version": model.version,
                "digest": model.digest,
                "uri": model.uri,
                "bundle": model.bundle.to_wire(),
                "profile": {"uri": profile, "digest": document.profile.digest},
                "signature": {
                    "label": signature.label,
                    "positive": signature.positive,
                    "threshold": f"{signature.threshold:.9g}",
                    "features": [item.name for item in signature.features],
                },
            },
            "podTemplate": template,
        },
    }


def read(body: Body) -> Revision | None:
    """A ControllerRevision as we wrote it; None if it is not of that form."""
    try:
        data, metadata = body["data"], body["metadata"]
        model = data["model"]
        return Revision(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            number=int(body["revision"]),
            model=Model(
                version=model["version"],
                digest=model["digest"],
                uri=model["uri"],
                bundle=StoredDocument.model_validate(model["bundle"]),
            ),
            profile=StoredDocument.model_validate(model["profile"]),
            shape=data["shape"],
            source=data["source"],
            template=data["podTemplate"],
            deleting="deletionTimestamp" in metadata,
        )
    except (KeyError, TypeError, ValueError):
        return None


def read_all(bodies: Iterable[Body], uid: str) -> Mapping[str, Revision]:
    """The revisions whose controller has this uid, by name."""
    ours = (read(body) for body in bodies if controller_uid(body) == uid)
    return {item.name: item for item in ours if item is not None}


def next_number(revisions: Iterable[Revision]) -> int:
    """The number of the next revision."""
    return max((item.number for item in revisions), default=0) + 1


def superfluous(
    revisions: Iterable[Revision], *, used: Collection[str], namespace: str
) -> tuple[Delete, ...]:
    """The ControllerRevisions that may go: not used, and older than the last HISTORY of those."""
    idle = [item for item in revisions if item.name not in used and not item.deleting]
    idle.sort(key=lambda item: item.number, reverse=True)
    return tuple(
        Delete(
            api_version="apps/v1",
            kind="ControllerRevision",
            namespace=namespace,
            name=item.name,
            uid=item.uid,
        )
        for item in idle[HISTORY:]
    )
