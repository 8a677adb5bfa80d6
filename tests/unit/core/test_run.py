"""One run of a TrainingJob: what the steps are told, what is made of what they hand back."""

import json
from typing import Any

import pytest

from tests.builders import (
    AGAINST,
    GATES,
    MEASURED,
    make_candidate,
    make_dataset,
    make_evaluation,
    make_follower,
    make_model,
    make_snapshot,
    make_trainingjob,
    make_version,
    sha,
    stamp,
    stored,
    version_name,
)
from tests.unit.core.world import World
from tidemill.api.base import Condition, Model
from tidemill.api.documents.arguments import Champion, EvaluateArguments, TrainArguments
from tidemill.api.documents.results import Failure
from tidemill.api.v1alpha1.trainingjob import Run, Stage
from tidemill.core.run import numbers, spec_hash

STORE = "s3://artifacts/tidemill/cluster/tides/records/trainingjobs/delays"


@pytest.fixture
def world() -> World:
    """A world with accepted data and a TrainingJob whose first run has begun."""
    return begun()


def begun(**spec: Any) -> World:
    made = World()
    made.user(make_dataset())
    made.settle()
    made.succeed(make_snapshot())
    made.user(make_trainingjob(spec=spec))
    made.settle()
    return made


def run_of(world: World) -> Run:
    run = world.job().status.active
    assert run is not None
    return run


def told(world: World) -> dict[str, Any]:
    """What the step under way was told."""
    (name,) = world.running()
    (parameter,) = world.objects[("PipelineExecution", name)]["spec"]["parameters"]
    document: dict[str, Any] = json.loads(parameter["value"])
    return document


def conditions(world: World) -> dict[str, Condition]:
    return {item.type: item for item in world.job().status.conditions}


def train(world: World) -> None:
    world.succeed(make_candidate())
    world.settle()


def judge(world: World, model: str = "new-model", **more: Any) -> None:
    world.succeed(make_evaluation(model, **more))
    world.settle()


def serve(world: World, model: str) -> None:
    """A ModelDeployment that follows the job serves this model."""
    follower = make_follower(stable=model).to_wire()
    world.objects[("ModelDeployment", "delays")] = {**follower, "kind": "ModelDeployment"}


def test_training_is_told_of_fit_and_validation(world: World) -> None:
    version = make_version()
    run = run_of(world)

    assert TrainArguments.model_validate(told(world)) == TrainArguments(
        manifest=version.spec.manifest,
        profile=version.spec.profile,
        window=version.spec.window,
        columns_spec=make_dataset().spec,
        pipeline=make_trainingjob().spec.pipeline.builtin,
        decision=make_trainingjob().spec.decision,
        output=f"{STORE}/{run.name}/candidate",
    )


def test_the_limits_of_a_run_are_those_of_its_executions() -> None:
    limits = {
        "activeDeadlineSeconds": 60,
        "backoffLimit": 1,
        "resources": {"cpu": "2", "memory": "4Gi"},
    }
    world = begun(limits=limits)
    (name,) = world.running()
    body = world.objects[("PipelineExecution", name)]

    assert body["spec"]["pipeline"] == {"builtin": "train-tabular"}
    assert {key: body["spec"][key] for key in limits} == limits
    assert body["metadata"]["labels"]["tidemill.dev/trainingjob"] == "delays"
    train(world)
    (name,) = world.running()
    body = world.objects[("PipelineExecution", name)]
    assert body["spec"]["pipeline"] == {"builtin": "evaluate"}
    assert {key: body["spec"][key] for key in limits} == limits


def test_judging_is_told_what_training_was(world: World) -> None:
    """A Dataset edited meanwhile changes nothing of a run under way."""
    version, run = make_version(), run_of(world)
    world.user(make_dataset(spec={"split": {"testShare": "0.4"}}))
    world.later(minutes=5)
    world.succeed(make_candidate(), run_training(world))
    world.once("TrainingJob", "delays")
    world.once("TrainingJob", "delays")

    names = [name for name in world.running() if name.startswith("delays")]
    (parameter,) = world.objects[("PipelineExecution", names[0])]["spec"]["parameters"]
    assert EvaluateArguments.model_validate(json.loads(parameter["value"])) == EvaluateArguments(
        manifest=version.spec.manifest,
        profile=version.spec.profile,
        window=version.spec.window,
        dataset_spec=make_dataset().spec,
        dataset_digest=sha("winter"),
        pipeline=make_trainingjob().spec.pipeline.builtin,
        candidate=stored("candidate/candidate.json"),
        gates=make_trainingjob().spec.gates,
        refit=True,
        output=f"{STORE}/{run.name}/against-none",
        now=stamp(minutes=5),
    )


def run_training(world: World) -> str:
    return next(name for name in world.running() if name.startswith("delays"))


