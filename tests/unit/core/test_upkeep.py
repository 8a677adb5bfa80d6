"""Runs that delete bytes: what they are told, that they take turns with reads, and how they end."""

import json
from typing import Any

import pytest

from tests.builders import make_dataset, make_snapshot, version_name
from tests.unit.core.test_revocation import HOURLY, ask, told
from tests.unit.core.world import World
from tidemill.api.documents.arguments import EraseArguments, RefreshArguments
from tidemill.api.documents.results import Erased, Unchanged
from tidemill.core.conditions import find

WINTER, SPRING = version_name("winter"), version_name("spring")
DONE = Erased(objects=7, bytes=1000)


def begun(**spec: Any) -> World:
    """A Dataset with two accepted versions."""
    world = World()
    world.user(make_dataset(spec={**HOURLY, **spec}))
    world.settle()
    for content in ("winter", "spring"):
        world.succeed(make_snapshot(content))
        world.settle()
        world.later(hours=1)
        if content == "winter":
            world.settle()
    world.later(minutes=-30)
    world.settle()
    return world


@pytest.fixture
def world() -> World:
    made = begun()
    assert made.running() == []
    return made


def arguments(world: World) -> dict[str, Any]:
    """What the run under way was told."""
    (name,) = world.running()
    (parameter,) = world.objects[("PipelineExecution", name)]["spec"]["parameters"]
    found: dict[str, Any] = json.loads(parameter["value"])
    return found


def digits(name: str) -> str:
    return name.removeprefix("flights-")


def test_the_run_is_told_what_stays_and_what_goes(world: World) -> None:
    ask(world, "erase", SPRING)
    world.settle()

    (name,) = world.running()
    assert world.objects[("PipelineExecution", name)]["spec"]["pipeline"] == {
        "builtin": "dataset-erase"
    }
    asked = EraseArguments.model_validate(arguments(world))
    assert [item[:8] for item in asked.keep] == [digits(WINTER)]
    assert [item.removeprefix("sha256:")[:8] for item in asked.erase] == [digits(SPRING)]
    active = world.dataset().status.active
    assert active is not None
    assert (active.cause, active.since) == ("Erase", asked.now)


def test_it_is_revoked_before_the_first_byte_goes(world: World) -> None:
    ask(world, "erase", SPRING)
    world.once("DatasetVersion", SPRING)

    assert told(world, SPRING, "Revoked") is not None
    assert world.running() == []
    assert told(world, SPRING, "Erased") is None


def test_the_record_stays_and_says_that_the_bytes_are_gone(world: World) -> None:
    text = ask(world, "erase", SPRING)
    world.settle()
    world.succeed(DONE)
    world.settle()

    erased = told(world, SPRING, "Erased")
    assert erased is not None
    assert (erased.status, erased.reason, erased.message) == (
        "True",
        "Erased",
        "Its rows, manifest, profile and page are deleted; the record stays.",
    )
    status = world.dataset().status
    assert status.active is None
    assert status.request == text
    assert status.accepted is not None
    assert status.accepted.name == WINTER
    assert world.settle() == []


def test_the_schema_moves_to_a_version_that_still_has_bytes(world: World) -> None:
    assert world.dataset().status.schema_anchor == WINTER
    ask(world, "erase", WINTER)
    world.settle()
    world.succeed(DONE)
    world.settle()

    assert world.dataset().status.schema_anchor == SPRING


def test_what_was_erased_is_named_to_later_reads(world: World) -> None:
    ask(world, "erase", SPRING)
    world.settle()
    world.succeed(DONE)
    world.settle()
    world.later(hours=1)
    world.settle()

    asked = RefreshArguments.model_validate(arguments(world))
    assert [item.removeprefix("sha256:")[:8] for item in asked.erased] == [digits(SPRING)]
    assert asked.previous is None
    assert asked.fingerprint is None


