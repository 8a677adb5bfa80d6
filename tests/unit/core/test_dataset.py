"""A Dataset: what it acts on and when, how it stands, what it throws away."""

from typing import Any

import pytest

from tests.builders import (
    VIOLATION,
    make_dataset,
    make_snapshot,
    make_trainingjob,
    make_version,
    stamp,
    version_name,
)
from tests.unit.core.world import World
from tidemill.api.base import Condition
from tidemill.api.documents.results import Unchanged
from tidemill.api.v1alpha1 import PipelineExecution
from tidemill.core.acceptance import contract_hash
from tidemill.core.dataset import plan_dataset, spec_is_read, wish_key
from tidemill.core.manifests.executions import arguments_of
from tidemill.core.observed import DatasetObserved, Wish
from tidemill.core.plan import Plan

HOURLY = {"refresh": {"schedule": "0 * * * *"}}
SAME = Unchanged(fingerprint="print-of-winter")


def fresh(**spec: Any) -> World:
    """A world with a Dataset whose first read is under way."""
    world = World(decided=("Dataset", "DatasetVersion"))
    world.user(make_dataset(spec=spec))
    world.settle()
    return world


def loaded(**spec: Any) -> World:
    """A world with a Dataset whose first version is accepted."""
    world = fresh(**spec)
    world.succeed(make_snapshot())
    world.settle()
    return world


def bring(world: World, content: str, **more: Any) -> None:
    """The read that is under way brings this, and it is recorded and judged."""
    world.succeed(make_snapshot(content, **more))
    world.settle()


def ask(world: World) -> str:
    """A person asks for a refresh now; returns the request."""
    text = f"refresh@{world.now.isoformat()}"
    world.annotate("Dataset", "flights", text)
    return text


def wish(world: World, key: str = "uid-md/1", after: str = "2013-04-01T00:00:00Z") -> None:
    """A TrainingJob waits for labelled data of a drift."""
    name = f"job-{key.replace('/', '-')}"
    made = make_trainingjob(name).to_wire()
    body = world.add({**made, "kind": "TrainingJob"})
    body["status"] = {"wantsDataFor": key, "wantsDataAfter": after}


def conditions(world: World) -> dict[str, Condition]:
    return {item.type: item for item in world.dataset().status.conditions}


def active(world: World) -> tuple[str, str]:
    """Cause and key of the read under way."""
    run = world.dataset().status.active
    assert run is not None
    return run.cause, run.key


def idle(world: World) -> bool:
    return world.dataset().status.active is None and world.running() == []


# --- the schedule ------------------------------------------------------------------------------


def test_before_a_tick_nothing_happens() -> None:
    world = loaded(**HOURLY)
    world.later(minutes=59)

    assert world.settle() == []
    assert world.once("Dataset", "flights").requeue_after == 60.0


def test_a_tick_starts_one_read() -> None:
    world = loaded(**HOURLY)
    world.later(hours=1)

    world.settle()

    assert active(world) == ("Schedule", stamp(hours=1))
    assert world.dataset().status.last_tick == stamp(hours=1)


def test_missed_ticks_are_one_read() -> None:
    world = loaded(**HOURLY)
    world.later(hours=9, minutes=30)
    world.settle()
    world.succeed(SAME)

    world.settle()

    assert idle(world)
    assert world.dataset().status.last_tick == stamp(hours=9)


def test_a_tick_during_a_read_is_acted_on_after_it() -> None:
    world = loaded(**HOURLY)
    world.later(hours=1)
    world.settle()
    world.later(hours=1)
    assert world.settle() == []
    world.succeed(SAME)

    world.settle()

    assert active(world) == ("Schedule", stamp(hours=2))


def test_a_suspended_schedule_starts_nothing() -> None:
    world = loaded(refresh={"schedule": "0 * * * *", "suspend": True})
    world.later(hours=3)

    assert world.settle() == []
    assert world.once("Dataset", "flights").requeue_after is None


def test_a_scheduled_read_is_not_reconciling() -> None:
    world = loaded(**HOURLY)
    world.later(hours=1)
    world.settle()

    assert "Reconciling" not in conditions(world)
    assert conditions(world)["Ready"].status == "True"


