"""Reads -> Observed for a ModelDeployment.

The index says nearly everything. Documents are read where a revision or a record has yet to be
written down, and a baseline when a window is over. Prometheus is asked what is due: one batch for
a measurement, one for a window. An answer that changed nothing is not asked for again.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from tidemill.api.documents.bundle import Bundle
from tidemill.api.documents.profile import Profile
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1 import ModelDeployment, ModelVersion
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentStatus, Route
from tidemill.core import analysis, monitor, queries
from tidemill.core.analysis import Analysed, Measurement
from tidemill.core.candidates import imported_name, inside
from tidemill.core.deploymentview import Child, Observed, Platform, unwritten
from tidemill.core.identity import (
    LABEL_MODELDEPLOYMENT,
    LABEL_REVISION,
    LABEL_TRAININGJOB,
    controller_uid,
    namespace_prefix,
)
from tidemill.core.observed import Unreadable
from tidemill.core.plan import Body
from tidemill.core.podtrouble import trouble_of
from tidemill.core.queries import Point
from tidemill.core.revisions import Revision, read_all
from tidemill.core.rollout import is_news
from tidemill.core.scaling import Workload, weight_of
from tidemill.core.traffic import Claimant, Roads, contested, read_route
from tidemill.errors import TerminalError, TransientError
from tidemill.ports import Documents, Index, Metrics, Sight

_BUNDLE_LIMIT = 4 << 20
_PROFILE_LIMIT = 16 << 20
_SERVICE_OF_SLICE = "kubernetes.io/service-name"


@dataclass
class _OldNews:
    """Which answers changed nothing, so that they are not asked for again; forgetting is safe."""

    most: int = 10_000
    held: OrderedDict[tuple[str, str], tuple[object, ...]] = field(default_factory=OrderedDict)

    def is_known(self, uid: str, what: str, of: tuple[object, ...]) -> bool:
        """Whether this very answer was had and changed nothing."""
        return self.held.get((uid, what)) == of

    def remember(self, uid: str, what: str, of: tuple[object, ...]) -> None:
        """Do not ask this again."""
        self.held[uid, what] = of
        self.held.move_to_end((uid, what))
        if len(self.held) > self.most:
            self.held.popitem(last=False)


_old_news = _OldNews()


async def gather(body: Body, sight: Sight) -> Observed:
    """Everything a ModelDeployment's next move may depend on."""
    deployment = ModelDeployment.parse(body)
    seen = _from_index(deployment, sight)
    if deployment.metadata.deletion_timestamp is not None:
        return seen
    seen = await _with_documents(seen, sight.documents)
    if sight.metrics is None:
        return _without_metrics(seen)
    seen = await _with_scrapes(seen, sight.metrics)
    seen = await _with_measurement(seen, sight.metrics)
    return await _with_window(seen, sight.metrics, sight.documents)


def _from_index(deployment: ModelDeployment, sight: Sight) -> Observed:
    index, settings, metadata = sight.index, sight.settings, deployment.metadata
    namespace, uid = metadata.namespace, metadata.uid
    deployments = index.owned("Deployment", uid)
    job = deployment.spec.model.training_job_ref
    return Observed(
        now=sight.now,
        deployment=deployment,
        platform=Platform(
            image=settings.serving_image,
            pull_policy=settings.image_pull_policy,
            secret=settings.artifact_secret,
            prefix=namespace_prefix(settings.artifact_root, sight.cluster_uid, namespace),
            scrape_seconds=settings.scrape_seconds,
            prometheus=sight.metrics is not None,
        ),
        training_job_exists=(
            job is not None and index.get("TrainingJob", namespace, job.name) is not None
        ),
        versions=_versions(deployment, index),
        revisions=read_all(index.owned("ControllerRevision", uid), uid),
        workloads=_workloads(deployments, metadata.name, namespace, index),
        children=tuple(_child(item) for item in (*deployments, *_services(index, uid))),
        route_uid=_route_uid(index, deployment),
        roads=_roads(deployment, index),
        gateway=_gateway(deployment, index),
    )


