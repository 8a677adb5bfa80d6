"""A TrainingJob: what it acts on and when, how it stands, what it throws away."""

from typing import Any

import pytest

from tests.builders import (
    AGAINST,
    GATES,
    MEASURED,
    VIOLATION,
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
    version_name,
)
from tests.unit.core.world import World
from tidemill.api.base import Condition
from tidemill.api.documents.manifest import Manifest, Part
from tidemill.api.documents.results import Unchanged
from tidemill.api.v1alpha1.dataset import HandledCause
from tidemill.api.v1alpha1.trainingjob import Run
from tidemill.core.observed import TrainingJobObserved
from tidemill.core.plan import Plan
from tidemill.core.trainingjob import last_data, plan_trainingjob

LOOP: dict[str, Any] = {
    "retrain": {
        "triggers": [{"type": "NewData"}, {"type": "Drift"}],
        "cooldownSeconds": 3600,
        "maxPerDay": 4,
    }
}
HOURLY = {"refresh": {"schedule": "0 * * * *"}}
LATER_WINDOW = {
    "start": "2013-02-01T00:00:00Z",
    "end": "2013-06-30T23:00:00Z",
    "matureUntil": "2013-06-30T23:00:00Z",
    "testStart": "2013-06-01T00:00:00Z",
    "validationStart": "2013-05-15T00:00:00Z",
}


def begun(**spec: Any) -> World:
    """Accepted data, and a TrainingJob whose first run trains."""
    world = World()
    world.user(make_dataset())
    world.settle()
    world.succeed(make_snapshot())
    world.user(make_trainingjob(spec=spec))
    world.settle()
    return world


def trained(**spec: Any) -> World:
    """A TrainingJob with an approved first model."""
    world = begun(**spec)
    finish(world)
    return world


def finish(world: World, model: str = "first-model", **more: Any) -> None:
    """The run under way trains and is judged."""
    world.succeed(make_candidate(), of_job(world))
    world.settle()
    world.succeed(make_evaluation(model, **more), of_job(world))
    world.settle()


def of_job(world: World) -> str:
    """The job's execution that runs."""
    (name,) = [name for name in world.running() if name.startswith("delays")]
    return name


def read(world: World, content: str, **more: Any) -> None:
    """A person asks for a refresh, and it brings this."""
    world.annotate("Dataset", "flights", f"refresh@{world.now.isoformat()}")
    world.settle()
    name = next(name for name in world.running() if name.startswith("flights"))
    world.succeed(make_snapshot(content, **more), name)
    world.settle()


def follow(world: World, *names: str, **more: Any) -> None:
    """ModelDeployments follow the job."""
    for name in names or ("delays",):
        body = {**make_follower(name, **more).to_wire(), "kind": "ModelDeployment"}
        world.objects[("ModelDeployment", name)] = body


def drift(world: World, number: int = 1, after: str = "2013-04-01T00:00:00Z") -> None:
    """The follower has confirmed a drift."""
    follow(world, episode={"number": number, "dataAfter": after})


def run_of(world: World) -> Run:
    run = world.job().status.active
    assert run is not None
    return run


def idle(world: World) -> bool:
    return world.job().status.active is None


def conditions(world: World) -> dict[str, Condition]:
    return {item.type: item for item in world.job().status.conditions}


def held(world: World) -> list[tuple[str, str]]:
    return [(item.cause, item.reason) for item in world.job().status.pending]


# --- the first run -----------------------------------------------------------------------------


def without(kind: str) -> World:
    world = World(decided=("TrainingJob",))
    if kind != "Dataset":
        world.user(make_dataset())
    world.user(make_trainingjob())
    world.settle()
    return world


MISSING = {
    "no Dataset": (
        without("Dataset"),
        "Dataset flights does not exist; create it in this namespace.",
    ),
    "no accepted version": (without("version"), "Dataset flights has no accepted version yet."),
}


