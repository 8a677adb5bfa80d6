"""Which model should serve: the approved one of a TrainingJob, a pinned one, or a bundle's.

The answer names the revision it would be served as. It does not depend on the rollout that may be
under way: a rollout whose candidate is no longer the answer is superseded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from tidemill.api.documents.bundle import Bundle
from tidemill.api.reasons import Reason
from tidemill.api.scalars import Name
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentSpec, Refused, RevisionStatus
from tidemill.api.v1alpha1.modelversion import Measured, ModelVersion, ModelVersionSpec
from tidemill.core.conditions import find, is_true, parse_time
from tidemill.core.observed import Unreadable
from tidemill.core.revisions import Model, Revision, beside, revision_name, shape, source, spec_hash

_OLDEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the models that could serve."""

    name: str
    """The ModelDeployment."""
    spec: ModelDeploymentSpec
    prefix: str
    """Everything of this namespace in the artifact store lies under this prefix."""
    stable: RevisionStatus | None = None
    stable_revision: Revision | None = None
    """The ControllerRevision of stable; None if there is none any more."""
    training_job_exists: bool = False
    versions: tuple[ModelVersion, ...] = ()
    """The namespace's ModelVersions that may be meant: all of the TrainingJob, the pinned one, or
    the imported one; and the one stable was made from."""
    document: Bundle | Unreadable | None = None
    """For `bundle`, where its record is not there yet: what lies at its URI."""
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A model that should serve, and does not yet."""

    revision: str
    model: Model
    from_spec: bool
    """A change of spec asks for it, not a retrained model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What should serve. Without target and reason, stable is what should serve."""

    target: Target | None = None
    reason: str = ""
    """Why there is no target though stable is not what spec asks for, or is not there."""
    message: str = ""
    stalled: bool = False
    """It stays so until a person changes something."""
    refused: bool = False
    """A rollout has refused what would be the target."""
    note: str = ""
    """What else there is to say of the target."""
    record: ModelVersionSpec | None = None
    """The imported ModelVersion to make, named `record_name`."""
    record_name: str = ""


def choose(known: Known) -> Choice:
    """Which model should serve now."""
    model = known.spec.model
    if model.training_job_ref is not None:
        return _follow(known, model.training_job_ref.name)
    if model.model_version_ref is not None:
        return _pinned(known, model.model_version_ref.name)
    return _bundle(known)


def model_of(version: ModelVersion) -> Model:
    """A ModelVersion as a revision needs it."""
    return Model(
        version=version.metadata.name,
        digest=version.spec.digest,
        uri=version.spec.model_uri,
        bundle=version.spec.bundle,
    )


def refusal(known: Known, digest: str) -> Refused | None:
    """Why a model may not be tried, as long as the spec is what it was refused under."""
    now = spec_hash(known.spec)
    held = (item for item in known.refused if item.digest == digest and item.spec_hash == now)
    return next(held, None)


def imported_name(deployment: str, digest: str, taken: Iterable[ModelVersion]) -> Name:
    """`<deployment>-<8 hex of the bundle's digest>`; 16 hex if another bundle has that name."""
    bare = digest.removeprefix("sha256:")
    short = f"{deployment}-{bare[:8]}"
    other = any(item.metadata.name == short and item.spec.bundle.digest != digest for item in taken)
    return f"{deployment}-{bare[:16]}" if other else short


def inside(uri: str, prefix: str) -> bool:
    """Whether an object lies under a prefix, whatever tricks its URI plays."""
    tail = uri.removeprefix(f"{prefix}/")
    return tail != uri and not {"", ".", ".."} & set(tail.split("/")) and "%" not in tail


def _follow(known: Known, job: str) -> Choice:
    made = any(_made_by(item, job) for item in known.versions)
    if not known.training_job_exists and not made:
        said = f"TrainingJob {job} does not exist in this namespace."
        return Choice(reason=Reason.DEPENDENCY_NOT_READY, message=said)
    ranked = sorted(_eligible(known.versions, job), key=_age, reverse=True)
    floor = _floor(known, job)
    refusals: list[Refused] = []
    for version in ranked:
        if floor is not None and _age(version) <= floor:
            break
        if known.stable is not None and version.spec.digest == known.stable.digest:
            break
        held = refusal(known, version.spec.digest)
        if held is None:
            return _target(known, model_of(version))
        refusals.append(held)
    reshaped = _reshaped(known)
    if reshaped.target is not None or reshaped.reason:
        return reshaped
    if refusals:
        return _refused(known, refusals[0], from_spec=known.stable is None)
    if known.stable is None:
        said = f"TrainingJob {job} has no approved model yet."
        return Choice(reason=Reason.WAITING_FOR_MODEL, message=said)
    return Choice()


def _eligible(versions: Sequence[ModelVersion], job: str) -> list[ModelVersion]:
    """Approved models of a TrainingJob that are not just a reproduction of another one."""
    names = {item.metadata.name for item in versions}
    return [
        item
        for item in versions
        if _made_by(item, job)
        and item.metadata.deletion_timestamp is None
        and item.spec.same_model_as not in names
        and is_true(item.status.conditions, "Approved")
    ]


def _made_by(version: ModelVersion, job: str) -> bool:
    maker = version.spec.training_job_ref
    return maker is not None and maker.name == job


def _age(version: ModelVersion) -> tuple[datetime, datetime, str]:
    """Orders models by their newest event, then by when they were made."""
    spec = version.spec
    newest = parse_time(spec.data_end) if spec.data_end else _OLDEST
    return newest, parse_time(spec.created_at), version.metadata.name


def _floor(known: Known, job: str) -> tuple[datetime, datetime, str] | None:
    """How old stable's model is; one that is no newer does not replace it.

    None if stable does not come from this TrainingJob.
    """
    if known.stable is None:
        return None
    for version in known.versions:
        if _made_by(version, job) and version.metadata.name == known.stable.model_version:
            return _age(version)
    return None


def _pinned(known: Known, name: str) -> Choice:
    version = _find(known, name)
    if version is None:
        said = f"ModelVersion {name} does not exist in this namespace."
        return Choice(reason=Reason.DEPENDENCY_NOT_READY, message=said)
    note = ""
    if not is_true(version.status.conditions, "Approved"):
        told = find(version.status.conditions, "Approved")
        why = f" ({told.reason})" if told is not None else ""
        note = f"ModelVersion {name} is not approved{why}; it serves because spec names it."
    return _target(known, model_of(version), note)


def _find(known: Known, name: str) -> ModelVersion | None:
    """A ModelVersion by name that is not on its way out, or serves already."""
    for version in known.versions:
        serves = known.stable is not None and known.stable.model_version == name
        if version.metadata.name == name and (serves or not version.metadata.deletion_timestamp):
            return version
    return None


def _bundle(known: Known) -> Choice:
    bundle = known.spec.model.bundle
    if bundle is None:
        said = "spec.model names no model: set trainingJobRef, modelVersionRef or bundle."
        return Choice(reason=Reason.INVALID_SPEC, message=said, stalled=True)
    if not inside(bundle.uri, known.prefix):
        said = (
            f"spec.model.bundle.uri is {bundle.uri}; a bundle must lie under {known.prefix}/,"
            " this namespace's place in the artifact store: copy it there."
        )
        return Choice(reason=Reason.OUTSIDE_NAMESPACE, message=said, stalled=True)
    name = imported_name(known.name, bundle.digest, known.versions)
    version = _find(known, name)
    if version is not None and version.spec.bundle.digest == bundle.digest:
        return _target(known, model_of(version))
    if known.document is None:
        said = f"The bundle {bundle.uri} is being read."
        return Choice(reason=Reason.IMPORTING, message=said)
    if isinstance(known.document, Unreadable):
        passing = known.document.reason in (Reason.BUNDLE_NOT_FOUND, Reason.STORE_UNAVAILABLE)
        said = known.document.message
        return Choice(reason=known.document.reason, message=said, stalled=not passing)
    stored = StoredDocument(uri=bundle.uri, digest=bundle.digest)
    try:
        spec = imported(stored, known.document)
    except ValueError as error:
        said = _invalid(bundle.uri, error)
        return Choice(reason=Reason.BUNDLE_INVALID, message=said, stalled=True)
    said = f"The bundle {bundle.uri} is recorded as ModelVersion {name}."
    return Choice(reason=Reason.IMPORTING, message=said, record=spec, record_name=name)


def imported(stored: StoredDocument, document: Bundle) -> ModelVersionSpec:
    """The record of a bundle that was made elsewhere. Raises ValueError on one we cannot record."""
    created = document.created_at or document.data_end
    parse_time(created), parse_time(document.data_start), parse_time(document.data_end)
    return ModelVersionSpec(
        origin="Imported",
        bundle=stored,
        model_uri=beside(stored.uri, document.model.name),
        digest=document.model.digest,
        algorithm=document.algorithm,
        feature_count=len(document.signature.features),
        dataset_digest=document.dataset_digest or None,
        data_start=document.data_start,
        data_end=document.data_end,
        metrics=tuple(Measured.model_validate(item) for item in document.metrics),
        parity=f"{document.parity:.9f}",
        seed=document.seed,
        parameters=document.parameters,
        created_at=created,
    )


def _invalid(uri: str, error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(item) for item in first["loc"]) or "document"
        return f"The bundle {uri} cannot be recorded: {where}: {first['msg']}."
    return f"The bundle {uri} cannot be recorded: {error}."


def _reshaped(known: Known) -> Choice:
    """Stable's own model, where spec asks for other pods than it has."""
    if known.stable is None or _named(known, known.stable.digest) == known.stable.revision:
        return Choice()
    if known.stable_revision is not None:
        return _target(known, known.stable_revision.model)
    version = _find(known, known.stable.model_version)
    return _target(known, model_of(version)) if version is not None else Choice()