def test_a_schedule_nobody_can_read_is_degraded() -> None:
    world = loaded(refresh={"schedule": "0 25 * * *"})

    told = conditions(world)
    message = "Schedule '0 25 * * *' cannot be read as cron: Bad hour."
    for kind in ("Ready", "Stalled"):
        assert (told[kind].reason, told[kind].message) == ("InvalidSchedule", message)
    assert told["Ready"].status == "False"
    assert world.dataset().status.accepted is not None


# --- two causes at once ------------------------------------------------------------------------


def test_two_causes_at_once_are_acted_on_one_after_the_other() -> None:
    """A changed spec, a request, a drift and a tick, all at the same moment."""
    world = loaded(**HOURLY)
    world.later(hours=1)
    request = ask(world)
    wish(world)
    told = []
    world.user(make_dataset(spec={**HOURLY, "split": {"testShare": "0.3"}}))
    for _ in range(10):
        world.settle()
        if idle(world):
            break
        cause = world.dataset().status.active
        assert cause is not None
        told.append(cause.cause)
        world.succeed(make_snapshot())
    assert told == ["Spec", "Manual", "Drift", "Schedule"]
    assert world.dataset().status.request == request


def test_a_claim_takes_the_most_urgent() -> None:
    world = loaded(**HOURLY)
    world.later(hours=1)
    ask(world)
    world.user(make_dataset(spec={**HOURLY, "split": {"testShare": "0.3"}}))

    world.settle()

    assert active(world)[0] == "Spec"


def test_the_next_cause_is_claimed_in_the_write_that_spends_the_last() -> None:
    world = loaded(**HOURLY)
    world.later(hours=1)
    ask(world)
    world.settle()
    world.succeed(SAME)

    writes = world.settle()

    assert writes[0] == "claim Dataset/flights"
    assert active(world)[0] == "Schedule"
    assert world.dataset().status.handled[0].cause == "Manual"


# --- requests ----------------------------------------------------------------------------------


def test_a_request_is_one_read() -> None:
    world = loaded()
    request = ask(world)
    world.settle()
    assert active(world) == ("Manual", request)
    world.succeed(SAME)

    world.settle()

    assert idle(world)
    assert world.dataset().status.request == request


def test_a_request_during_a_long_read_is_not_forgotten() -> None:
    world = fresh()
    world.later(minutes=1)
    request = ask(world)
    world.settle()
    world.later(hours=1)
    world.succeed(make_snapshot())

    world.settle()

    assert active(world) == ("Manual", request)


def test_a_request_that_is_too_old_is_acknowledged_and_ignored() -> None:
    world = loaded()
    request = ask(world)
    world.later(minutes=16)

    writes = world.settle()

    assert writes == ["status Dataset/flights"]
    assert world.dataset().status.request == request
    assert world.events[-1] == ("Dataset/flights", "RequestIgnored")
    assert idle(world)


def test_a_request_whose_read_is_on_record_is_not_read_again() -> None:
    world = loaded()
    request = ask(world)
    world.settle()
    bring(world, "spring")
    body = world.objects[("Dataset", "flights")]
    del body["status"]

    world.settle()

    assert idle(world)
    assert world.dataset().status.request == request


# --- drift -------------------------------------------------------------------------------------


def test_a_drift_that_waits_for_data_is_read_for_once() -> None:
    world = loaded()
    wish(world)
    world.settle()
    assert active(world) == ("Drift", "uid-md/1")
    world.succeed(SAME)

    world.settle()

    assert idle(world)


def test_the_next_episode_is_read_for_again() -> None:
    world = loaded()
    wish(world)
    world.settle()
    world.succeed(SAME)
    world.remove("TrainingJob", "job-uid-md-1")
    wish(world, "uid-md/2")

    world.settle()

    assert active(world) == ("Drift", "uid-md/2")


def test_labels_that_are_there_already_need_no_read() -> None:
    world = loaded()
    wish(world, after="2013-03-31T22:59:59Z")

    assert world.settle() == []


def test_labels_up_to_the_drift_and_no_further_do() -> None:
    world = loaded()
    wish(world, after="2013-03-31T23:00:00Z")

    world.settle()

    assert active(world)[0] == "Drift"


def test_two_drifts_at_once_are_one_read() -> None:
    world = loaded()
    for number in (1, 2):
        made = make_trainingjob(f"job-{number}").to_wire()
        body = world.add({**made, "kind": "TrainingJob"})
        body["status"] = {
            "wantsDataFor": f"uid-md-{number}/1",
            "wantsDataAfter": "2013-04-01T00:00:00Z",
        }
    world.settle()
    world.succeed(SAME)
    world.settle()
    assert idle(world)

    world.remove("TrainingJob", "job-1")

    assert world.settle() == []


