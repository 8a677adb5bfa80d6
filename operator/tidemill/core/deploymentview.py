"""Everything a ModelDeployment's next move may depend on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tidemill.api.documents.bundle import Bundle
from tidemill.api.v1alpha1 import ModelDeployment, ModelVersion
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentStatus
from tidemill.core import monitor
from tidemill.core.analysis import Analysed
from tidemill.core.candidates import Known, model_of
from tidemill.core.manifests import serving
from tidemill.core.observed import Unreadable
from tidemill.core.plan import Body
from tidemill.core.revisions import Model, Revision, revision_name, shape
from tidemill.core.scaling import NONE, Workload
from tidemill.core.traffic import Roads


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What the admin has set, as far as model servers go."""

    image: str
    pull_policy: str
    secret: str
    """The Secret with the namespace's credential for the artifact store."""
    prefix: str
    """Everything of this namespace in the artifact store lies under this prefix."""
    scrape_seconds: int
    prometheus: bool
    """Whether there is a Prometheus to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A live Deployment or Service of a revision."""

    api_version: str
    kind: str
    name: str
    uid: str
    revision: str
    deleting: bool
    template: Body = field(default_factory=dict)
    """Of a Deployment: its pod template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything a ModelDeployment's next move may depend on."""

    now: datetime
    deployment: ModelDeployment
    platform: Platform
    training_job_exists: bool = False
    versions: tuple[ModelVersion, ...] = ()
    """The ModelVersions of the namespace that may be meant; see candidates.Known."""
    document: Bundle | Unreadable | None = None
    """The bundle to import, where spec names one and its record is not there."""
    bundle: Bundle | Unreadable | None = None
    """The bundle of the revision that has no ControllerRevision yet; see `unwritten`."""
    revisions: Mapping[str, Revision] = field(default_factory=dict)
    workloads: Mapping[str, Workload] = field(default_factory=dict)
    """By revision."""
    children: tuple[Child, ...] = ()
    """Live Deployments and Services of revisions."""
    route_uid: str = ""
    """uid of the HTTPRoute, if it is ours."""
    roads: Roads = field(default_factory=Roads)
    gateway: Body | None = None
    scraped: frozenset[str] | None = None
    """The candidate's pods Prometheus has two samples of; None: not asked, or no answer."""
    analysed: Analysed | None = None
    reading: monitor.Reading | None = None
    """A window of the standing watch that is due."""

    @property
    def owner(self) -> serving.Owner:
        """The owner of all children."""
        metadata = self.deployment.metadata
        return serving.Owner(name=metadata.name, namespace=metadata.namespace, uid=metadata.uid)

    def pods_of(self, revision: str) -> Workload:
        """A revision's pods."""
        return self.workloads.get(revision, NONE)


def known(observed: Observed, status: ModelDeploymentStatus) -> Known:
    """What a choice of model depends on."""
    stable = status.stable
    return Known(
        name=observed.deployment.metadata.name,
        spec=observed.deployment.spec,
        prefix=observed.platform.prefix,
        stable=stable,
        stable_revision=observed.revisions.get(stable.revision) if stable is not None else None,
        training_job_exists=observed.training_job_exists,
        versions=observed.versions,
        document=observed.document,
        refused=status.refused,
    )


def unwritten(
    name: str,
    deployment: ModelDeployment,
    revisions: Mapping[str, Revision],
    versions: Iterable[ModelVersion],
) -> tuple[str, Model] | None:
    """The claimed revision without a ControllerRevision, if it can be written down now.

    The candidate's, or stable's where somebody deleted it: the model is known from its record or
    another revision, and the pods' shape is what spec says.
    """
    shaped = shape(deployment.spec)
    models = {item.metadata.name: model_of(item) for item in versions}
    models.update({item.model.version: item.model for item in revisions.values()})
    for role in (deployment.status.candidate, deployment.status.stable):
        if role is None or role.revision in revisions:
            continue
        model = models.get(role.model_version)
        if model is not None and revision_name(name, model.digest, shaped) == role.revision:
            return role.revision, model
    return None


def is_lost(observed: Observed, status: ModelDeploymentStatus) -> bool:
    """Stable's ControllerRevision and Deployment are gone, and cannot be made again."""
    stable = status.stable
    if stable is None or stable.revision in observed.revisions:
        return False
    if any(x.revision == stable.revision and x.kind == "Deployment" for x in observed.children):
        return False
    found = unwritten(
        observed.deployment.metadata.name,
        observed.deployment,
        observed.revisions,
        observed.versions,
    )
    return found is None or found[0] != stable.revision