def test_the_stage_is_claimed_before_the_judging_starts(world: World) -> None:
    assert run_of(world).stage is Stage.TRAIN
    world.succeed(make_candidate())

    writes = world.settle()

    assert writes[0] == "claim TrainingJob/delays"
    assert writes[1].startswith("create PipelineExecution/delays-")
    assert run_of(world).stage is Stage.EVALUATE


def test_a_run_becomes_a_model(world: World) -> None:
    run = run_of(world)
    training = run_training(world)
    train(world)
    judging = run_training(world)
    world.later(minutes=9)

    judge(world)

    model = world.model(run.name)
    body = world.objects[("ModelVersion", run.name)]
    assert "ownerReferences" not in body["metadata"]
    assert body["metadata"]["labels"]["tidemill.dev/trainingjob"] == "delays"
    assert body["metadata"]["labels"]["tidemill.dev/dataset"] == "flights"
    told = model.spec
    assert told.training_job_ref is not None
    assert told.training_job_ref.name == "delays"
    assert (told.cause, told.spec_hash) == ("Spec", spec_hash(make_trainingjob().spec))
    assert (told.digest, told.bundle) == (sha("new-model"), stored("new-model/bundle.json"))
    assert (told.dataset_version, told.dataset_digest) == (version_name(), sha("winter"))
    assert (told.champion, told.same_model_as) == (None, None)
    assert told.parity == "0.000000240"
    assert told.parameters == {"num_leaves": "31"}
    assert told.executions == (training, judging)
    assert told.step_image == "tidemill/steps:1"
    assert told.created_at == stamp(minutes=9)


def test_a_closed_run_is_history(world: World) -> None:
    run = run_of(world)
    train(world)
    world.later(minutes=9)
    judge(world)

    status = world.job().status
    assert status.active is None
    (past,) = status.history
    assert past.to_wire() == {
        "name": run.name,
        "cause": "Spec",
        "datasetVersion": version_name(),
        "started": stamp(),
        "ended": stamp(minutes=9),
        "outcome": "Approved",
        "message": "roc_auc 0.7130 on 15,582 test rows; there was no champion.",
    }
    assert status.approved is not None
    assert status.approved.to_wire() == {"name": run.name, "metric": "roc_auc", "value": "0.713"}
    assert (status.handled[0].cause, status.handled[0].outcome) == ("Spec", "Approved")


def test_a_model_that_misses_a_gate_is_refused(world: World) -> None:
    train(world)
    judge(world, metrics=[{**MEASURED, "value": "0.6"}])

    (past,) = world.job().status.history
    assert past.outcome == "Refused"
    assert past.message == (
        "roc_auc 0.6000 on 15,582 test rows; there was no champion. useful: roc_auc 0.6 < 0.62 on"
        " 15,582 test rows."
    )


def test_a_model_nobody_can_judge_is_undecided(world: World) -> None:
    train(world)
    judge(world, metrics=[{**MEASURED, "samples": 12}])

    told = conditions(world)["Ready"]
    assert (told.status, told.reason) == ("False", "Undecided")
    assert "Stalled" not in conditions(world)


def test_an_equal_model_is_noted(world: World) -> None:
    train(world)
    judge(world)
    (first,) = world.names("ModelVersion")
    world.annotate("TrainingJob", "delays", f"retrain@{stamp()}")
    world.settle()
    train(world)
    judge(world, metrics=[AGAINST])

    (second,) = set(world.names("ModelVersion")) - {first}
    assert world.model(second).spec.same_model_as == first


# --- the champion ------------------------------------------------------------------------------


def again(world: World) -> World:
    """A first run made a model; a person asked for another one."""
    train(world)
    judge(world)
    world.annotate("TrainingJob", "delays", f"retrain@{stamp()}")
    return world


def test_the_last_approved_model_is_the_champion_where_nobody_follows(world: World) -> None:
    (first,) = again(world).names("ModelVersion")
    world.settle()

    assert run_of(world).champion == first


def test_what_the_follower_serves_is_the_champion(world: World) -> None:
    again(world)
    other = make_model("delays-imported", origin="Imported", trainingJobRef=None)
    world.objects[("ModelVersion", "delays-imported")] = {**other.to_wire(), "kind": "ModelVersion"}
    serve(world, "delays-imported")
    world.settle()

    assert run_of(world).champion == "delays-imported"
    train(world)
    champion = EvaluateArguments.model_validate(told(world)).champion
    assert champion == Champion(name="delays-imported", bundle=other.spec.bundle)


def test_a_served_model_without_a_record_cannot_be_compared_with(world: World) -> None:
    (first,) = again(world).names("ModelVersion")
    serve(world, "delays-gone")
    world.settle()

    assert run_of(world).champion == first


