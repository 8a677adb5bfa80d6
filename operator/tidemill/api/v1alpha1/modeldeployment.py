"""ModelDeployment: which model serves, how a new one takes over, what is watched."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from tidemill.api.base import (
    ATOMIC_LIST,
    SET_LIST,
    Column,
    KindNames,
    Model,
    Ref,
    Resource,
    Status,
    map_list,
    rules,
)
from tidemill.api.scalars import (
    ColumnName,
    DecimalString,
    Digest,
    Name,
    PositiveSeconds,
    Ratio,
    Seconds,
    StorageUri,
    Timestamp,
)


class Bundle(Model):
    """A model bundle in the artifact store."""

    uri: StorageUri
    """Its bundle.json; it must lie under this namespace's prefix of the artifact store."""
    digest: Digest
    """The sha256 of bundle.json."""


class ModelSource(Model):
    """Which model serves."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.trainingJobRef), has(self.modelVersionRef), has(self.bundle)]"
                ".filter(x, x).size() == 1",
                "set exactly one of trainingJobRef, modelVersionRef and bundle",
            )
        )
    )

    training_job_ref: Ref | None = None
    """Follow this TrainingJob: each newly approved model becomes the candidate."""
    policy: Literal["Follow"] = "Follow"
    """Follow: take each newly approved model of the TrainingJob."""
    model_version_ref: Ref | None = None
    """Serve this ModelVersion until the spec says otherwise."""
    bundle: Bundle | None = None
    """Serve this bundle; it is imported as a ModelVersion."""


class ServerResources(Model):
    """What a model server's pod asks for and is held to."""

    cpu: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]{1,3})?m?$", max_length=16)] = "100m"
    """CPU requested, as a Kubernetes quantity."""
    memory: Annotated[str, Field(pattern=r"^[0-9]+(Mi|Gi)$", max_length=16)] = "256Mi"
    """Memory requested and the limit, as a Kubernetes quantity."""


class GatewayRef(Model):
    """A Gateway that lets this namespace attach routes."""

    name: Name
    """Its name."""
    namespace: Name | None = None
    """Its namespace; this one when left out."""


Hostname = Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9*]([-a-z0-9.]*[a-z0-9])?$")]


class Route(Model):
    """How the model is reached through a Gateway."""

    gateway_ref: GatewayRef
    """The Gateway to attach to."""
    hostnames: Annotated[
        tuple[Hostname, ...], Field(max_length=16, json_schema_extra=SET_LIST)
    ] = ()
    """The host names to answer for; all of the Gateway's when left out."""


class Step(Model):
    """One step of a canary: so much traffic for at least so long."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """The candidate's share of requests, in percent."""
    hold_seconds: Seconds = 300
    """How long to stay at least. The step ends when also minSamples have been seen."""


class Canary(Model):
    """A little traffic first, then more."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.steps.map(s, s.weight).isSorted()", "the weights of steps may not fall")
        )
    )

    steps: Annotated[
        tuple[Step, ...], Field(min_length=1, max_length=20, json_schema_extra=ATOMIC_LIST)
    ] = (
        Step(weight=5),
        Step(weight=25),
        Step(weight=50),
    )
    """The steps; after the last the candidate takes all traffic."""


class OnNoData(StrEnum):
    """What a step without enough samples does at its deadline."""

    HOLD = "Hold"
    FAIL = "Fail"
    PASS = "Pass"


class AnalysisMetric(Model):
    """One thing watched on the candidate during a rollout."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.name == 'latency' ? !has(self.max)"
                " : (!has(self.maxMilliseconds) && !has(self.quantile))",
                "latency takes quantile and maxMilliseconds, every other metric takes max",
            ),
        )
    )

    name: Literal["error-rate", "latency", "null-outputs", "prediction-distance"]
    """error-rate: share of requests answered with 5xx. latency: a quantile of the time to answer.
    null-outputs: share of predictions that are missing or not a number. prediction-distance:
    Jensen-Shannon distance between the candidate's and the stable model's predictions."""
    max: DecimalString | None = None
    """The greatest value allowed. Left out: reported, judges nothing."""
    quantile: Ratio | None = None
    """For latency: which quantile; 0.99 when left out."""
    max_milliseconds: Annotated[int, Field(ge=1, le=600000)] | None = None
    """For latency: the longest time allowed."""


class Analysis(Model):
    """How the candidate is judged while it gets traffic."""

    period_seconds: PositiveSeconds = 30
    """How often to measure."""
    min_samples: Annotated[int, Field(ge=1, le=100000000)] = 500
    """With fewer requests to the candidate since the step began there is no verdict (NoData)."""
    failure_limit: Annotated[int, Field(ge=0, le=1000)] = 0
    """The rollout fails when more measurements than this have failed."""
    consecutive_error_limit: Annotated[int, Field(ge=0, le=1000)] = 4
    """The rollout fails when more measurements than this in a row could not be made."""
    on_no_data: OnNoData = OnNoData.HOLD
    """At a step's deadline without a verdict: Hold takes the weight away and tries later."""
    metrics: Annotated[
        tuple[AnalysisMetric, ...], Field(max_length=8, json_schema_extra=map_list("name"))
    ] = (
        AnalysisMetric(name="error-rate", max="0.01"),
        AnalysisMetric(name="prediction-distance"),
    )
    """What is measured."""