@pytest.mark.parametrize(("world", "message"), MISSING.values(), ids=MISSING)
def test_the_first_run_waits_for_data(world: World, message: str) -> None:
    told = conditions(world)

    for kind in ("Ready", "Reconciling"):
        assert (told[kind].reason, told[kind].message) == ("DependencyNotReady", message)
    assert told["Ready"].status == "False"
    assert idle(world)


def test_the_first_run_starts_when_data_are_accepted() -> None:
    world = begun()

    run = run_of(world)
    assert (run.cause, run.dataset_version, run.for_generation) == ("Spec", version_name(), 1)
    assert world.job().status.started_at == (stamp(),)
    told = conditions(world)
    message = f"Run {run.name} (Spec) trains on {version_name()}."
    for kind in ("Ready", "Reconciling"):
        assert (told[kind].reason, told[kind].message) == ("Training", message)


PINNED: dict[str, tuple[Any, Any, str]] = {
    "one that does not exist": (None, {}, "DatasetVersion flights-old does not exist."),
    "one of another Dataset": (
        make_version(name="flights-old", dataset="other"),
        {},
        "DatasetVersion flights-old is of Dataset other, not of flights.",
    ),
    "one that is refused": (
        make_version(name="flights-old", accepted=False),
        {},
        "DatasetVersion flights-old is not accepted.",
    ),
}


@pytest.mark.parametrize(("version", "_", "message"), PINNED.values(), ids=PINNED)
def test_a_pinned_version_has_to_be_good(version: Any, _: Any, message: str) -> None:
    world = World(decided=("TrainingJob",))
    world.user(make_dataset())
    if version is not None:
        world.objects[("DatasetVersion", "flights-old")] = {
            **version.to_wire(),
            "kind": "DatasetVersion",
        }
    world.user(make_trainingjob(spec={"datasetRef": {"name": "flights", "version": "flights-old"}}))
    world.settle()

    assert conditions(world)["Ready"].message == message


def test_a_pinned_version_is_what_is_trained_on() -> None:
    world = World(decided=("TrainingJob",))
    world.user(make_dataset())
    good = {**make_version(name="flights-old").to_wire(), "kind": "DatasetVersion"}
    world.objects[("DatasetVersion", "flights-old")] = good
    world.user(make_trainingjob(spec={"datasetRef": {"name": "flights", "version": "flights-old"}}))
    world.settle()

    assert run_of(world).dataset_version == "flights-old"


def test_ready_may_mean_accepted() -> None:
    told = conditions(begun(readyWhen="Accepted"))["Ready"]

    assert (told.status, told.reason, told.message) == (
        "True",
        "SpecAccepted",
        "The spec can be acted on; readyWhen asks for no more.",
    )


def test_after_the_first_run_there_is_a_model() -> None:
    world = trained()
    (name,) = world.names("ModelVersion")

    told = conditions(world)
    assert {kind: (item.status, item.reason) for kind, item in told.items()} == {
        "Ready": ("True", "ModelApproved"),
        "Accepted": ("True", "SpecAccepted"),
        "Trained": ("True", "Approved"),
        "Approved": ("True", "GatesPassed"),
    }
    assert told["Ready"].message == f"{name} is approved: roc_auc 0.7130."
    assert told["Trained"].message == (
        f"Run {name} (Spec): Approved. roc_auc 0.7130 on 15,582 test rows; there was no champion."
    )


def test_a_pass_that_changes_nothing_writes_and_reads_nothing() -> None:
    world = trained(**LOOP)
    reads = len(world.reads)
    world.later(days=2)

    assert world.settle() == []
    assert len(world.reads) == reads