def test_a_champion_that_changed_while_training_is_taken(world: World) -> None:
    again(world).settle()
    other = make_model("delays-other")
    world.objects[("ModelVersion", "delays-other")] = {**other.to_wire(), "kind": "ModelVersion"}
    serve(world, "delays-other")
    train(world)

    champion = EvaluateArguments.model_validate(told(world)).champion
    assert champion is not None
    assert champion.name == "delays-other"


def test_a_champion_that_changed_while_judging_repeats_the_judging_alone(world: World) -> None:
    again(world).settle()
    training = run_training(world)
    train(world)
    judging = run_training(world)
    other = make_model("delays-other")
    world.objects[("ModelVersion", "delays-other")] = {**other.to_wire(), "kind": "ModelVersion"}
    serve(world, "delays-other")

    world.settle()

    repeated = run_training(world)
    assert repeated not in (training, judging)
    assert judging not in world.names("PipelineExecution")
    run = run_of(world)
    judge(world, metrics=[AGAINST])
    model = world.model(run.name)
    assert (model.spec.champion, model.spec.executions) == ("delays-other", (training, repeated))


def test_a_challenger_that_loses_is_normal_work(world: World) -> None:
    (first,) = again(world).names("ModelVersion")
    world.settle()
    train(world)
    judge(world, "worse", metrics=[{**AGAINST, "value": "0.65", "changeLow": "-0.02"}])

    told = conditions(world)
    assert (told["Ready"].status, told["Ready"].message) == (
        "True",
        f"{first} is approved: roc_auc 0.7130.",
    )
    assert (told["Trained"].status, told["Trained"].reason) == ("True", "Refused")
    assert not {"Stalled", "Reconciling"} & set(told)


def test_numbers_against_a_champion() -> None:
    model = make_model(metrics=[AGAINST], champion="delays-old")

    assert numbers(model) == (
        "roc_auc 0.7130 on 15,582 test rows against 0.6620 of delays-old: change +0.0510, 95 %"
        " interval +0.0380 to +0.0640."
    )


def test_numbers_of_nothing() -> None:
    assert numbers(make_model(metrics=[])) == "Nothing was measured."


def test_numbers_that_could_not_be_computed() -> None:
    unknown = {"metric": "roc_auc", "samples": 10}

    assert numbers(make_model(metrics=[unknown])) == (
        "roc_auc unknown on 10 test rows; there was no champion."
    )


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_training_that_fails_is_degraded(world: World) -> None:
    run = run_of(world)
    world.fail("TooFewRows", "Only 40 rows can be fitted; at least 100 are needed.")
    world.settle()

    told = conditions(world)
    why = "Only 40 rows can be fitted; at least 100 are needed."
    message = f"Run {run.name} (Spec): TooFewRows. {why}"
    for kind in ("Ready", "Stalled", "Trained"):
        assert (told[kind].reason, told[kind].message) == ("TooFewRows", message)
    assert world.job().status.history[0].outcome == "TooFewRows"
    assert world.running() == []


def test_a_judging_that_fails_is_too(world: World) -> None:
    train(world)
    world.fail("ParityFailed", "The exported model differs by 0.2.")
    world.settle()

    assert conditions(world)["Stalled"].reason == "ParityFailed"
    assert world.names("ModelVersion") == []


def test_a_retraining_that_fails_is_not(world: World) -> None:
    (first,) = again(world).names("ModelVersion")
    world.settle()
    world.fail("OutOfMemory", "Ended at its memory limit of 2Gi.")
    world.settle()

    told = conditions(world)
    assert told["Ready"].message == f"{first} is approved: roc_auc 0.7130."
    assert (told["Trained"].status, told["Trained"].reason) == ("False", "OutOfMemory")
    assert "Stalled" not in told


UNUSABLE: dict[str, tuple[Model, str, str]] = {
    "another kind of document": (
        make_snapshot(),
        "ResultInvalid",
        "The result document is of kind Snapshot, which was not asked for.",
    ),
    "a candidate without its own document": (
        make_candidate(document=None),
        "ResultInvalid",
        "The result document is of kind Candidate, which was not asked for.",
    ),
    "a failure that says so": (
        Failure(reason="LabelNotBinary", message="late has 3 values."),
        "LabelNotBinary",
        "late has 3 values.",
    ),
}