def _target(known: Known, model: Model, note: str = "") -> Choice:
    """Serve this model, unless it serves or was refused."""
    name = _named(known, model.digest)
    if known.stable is not None and known.stable.revision == name:
        return Choice(note=note)
    from_spec = _from_spec(known, model)
    held = refusal(known, model.digest)
    if held is not None:
        return _refused(known, held, from_spec=from_spec)
    return Choice(target=Target(revision=name, model=model, from_spec=from_spec), note=note)


def _named(known: Known, digest: str) -> str:
    return revision_name(known.name, digest, shape(known.spec))


def _from_spec(known: Known, model: Model) -> bool:
    """Whether a person's change of spec, rather than a new model, is why this one should serve."""
    held = known.stable_revision
    if known.stable is None or known.spec.model.training_job_ref is None:
        return True
    if _named(known, known.stable.digest) != known.stable.revision:
        return True
    if held is not None and held.source != source(known.spec.model):
        return True
    return any(item.digest == model.digest for item in known.refused)


def _refused(known: Known, held: Refused, *, from_spec: bool) -> Choice:
    serving = "" if known.stable is None else f" {known.stable.model_version} keeps serving."
    said = (
        f"Revision {held.revision} was refused: {held.message}{serving} It is tried again when"
        f" spec changes, or on request: retry/{held.revision}."
    )
    return Choice(reason=held.reason, message=said, stalled=from_spec, refused=True)