def test_a_first_model_that_is_refused_is_degraded() -> None:
    world = begun()
    finish(world, metrics=[{**MEASURED, "value": "0.6"}])
    (name,) = world.names("ModelVersion")

    told = conditions(world)
    assert (told["Ready"].status, told["Ready"].reason) == ("False", "Refused")
    assert (told["Stalled"].reason, told["Stalled"].message) == (
        "Refused",
        f"{name}: useful: roc_auc 0.6 < 0.62 on 15,582 test rows.",
    )
    assert (told["Approved"].status, told["Approved"].reason) == ("False", "GatesMissed")


def test_a_relaxed_gate_approves_the_newest_model_without_a_run() -> None:
    world = begun()
    finish(world, metrics=[{**MEASURED, "value": "0.6"}])
    (name,) = world.names("ModelVersion")
    executions = world.names("PipelineExecution")
    world.user(make_trainingjob(spec={"gates": [{**GATES[0], "min": "0.59"}, GATES[1]]}))

    world.settle()

    told = conditions(world)
    assert told["Ready"].message == f"{name} is approved: roc_auc 0.6000."
    assert "Stalled" not in told
    assert world.names("PipelineExecution") == executions


def test_a_spec_whose_model_is_refused_is_degraded_and_the_old_one_stays() -> None:
    world = trained()
    (first,) = world.names("ModelVersion")
    world.user(make_trainingjob(spec={"refit": False}))
    world.settle()
    finish(world, "worse", metrics=[{**AGAINST, "changeLow": "-0.1"}])

    told = conditions(world)
    assert told["Ready"].message == f"{first} is approved: roc_auc 0.7130."
    assert (told["Ready"].status, told["Stalled"].reason) == ("True", "Refused")


# --- several at once ---------------------------------------------------------------------------


def test_two_causes_at_once_are_acted_on_one_after_the_other() -> None:
    """A changed spec, a request, a drift and new data; the guards let all of them pass."""
    free = {"retrain": {**LOOP["retrain"], "cooldownSeconds": 0, "maxPerDay": 64}}
    world = trained(**free)
    drift(world)
    read(world, "spring", window=LATER_WINDOW)
    causes = [run_of(world).cause]
    world.annotate("TrainingJob", "delays", f"retrain@{world.now.isoformat()}")
    world.user(make_trainingjob(spec={**free, "refit": False}))
    for _ in range(9):
        world.settle()
        if idle(world):
            break
        if run_of(world).cause != causes[-1]:
            causes.append(run_of(world).cause)
        finish(world, f"model-{len(causes)}", metrics=[AGAINST])

    assert causes == ["Drift", "Spec", "Manual"]
    assert [item.outcome for item in reversed(world.job().status.history)] == [
        "Approved",
        "Superseded",
        "Approved",
        "Approved",
    ]


def test_a_request_starts_a_run_whatever_the_guards_say() -> None:
    world = trained(retrain={"suspend": True, "maxPerDay": 1})
    text = f"retrain@{world.now.isoformat()}"
    world.annotate("TrainingJob", "delays", text)

    world.settle()

    assert (run_of(world).cause, run_of(world).key) == ("Manual", text)
    assert run_of(world).for_generation == 0
    assert "Reconciling" not in conditions(world)
    assert world.job().status.request == text


def test_a_request_during_a_long_run_is_not_forgotten() -> None:
    world = begun()
    world.later(minutes=1)
    world.annotate("TrainingJob", "delays", f"retrain@{world.now.isoformat()}")
    world.settle()
    world.later(hours=5)

    finish(world)

    assert run_of(world).cause == "Manual"


def test_a_request_that_is_too_old_is_acknowledged_and_ignored() -> None:
    world = trained()
    text = f"retrain@{world.now.isoformat()}"
    world.annotate("TrainingJob", "delays", text)
    world.later(minutes=16)

    assert world.settle() == ["status TrainingJob/delays"]
    assert world.job().status.request == text
    assert world.events[-1] == ("TrainingJob/delays", "RequestIgnored")


