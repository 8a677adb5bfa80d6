"""The children of a ModelDeployment, derived from what its status claims."""

from tidemill.api.documents.bundle import Bundle
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentStatus
from tidemill.core.candidates import Choice
from tidemill.core.deploymentview import Observed, unwritten
from tidemill.core.identity import LABEL_MODELDEPLOYMENT
from tidemill.core.manifests import routing, serving
from tidemill.core.manifests.records import model_version_body
from tidemill.core.plan import Body, Delete
from tidemill.core.revisions import Model, controller_revision, next_number, superfluous
from tidemill.core.scaling import replicas
from tidemill.core.traffic import selected, shares


def revision_to_write(observed: Observed, status: ModelDeploymentStatus) -> tuple[Body, ...]:
    """The ControllerRevision of a claimed revision that has none yet."""
    deployment = observed.deployment.model_copy(update={"status": status})
    name = deployment.metadata.name
    found = unwritten(name, deployment, observed.revisions, observed.versions)
    if found is None or not isinstance(observed.bundle, Bundle):
        return ()
    revision, model = found
    running = [x.template for x in observed.children if x.revision == revision and x.template]
    return (
        controller_revision(
            observed.owner,
            name=revision,
            number=next_number(observed.revisions.values()),
            model=model,
            document=observed.bundle,
            spec=deployment.spec,
            # Where its pods run already, what they run is the truth.
            template=running[0] if running else _template(observed, revision, model),
        ),
    )


def _template(observed: Observed, revision: str, model: Model) -> Body:
    spec, platform = observed.deployment.spec, observed.platform
    name = observed.deployment.metadata.name
    return serving.pod_template(
        serving.ServerPod(
            deployment=name,
            revision=revision,
            image=platform.image,
            pull_policy=platform.pull_policy,
            secret=platform.secret,
            bundle_uri=model.bundle.uri,
            bundle_digest=model.bundle.digest,
            resources=spec.resources,
            request_log=spec.request_log,
            log_uri=f"{platform.prefix}/requests/{name}",
        )
    )


def record_to_make(observed: Observed, choice: Choice) -> tuple[Body, ...]:
    """The ModelVersion of an imported bundle."""
    if choice.record is None:
        return ()
    metadata = observed.deployment.metadata
    marks = {LABEL_MODELDEPLOYMENT: metadata.name}
    return (model_version_body(metadata.namespace, choice.record_name, choice.record, marks),)


def _live(status: ModelDeploymentStatus) -> tuple[str, ...]:
    """The revisions that have pods or may have some."""
    roles = (role.revision for role in (status.stable, status.candidate) if role is not None)
    return (*roles, *status.retiring)


def children(observed: Observed, status: ModelDeploymentStatus) -> tuple[Body, ...]:
    """Services, Deployments, the disruption budget and the route, in this order."""
    owner, roads = observed.owner, observed.roads
    wanted = replicas(
        observed.deployment.spec, status, observed.workloads, routed=roads.routed, now=observed.now
    )
    written = [
        observed.revisions[name]
        for name in _live(status)
        if name in observed.revisions and not observed.revisions[name].deleting
    ]
    bodies = [serving.service(owner, item.name) for item in written]
    if written:
        bodies.append(serving.entry_service(owner, selected(status, routed=roads.routed)))
    bodies += [
        serving.deployment(owner, item.name, item.template, wanted[item.name]) for item in written
    ]
    if status.stable is not None:
        bodies.append(serving.disruption_budget(owner, status.stable.revision))
        if roads.open and roads.route is not None:
            bodies.append(_route(observed, status, {item.name for item in written}))
    return tuple(bodies)


def _route(observed: Observed, status: ModelDeploymentStatus, served: set[str]) -> Body:
    """The route, with a backend for each revision that has a Service."""
    owner, roads = observed.owner, observed.roads
    if roads.route is None:
        raise ValueError("spec.route is not set")
    there = served | {x.revision for x in observed.children if x.kind == "Service"}
    ref = roads.route.gateway_ref
    return routing.http_route(
        owner,
        gateway=ref.name,
        gateway_namespace=ref.namespace or owner.namespace,
        hostnames=roads.hostnames,
        weights={name: weight for name, weight in shares(status).items() if name in there},
    )


def leftovers(observed: Observed, status: ModelDeploymentStatus) -> tuple[Delete, ...]:
    """What is not needed any more; a Service goes when no live route points to it."""
    namespace, live = observed.owner.namespace, _live(status)
    routed = observed.roads.view.weights if observed.roads.view is not None else {}
    gone = [
        Delete(
            api_version=child.api_version,
            kind=child.kind,
            namespace=namespace,
            name=child.name,
            uid=child.uid,
        )
        for child in observed.children
        if child.revision not in live
        and not child.deleting
        and not (child.kind == "Service" and child.name in routed)
    ]
    if observed.route_uid and (status.stable is None or not observed.roads.open):
        gone.append(
            Delete(
                api_version=routing.API_VERSION,
                kind="HTTPRoute",
                namespace=namespace,
                name=observed.owner.name,
                uid=observed.route_uid,
            )
        )
    used = {*live, *(child.revision for child in observed.children)}
    return (
        *gone,
        *superfluous(observed.revisions.values(), used=used, namespace=namespace),
    )