def test_a_drift_beside_one_that_was_read_for_is_read_for() -> None:
    world = loaded()
    wish(world)
    world.settle()
    world.succeed(SAME)
    wish(world, "uid-other/1")

    world.settle()

    assert active(world)[0] == "Drift"


def test_the_key_of_one_drift_is_the_drift_itself() -> None:
    one = Wish(key="uid-md/1", after=World().now)

    assert wish_key((one,)) == "uid-md/1"


def test_the_key_of_many_drifts_fits() -> None:
    many = tuple(Wish(key=f"uid-{number}/1", after=World().now) for number in range(40))

    assert len(wish_key(many)) == 64
    assert len(wish_key(many[:11])) <= 128


# --- failures ----------------------------------------------------------------------------------

DOWN = "The store s3://tides does not answer. Check that it runs."


def test_a_source_that_is_down_is_said_and_tried_again() -> None:
    world = fresh()
    name = world.fail("SourceUnavailable", DOWN)

    world.settle()

    told = conditions(world)
    assert (told["Ready"].status, told["Ready"].reason) == ("False", "SourceUnavailable")
    assert told["SourceAvailable"].message == DOWN
    assert (told["Reconciling"].reason, told["Reconciling"].message) == (
        "ProgressingWithRetry",
        f"The source is tried again: {DOWN}",
    )
    world.later(seconds=60)
    world.settle()
    assert active(world) == ("Retry", name)


def test_tries_are_a_minute_then_four_then_fifteen_apart() -> None:
    world = fresh()
    waits = []
    for _ in range(5):
        world.fail("SourceUnavailable", DOWN)
        world.settle()
        again = world.once("Dataset", "flights").requeue_after
        assert again is not None
        waits.append(again)
        world.later(seconds=again)
        world.settle()

    assert waits == [60.0, 240.0, 900.0, 900.0, 900.0]


def test_a_spec_whose_source_stays_down_is_degraded_and_still_tried() -> None:
    world = fresh()
    for wait in (60, 240, 900):
        world.fail("SourceUnavailable", DOWN)
        world.settle()
        world.later(seconds=wait)
        if wait < 900:
            world.settle()

    told = conditions(world)
    assert (told["Stalled"].reason, told["Stalled"].message) == ("SourceUnavailable", DOWN)
    assert "Reconciling" not in told
    world.settle()
    assert active(world)[0] == "Retry"


def test_a_try_that_succeeds_ends_it() -> None:
    world = fresh()
    world.fail("SourceUnavailable", DOWN)
    world.settle()
    world.later(seconds=60)
    world.settle()
    bring(world, "winter")

    told = conditions(world)
    assert [told["Ready"].status, told["SourceAvailable"].status] == ["True", "True"]
    assert not {"Stalled", "Reconciling"} & set(told)
    world.later(days=1)
    assert world.settle() == []


def test_an_outage_loses_nothing() -> None:
    world = loaded(**HOURLY)
    world.later(hours=1)
    world.settle()
    world.fail("SourceUnavailable", DOWN)

    world.settle()

    told = conditions(world)
    assert (told["Ready"].status, told["Ready"].reason, told["Ready"].message) == (
        "True",
        "LastGoodInUse",
        f"The last refresh failed (SourceUnavailable); {version_name()} stays in use: 77,911 rows,"
        " events up to 2013-03-31T23:00:00Z.",
    )
    assert (told["SourceAvailable"].status, told["SourceAvailable"].message) == (
        "False",
        f"{DOWN} It was last read with success at {stamp()}.",
    )
    assert not {"Stalled", "Reconciling"} & set(told)
    accepted = world.dataset().status.accepted
    assert accepted is not None
    assert accepted.name == version_name()


def test_a_retry_of_a_scheduled_read_is_not_reconciling() -> None:
    world = loaded(**HOURLY)
    world.later(hours=1)
    world.settle()
    world.fail("SourceUnavailable", DOWN)
    world.settle()
    world.later(minutes=1)
    world.settle()

    assert active(world)[0] == "Retry"
    assert "Reconciling" not in conditions(world)