def _versions(deployment: ModelDeployment, index: Index) -> tuple[ModelVersion, ...]:
    """The ModelVersions that may be meant, and those that serve or may take over."""
    model, namespace = deployment.spec.model, deployment.metadata.namespace
    found: dict[str, Body] = {}
    if model.training_job_ref is not None:
        job = model.training_job_ref.name
        for item in index.select("ModelVersion", namespace, LABEL_TRAININGJOB, job):
            found[item["metadata"]["name"]] = item
    names = {
        role.model_version
        for role in (deployment.status.stable, deployment.status.candidate)
        if role is not None
    }
    if model.model_version_ref is not None:
        names.add(model.model_version_ref.name)
    if model.bundle is not None:
        name, digest = deployment.metadata.name, model.bundle.digest
        short = imported_name(name, digest, ())
        bare = digest.removeprefix("sha256:")
        names |= {short, f"{name}-{bare[:16]}"}
    for name in names:
        held = index.get("ModelVersion", namespace, name)
        if held is not None:
            found[name] = held
    return tuple(ModelVersion.parse(found[name]) for name in sorted(found))


def _services(index: Index, uid: str) -> list[Body]:
    """The Services of revisions; not the one of the deployment's own name."""
    return [
        item
        for item in index.owned("Service", uid)
        if LABEL_REVISION in item["metadata"].get("labels", {})
    ]


def _child(body: Body) -> Child:
    metadata = body["metadata"]
    return Child(
        api_version=body["apiVersion"],
        kind=body["kind"],
        name=metadata["name"],
        uid=metadata["uid"],
        revision=metadata.get("labels", {}).get(LABEL_REVISION, ""),
        deleting="deletionTimestamp" in metadata,
        template=body["spec"]["template"] if body["kind"] == "Deployment" else {},
    )


def _workloads(
    deployments: Iterable[Body], name: str, namespace: str, index: Index
) -> Mapping[str, Workload]:
    behind = _endpoints(index, namespace, name)
    found = {}
    for item in deployments:
        revision, status = item["metadata"]["name"], item.get("status", {})
        asked = item["spec"].get("replicas", 1)
        ready = status.get("readyReplicas", 0)
        trouble = None
        if ready < asked:
            pods = index.select("Pod", namespace, LABEL_REVISION, revision)
            trouble = trouble_of(pods)
        found[revision] = Workload(
            asked=asked,
            pods=status.get("replicas", 0),
            ready=ready,
            settled=status.get("observedGeneration", 0) >= item["metadata"].get("generation", 0),
            endpoints=behind.get(revision, frozenset()),
            trouble=trouble,
        )
    return found


def _endpoints(index: Index, namespace: str, deployment: str) -> Mapping[str, frozenset[str]]:
    """The ready pods behind each Service of a deployment."""
    found: dict[str, set[str]] = {}
    for item in index.select("EndpointSlice", namespace, LABEL_MODELDEPLOYMENT, deployment):
        service = item["metadata"].get("labels", {}).get(_SERVICE_OF_SLICE, "")
        held = found.setdefault(service, set())
        for endpoint in item.get("endpoints") or ():
            if endpoint.get("conditions", {}).get("ready", True):
                target = endpoint.get("targetRef") or {}
                held.add(target.get("name") or endpoint["addresses"][0])
    return {service: frozenset(pods) for service, pods in found.items()}


def _roads(deployment: ModelDeployment, index: Index) -> Roads:
    metadata, route = deployment.metadata, deployment.spec.route
    if route is None:
        behind = _endpoints(index, metadata.namespace, metadata.name)
        return Roads(behind_entry=behind.get(metadata.name, frozenset()))
    if not index.served("HTTPRoute"):
        return Roads(route=route, gateway_api=False)
    body = _our_route(index, deployment)
    others = index.referring("Gateway", *_gateway_place(deployment, route), "ModelDeployment")
    return Roads(
        route=route,
        view=None if body is None else read_route(body, route),
        contested=contested(
            Claimant(
                namespace=metadata.namespace,
                name=metadata.name,
                uid=metadata.uid,
                created=metadata.creation_timestamp,
                hostnames=route.hostnames,
            ),
            (_claimant(item) for item in others if "deletionTimestamp" not in item["metadata"]),
        ),
    )