def test_it_waits_for_the_read_that_is_under_way(world: World) -> None:
    world.later(hours=1)
    world.settle()
    (reading,) = world.running()

    ask(world, "erase", SPRING)
    world.settle()
    assert world.running() == [reading]
    assert told(world, SPRING, "Revoked") is not None
    world.later(hours=1)
    world.succeed(Unchanged(fingerprint="print-of-spring"))
    world.settle()

    assert EraseArguments.model_validate(arguments(world)).erase


def test_a_read_waits_for_it(world: World) -> None:
    ask(world, "erase", SPRING)
    world.settle()
    (erasing,) = world.running()
    world.later(hours=1)
    world.settle()
    assert world.running() == [erasing]

    world.succeed(DONE)
    world.settle()

    assert RefreshArguments.model_validate(arguments(world)).erased


def test_one_that_fails_leaves_the_version_revoked_and_the_dataset_well(world: World) -> None:
    ask(world, "erase", SPRING)
    world.settle()
    world.fail("StoreUnavailable", "The store is down.")
    world.settle()

    assert told(world, SPRING, "Erased") is None
    assert told(world, SPRING, "Revoked") is not None
    status = world.dataset().status
    assert status.active is None
    outcome = next(item for item in status.handled if item.cause == "Erase")
    assert outcome.outcome == "StoreUnavailable"
    available = find(status.conditions, "SourceAvailable")
    assert available is not None
    assert available.status == "True"
    ask(world, "erase", SPRING)
    assert world.settle() == [], "the same request was answered"
    world.later(seconds=1)
    ask(world, "erase", SPRING)
    world.settle()
    assert world.running() != []


def test_another_result_is_not_believed(world: World) -> None:
    ask(world, "erase", SPRING)
    world.settle()
    world.succeed(Unchanged(fingerprint="x"))
    world.settle()

    outcome = next(item for item in world.dataset().status.handled if item.cause == "Erase")
    assert outcome.outcome == "ResultInvalid"
    assert told(world, SPRING, "Erased") is None


@pytest.mark.parametrize("write", range(1, 12))
def test_it_survives_a_crash_after_any_write(world: World, write: int) -> None:
    ask(world, "erase", SPRING)
    world.crash_after = len(world.writes) + write
    world.settle()
    if world.running():
        world.succeed(DONE)
    world.settle()

    assert told(world, SPRING, "Erased") is not None
    assert world.dataset().status.active is None
    assert sum("create PipelineExecution" in item for item in world.writes) == 3


def pruned() -> World:
    """A Dataset that keeps one idle version has dropped some."""
    world = begun(versionHistoryLimit=1)
    for content in ("summer", "autumn", "advent"):
        world.later(hours=1)
        world.settle()
        world.succeed(make_snapshot(content))
        world.settle()
    return world


def test_bytes_of_dropped_records_are_collected_once_a_day() -> None:
    world = pruned()
    dropped = world.dataset().status.pruned
    assert dropped
    assert world.running() == []
    world.user(make_dataset(spec={**HOURLY, "versionHistoryLimit": 1, "refresh": {}}))
    world.settle()

    world.later(days=1)
    world.settle()

    asked = EraseArguments.model_validate(arguments(world))
    assert asked.erase == ()
    names = [name.removeprefix("flights-") for name in world.names("DatasetVersion")]
    assert sorted(item[:8] for item in asked.keep) == sorted(names)
    world.succeed(DONE)
    world.settle()
    status = world.dataset().status
    assert (status.active, status.pruned) == (None, None)
    assert world.settle() == []


def test_the_next_look_is_when_bytes_are_due() -> None:
    world = pruned()
    world.user(make_dataset(spec={**HOURLY, "versionHistoryLimit": 1, "refresh": {}}))
    world.settle()

    after = world.once("Dataset", "flights").requeue_after
    assert after is not None
    assert 0 < after < 86400


def test_nothing_is_collected_where_nothing_was_dropped(world: World) -> None:
    world.user(make_dataset(spec={"refresh": {}}))
    world.settle()
    world.later(days=3)
    world.settle()

    assert world.running() == []
    assert world.once("Dataset", "flights").requeue_after is None