def test_what_only_a_changed_spec_mends_waits_for_it() -> None:
    world = fresh()
    world.fail("MissingColumn", "There is no column late; there are flight_id and time_hour.")
    world.settle()

    told = conditions(world)
    for kind in ("Ready", "Stalled"):
        assert told[kind].reason == "MissingColumn"
        assert told[kind].message == "There is no column late; there are flight_id and time_hour."
    assert told["SourceAvailable"].status == "Unknown"
    world.later(days=1)
    assert world.settle() == []


def test_an_engine_that_fails_says_nothing_of_the_source() -> None:
    world = loaded(**HOURLY)
    world.later(hours=1)
    world.settle()
    world.fail("DeadlineExceeded", "It did not end in time.")

    world.settle()

    assert conditions(world)["SourceAvailable"].status == "True"
    assert conditions(world)["Ready"].reason == "LastGoodInUse"


def test_a_failures_words_outlast_its_execution() -> None:
    world = fresh()
    name = world.fail("MissingColumn", "There is no column late.")
    world.settle()
    world.remove("PipelineExecution", name)

    assert world.settle() == []
    assert conditions(world)["Ready"].message == "There is no column late."


# --- acceptance --------------------------------------------------------------------------------

HOURS = "hours: dep_hour lies between 0 and 27, outside the maximum 23."


def test_a_version_that_is_accepted_is_in_use() -> None:
    told = conditions(loaded())

    facts = "77,911 rows, events up to 2013-03-31T23:00:00Z"
    assert (told["Ready"].status, told["Ready"].reason, told["Ready"].message) == (
        "True",
        "InUse",
        f"{version_name()} is in use: {facts}.",
    )
    assert told["Accepted"].message == (
        f"{version_name()}: All of the contract is kept by 77,911 rows."
    )


def test_a_refused_version_leaves_the_last_good_one_in_use() -> None:
    world = loaded(**HOURLY)
    world.later(hours=1)
    world.settle()
    bring(world, "broken", violations=[VIOLATION])

    status, told = world.dataset().status, conditions(world)
    assert status.latest is not None
    assert status.accepted is not None
    assert (status.latest.name, status.accepted.name) == (version_name("broken"), version_name())
    assert (told["Ready"].status, told["Ready"].reason, told["Ready"].message) == (
        "True",
        "LastGoodInUse",
        f"{version_name('broken')} was not accepted; {version_name()} stays in use: 77,911 rows,"
        " events up to 2013-03-31T23:00:00Z.",
    )
    assert (told["Accepted"].status, told["Accepted"].reason, told["Accepted"].message) == (
        "False",
        "ContractBroken",
        f"{version_name('broken')}: {HOURS}",
    )
    assert "Stalled" not in told


def test_a_first_version_that_is_refused_is_degraded() -> None:
    world = fresh()
    bring(world, "broken", violations=[VIOLATION])

    told = conditions(world)
    for kind in ("Ready", "Stalled"):
        assert (told[kind].reason, told[kind].message) == (
            "ContractBroken",
            f"{version_name('broken')}: {HOURS}",
        )
    assert told["Ready"].status == "False"
    assert world.dataset().status.accepted is None
    assert world.dataset().status.schema_anchor is None


def test_a_spec_whose_version_is_refused_is_degraded_and_the_old_one_serves() -> None:
    world = loaded()
    world.user(make_dataset(spec={"split": {"testShare": "0.3"}}))
    world.settle()
    bring(world, "broken", violations=[VIOLATION])

    told = conditions(world)
    assert (told["Ready"].status, told["Ready"].reason) == ("True", "LastGoodInUse")
    assert told["Stalled"].reason == "ContractBroken"


def test_it_is_well_again_when_the_source_is() -> None:
    world = fresh(**HOURLY)
    bring(world, "broken", violations=[VIOLATION])
    world.later(hours=1)
    world.settle()
    bring(world, "mended")
    assert "Stalled" not in conditions(world)

    world.later(hours=1)
    world.settle()
    bring(world, "broken", violations=[VIOLATION])

    assert "Stalled" not in conditions(world)
    assert conditions(world)["Ready"].reason == "LastGoodInUse"


def test_the_first_accepted_version_is_the_norm() -> None:
    world = fresh(**HOURLY)
    bring(world, "broken", violations=[VIOLATION])
    world.later(hours=1)
    world.settle()
    bring(world, "mended")
    world.later(hours=1)
    world.settle()
    bring(world, "later")

    assert world.dataset().status.schema_anchor == version_name("mended")