def test_a_person_approves_a_digest() -> None:
    world = begun()
    finish(world, metrics=[{**MEASURED, "samples": 12}])
    (name,) = world.names("ModelVersion")
    world.annotate("TrainingJob", "delays", f"approve/{sha('first-model')}@{stamp()}")

    world.settle()

    assert conditions(world)["Ready"].message == f"{name} is approved: roc_auc 0.7130."
    assert conditions(world)["Approved"].reason == "ApprovedByHand"
    assert world.job().status.request == f"approve/{sha('first-model')}@{stamp()}"


def test_an_approval_of_nothing_is_ignored() -> None:
    world = trained()
    world.annotate("TrainingJob", "delays", f"approve/{sha('nothing')}@{stamp()}")

    world.settle()

    assert world.events[-1] == ("TrainingJob/delays", "RequestIgnored")


# --- drift -------------------------------------------------------------------------------------


def test_a_drift_waits_for_data_and_the_dataset_looks_once() -> None:
    world = trained(**LOOP)
    world.later(hours=2)
    drift(world)

    world.settle()

    status = world.job().status
    assert held(world) == [("Drift", "WaitingForData")]
    assert (status.wants_data_for, status.wants_data_after) == (
        "uid-md-delays/1",
        "2013-04-01T00:00:00Z",
    )
    assert idle(world)
    (name,) = world.running()
    world.succeed(Unchanged(fingerprint="print-of-winter"))
    world.settle()
    assert world.running() == []
    assert ("TrainingJob/delays", "WaitingForData") in world.events
    world.later(days=3)
    assert world.settle() == []


def test_a_drift_is_retrained_once_there_are_labels_of_it() -> None:
    world = trained(**LOOP)
    world.later(hours=2)
    drift(world)
    world.settle()
    world.succeed(make_snapshot("spring", window=LATER_WINDOW))

    world.settle()

    run = run_of(world)
    spring = version_name("spring")
    assert (run.cause, run.key) == ("Drift", f"uid-md-delays/1/{spring}")
    assert run.dataset_version == spring
    status = world.job().status
    assert (status.wants_data_for, status.wants_data_after) == (None, None)
    assert ("TrainingJob/delays", "Training") in world.events[-3:]


def test_a_lost_challenger_reopens_the_episode_only_with_newer_data() -> None:
    world = trained(**LOOP)
    world.later(hours=2)
    drift(world)
    world.settle()
    world.succeed(make_snapshot("spring", window=LATER_WINDOW))
    world.settle()
    finish(world, "loser", metrics=[{**AGAINST, "changeLow": "-0.1"}])
    world.later(hours=2)
    assert world.settle() == []

    read(world, "summer", window=LATER_WINDOW)

    assert run_of(world).key == f"uid-md-delays/1/{version_name('summer')}"


def test_data_the_model_has_learned_from_are_not_learned_from_again() -> None:
    """The drifted time lies within the training data: the same run would make the same model."""
    world = trained(**LOOP)
    world.later(hours=2)
    drift(world, after="2013-03-01T00:00:00Z")

    world.settle()

    assert held(world) == [("Drift", "WaitingForData")]
    status = world.job().status
    assert status.wants_data_after == "2013-03-31T23:00:00Z"
    world.succeed(make_snapshot("spring", window=LATER_WINDOW))
    world.settle()
    assert run_of(world).cause == "Drift"


def test_a_refused_version_is_no_newer_data() -> None:
    world = trained(**LOOP)
    world.later(hours=2)
    drift(world)
    world.settle()
    world.succeed(make_snapshot("spring", window=LATER_WINDOW, violations=[VIOLATION]))

    world.settle()

    assert idle(world)
    assert held(world) == [("Drift", "WaitingForData")]


def test_an_episode_that_is_over_is_no_longer_waited_for() -> None:
    world = trained(**LOOP)
    world.later(hours=2)
    drift(world)
    world.settle()
    follow(world)

    world.settle()

    assert held(world) == []
    assert world.job().status.wants_data_for is None


# --- new data ----------------------------------------------------------------------------------


