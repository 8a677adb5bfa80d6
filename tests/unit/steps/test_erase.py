"""`erase`: what is not kept goes, what is kept has all its bytes, and doubt deletes nothing."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.steps.small import NOW, Place, files_below, known, path_of, spec, table
from tidemill.api.documents.arguments import EraseArguments
from tidemill.api.documents.manifest import Manifest
from tidemill.api.documents.results import Snapshot
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.steps.erase import erase
from tidemill.steps.failures import StepError

LONG_AGO = datetime.fromisoformat(NOW) - timedelta(days=7)


def at(when: datetime, place: Place) -> None:
    """Pretend that everything in the store was written then."""
    for file in left(place):
        os.utime(file, (when.timestamp(), when.timestamp()))


def arguments(
    place: Place, keep: Sequence[Snapshot], named: Sequence[Snapshot] = ()
) -> EraseArguments:
    return EraseArguments(
        dataset="small",
        store=place.store,
        keep=tuple(item.digest.removeprefix("sha256:")[:16] for item in keep),
        erase=tuple(item.digest for item in named),
        now=NOW,
    )


def bytes_of(made: Snapshot) -> set[Path]:
    """Everything that a version needs."""
    manifest = Manifest.model_validate_json(path_of(made.manifest).read_bytes())
    documents = [made.manifest, made.profile, *([made.docs] if made.docs else [])]
    return {path_of(item) for item in documents} | {path_of(part.uri) for part in manifest.parts}


@pytest.fixture
def three(place: Place) -> tuple[Place, list[Snapshot]]:
    """Three versions of which each shares a part with the next; all were written long ago."""
    made = []
    for month in range(4):
        place.put(f"{month}.parquet", table(400, seed=month))
        body = {"objects": {"uri": place.uri, "newest": 2}}
        if month:
            wanted = spec(place.uri, source=body)
            made.append(place.snapshot(wanted))
    at(LONG_AGO, place)
    return place, made


def left(place: Place) -> set[Path]:
    store = place.root / "store"
    return {store / name for name in files_below(store)}


def test_what_is_kept_is_whole_and_nothing_else_is_left(
    three: tuple[Place, list[Snapshot]],
) -> None:
    place, (first, second, third) = three
    wanted = bytes_of(second) | bytes_of(third)
    before, others = left(place), bytes_of(first)

    done = erase(arguments(place, [second, third]))

    assert left(place) == wanted
    assert before - wanted < others
    assert done.objects == len(before - wanted) == 4


def test_doing_it_again_does_nothing(three: tuple[Place, list[Snapshot]]) -> None:
    place, (_, second, third) = three
    erase(arguments(place, [second, third]))

    assert erase(arguments(place, [second, third])).objects == 0


def test_the_erased_go_even_if_they_were_written_just_now(
    three: tuple[Place, list[Snapshot]],
) -> None:
    place, (first, second, third) = three
    at(datetime.fromisoformat(NOW), place)
    only_theirs = bytes_of(second) - bytes_of(first) - bytes_of(third)

    erase(arguments(place, [first, third], [second]))

    assert left(place) == bytes_of(first) | bytes_of(third)
    assert len(only_theirs) == 3, "manifest, profile and page; both parts belong to neighbours"


def test_young_objects_of_nobody_may_be_on_their_way_into_a_version(
    three: tuple[Place, list[Snapshot]],
) -> None:
    place, (first, second, third) = three
    at(datetime.fromisoformat(NOW) - timedelta(minutes=30), place)
    before = left(place)

    erase(arguments(place, [third]))

    assert left(place) == before
    assert bytes_of(first) | bytes_of(second) <= before


def test_one_that_was_cut_short_is_finished_by_the_next(
    three: tuple[Place, list[Snapshot]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, (_, second, third) = three
    gone: list[str] = []
    from tidemill.steps.objects import Store

    delete = Store.delete

    def cut_short(store: Store, uri: str) -> None:
        if len(gone) == 2:
            raise StepError("StoreUnavailable", "the store is down", transient=True)
        gone.append(uri)
        delete(store, uri)

    monkeypatch.setattr(Store, "delete", cut_short)
    with pytest.raises(StepError, match="the store is down"):
        erase(arguments(place, [second, third]))
    monkeypatch.setattr(Store, "delete", delete)

    erase(arguments(place, [second, third]))

    assert left(place) == bytes_of(second) | bytes_of(third)


def _damage(document: StoredDocument) -> None:
    path_of(document).write_text("{}")


def _remove(document: StoredDocument) -> None:
    path_of(document).unlink()


DOUBTS = {
    "a kept version's manifest is damaged": (_damage, "ArtifactDamaged"),
    "a kept version's manifest is gone": (_remove, "ArtifactMissing"),
}


@pytest.mark.parametrize(("spoil", "reason"), DOUBTS.values(), ids=DOUBTS)
def test_in_doubt_nothing_is_deleted(
    three: tuple[Place, list[Snapshot]], spoil: object, reason: str
) -> None:
    place, (_, second, third) = three
    assert callable(spoil)
    spoil(second.manifest)
    before = left(place)

    with pytest.raises(StepError, match="nothing was deleted") as caught:
        erase(arguments(place, [second, third]))

    assert caught.value.reason == reason
    assert left(place) == before


def test_a_kept_version_that_is_not_there_at_all_is_a_doubt_too(
    three: tuple[Place, list[Snapshot]],
) -> None:
    place, (_, second, _) = three
    other = second.model_copy(update={"digest": "sha256:" + "0" * 64})

    with pytest.raises(StepError, match="version 0000000000000000 is kept and has no manifest"):
        erase(arguments(place, [other]))


def test_what_was_erased_does_not_come_back(place: Place) -> None:
    place.put("a.parquet", table())
    made = place.snapshot()
    erase(arguments(place, [], [made]))
    assert left(place) == set()

    with pytest.raises(StepError, match="the source still holds exactly what was erased") as caught:
        place.refresh(erased=(made.digest,), previous=known(made))

    assert caught.value.reason == "ContentErased"
    assert left(place) == set()


def test_an_empty_store_has_nothing_to_delete(place: Place) -> None:
    assert datetime.fromisoformat(NOW).tzinfo == UTC
    assert erase(arguments(place, [])).objects == 0