def test_a_relaxed_contract_accepts_the_version_that_was_refused() -> None:
    """No profile is stored here: the read that the changed contract asks for answers."""
    world = fresh()
    bring(world, "broken", violations=[VIOLATION])
    relaxed = make_dataset(spec={"contract": {}})
    world.user(relaxed)
    world.settle()
    assert conditions(world)["Accepted"].reason == "NeedsJudging"

    (name,) = world.running()
    body = world.objects[("PipelineExecution", name)]
    contract = arguments_of(PipelineExecution.parse(body))["contractHash"]
    world.succeed(make_snapshot("broken", contractHash=contract))
    world.settle()

    status = world.dataset().status
    assert world.names("DatasetVersion") == [version_name("broken")]
    assert status.accepted is not None
    assert status.accepted.name == version_name("broken")
    assert conditions(world)["Ready"].reason == "InUse"
    assert "Stalled" not in conditions(world)


# --- freshness ---------------------------------------------------------------------------------

WATCHED = {"refresh": {"freshWithinSeconds": 2 * 86400}}


def test_a_source_that_changed_lately_is_fresh() -> None:
    told = conditions(loaded(**WATCHED))["Fresh"]

    assert (told.status, told.reason) == ("True", "SourceChanged")
    assert told.message == f"The source changed at {stamp(days=-1)}."


def test_a_source_that_has_not_is_stale() -> None:
    world = loaded(**WATCHED)
    assert world.once("Dataset", "flights").requeue_after == 86401.0
    world.later(days=1, seconds=1)
    world.settle()

    told = conditions(world)["Fresh"]
    assert (told.status, told.reason) == ("False", "SourceStale")
    assert told.message == (
        f"The source has not changed since {stamp(days=-1)}, which is longer ago than"
        " freshWithinSeconds: 172800. Look whether what fills it still runs."
    )
    assert conditions(world)["Ready"].status == "True"


def test_nobody_knows_of_a_source_that_was_never_read() -> None:
    told = conditions(fresh(**WATCHED))["Fresh"]

    assert (told.status, told.reason, told.message) == (
        "Unknown",
        "NotRead",
        "It is not known when the source last changed.",
    )


# --- reconciling -------------------------------------------------------------------------------


def test_the_first_read_is_reconciling() -> None:
    world = fresh()
    (name,) = world.running()

    told = conditions(world)["Reconciling"]
    assert (told.reason, told.message) == (
        "Refreshing",
        f"PipelineExecution {name} reads the source by the present spec.",
    )
    assert world.dataset().status.observed_generation == 1


def test_a_changed_spec_is_reconciling_while_another_read_ends() -> None:
    world = loaded(**HOURLY)
    world.later(hours=1)
    world.settle()
    (name,) = world.running()
    world.user(make_dataset(spec={**HOURLY, "split": {"testShare": "0.3"}}))
    world.settle()

    told = conditions(world)["Reconciling"]
    assert told.message == f"The present spec waits for PipelineExecution {name} to end."
    assert not spec_is_read(world.dataset())


def test_a_pass_that_changes_nothing_writes_nothing() -> None:
    world = loaded()
    reads = len(world.reads)
    world.later(hours=5)

    assert world.settle() == []
    assert len(world.reads) == reads


# --- what is thrown away -----------------------------------------------------------------------


def test_the_last_three_executions_are_kept() -> None:
    world = loaded(**HOURLY)
    for _ in range(5):
        world.later(hours=1)
        world.settle()
        world.succeed(SAME)
        world.settle()

    assert len(world.names("PipelineExecution")) == 3


def test_a_pruned_execution_is_not_run_again() -> None:
    world = loaded(**HOURLY)
    (first,) = world.names("PipelineExecution")
    for _ in range(5):
        world.later(hours=1)
        world.settle()
        world.succeed(SAME)
        world.settle()
    assert first not in world.names("PipelineExecution")

    assert world.settle() == []


def test_a_pruned_execution_is_not_run_again_when_status_is_lost() -> None:
    """Its record proves that the spec was read."""
    world = loaded()
    (first,) = world.names("PipelineExecution")
    world.remove("PipelineExecution", first)
    del world.objects[("Dataset", "flights")]["status"]

    writes = world.settle()

    assert writes == ["status Dataset/flights"]
    status = world.dataset().status
    assert status.handled[0].cause == "Spec"
    assert status.accepted is not None
    assert status.schema_anchor == version_name()
    assert status.fingerprint == "print-of-winter"