def manifest(world: World, content: str, **parts: int) -> dict[str, Any]:
    """Store the manifest of a version, and say where."""
    made = Manifest(
        digest=sha(content),
        parts=tuple(
            Part(uri=f"s3://a/{name}", digest=sha(name), rows=rows, bytes=1)
            for name, rows in parts.items()
        ),
        rows=sum(parts.values()),
    )
    return {"manifest": world.put(f"s3://artifacts/{content}/manifest.json", made)}


def counted(**spring: int) -> World:
    """A model of January and February, and a newer version of these months."""
    world = World()
    world.user(make_dataset())
    world.settle()
    world.succeed(make_snapshot(**manifest(world, "winter", jan=50, feb=50)))
    retrain = {"triggers": [{"type": "NewData", "minShare": "0.2"}], "cooldownSeconds": 0}
    world.user(make_trainingjob(spec={"retrain": retrain}))
    world.settle()
    finish(world)
    read(world, "spring", **manifest(world, "spring", **spring))
    return world


def test_enough_rows_in_unseen_parts_start_a_run() -> None:
    run = run_of(counted(feb=50, mar=13))

    assert (run.cause, run.key) == ("NewData", sha("spring"))


def test_too_few_do_not() -> None:
    world = counted(feb=50, mar=12)

    assert idle(world)
    assert held(world) == []


def test_new_data_are_held_back_by_the_cooldown() -> None:
    world = trained(**LOOP)
    world.later(minutes=30)
    read(world, "spring")

    assert idle(world)
    assert held(world) == [("NewData", "CooldownActive")]
    assert ("TrainingJob/delays", "CooldownActive") in world.events
    assert world.once("TrainingJob", "delays").requeue_after == 1800.0
    world.later(minutes=30)
    world.settle()
    assert run_of(world).cause == "NewData"
    assert held(world) == []


def test_a_trigger_that_is_held_back_is_told_once() -> None:
    world = trained(**LOOP)
    world.later(minutes=30)
    read(world, "spring")
    world.later(minutes=5)
    world.settle()

    told = [reason for _, reason in world.events if reason == "CooldownActive"]
    assert len(told) == 1


def test_of_new_data_held_back_only_the_newest_are_trained_on() -> None:
    world = trained(**LOOP)
    world.later(minutes=30)
    read(world, "spring")
    world.later(minutes=10)
    read(world, "summer")
    world.later(hours=1)
    world.settle()

    assert run_of(world).key == sha("summer")
    finish(world, "second", metrics=[AGAINST])
    world.later(hours=3)
    assert world.settle() == []


def test_new_data_during_a_run_wait_for_its_end() -> None:
    free = {"retrain": {"triggers": [{"type": "NewData"}], "cooldownSeconds": 0}}
    world = begun(**free)
    read(world, "spring")
    assert held(world) == [("NewData", "RunActive")]

    finish(world)

    assert (run_of(world).cause, run_of(world).dataset_version) == (
        "NewData",
        version_name("spring"),
    )


def test_the_data_of_the_active_run_are_not_new() -> None:
    world = begun(**LOOP)

    assert held(world) == []


def test_a_days_runs_are_counted() -> None:
    few = {"retrain": {"triggers": [{"type": "NewData"}], "cooldownSeconds": 0, "maxPerDay": 2}}
    world = trained(**few)
    world.later(hours=1)
    read(world, "spring")
    finish(world, "second", metrics=[AGAINST])
    world.later(hours=1)
    read(world, "summer")

    assert held(world) == [("NewData", "DailyLimitReached")]
    assert world.job().status.started_at == (stamp(), stamp(hours=1))
    world.later(hours=22)
    world.settle()
    assert run_of(world).dataset_version == version_name("summer")


