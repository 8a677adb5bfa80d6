"""`Store`: what it takes in, what it refuses, and whom it finds."""

import pytest

from tests.unit.shell.bodies import a_dataset, a_service
from tidemill.core.plan import Body
from tidemill.shell.store import LAST_APPLIED, Change, Key, Store
from tidemill.shell.wakes import references

TIDES = Key("Dataset", "sea", "tides")

PUTS: dict[str, tuple[list[Body], Body, bool]] = {
    "the first sight of an object is news": ([], a_dataset(), True),
    "a newer version is news": ([a_dataset(version=10)], a_dataset(version=11), True),
    "the same version is not": ([a_dataset(version=10)], a_dataset(version=10), False),
    "an older version is refused": ([a_dataset(version=10)], a_dataset(version=9), False),
    "versions are numbers, not text": ([a_dataset(version=9)], a_dataset(version=10), True),
    "a younger object of the same name takes its place": (
        [a_dataset(version=10)],
        a_dataset(uid="uid-2", version=20),
        True,
    ),
    "an older object of the same name does not": (
        [a_dataset(version=10)],
        a_dataset(uid="uid-2", version=5),
        False,
    ),
    "whom a younger one replaced stays away": (
        [a_dataset(version=10), a_dataset(uid="uid-2", version=20)],
        a_dataset(version=15),
        False,
    ),
}


@pytest.mark.parametrize(("before", "body", "news"), PUTS.values(), ids=PUTS)
def test_put(before: list[Body], body: Body, news: bool) -> None:
    store = Store()
    for item in before:
        store.put(item)

    change = store.put(body)

    assert (change is not None) is news
    held = store.get(*TIDES)
    assert held is not None
    assert (held["metadata"]["uid"] == body["metadata"]["uid"]) or not news


def test_a_deleted_object_does_not_come_back_by_a_late_event() -> None:
    store = Store()
    store.put(a_dataset(version=10))

    gone = store.remove(a_dataset(version=12))

    assert gone is not None and gone.after is None
    assert store.put(a_dataset(version=11)) is None
    assert store.get(*TIDES) is None


def test_an_object_that_left_the_selection_may_come_back_later() -> None:
    store = Store()
    store.put(a_service(uid="uid-s", version=10))
    store.remove(a_service(uid="uid-s", version=12))

    assert store.put(a_service(uid="uid-s", version=13)) is not None


def test_a_uid_that_is_known_to_be_gone_never_comes_back() -> None:
    store = Store()
    store.put(a_dataset(version=10))
    store.remove(a_dataset(version=10), gone=True)

    assert store.put(a_dataset(version=1000)) is None
    assert store.put(a_dataset(uid="uid-2", version=1001)) is not None


def test_a_late_deletion_of_an_earlier_object_leaves_the_present_one() -> None:
    store = Store()
    store.put(a_dataset(uid="uid-2", version=20))

    assert store.remove(a_dataset(uid="uid-1", version=15)) is None
    assert store.get(*TIDES) is not None


def test_a_deletion_older_than_what_is_held_is_refused() -> None:
    store = Store()
    store.put(a_dataset(version=20))

    assert store.remove(a_dataset(version=15)) is None
    assert store.get(*TIDES) is not None


def test_a_list_reveals_deletions_but_not_of_what_is_newer_than_it() -> None:
    store = Store()
    store.put(a_dataset("old", uid="uid-old", version=10))
    store.put(a_dataset("kept", uid="uid-kept", version=11))
    store.put(a_dataset("new", uid="uid-new", version=40))
    store.put(a_dataset("reborn", uid="uid-first", version=12))
    seen = {
        Key("Dataset", "sea", "kept"): "uid-kept",
        Key("Dataset", "sea", "reborn"): "uid-second",
    }

    missed = store.retain("Dataset", "", seen, version=30)

    assert [change.key.name for change in missed] == ["old", "reborn"]
    assert {key.name for key in store.keys("Dataset")} == {"kept", "new"}
    assert store.put(a_dataset("old", uid="uid-old", version=30)) is None


def test_a_list_of_one_namespace_says_nothing_of_others() -> None:
    store = Store()
    store.put(a_dataset(namespace="sea"))
    store.put(a_dataset(namespace="lake", uid="uid-lake"))

    missed = store.retain("Dataset", "sea", {}, version=30)

    assert [change.key.namespace for change in missed] == ["sea"]


