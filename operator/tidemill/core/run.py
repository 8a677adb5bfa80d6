"""One run of a TrainingJob: train, judge, record.

The claim is status.active: it fixes the data and the champion. From it alone the training
execution is created, then the judging one, which is ours only; what that measured becomes a
ModelVersion named by the run, and when its gates have spoken the run is closed. Where the
champion changed meanwhile only the judging is repeated: another champion, another execution.
"""

from dataclasses import dataclass

from pydantic import ValidationError

from tidemill.api.documents.arguments import Champion, EvaluateArguments, TrainArguments
from tidemill.api.documents.results import Candidate, Evaluation
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1 import ModelVersion, PipelineExecution
from tidemill.api.v1alpha1.dataset import HandledCause
from tidemill.api.v1alpha1.modelversion import Measured, ModelVersionSpec
from tidemill.api.v1alpha1.pipelineexecution import (
    BuiltinIR,
    ExecutionState,
    Parameter,
    PipelineExecutionSpec,
    PipelineSource,
)
from tidemill.api.v1alpha1.trainingjob import (
    PastRun,
    Run,
    Stage,
    TrainingJobSpec,
    TrainingJobStatus,
)
from tidemill.core import conditions as c
from tidemill.core.causes import given, spend
from tidemill.core.identity import (
    LABEL_DATASET,
    LABEL_TRAININGJOB,
    execution_name,
    stable_hash,
)
from tidemill.core.manifests.executions import (
    arguments_of,
    arguments_parameter,
    execution_body,
)
from tidemill.core.manifests.records import model_version_body
from tidemill.core.observed import TrainingJobObserved, ended, failure_of
from tidemill.core.plan import Body
from tidemill.core.trouble import Problem, invalid_result, name_conflict, stuck, unusable

MAX_HISTORY = 10

APPROVED, REFUSED, UNDECIDED, SUPERSEDED = "Approved", "Refused", "Undecided", "Superseded"
JUDGED = frozenset({APPROVED, REFUSED, UNDECIDED})
"""Outcomes of a run that made a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What becomes of the active run: `claim` is the status of its next stage, `over` the one
    that closes it.
    """

    claim: TrainingJobStatus | None = None
    over: TrainingJobStatus | None = None
    create: tuple[Body, ...] = ()
    problem: Problem | None = None


def spec_hash(spec: TrainingJobSpec) -> str:
    """Hash of the fields that shape a run. Gates are not among them: a changed gate judges the
    newest model again.
    """
    said = given(spec)
    shaping = ("datasetRef", "pipeline", "decision", "refit")
    return stable_hash({key: said.get(key) for key in shaping})


def run_name(name: str, uid: str, cause: str, key: str) -> str:
    """The name of a run, and of the ModelVersion it makes."""
    return execution_name(name, kind="run", uid=uid, cause=cause, key=key)


def train_name(name: str, uid: str, run: Run) -> str:
    """The name of a run's training execution."""
    return execution_name(name, kind="train", uid=uid, cause=run.cause, key=run.key)


def evaluate_name(name: str, uid: str, run: Run) -> str:
    """The name of a run's judging execution: another champion, another execution."""
    key = f"{run.key} against {run.champion or 'none'}"
    return execution_name(name, kind="evaluate", uid=uid, cause=run.cause, key=key)


def run_name_of(seen: TrainingJobObserved, cause: str, key: str) -> str:
    """The name of the run that a cause asks for."""
    return run_name(seen.job.metadata.name, seen.job.metadata.uid, cause, key)


def names_of(seen: TrainingJobObserved, run: Run) -> tuple[str, str]:
    """The names of a run's training and judging executions."""
    meta = seen.job.metadata
    return train_name(meta.name, meta.uid, run), evaluate_name(meta.name, meta.uid, run)


def execution_named(seen: TrainingJobObserved, name: str) -> PipelineExecution | None:
    """One of the executions the job controls."""
    return next((item for item in seen.executions if item.metadata.name == name), None)