def test_a_schedule_starts_runs() -> None:
    hourly = {"triggers": [{"type": "Schedule", "schedule": "0 * * * *"}], "cooldownSeconds": 0}
    world = trained(retrain=hourly)
    assert world.once("TrainingJob", "delays").requeue_after == 3600.0
    world.later(hours=3, minutes=5)
    world.settle()

    assert (run_of(world).cause, run_of(world).key) == ("Schedule", stamp(hours=3))
    assert world.job().status.last_tick == stamp(hours=3)


def test_a_schedule_nobody_can_read_is_degraded() -> None:
    bad = {"triggers": [{"type": "Schedule", "schedule": "0 25 * * *"}]}
    told = conditions(trained(retrain=bad))

    message = "Schedule '0 25 * * *' cannot be read as cron: Bad hour."
    for kind in ("Ready", "Stalled", "Accepted"):
        assert (told[kind].reason, told[kind].message) == ("InvalidSchedule", message)
    assert told["Accepted"].status == told["Ready"].status == "False"


# --- followers ---------------------------------------------------------------------------------


def test_several_followers_are_degraded_and_start_nothing() -> None:
    world = trained(**LOOP)
    follow(world, "delays", "delays-too")
    read(world, "spring")
    world.annotate("TrainingJob", "delays", f"retrain@{world.now.isoformat()}")
    world.settle()

    told = conditions(world)
    message = (
        "Several ModelDeployments follow this TrainingJob (delays, delays-too), so nobody can say"
        " whose model is the champion. Let all but one name a modelVersionRef."
    )
    for kind in ("Ready", "Stalled", "Accepted"):
        assert (told[kind].reason, told[kind].message) == ("SeveralFollowers", message)
    assert told["Ready"].status == "False"
    assert idle(world)
    world.remove("ModelDeployment", "delays-too")
    world.settle()
    assert run_of(world).cause == "Manual"


# --- what is thrown away -----------------------------------------------------------------------


def many(**spec: Any) -> World:
    """Five models, one after the other."""
    world = trained(**spec)
    for number in range(4):
        world.later(minutes=1)
        world.annotate("TrainingJob", "delays", f"retrain@{world.now.isoformat()}")
        world.settle()
        finish(world, f"model-{number}", metrics=[AGAINST])
    return world


def test_the_executions_of_three_runs_are_kept() -> None:
    assert len([n for n in many().names("PipelineExecution") if n.startswith("delays")]) == 6


def test_a_pruned_run_is_not_run_again_when_status_is_lost() -> None:
    world = many()
    for name in world.names("PipelineExecution"):
        world.remove("PipelineExecution", name)
    del world.objects[("TrainingJob", "delays")]["status"]

    writes = world.settle()

    assert writes == ["status TrainingJob/delays"]
    status = world.job().status
    assert status.handled[0].cause == "Spec"
    assert len(status.history) == len(status.started_at) == 5
    assert status.request is not None


def test_old_models_go_and_those_in_use_stay() -> None:
    world = trained(limits={"versionHistoryLimit": 1})
    names = world.names("ModelVersion")
    for number in range(4):
        world.later(minutes=1)
        world.annotate("TrainingJob", "delays", f"retrain@{world.now.isoformat()}")
        world.settle()
        names.append(run_of(world).name)
        if number == 1:  # the second model is what serves
            follow(world, stable=names[1])
        finish(world, f"model-{number}", metrics=[AGAINST])

    # What serves and its champion; the newest, which is approved; one more.
    assert set(world.names("ModelVersion")) == {names[0], names[1], names[3], names[4]}


def test_a_job_made_again_adopts_its_models_and_does_not_train() -> None:
    world = trained()
    models = world.names("ModelVersion")
    world.remove("TrainingJob", "delays")
    world.later(hours=1)
    world.user(make_trainingjob())

    writes = world.settle()

    assert writes == ["status TrainingJob/delays"]
    assert world.names("ModelVersion") == models
    assert conditions(world)["Ready"].message == f"{models[0]} is approved: roc_auc 0.7130."


