"""TrainingJob: how a model is trained from a Dataset, what it must reach, when to train again."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from tidemill.api.base import (
    ATOMIC_LIST,
    MIN_BELOW_MAX,
    Column,
    KindNames,
    Model,
    Resource,
    Status,
    map_list,
    rules,
)
from tidemill.api.scalars import (
    Cron,
    DecimalString,
    Name,
    PositiveSeconds,
    Ratio,
    Seconds,
    Text,
    Timestamp,
)
from tidemill.api.v1alpha1.dataset import HandledCauses, StepResources


class MetricName(StrEnum):
    """Metrics of a binary classification, larger is better unless said."""

    ROC_AUC = "roc_auc"
    AVERAGE_PRECISION = "average_precision"
    F1 = "f1"
    PRECISION = "precision"
    RECALL = "recall"
    ACCURACY = "accuracy"
    LOG_LOSS = "log_loss"


SMALLER_IS_BETTER = frozenset({MetricName.LOG_LOSS})


class About(Model):
    """What the model is for, for people."""

    purpose: Text = ""
    """What it should be used for."""
    limits: Text = ""
    """What it should not be used for."""


class DatasetRef(Model):
    """The data to learn from."""

    name: Name
    """A Dataset of this namespace."""
    version: Name | None = None
    """One of its DatasetVersions. Left out: the newest accepted one."""


class Search(Model):
    """How long to look for better settings."""

    max_trials: Annotated[int, Field(ge=1, le=200)] = 10
    """How many settings to try at most."""


class BuiltinPipeline(Model):
    """The built-in pipeline for tables: a trivial model first, then gradient boosting."""

    task: Literal["Classification"] = "Classification"
    """Classification into two classes."""
    metric: MetricName = MetricName.ROC_AUC
    """What the search improves, measured on the validation rows."""
    search: Search = Search()
    """How long to look for better settings."""
    seed: Annotated[int, Field(ge=0, le=2147483647)] = 0
    """The seed of everything random; the same record and seed give the same metrics."""


class Pipeline(Model):
    """How to train."""

    builtin: BuiltinPipeline = BuiltinPipeline()
    """The built-in pipeline for tables."""


class Decision(Model):
    """From which probability on the answer is yes; stored in the model."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.threshold) != has(self.chooseBy)", "set one of threshold and chooseBy")
        )
    )

    threshold: Ratio | None = None
    """A fixed probability."""
    choose_by: Literal["f1", "precision", "recall", "accuracy"] | None = None
    """Choose the probability with the best value of this metric on the validation rows."""


class OnNoData(StrEnum):
    """What a gate without enough samples means."""

    HOLD = "Hold"
    PASS = "Pass"
    FAIL = "Fail"


class Gate(Model):
    """One thing a model must reach before it may serve."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.type != 'Absolute' || has(self.min) || has(self.max)",
                "an Absolute gate needs min, max or both",
            ),
            ("self.type != 'Champion' || has(self.minChange)", "a Champion gate needs minChange"),
            MIN_BELOW_MAX,
        )
    )

    name: Name
    """Its name in status."""
    type: Literal["Absolute", "Champion"]
    """Absolute: the metric lies between min and max. Champion: the lower bound of the paired
    bootstrap of the change against the serving model is at least minChange; with no champion
    the gate passes."""
    metric: MetricName
    """The metric, measured on test rows that training never saw."""
    slice: Name | None = None
    """Only on the rows of this slice of the Dataset."""
    min: DecimalString | None = None
    """The least value, included."""
    max: DecimalString | None = None
    """The greatest value, included."""
    min_change: DecimalString | None = None
    """The least change against the champion; negative allows a little worse."""
    min_samples: Annotated[int, Field(ge=1, le=100000000)] = 100
    """With fewer test rows there is no verdict (NoData)."""
    on_no_data: OnNoData = OnNoData.HOLD
    """Without a verdict: Hold leaves the model unapproved, Pass and Fail decide."""
    on_miss: Literal["Block", "Report"] = "Block"
    """Block: a failed gate refuses the model. Report: it is only said."""


class Trigger(Model):
    """When to train again."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.type == 'Schedule' ? has(self.schedule) : !has(self.schedule)",
                "schedule is required for type Schedule, and only there",
            ),
            ("self.type == 'NewData' || !has(self.minShare)", "minShare is for type NewData"),
        )
    )

    type: Literal["Schedule", "NewData", "Drift"]
    """Schedule: by cron. NewData: a new accepted version holds enough rows not seen before.
    Drift: a ModelDeployment that follows this job saw its input drift."""
    schedule: Cron | None = None
    """Cron, five fields, such as "0 5 * * 1"; for type Schedule."""
    time_zone: Annotated[str, Field(max_length=64)] | None = None
    """The schedule's IANA time zone; UTC when left out."""
    min_share: Ratio | None = None
    """For NewData: the least share of rows newer than the data of the last run. Left out: any."""


class Retrain(Model):
    """When to train again, and how often at most."""

    triggers: Annotated[
        tuple[Trigger, ...], Field(max_length=3, json_schema_extra=map_list("type"))
    ] = ()
    """What starts a new run, besides a changed spec and a request by hand."""
    cooldown_seconds: Seconds = 3600
    """The least time from the end of one run to the start of the next, unless a person asks."""
    max_per_day: Annotated[int, Field(ge=1, le=64)] = 4
    """The most runs in 24 hours, unless a person asks."""
    suspend: bool = False
    """Start no runs by trigger."""


class Limits(Model):
    """What one run may cost."""

    active_deadline_seconds: PositiveSeconds = 3600
    """The longest each of the two executions of a run may take."""
    backoff_limit: Annotated[int, Field(ge=0, le=10)] = 2
    """How often an execution is tried again after a failure that may pass."""
    version_history_limit: Annotated[int, Field(ge=1, le=1000)] = 10
    """How many ModelVersions to keep besides those in use."""
    resources: StepResources = StepResources(cpu="500m", memory="2Gi")
    """What a training pod asks for."""


