"""Which requests are logged: a share of them, the same ones on every server."""

from __future__ import annotations

import pytest

from tidemill.serving.logentry import in_sample

IDS = [f"request-{number}" for number in range(4000)]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 0.5, 0.9, 1.0])
def test_the_sample_has_the_share_asked_for(share: float) -> None:
    kept = sum(in_sample(request, share) for request in IDS)

    assert abs(kept / len(IDS) - share) < 0.03
    assert kept == share * len(IDS) or 0 < share < 1


def test_a_larger_sample_holds_the_smaller_one() -> None:
    assert all(in_sample(request, 0.5) for request in IDS if in_sample(request, 0.1))


def test_any_id_has_a_place() -> None:
    assert in_sample("\ud800", 1.0)
    assert in_sample("\ud800", 0.5) is in_sample("\ud800", 0.5)