def test_a_job_made_again_otherwise_trains() -> None:
    world = trained()
    world.remove("TrainingJob", "delays")
    world.user(make_trainingjob(spec={"refit": False}))

    world.settle()

    assert run_of(world).cause == "Spec"


def test_one_that_is_being_deleted_is_left_alone() -> None:
    job = make_trainingjob(deletionTimestamp=stamp())

    assert plan_trainingjob(TrainingJobObserved(now=World().now, job=job, store="s3://x")) == Plan()


# --- the last run's data -----------------------------------------------------------------------


def test_a_run_cut_short_has_learned_nothing() -> None:
    past = {"cause": "Spec", "started": stamp(), "ended": stamp()}
    status = {
        "history": [
            {"name": "b", "outcome": "Superseded", "datasetVersion": "flights-b", **past},
            {"name": "a", "outcome": "Approved", "datasetVersion": "flights-a", **past},
        ]
    }

    assert last_data(make_trainingjob(status=status).status, []) == "flights-a"


def test_without_a_history_the_newest_model_tells() -> None:
    assert last_data(make_trainingjob().status, [make_model()]) == version_name()
    assert last_data(make_trainingjob().status, []) is None


# --- crashes -----------------------------------------------------------------------------------


def a_loop(crash_after: int | None = None) -> World:
    """Load, train, drift, fresh data, a challenger, a relaxed gate."""
    world = World()
    world.crash_after = crash_after
    world.user(make_dataset())
    world.user(make_trainingjob(spec=LOOP))
    world.settle()
    world.succeed(make_snapshot())
    world.settle()
    finish(world)
    world.later(hours=2)
    drift(world)
    world.settle()
    world.succeed(make_snapshot("spring", window=LATER_WINDOW))
    world.settle()
    finish(world, "loser", metrics=[{**AGAINST, "changeLow": "-0.1"}])
    gates = [GATES[0], {**GATES[1], "minChange": "-0.2"}]
    world.user(make_trainingjob(spec={**LOOP, "gates": gates}))
    world.settle()
    return world


def made(world: World) -> list[str]:
    return sorted(item for item in world.writes if item.split()[0] in ("create", "delete"))


REFERENCE = a_loop()


def test_the_loop_ends_with_two_approved_models() -> None:
    outcomes = [(item.cause, item.outcome) for item in REFERENCE.job().status.history]

    assert outcomes == [("Drift", "Refused"), ("Spec", "Approved")]
    approved = REFERENCE.job().status.approved
    assert approved is not None
    assert approved.name == REFERENCE.job().status.history[0].name
    assert len(REFERENCE.names("ModelVersion")) == 2
    assert REFERENCE.job().status.handled[0] == HandledCause(
        cause="Drift",
        key=f"uid-md-delays/1/{version_name('spring')}",
        at=stamp(hours=2),
        outcome="Refused",
    )


@pytest.mark.parametrize("n", range(1, len(REFERENCE.writes) + 1))
def test_a_crash_after_any_write_loses_and_doubles_nothing(n: int) -> None:
    world = a_loop(crash_after=n)

    assert made(world) == made(REFERENCE)
    assert world.job().status == REFERENCE.job().status
    assert world.dataset().status == REFERENCE.dataset().status
    assert world.objects.keys() == REFERENCE.objects.keys()


def test_a_suspected_leak_is_what_the_job_says() -> None:
    world = begun()
    said = "minutes (AUC 1): a column alone tells the label on the 720 fit rows, by more than 0.95."

    world.fail("SuspectedLeak", said, of_job(world))
    world.settle()

    trained = conditions(world)["Trained"]
    assert (trained.status, trained.reason) == ("False", "SuspectedLeak")
    assert trained.message.endswith(f": SuspectedLeak. {said}")
    ready = conditions(world)["Ready"]
    assert (ready.status, ready.reason) == ("False", "SuspectedLeak")
    assert ready.message.endswith(said)