def models_by_age(seen: TrainingJobObserved) -> list[ModelVersion]:
    """The job's records, the oldest first."""
    return sorted(seen.models, key=lambda item: (item.spec.created_at, item.metadata.name))


def outcome_of(model: ModelVersion) -> str:
    """Approved, Refused or Undecided."""
    found = c.find(model.status.conditions, "Approved")
    words = {"True": APPROVED, "False": REFUSED}
    return UNDECIDED if found is None else words.get(found.status, UNDECIDED)


def model_named(seen: TrainingJobObserved, name: str | None) -> ModelVersion | None:
    """One of the job's records, or of those it may be judged against."""
    if name is None:
        return None
    own = next((item for item in seen.models if item.metadata.name == name), None)
    return own or seen.champions.get(name)


def last_approved(models: list[ModelVersion]) -> ModelVersion | None:
    """The newest approved model, of models sorted by age."""
    return next((item for item in reversed(models) if outcome_of(item) == APPROVED), None)


def champion_of(seen: TrainingJobObserved) -> str | None:
    """The model to beat: what the deployment that follows this job serves, else the last approved
    one. A model without a record cannot be compared with.
    """
    for follower in seen.followers:
        stable = follower.status.stable
        if stable is not None and model_named(seen, stable.model_version) is not None:
            return stable.model_version
    approved = last_approved(models_by_age(seen))
    return None if approved is None else approved.metadata.name


def numbers(model: ModelVersion) -> str:
    """What was measured of a model, in one sentence."""
    if not model.spec.metrics:
        return "Nothing was measured."
    first = model.spec.metrics[0]
    rows = f"on {first.samples:,} test rows"
    said = f"{first.metric} {rounded(first.value)} {rows}"
    if first.champion is None:
        return f"{said}; there was no champion."
    against = f"{said} against {rounded(first.champion)} of {model.spec.champion}"
    return f"{against}{_change(first)}."


def _change(measured: Measured) -> str:
    if measured.change is None:
        return ""
    change = f": change {rounded(measured.change, sign=True)}"
    if measured.change_low is None or measured.change_high is None:
        return change
    low, high = (rounded(x, sign=True) for x in (measured.change_low, measured.change_high))
    return f"{change}, 95 % interval {low} to {high}"


def rounded(value: str | None, *, sign: bool = False) -> str:
    """A measured value with four decimals."""
    if value is None:
        return "unknown"
    return f"{float(value):+.4f}" if sign else f"{float(value):.4f}"


def carry_on(seen: TrainingJobObserved, status: TrainingJobStatus, run: Run) -> Move:
    """Take the active run one step further."""
    model = next((item for item in seen.models if item.metadata.name == run.name), None)
    if model is not None:
        return _judged(seen, status, run, model)
    if run.spec_hash != spec_hash(seen.job.spec):
        return Move(over=_close(seen, status, run, SUPERSEDED, "The spec has changed."))
    training, _ = names_of(seen, run)
    train = execution_named(seen, training)
    if train is None:
        return _start_training(seen, status, run)
    ongoing = _ongoing(seen, status, run, train)
    if ongoing is not None:
        return ongoing
    candidate = seen.results.get(training)
    if not isinstance(candidate, Candidate) or candidate.document is None:
        wrong = unusable(candidate)
        return Move(over=_close(seen, status, run, wrong.reason, wrong.message))
    return _evaluate(seen, status, run, train, candidate)


def _ongoing(
    seen: TrainingJobObserved, status: TrainingJobStatus, run: Run, execution: PipelineExecution
) -> Move | None:
    """What to do while an execution has not succeeded; None once it has."""
    if not ended(execution):
        return Move(problem=stuck(execution))
    if execution.status.state is ExecutionState.SUCCEEDED:
        return None
    reason, message = failure_of(execution)
    return Move(over=_close(seen, status, run, reason, message))


def _judged(
    seen: TrainingJobObserved, status: TrainingJobStatus, run: Run, model: ModelVersion
) -> Move:
    """The run's record is there: wait for its verdict, then close the run."""
    if model.status.judged_against is None:
        return Move()
    outcome, verdict = outcome_of(model), c.find(model.status.conditions, "Approved")
    said = numbers(model)
    if outcome != APPROVED and verdict is not None:
        said = f"{said} {verdict.message}"
    return Move(over=_close(seen, status, run, outcome, said))


