"""Revoking a version: it is not used again, models that learned from it are told, none is lost."""

import pytest

from tests.builders import (
    at,
    make_dataset,
    make_model,
    make_snapshot,
    make_version,
    stamp,
    version_name,
)
from tests.unit.core.world import World
from tidemill.api.base import Condition
from tidemill.api.v1alpha1 import DatasetVersion
from tidemill.core.conditions import find
from tidemill.core.requests import Request
from tidemill.core.revocation import named, taints, target_of

HOURLY = {"refresh": {"schedule": "0 * * * *"}}
WINTER, SPRING = version_name("winter"), version_name("spring")
REQUEST = Request(text=f"revoke/{WINTER}@{stamp()}", verb="revoke", target=WINTER, at=at())


@pytest.fixture
def world() -> World:
    """A Dataset with two accepted versions, of which the newer one is in use."""
    made = World()
    made.user(make_dataset(spec=HOURLY))
    made.settle()
    made.succeed(make_snapshot("winter"))
    made.settle()
    made.later(hours=1)
    made.settle()
    made.succeed(make_snapshot("spring"))
    made.settle()
    made.events.clear()
    return made


def ask(world: World, verb: str, target: str) -> str:
    text = f"{verb}/{target}@{world.now.strftime('%Y-%m-%dT%H:%M:%SZ')}"
    world.annotate("Dataset", "flights", text)
    return text


def told(world: World, name: str, type_: str) -> Condition | None:
    version = DatasetVersion.parse(world.objects[("DatasetVersion", name)])
    return find(version.status.conditions, type_)


def test_a_revoked_version_says_so_and_is_not_accepted(world: World) -> None:
    text = ask(world, "revoke", SPRING)
    world.settle()

    revoked, accepted = told(world, SPRING, "Revoked"), told(world, SPRING, "Accepted")
    said = (
        f"It was revoked by the request {text}: nothing is trained on it, and models that have"
        " learned from it are not approved."
    )
    assert revoked is not None
    assert accepted is not None
    assert (revoked.status, revoked.reason, revoked.message) == ("True", "Revoked", said)
    assert (accepted.status, accepted.reason, accepted.message) == ("False", "Revoked", said)
    assert told(world, WINTER, "Revoked") is None


def test_the_version_before_takes_its_place(world: World) -> None:
    text = ask(world, "revoke", SPRING)
    world.settle()

    status = world.dataset().status
    assert status.accepted is not None
    assert status.accepted.name == WINTER
    assert status.request == text
    ready = find(status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("True", "LastGoodInUse")
    assert world.running() == []


def test_an_older_version_can_be_revoked_by_its_digest(world: World) -> None:
    winter = DatasetVersion.parse(world.objects[("DatasetVersion", WINTER)])
    ask(world, "revoke", winter.spec.digest)
    world.settle()

    assert told(world, WINTER, "Revoked") is not None
    assert told(world, SPRING, "Revoked") is None


def test_it_stays_revoked_whatever_is_asked_and_read_later(world: World) -> None:
    ask(world, "revoke", SPRING)
    world.settle()
    world.later(hours=1)
    world.settle()
    world.succeed(make_snapshot("spring"))
    world.settle()

    accepted = told(world, SPRING, "Accepted")
    assert accepted is not None
    assert accepted.reason == "Revoked"
    status = world.dataset().status
    assert status.accepted is not None
    assert status.accepted.name == WINTER


def test_it_is_told_once(world: World) -> None:
    ask(world, "revoke", SPRING)
    world.settle()

    told_of = [name for name, reason in world.events if reason == "Revoked"]
    assert sorted(told_of) == ["Dataset/flights", f"DatasetVersion/{SPRING}"]
    assert world.settle() == []


def test_the_request_is_answered_only_when_the_version_says_so(world: World) -> None:
    """The operator may end between the two: then the request is still open."""
    text = ask(world, "revoke", SPRING)

    world.once("Dataset", "flights")
    assert world.dataset().status.request != text
    world.once("DatasetVersion", SPRING)
    world.once("Dataset", "flights")

    assert world.dataset().status.request == text


@pytest.mark.parametrize("verb", ["revoke", "erase"])
def test_a_version_that_does_not_exist_is_not_revoked(world: World, verb: str) -> None:
    text = ask(world, verb, "flights-nobody")
    world.settle()

    assert world.dataset().status.request == text
    assert world.events == [("Dataset/flights", "RequestIgnored")]
    assert world.running() == []


def test_a_request_without_a_target_is_ignored(world: World) -> None:
    world.annotate("Dataset", "flights", f"revoke@{stamp(hours=1)}")
    world.settle()

    assert world.events == [("Dataset/flights", "RequestIgnored")]


def test_a_revocation_does_not_wait_for_a_read(world: World) -> None:
    world.later(hours=1)
    world.settle()
    assert world.running() != []

    ask(world, "revoke", SPRING)
    world.settle()

    assert told(world, SPRING, "Revoked") is not None
    assert world.dataset().status.accepted is not None


def test_names_and_digests_mean_all_records_of_the_content() -> None:
    one, other = make_version("winter"), make_version("spring")
    again = one.model_copy(update={"metadata": one.metadata.model_copy(update={"name": "again"})})
    all_ = [one, other, again]

    assert named(all_, WINTER) == [one, again]
    assert named(all_, one.spec.digest) == [one, again]
    assert named(all_, "again") == [one, again]
    assert named(all_, None) == named(all_, "nobody") == []


def test_the_key_of_an_erasure_is_its_request() -> None:
    assert target_of(f"erase/{WINTER}@2026-01-01T00:00:00Z") == WINTER
    assert target_of("something else") is None


def test_taints_stay() -> None:
    first = taints((), REQUEST, erased=False)
    later = taints(first, None, erased=True)

    assert [item.type for item in first] == ["Revoked"]
    assert [item.type for item in later] == ["Revoked", "Erased"]
    assert later[0] == first[0]
    assert taints(later, None, erased=False) == later
    assert taints((), None, erased=False) == ()


def test_a_model_that_learned_from_it_is_not_approved(world: World) -> None:
    world.add(make_model(datasetVersion=SPRING).to_wire())
    name = world.names("ModelVersion")[0]
    world.settle()
    ask(world, "revoke", SPRING)
    world.settle()

    approved = find(world.model(name).status.conditions, "Approved")
    assert approved is not None
    assert (approved.status, approved.reason, approved.message) == (
        "False",
        "DataRevoked",
        f"DatasetVersion {SPRING}, which it has learned from, was revoked.",
    )
    assert world.settle() == []


def test_it_stays_unapproved_when_the_record_of_its_data_is_gone(world: World) -> None:
    world.add(make_model(datasetVersion=SPRING).to_wire())
    name = world.names("ModelVersion")[0]
    ask(world, "revoke", SPRING)
    world.settle()
    world.remove("DatasetVersion", SPRING)
    world.settle()

    approved = find(world.model(name).status.conditions, "Approved")
    assert approved is not None
    assert approved.reason == "DataRevoked"
