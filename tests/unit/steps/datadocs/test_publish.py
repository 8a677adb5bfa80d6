"""`publish`: the page lies beside the profile, and tells of the version before it."""

import pytest

from tests.unit.steps.datadocs.test_page import Outline
from tests.unit.steps.small import Place, known, path_of, table
from tidemill.steps.objects import sha256_of_file


def test_a_refresh_leaves_a_page(place: Place) -> None:
    place.put("a.parquet", table())

    made = place.snapshot()

    assert made.docs is not None
    assert made.docs.uri == made.profile.uri.replace("profile.json", "docs.html")
    assert sha256_of_file(path_of(made.docs)) == made.docs.digest
    assert "the first version" in Outline(path_of(made.docs).read_bytes()).text


def test_the_next_page_compares_with_it(place: Place) -> None:
    place.put("a.parquet", table())
    first = place.snapshot()
    place.put("b.parquet", table(600, seed=1))

    second = place.snapshot(previous=known(first))

    assert second.docs is not None
    text = Outline(path_of(second.docs).read_bytes()).text
    assert "the version before, small-1" in text
    assert "Rows 1,800 +50.0 % on the version before" in text


def test_a_version_before_whose_bytes_are_gone_is_no_reason_to_fail(place: Place) -> None:
    place.put("a.parquet", table())
    first = place.snapshot()
    path_of(first.profile).unlink()
    place.put("b.parquet", table(600, seed=1))

    second = place.snapshot(previous=known(first))

    assert second.docs is not None
    text = Outline(path_of(second.docs).read_bytes()).text
    assert "small-1, the version before, could not be read for a comparison." in text


def test_the_image_is_told_by_the_pod(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_STEP_IMAGE", "tides/steps:1")
    place.put("a.parquet", table())

    made = place.snapshot()

    assert made.docs is not None
    assert "Step image tides/steps:1" in Outline(path_of(made.docs).read_bytes()).text