class TrainingJobSpec(Model):
    """How a model is trained, what it must reach, when to train again."""

    about: About = About()
    """What the model is for, for people."""
    dataset_ref: DatasetRef
    """The data to learn from."""
    pipeline: Pipeline = Pipeline()
    """How to train."""
    decision: Decision = Decision(threshold="0.5")
    """From which probability on the answer is yes."""
    gates: Annotated[
        tuple[Gate, ...], Field(max_length=32, json_schema_extra=map_list("name"))
    ] = ()
    """What a model must reach before it may serve. All must be met."""
    refit: bool = True
    """After judging, fit the chosen settings on all rows with a final label, test rows included."""
    retrain: Retrain = Retrain()
    """When to train again."""
    limits: Limits = Limits()
    """What one run may cost."""
    ready_when: Literal["Accepted", "Complete"] = "Complete"
    """Ready from the moment the spec is Accepted, or once a first model is Complete."""


class Stage(StrEnum):
    """Where a run stands: two executions, ours judging what the first has made."""

    TRAIN = "Train"
    EVALUATE = "Evaluate"


class Run(Model):
    """The run that is under way. Claimed by one status write before anything starts."""

    name: Name
    """Its name; the ModelVersion will carry it."""
    cause: Annotated[str, Field(max_length=32)]
    """Spec, Schedule, NewData, Drift or Manual."""
    key: Annotated[str, Field(max_length=128)]
    """What tells this cause from others of its kind."""
    since: Timestamp
    """When it was claimed."""
    stage: Stage = Stage.TRAIN
    """Train, then Evaluate."""
    dataset_version: Name
    """The data it learns from."""
    champion: Name | None = None
    """The ModelVersion it is judged against, fixed at the claim."""
    for_generation: int = 0
    """The metadata.generation that asked for it; 0 when no change of spec did."""
    spec_hash: Annotated[str, Field(max_length=64)] = ""
    """Hash of the fields that shape the run."""


class PendingTrigger(Model):
    """A trigger that is held back."""

    cause: Annotated[str, Field(max_length=32)]
    """Which trigger."""
    key: Annotated[str, Field(max_length=128)]
    """What tells it from others of its kind."""
    reason: Annotated[str, Field(max_length=64)]
    """CooldownActive, DailyLimitReached, WaitingForData, RunActive or Suspended."""
    since: Timestamp
    """Since when."""


class PastRun(Model):
    """One finished run."""

    name: Name
    """Its name."""
    cause: Annotated[str, Field(max_length=32)]
    """What asked for it."""
    dataset_version: Name | None = None
    """The data it learned from."""
    started: Timestamp
    """When it was claimed."""
    ended: Timestamp
    """When it was over."""
    outcome: Annotated[str, Field(max_length=64)]
    """Approved, Refused, Undecided, Superseded, or the reason it failed."""
    message: Annotated[str, Field(max_length=512)] = ""
    """What was measured, in one sentence."""


class ModelSummary(Model):
    """The newest approved model."""

    name: Name
    """The ModelVersion."""
    metric: Annotated[str, Field(max_length=32)] = ""
    """The pipeline's metric."""
    value: Annotated[str, Field(max_length=24)] = ""
    """Its value on the test rows."""


class TrainingJobStatus(Status):
    """What has been trained."""

    active: Run | None = None
    """The run that is under way."""
    approved: ModelSummary | None = None
    """The newest approved model."""
    history: Annotated[
        tuple[PastRun, ...], Field(max_length=10, json_schema_extra=ATOMIC_LIST)
    ] = ()
    """The last ten runs, newest first."""
    started_at: Annotated[
        tuple[Timestamp, ...], Field(max_length=64, json_schema_extra=ATOMIC_LIST)
    ] = ()
    """When the runs of the last 24 hours were claimed; what maxPerDay counts."""
    handled: HandledCauses = ()
    """The newest spent cause of each kind."""
    last_tick: Timestamp | None = None
    """The newest schedule tick that was acted on."""
    pending: Annotated[
        tuple[PendingTrigger, ...], Field(max_length=8, json_schema_extra=map_list("cause"))
    ] = ()
    """Triggers held back, the newest of each kind."""
    wants_data_after: Timestamp | None = None
    """A drift episode waits for labelled data with event times after this; the Dataset looks at
    its source once when it sees this."""
    wants_data_for: Annotated[str, Field(max_length=128)] | None = None
    """The drift episode that waits."""
    request: Annotated[str, Field(max_length=256)] | None = None
    """The newest request annotation that was answered."""


class TrainingJob(Resource):
    """How a model is trained from a Dataset, what it must reach, when to train again."""

    names: ClassVar[KindNames] = KindNames(
        kind="TrainingJob",
        plural="trainingjobs",
        short="tj",
        max_name=40,
        columns=(
            Column(name="Ready", path='.status.conditions[?(@.type=="Ready")].status'),
            Column(name="Reason", path='.status.conditions[?(@.type=="Ready")].reason'),
            Column(name="Model", path=".status.approved.name"),
            Column(name="Value", path=".status.approved.value"),
            Column(name="Run", path=".status.active.stage"),
            Column(name="Cause", path=".status.active.cause"),
            Column(name="Last", path=".status.history[0].outcome"),
            Column(name="Metric", path=".status.approved.metric", wide=True),
            Column(
                name="Message", path='.status.conditions[?(@.type=="Ready")].message', wide=True
            ),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    )
    spec: TrainingJobSpec
    status: TrainingJobStatus = TrainingJobStatus()