def test_tombstones_are_bounded() -> None:
    store = Store(tombstones=2)
    for number in range(3):
        store.put(a_dataset(uid=f"uid-{number}", version=number + 10))
        store.remove(a_dataset(uid=f"uid-{number}", version=number + 10), gone=True)

    assert store.put(a_dataset(uid="uid-0", version=50)) is not None
    store.remove(a_dataset(uid="uid-0", version=51))
    assert store.put(a_dataset(uid="uid-2", version=52)) is None


def test_bookkeeping_is_not_kept() -> None:
    store = Store()
    store.put(
        a_dataset(
            managedFields=[{"manager": "kubectl"}],
            annotations={LAST_APPLIED: "{}", "note": "kept"},
        )
    )

    held = store.get(*TIDES)

    assert held is not None
    assert "managedFields" not in held["metadata"]
    assert held["metadata"]["annotations"] == {"note": "kept"}


def test_select_by_namespace_label_and_both() -> None:
    store = Store()
    store.put(a_service("b", uid="1", version=1))
    store.put(a_service("a", uid="2", version=2))
    store.put(a_service("c", uid="3", version=3, labels={"tidemill.dev/dataset": "ebb"}))
    store.put(a_service("d", uid="4", version=4, namespace="lake"))

    def names(*where: str) -> list[str]:
        return [body["metadata"]["name"] for body in store.select("Service", *where)]

    assert names("sea") == ["a", "b", "c"]
    assert names("") == ["d", "a", "b", "c"]
    assert names("sea", "tidemill.dev/dataset", "tides") == ["a", "b"]
    assert names("", "tidemill.dev/dataset", "tides") == ["d", "a", "b"]
    assert names("sea", "app.kubernetes.io/name", "tidemill") == ["a", "b"]
    assert names("nowhere") == []


def test_a_changed_label_moves_an_object_between_selections() -> None:
    store = Store()
    store.put(a_service(uid="1", version=1))
    store.put(a_service(uid="1", version=2, labels={"tidemill.dev/dataset": "ebb"}))

    assert store.select("Service", "sea", "tidemill.dev/dataset", "tides") == []
    assert len(store.select("Service", "sea", "tidemill.dev/dataset", "ebb")) == 1


def test_owned_finds_children_by_their_controllers_uid() -> None:
    store = Store()
    store.put(a_service("ours", uid="1", version=1))
    store.put(a_service("theirs", uid="2", version=2, owner="someone"))

    owned = store.owned("Service", "uid-tides")

    assert [body["metadata"]["name"] for body in owned] == ["ours"]
    assert store.owned("Deployment", "uid-tides") == []


def test_referring_finds_who_refers_to_an_object_that_need_not_exist() -> None:
    store = Store(references)
    job = {
        **a_dataset("learn", uid="uid-tj", version=5),
        "kind": "TrainingJob",
        "spec": {"datasetRef": {"name": "tides"}},
    }
    store.put(job)

    found = store.referring("Dataset", "sea", "tides", "TrainingJob")

    assert [body["metadata"]["name"] for body in found] == ["learn"]
    assert store.referring("Dataset", "sea", "tides", "ModelDeployment") == []
    store.remove(job, gone=True)
    assert store.referring("Dataset", "sea", "tides", "TrainingJob") == []


def test_listeners_hear_of_each_change_with_what_was_before() -> None:
    store, heard = Store(), list[Change]()
    store.subscribe(heard.append)

    store.put(a_dataset(version=10, generation=1))
    store.put(a_dataset(version=11, generation=2))
    store.put(a_dataset(version=11, generation=2))
    store.remove(a_dataset(version=12))

    told = [(c.before and c.before.generation, c.after and c.after.generation) for c in heard]
    assert told == [(None, 1), (1, 2), (2, None)]


def test_what_is_not_served_is_missed_by_whoever_asks() -> None:
    missed: list[str] = []
    store = Store(missed=missed.append)

    assert store.served("HTTPRoute")
    assert store.set_served("HTTPRoute", False)
    assert not store.set_served("HTTPRoute", False)
    assert missed == []
    assert not store.served("HTTPRoute")
    assert missed == ["HTTPRoute"]
    assert store.set_served("HTTPRoute", True)
    assert store.served("HTTPRoute")


def test_only_so_many_bodies_stay_decoded() -> None:
    store = Store(decoded=2)
    for number in range(5):
        store.put(a_dataset(f"d{number}", uid=f"uid-{number}", version=number + 1))
    first = store.get("Dataset", "sea", "d0")

    assert store.get("Dataset", "sea", "d0") is first
    store.select("Dataset", "sea")
    again = store.get("Dataset", "sea", "d0")
    assert again == first and again is not first