@pytest.mark.parametrize(("result", "reason", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_result_that_cannot_be_used(
    world: World, result: Model, reason: str, message: str
) -> None:
    world.succeed(result)
    world.settle()

    (past,) = world.job().status.history
    assert (past.outcome, past.message) == (reason, message)


def test_an_evaluation_that_fits_no_record_is_no_model(world: World) -> None:
    train(world)
    judge(world, parameters={"num_leaves": "x" * 300})

    (past,) = world.job().status.history
    assert (past.outcome, past.message) == (
        "ResultInvalid",
        "The result does not fit into a record at parameters.num_leaves.",
    )


def test_a_changed_spec_cuts_the_run_for_the_old_one_short(world: World) -> None:
    old = run_training(world)
    world.user(make_trainingjob(spec={"refit": False}))

    world.settle()

    new = run_training(world)
    assert new != old
    assert old not in world.names("PipelineExecution")
    assert world.job().status.history[0].outcome == "Superseded"
    assert conditions(world)["Trained"].status == "Unknown"


def test_changed_gates_do_not(world: World) -> None:
    training = run_training(world)
    world.user(make_trainingjob(spec={"gates": GATES[:1]}))

    assert world.settle() != []
    assert run_training(world) == training


def test_a_spec_that_comes_back_is_trained_again(world: World) -> None:
    train(world)
    judge(world)
    world.user(make_trainingjob(spec={"refit": False}))
    world.settle()
    train(world)
    judge(world, "unfitted", metrics=[AGAINST])

    world.user(make_trainingjob())
    world.settle()

    assert run_of(world).key == f"{spec_hash(make_trainingjob().spec)}/3"
    assert run_of(world).name not in world.names("ModelVersion")


def test_data_that_are_gone_end_the_run(world: World) -> None:
    name = run_training(world)
    world.remove("PipelineExecution", name)
    world.remove("DatasetVersion", version_name())
    world.once("TrainingJob", "delays")

    (past,) = world.job().status.history
    assert (past.outcome, past.message) == (
        "DependencyNotReady",
        f"DatasetVersion {version_name()} or its Dataset is gone.",
    )


def stranger(world: World, kind: str, name: str) -> None:
    spec = {"pipeline": {"builtin": "evaluate"}}
    if kind == "ModelVersion":
        spec = make_model().to_wire()["spec"] | {"trainingJobRef": {"name": "other"}}
    world.add({"kind": kind, "metadata": {"name": name}, "spec": spec})


def test_a_stranger_of_a_childs_name_is_left_alone(world: World) -> None:
    name = run_training(world)
    world.remove("PipelineExecution", name)
    stranger(world, "PipelineExecution", name)

    writes = world.settle()

    told = conditions(world)
    assert writes == ["status TrainingJob/delays"]
    assert (told["Stalled"].reason, told["Stalled"].message) == (
        "NameConflict",
        f"PipelineExecution {name} exists and does not belong to this TrainingJob; it is left"
        " alone. Delete it to let the work go on.",
    )


def test_a_stranger_of_the_models_name_is_left_alone(world: World) -> None:
    run = run_of(world)
    stranger(world, "ModelVersion", run.name)
    train(world)
    judge(world)

    assert conditions(world)["Stalled"].reason == "NameConflict"
    world.remove("ModelVersion", run.name)
    world.settle()
    assert world.model(run.name).spec.digest == sha("new-model")


def test_a_step_that_waits_for_a_person_is_said(world: World) -> None:
    name = run_training(world)
    waiting = {"reason": "SecretMissing", "message": "Create it.", "lastTransitionTime": stamp()}
    world.objects[("PipelineExecution", name)]["status"] = {
        "state": "Pending",
        "conditions": [{"type": "Stalled", "status": "True", **waiting}],
    }
    world.settle()

    told = conditions(world)
    assert (told["Stalled"].reason, told["Ready"].reason) == ("SecretMissing",) * 2


SHAPING: dict[str, dict[str, Any]] = {
    "the data": {"datasetRef": {"name": "other"}},
    "the pipeline": {"pipeline": {"builtin": {"seed": 7}}},
    "the decision": {"decision": {"chooseBy": "f1"}},
    "the refit": {"refit": False},
}


@pytest.mark.parametrize("changed", SHAPING.values(), ids=SHAPING)
def test_what_shapes_a_run_changes_the_hash(changed: dict[str, Any]) -> None:
    assert spec_hash(make_trainingjob(spec=changed).spec) != spec_hash(make_trainingjob().spec)


CALM: dict[str, dict[str, Any]] = {
    "the gates": {"gates": []},
    "the triggers": {"retrain": {"triggers": [{"type": "Drift"}]}},
    "the limits": {"limits": {"backoffLimit": 5}},
    "what it is for": {"about": {"purpose": "Warn passengers."}},
    "a default written out": {"refit": True, "decision": {"threshold": "0.5"}},
}


@pytest.mark.parametrize("changed", CALM.values(), ids=CALM)
def test_what_does_not_changes_nothing(changed: dict[str, Any]) -> None:
    assert spec_hash(make_trainingjob(spec=changed).spec) == spec_hash(make_trainingjob().spec)