class Rollout(Model):
    """How a new model takes over."""

    canary: Canary = Canary()
    """A little traffic first, then more. With a route a weight is exact; without one it is the
    candidate's share of the pods, and status says which weight that gives."""
    analysis: Analysis = Analysis()
    """How the candidate is judged while it gets traffic: what is measured, how often, on how many
    requests, and how many bad measurements end the rollout."""
    paused: bool = False
    """Stay at the present weight; nothing moves up or is promoted unless a request asks for it, and
    a failed analysis still rolls back."""
    step_deadline_seconds: PositiveSeconds = 86400
    """The longest one step may take; what happens then without a verdict, onNoData says."""
    drain_seconds: Seconds = 10
    """How long a revision that lost its weight keeps its pods, for requests on their way."""


class RequestLog(Model):
    """Requests and answers kept in the artifact store, as parquet."""

    sample: Ratio = "1"
    """The share of requests kept, chosen by a hash of the request id."""
    keep_seconds: PositiveSeconds = 5184000
    """How long they are kept."""


class DriftRule(Model):
    """When live input counts as drifted from what the model learned from."""

    profile: Literal["default"] = "default"
    """default: Jensen-Shannon distance (natural logarithm) per feature over the bins of the
    model's baseline, 0.1, and never below the noise floor measured on the training data."""
    threshold: Ratio = "0.1"
    """A feature has drifted above this distance, and above its noise floor."""
    max_share_of_features: Ratio = "0.2"
    """Input has drifted when more than this share of the features has."""
    consecutive_windows: Annotated[int, Field(ge=1, le=100)] = 2
    """In how many windows in a row, before it counts."""


class Monitoring(Model):
    """What is watched while the model serves."""

    window_seconds: PositiveSeconds = 604800
    """The length of one window."""
    event_seconds: PositiveSeconds | None = None
    """How much event time a window's requests span, where that is not the window's own length: a
    replay of the past runs faster than it happened. Decides which noise floor applies."""
    min_samples: Annotated[int, Field(ge=1, le=100000000)] = 500
    """A window with fewer requests says nothing (NoData)."""
    drift: DriftRule = DriftRule()
    """When live input counts as drifted."""


class ModelDeploymentSpec(Model):
    """Which model serves, how a new one takes over, what is watched."""

    model: ModelSource
    """Which model serves."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """How many pods the stable model has; a HorizontalPodAutoscaler may set it."""
    resources: ServerResources = ServerResources()
    """What a model server's pod asks for."""
    route: Route | None = None
    """How the model is reached through a Gateway. Left out: by the Service of the same name, and
    a canary's weight is its share of the pods."""
    rollout: Rollout = Rollout()
    """How a new model takes over. The candidate gets pods of its own, then traffic step by step as
    `canary` says, and is judged at every step as `analysis` says. After the last step it becomes
    the stable model; when it fails, all traffic goes back at once and the candidate is refused.
    Neither restarts a pod that serves."""
    request_log: RequestLog | None = None
    """Keep requests and answers. Left out: none are kept."""
    monitoring: Monitoring = Monitoring()
    """What is watched while the model serves."""


class RevisionStatus(Model):
    """One revision and what it serves."""

    revision: Name
    """Its name: that of its ControllerRevision, Deployment and Service."""
    model_version: Name
    """The model."""
    digest: Digest
    """The sha256 of the ONNX file."""
    weight: Annotated[int, Field(ge=0, le=100)] = 0
    """Its share of requests, in percent, as last written to the route or reached by replicas."""


class Phase(StrEnum):
    """Where a rollout stands."""

    STARTING = "Starting"
    STEPPING = "Stepping"


class RolloutStatus(Model):
    """The rollout that is under way; each step is claimed before its weight is written."""

    phase: Phase = Phase.STARTING
    """Starting: the candidate's pods come up and get no traffic. Stepping: they get traffic."""
    step: int = 0
    """The step, counted from zero; one past the last while the pods for all traffic come up."""
    step_started: Timestamp
    """When this step was claimed."""
    weight: Annotated[int, Field(ge=0, le=100)] = 0
    """The candidate's share of requests that is asked for, in percent; it rises to the step's once
    the pods for it are ready and scraped."""
    weight_since: Timestamp | None = None
    """Since when the route has been seen to carry this weight; measuring starts here."""
    failures: int = 0
    """Failed measurements so far."""
    errors: int = 0
    """Measurements in a row that could not be made."""
    measured_at: Timestamp | None = None
    """When the last measurement was taken."""
    verdict: Annotated[str, Field(max_length=16)] = ""
    """The last measurement's verdict."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """What was measured last, when the verdict or the step changed."""
    from_git: bool = False
    """The candidate comes from a change of spec, not from a retrained model."""


class Refused(Model):
    """A revision that a rollout refused."""

    digest: Digest
    """The model's digest."""
    revision: Name
    """The revision."""
    reason: Annotated[str, Field(max_length=64)]
    """Why, as one word."""
    message: Annotated[str, Field(max_length=1024)]
    """Why, with what was measured."""
    at: Timestamp
    """When."""
    generation: int = 0
    """The generation it was refused under."""
    spec_hash: Annotated[str, Field(max_length=64)] = ""
    """Hash of the spec it was refused under, replicas left out; a changed spec tries it again."""


