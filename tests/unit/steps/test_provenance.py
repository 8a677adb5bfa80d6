"""What a step tells of itself is what its pod and image say."""

import pytest

from tests.unit.steps.small import Place, table
from tidemill.steps.provenance import code_revision, step_image


def test_nothing_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDEMILL_STEP_IMAGE", raising=False)
    monkeypatch.setenv("TIDEMILL_REVISION", "")

    assert (step_image(), code_revision()) == ("", None)


def test_a_snapshot_says_which_code_has_made_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_REVISION", "0123abc" * 30)
    place.put("a.parquet", table())

    assert place.snapshot().code_revision == ("0123abc" * 30)[:128]