def test_an_execution_that_runs_is_adopted_when_status_is_lost() -> None:
    world = fresh()
    (first,) = world.names("PipelineExecution")
    del world.objects[("Dataset", "flights")]["status"]

    world.settle()

    assert world.names("PipelineExecution") == [first]


def test_old_versions_go_and_those_in_use_stay() -> None:
    world = loaded(**HOURLY, versionHistoryLimit=1)
    model = {"spec": {"datasetVersion": version_name("b")}}
    for content in "abcdef":
        world.later(hours=1)
        world.settle()
        bring(world, content)
        if content == "b":
            world.objects[("ModelVersion", "delays-1")] = {
                "kind": "ModelVersion",
                "metadata": {
                    "name": "delays-1",
                    "namespace": "tides",
                    "labels": {"tidemill.dev/dataset": "flights"},
                },
                "spec": {**model["spec"], "origin": "Imported", "bundle": BUNDLE, **FACTS},
            }

    # The norm, b that a model learned from and its parent, the newest and its parent, one more.
    kept = {version_name(), *(version_name(content) for content in "bafed")}
    assert set(world.names("DatasetVersion")) == kept


BUNDLE = make_version().spec.manifest.to_wire()
FACTS = {
    "modelUri": "s3://artifacts/model.onnx",
    "digest": make_version().spec.digest,
    "createdAt": stamp(),
}


def test_a_version_a_job_is_pinned_to_stays() -> None:
    world = loaded(**HOURLY, versionHistoryLimit=1)
    pinned = make_trainingjob(
        spec={"datasetRef": {"name": "flights", "version": version_name("a")}}
    )
    world.add({**pinned.to_wire(), "kind": "TrainingJob"})
    for content in "abcde":
        world.later(hours=1)
        world.settle()
        bring(world, content)

    assert version_name("a") in world.names("DatasetVersion")
    assert version_name("b") not in world.names("DatasetVersion")


# --- crashes ------------------------------------------------------------------------------------


def a_day(crash_after: int | None = None) -> World:
    """A load, a refused version, an outage and its retry, a relaxed contract."""
    world = World(decided=("Dataset", "DatasetVersion"))
    world.crash_after = crash_after
    world.user(make_dataset(spec=HOURLY))
    world.settle()
    bring(world, "winter")
    world.later(hours=1)
    world.settle()
    bring(world, "broken", violations=[VIOLATION])
    world.later(hours=1)
    world.settle()
    world.fail("SourceUnavailable", DOWN)
    world.settle()
    world.later(minutes=1)
    world.settle()
    bring(world, "broken", violations=[VIOLATION])
    relaxed = make_dataset(spec={**HOURLY, "contract": {}})
    world.user(relaxed)
    world.settle()
    contract = contract_hash(relaxed.spec, version_name())
    bring(world, "broken", contractHash=contract)
    return world


def made(world: World) -> list[str]:
    return sorted(item for item in world.writes if item.split()[0] in ("create", "delete"))


REFERENCE = a_day()


@pytest.mark.parametrize("n", range(1, len(REFERENCE.writes) + 1))
def test_a_crash_after_any_write_loses_and_doubles_nothing(n: int) -> None:
    world = a_day(crash_after=n)

    assert made(world) == made(REFERENCE)
    assert world.dataset().status == REFERENCE.dataset().status
    assert world.objects.keys() == REFERENCE.objects.keys()


# --- made again --------------------------------------------------------------------------------


def test_a_dataset_made_again_adopts_its_records_and_reads_once() -> None:
    world = loaded(**HOURLY)
    world.remove("Dataset", "flights")
    assert world.names("DatasetVersion") == [version_name()]
    world.later(minutes=10)
    world.user(make_dataset(spec=HOURLY))
    world.settle()
    status = world.dataset().status
    assert status.accepted is not None
    assert status.accepted.name == status.schema_anchor == version_name()
    assert conditions(world)["Ready"].status == "True"

    bring(world, "winter")

    assert idle(world)
    assert world.names("DatasetVersion") == [version_name()]


def test_a_dataset_that_is_being_deleted_is_left_alone() -> None:
    dataset = make_dataset(deletionTimestamp=stamp())

    assert plan_dataset(DatasetObserved(now=World().now, dataset=dataset, store="s3://x")) == Plan()