def _start_training(seen: TrainingJobObserved, status: TrainingJobStatus, run: Run) -> Move:
    name, _ = names_of(seen, run)
    if name in seen.strangers:
        return Move(problem=name_conflict("PipelineExecution", name, "TrainingJob"))
    version = seen.run_version
    if seen.dataset is None or version is None:
        said = f"DatasetVersion {run.dataset_version} or its Dataset is gone."
        return Move(over=_close(seen, status, run, Reason.DEPENDENCY_NOT_READY, said))
    document = TrainArguments(
        manifest=version.spec.manifest,
        profile=version.spec.profile,
        window=version.spec.window,
        columns_spec=seen.dataset.spec,
        pipeline=seen.job.spec.pipeline.builtin,
        decision=seen.job.spec.decision,
        output=f"{seen.store}/{run.name}/candidate",
    ).to_wire()
    parameter = arguments_parameter(document)
    if parameter is None:
        return _too_large(seen)
    return Move(create=(_body(seen, name, BuiltinIR.TRAIN_TABULAR, parameter),))


def _too_large(seen: TrainingJobObserved) -> Move:
    message = (
        f"The spec of Dataset {seen.job.spec.dataset_ref.name} is too large to hand to a step"
        " (64 KiB); shorten the lists of allowed values in its expectations."
    )
    return Move(problem=Problem(reason=Reason.INVALID_SPEC, message=message))


def _body(seen: TrainingJobObserved, name: str, ir: BuiltinIR, parameter: Parameter) -> Body:
    limits = seen.job.spec.limits
    spec = PipelineExecutionSpec(
        pipeline=PipelineSource(builtin=ir),
        parameters=(parameter,),
        active_deadline_seconds=limits.active_deadline_seconds,
        backoff_limit=limits.backoff_limit,
        resources=limits.resources,
    )
    return execution_body(
        "TrainingJob", seen.job.metadata, name=name, label=LABEL_TRAININGJOB, spec=spec
    )


def _evaluate(
    seen: TrainingJobObserved,
    status: TrainingJobStatus,
    run: Run,
    train: PipelineExecution,
    candidate: Candidate,
) -> Move:
    """Judge the candidate against the champion of now."""
    champion = champion_of(seen) if len(seen.followers) <= 1 else run.champion
    if run.stage is not Stage.EVALUATE or champion != run.champion:
        there = run.model_copy(update={"stage": Stage.EVALUATE, "champion": champion})
        return Move(claim=status.model_copy(update={"active": there}))
    _, name = names_of(seen, run)
    execution = execution_named(seen, name)
    if execution is None:
        return _start_judging(seen, status, run, train, candidate)
    ongoing = _ongoing(seen, status, run, execution)
    if ongoing is not None:
        return ongoing
    evaluation = seen.results.get(name)
    if not isinstance(evaluation, Evaluation):
        wrong = unusable(evaluation)
        return Move(over=_close(seen, status, run, wrong.reason, wrong.message))
    return _record(seen, status, run, (train, execution), evaluation)