def _claimant(body: Body) -> Claimant:
    metadata = body["metadata"]
    return Claimant(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata["uid"],
        created=metadata.get("creationTimestamp", ""),
        hostnames=tuple((body["spec"].get("route") or {}).get("hostnames") or ()),
    )


def _gateway_place(deployment: ModelDeployment, route: Route) -> tuple[str, str]:
    ref = route.gateway_ref
    return ref.namespace or deployment.metadata.namespace, ref.name


def _gateway(deployment: ModelDeployment, index: Index) -> Body | None:
    route = deployment.spec.route
    if route is None:
        return None
    return index.get("Gateway", *_gateway_place(deployment, route))


def _our_route(index: Index, deployment: ModelDeployment) -> Body | None:
    metadata = deployment.metadata
    body = index.get("HTTPRoute", metadata.namespace, metadata.name)
    return body if body is not None and controller_uid(body) == metadata.uid else None


def _route_uid(index: Index, deployment: ModelDeployment) -> str:
    body = _our_route(index, deployment)
    if body is None or "deletionTimestamp" in body["metadata"]:
        return ""
    return str(body["metadata"]["uid"])


async def _with_documents(seen: Observed, documents: Documents) -> Observed:
    """The bundle to import, and the bundle of a revision that is not written down yet."""
    deployment, name = seen.deployment, seen.deployment.metadata.name
    given = deployment.spec.model.bundle
    if given is not None and inside(given.uri, seen.platform.prefix):
        stored = StoredDocument(uri=given.uri, digest=given.digest)
        if not any(item.spec.bundle.digest == given.digest for item in seen.versions):
            seen = replace(seen, document=await _bundle(documents, stored))
    found = unwritten(name, deployment, seen.revisions, seen.versions)
    if found is not None:
        seen = replace(seen, bundle=await _bundle(documents, found[1].bundle))
    return seen


async def _bundle(documents: Documents, stored: StoredDocument) -> Bundle | Unreadable:
    try:
        data = await documents.read(stored.uri, stored.digest, _BUNDLE_LIMIT)
    except TransientError as error:
        return Unreadable(Reason.STORE_UNAVAILABLE, f"{str(error).rstrip('.').capitalize()}.")
    except TerminalError as error:
        known = error.reason == Reason.DIGEST_MISMATCH
        return Unreadable(Reason.DIGEST_MISMATCH if known else Reason.BUNDLE_INVALID, str(error))
    if data is None:
        return Unreadable(Reason.BUNDLE_NOT_FOUND, f"There is no bundle at {stored.uri}.")
    try:
        return Bundle.model_validate_json(data)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "document"
        said = f"The bundle {stored.uri} is not one: {where}: {error.errors()[0]['msg']}."
        return Unreadable(Reason.BUNDLE_INVALID, said)


def _without_metrics(seen: Observed) -> Observed:
    """With no Prometheus a measurement is due all the same, and says that there is no data."""
    rollout = seen.deployment.status.rollout
    if rollout is None:
        return seen
    policy = seen.deployment.spec.rollout.analysis
    slot = analysis.due(rollout, policy, scrape_seconds=seen.platform.scrape_seconds, now=seen.now)
    if slot is None:
        return seen
    taken = analysis.judge(policy, Measurement(slot=slot, configured=False), weight=rollout.weight)
    return replace(seen, analysed=taken)


async def _with_scrapes(seen: Observed, metrics: Metrics) -> Observed:
    """Which of the candidate's pods Prometheus has two samples of, where a weight waits for it."""
    status = seen.deployment.status
    revision = _awaited(status, seen)
    if revision is None:
        return seen
    pods = queries.selector(seen.deployment.metadata.namespace, revision)
    try:
        points = await metrics.query(queries.scraped(pods, seen.platform.scrape_seconds))
    except (TransientError, TerminalError):
        return seen
    return replace(seen, scraped=frozenset(queries.by_label(points, "pod")))