class PastRollout(Model):
    """One finished rollout."""

    revision: Name
    """The candidate."""
    model_version: Name
    """Its model."""
    outcome: Literal["Promoted", "RolledBack", "Superseded", "Inconclusive"]
    """How it ended."""
    reason: Annotated[str, Field(max_length=64)]
    """Why, as one word."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """What was measured."""
    ended: Timestamp
    """When."""


class DriftedFeature(Model):
    """One feature's distance in the last judged window."""

    feature: ColumnName
    """The feature."""
    distance: DecimalString
    """Jensen-Shannon distance, natural logarithm."""
    bound: DecimalString
    """The larger of threshold and noise floor."""
    drifted: bool
    """Whether the distance lies above the bound."""


class Episode(Model):
    """A confirmed drift, until another model serves."""

    number: int
    """Counted from one."""
    baseline: Digest
    """The baseline profile it drifted from."""
    since: Timestamp
    """When the first drifted window began."""
    data_after: Timestamp
    """The event time of the live requests at that moment: data after it would show the change."""
    features: Annotated[tuple[ColumnName, ...], Field(max_length=64, json_schema_extra=ATOMIC_LIST)]
    """What drifted."""


class MonitorStatus(Model):
    """What the standing watch saw, as of the last transition."""

    verdict: Annotated[str, Field(max_length=16)] = ""
    """Successful: no drift. Failed: drift. NoData: too few requests."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """What the last judged window showed, when that changed."""
    broken: Annotated[tuple[ColumnName, ...], Field(max_length=64, json_schema_extra=SET_LIST)] = ()
    """Features whose share of missing, unknown or invalid values is far above the baseline's: bad
    data, not drift."""
    window_start: Timestamp | None = None
    """When the first window since the last change began; windows follow one another from here."""
    consecutive: int = 0
    """Drifted windows in a row, counted as far as consecutiveWindows."""
    samples: int = 0
    """Requests in the last judged window."""
    share: Ratio = "0"
    """The share of features that had drifted."""
    features: Annotated[
        tuple[DriftedFeature, ...], Field(max_length=64, json_schema_extra=map_list("feature"))
    ] = ()
    """The features of the last judged window, the largest distance first."""
    first_drifted: Timestamp | None = None
    """When the first of the drifted windows in a row began."""
    data_after: Timestamp | None = None
    """The event time of the requests at that moment."""


class ModelDeploymentStatus(Status):
    """What serves now."""

    stable: RevisionStatus | None = None
    """What serves."""
    candidate: RevisionStatus | None = None
    """What may take over."""
    rollout: RolloutStatus | None = None
    """The rollout that is under way."""
    retiring: Annotated[tuple[Name, ...], Field(max_length=8, json_schema_extra=SET_LIST)] = ()
    """Revisions without weight whose pods are being drained."""
    retiring_since: Timestamp | None = None
    """Since when all of them have been seen to have no weight."""
    refused: Annotated[
        tuple[Refused, ...], Field(max_length=10, json_schema_extra=map_list("digest"))
    ] = ()
    """Models that a rollout refused; no candidates until the spec changes or a retry is asked."""
    last_rollout: PastRollout | None = None
    """How the last rollout ended."""
    monitor: MonitorStatus | None = None
    """What the standing watch saw."""
    episode: Episode | None = None
    """A confirmed drift, until another model serves."""
    episodes: int = 0
    """How many there have been."""
    replicas: int = 0
    """The stable revision's pods."""
    selector: Annotated[str, Field(max_length=512)] = ""
    """The stable revision's pods, as a label selector; for the scale subresource."""
    url: Annotated[str, Field(max_length=1024)] = ""
    """Where the model answers."""
    request: Annotated[str, Field(max_length=256)] | None = None
    """The newest request annotation that was answered."""


class ModelDeployment(Resource):
    """Which model serves, how a new one takes over, what is watched."""

    names: ClassVar[KindNames] = KindNames(
        kind="ModelDeployment",
        plural="modeldeployments",
        short="md",
        max_name=40,
        scale={
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
        columns=(
            Column(name="Ready", path='.status.conditions[?(@.type=="Ready")].status'),
            Column(name="Reason", path='.status.conditions[?(@.type=="Ready")].reason'),
            Column(name="Stable", path=".status.stable.modelVersion"),
            Column(name="Candidate", path=".status.candidate.modelVersion"),
            Column(name="Weight", path=".status.candidate.weight", type="integer"),
            Column(name="Drift", path=".status.monitor.share"),
            Column(name="Last", path=".status.lastRollout.outcome"),
            Column(name="URL", path=".status.url", wide=True),
            Column(
                name="Message", path='.status.conditions[?(@.type=="Ready")].message', wide=True
            ),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    )
    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus = ModelDeploymentStatus()