def _start_judging(
    seen: TrainingJobObserved,
    status: TrainingJobStatus,
    run: Run,
    train: PipelineExecution,
    candidate: Candidate,
) -> Move:
    """Create the judging execution. What the candidate learned from is taken from what its own
    execution was told, so that a Dataset edited meanwhile changes nothing.
    """
    _, name = names_of(seen, run)
    if name in seen.strangers:
        return Move(problem=name_conflict("PipelineExecution", name, "TrainingJob"))
    try:
        told = TrainArguments.model_validate(arguments_of(train))
    except ValidationError:
        said = (
            f"PipelineExecution {train.metadata.name} does not carry the arguments of a training."
        )
        return Move(over=_close(seen, status, run, Reason.RESULT_INVALID, said))
    version, beat = seen.run_version, model_named(seen, run.champion)
    if version is None or candidate.document is None:
        said = f"DatasetVersion {run.dataset_version} is gone."
        return Move(over=_close(seen, status, run, Reason.DEPENDENCY_NOT_READY, said))
    document = EvaluateArguments(
        manifest=told.manifest,
        profile=told.profile,
        window=told.window,
        dataset_spec=told.columns_spec,
        dataset_digest=version.spec.digest,
        slices=told.columns_spec.slices,
        pipeline=told.pipeline,
        candidate=candidate.document,
        champion=None
        if beat is None
        else Champion(name=beat.metadata.name, bundle=beat.spec.bundle),
        gates=seen.job.spec.gates,
        refit=seen.job.spec.refit,
        output=f"{seen.store}/{run.name}/against-{run.champion or 'none'}",
        now=train.status.ended or run.since,
    ).to_wire()
    parameter = arguments_parameter(document)
    if parameter is None:
        return _too_large(seen)
    return Move(create=(_body(seen, name, BuiltinIR.EVALUATE, parameter),))


def _record(
    seen: TrainingJobObserved,
    status: TrainingJobStatus,
    run: Run,
    executions: tuple[PipelineExecution, PipelineExecution],
    evaluation: Evaluation,
) -> Move:
    """Write the run's ModelVersion."""
    if run.name in seen.strangers:
        return Move(problem=name_conflict("ModelVersion", run.name, "TrainingJob"))
    try:
        spec = _model_spec(seen, run, executions, evaluation)
    except ValidationError as error:
        wrong = invalid_result(error)
        return Move(over=_close(seen, status, run, wrong.reason, wrong.message))
    meta = seen.job.metadata
    marks = {LABEL_TRAININGJOB: meta.name, LABEL_DATASET: seen.job.spec.dataset_ref.name}
    return Move(create=(model_version_body(meta.namespace, run.name, spec, marks),))


def _model_spec(
    seen: TrainingJobObserved,
    run: Run,
    executions: tuple[PipelineExecution, PipelineExecution],
    evaluation: Evaluation,
) -> ModelVersionSpec:
    train, judge = executions
    same = [item for item in models_by_age(seen) if item.spec.digest == evaluation.model.digest]
    version = seen.run_version
    return ModelVersionSpec.model_validate(
        {
            "trainingJobRef": {"name": seen.job.metadata.name},
            "cause": run.cause,
            "specHash": run.spec_hash,
            "bundle": evaluation.bundle.to_wire(),
            "modelUri": evaluation.model.uri,
            "digest": evaluation.model.digest,
            "algorithm": evaluation.algorithm,
            "featureCount": evaluation.feature_count,
            "datasetVersion": run.dataset_version,
            "datasetDigest": None if version is None else version.spec.digest,
            "dataStart": evaluation.data_start,
            "dataEnd": evaluation.data_end,
            "champion": run.champion,
            "championSawTestRows": evaluation.champion_saw_test_rows,
            "metrics": [item.to_wire() for item in evaluation.metrics],
            "parity": f"{evaluation.parity:.9f}",
            "seed": evaluation.seed,
            "parameters": evaluation.parameters,
            "pipelineDigest": train.status.pipeline_digest,
            "stepImage": train.status.image,
            "executions": [item.metadata.name for item in executions],
            "sameModelAs": same[0].metadata.name if same else None,
            "createdAt": judge.status.ended or run.since,
        }
    )


def _close(
    seen: TrainingJobObserved, status: TrainingJobStatus, run: Run, outcome: str, message: str
) -> TrainingJobStatus:
    """Close the active run: its cause is spent, and it goes into the history."""
    now = c.rfc3339(seen.now)
    past = PastRun(
        name=run.name,
        cause=run.cause,
        dataset_version=run.dataset_version,
        started=run.since,
        ended=now,
        outcome=outcome[:64],
        message=message[:512],
    )
    done = HandledCause(cause=run.cause, key=run.key, at=now, outcome=outcome[:64])
    return status.model_copy(
        update={
            "active": None,
            "handled": spend(status.handled, done),
            "history": (past, *status.history)[:MAX_HISTORY],
        }
    )