def _awaited(status: ModelDeploymentStatus, seen: Observed) -> str | None:
    """The candidate, if its weight is to change and it has pods to be scraped."""
    rollout, candidate = status.rollout, status.candidate
    if rollout is None or candidate is None or status.stable is None:
        return None
    steps = seen.deployment.spec.rollout.canary.steps
    if rollout.step >= len(steps) or rollout.weight == weight_of(steps, rollout.step):
        return None
    return candidate.revision if seen.pods_of(candidate.revision).endpoints else None


async def _with_measurement(seen: Observed, metrics: Metrics) -> Observed:
    """The measurement of the candidate that is due, judged."""
    deployment, status = seen.deployment, seen.deployment.status
    rollout, policy = status.rollout, deployment.spec.rollout.analysis
    if rollout is None or status.candidate is None or status.stable is None:
        return seen
    slot = analysis.due(rollout, policy, scrape_seconds=seen.platform.scrape_seconds, now=seen.now)
    uid, of = deployment.metadata.uid, (deployment.metadata.generation, rollout, slot)
    if slot is None or _old_news.is_known(uid, "rollout", of):
        return seen
    asked = analysis.parts(
        policy,
        namespace=deployment.metadata.namespace,
        candidate=status.candidate.revision,
        stable=status.stable.revision,
        seconds=slot.seconds,
    )
    measurement = Measurement(slot=slot)
    try:
        answer = await metrics.query(queries.batch(asked), slot.at)
        measurement = replace(measurement, answers=queries.split(answer))
    except (TransientError, TerminalError) as error:
        measurement = replace(measurement, trouble=str(error))
    taken: Analysed = analysis.judge(policy, measurement, weight=rollout.weight)
    if not is_news(deployment.spec.rollout, rollout, taken):
        _old_news.remember(uid, "rollout", of)
    return replace(seen, analysed=taken)


async def _with_window(seen: Observed, metrics: Metrics, documents: Documents) -> Observed:
    """The window of the standing watch that is over and not judged yet."""
    deployment, status = seen.deployment, seen.deployment.status
    policy, scrape = deployment.spec.monitoring, seen.platform.scrape_seconds
    if status.stable is None or status.stable.revision not in seen.revisions:
        return seen
    window = monitor.due(status.monitor, policy, scrape_seconds=scrape, now=seen.now)
    uid = deployment.metadata.uid
    of = (deployment.metadata.generation, status.stable.revision, status.monitor, window)
    if window is None or _old_news.is_known(uid, "window", of):
        return seen
    asked = monitor.parts(
        window,
        namespace=deployment.metadata.namespace,
        revision=status.stable.revision,
        scrape_seconds=scrape,
    )
    reading = monitor.Reading(window=window)
    try:
        answers: Mapping[str, tuple[Point, ...]] = queries.split(
            await metrics.query(queries.batch(asked), window.end)
        )
    except (TransientError, TerminalError) as error:
        reason = str(Reason.PROMETHEUS_UNAVAILABLE)
        return replace(seen, reading=replace(reading, reason=reason, trouble=str(error)))
    revision = seen.revisions[status.stable.revision]
    reading = await _with_baseline(replace(reading, answers=answers), revision, documents)
    if reading.baseline is not None and not reading.reason:
        shown = monitor.judge(policy, reading, reading.baseline)
        if status.monitor is not None and not monitor.is_news(status.monitor, policy, shown):
            _old_news.remember(uid, "window", of)
    return replace(seen, reading=reading)


async def _with_baseline(
    reading: monitor.Reading, revision: Revision, documents: Documents
) -> monitor.Reading:
    stored = revision.profile
    try:
        data = await documents.read(stored.uri, stored.digest, _PROFILE_LIMIT)
        if data is not None:
            return replace(reading, baseline=Profile.model_validate_json(data))
        trouble = f"there is no profile at {stored.uri}."
    except ValidationError:
        trouble = f"the profile {stored.uri} is not one."
    except (TransientError, TerminalError) as error:
        trouble = str(error)
    return replace(reading, reason=str(Reason.BASELINE_UNAVAILABLE), trouble=trouble)
