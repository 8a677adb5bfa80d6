"""Rows left out by event time: excluded stretches, and what is too old."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.unit.steps.small import START, Place, path_of, spec, table
from tidemill.api.documents.manifest import Manifest
from tidemill.api.documents.results import Snapshot
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps.failures import StepError


@pytest.fixture
def months(place: Place) -> Place:
    """Four objects of 300 hours each."""
    for number in range(4):
        place.put(f"part-{number}.parquet", table()[number * 300 : (number + 1) * 300])
    return place


def moment(hours: int) -> str:
    """A time as specs write it."""
    return f"{(START + timedelta(hours=hours)).isoformat()}Z"


def parts_of(made: Snapshot) -> list[tuple[str, int]]:
    """Digests and rows of a version's parts."""
    manifest = Manifest.model_validate_json(path_of(made.manifest).read_bytes())
    return [(part.digest, part.rows) for part in manifest.parts]


def counted(made: Snapshot) -> tuple[int, int, int, int]:
    """Rows read, excluded, outside the window, and kept."""
    assert made.read_rows is not None
    return (
        made.read_rows.read,
        made.read_rows.excluded,
        made.read_rows.outside_window,
        made.rows,
    )


def test_without_cuts_all_that_was_read_is_kept(months: Place) -> None:
    assert counted(months.snapshot()) == (1200, 0, 0, 1200)


STRIKE = {"name": "strike", "from": moment(400), "to": moment(450)}
CUTS: dict[str, tuple[dict[str, Any], tuple[int, int, int, int], str, int]] = {
    "a stretch": ({"exclude": [STRIKE]}, (1200, 50, 0, 1150), moment(0), 4),
    "two that overlap": (
        {"exclude": [STRIKE, {"name": "flood", "from": moment(440), "to": moment(460)}]},
        (1200, 60, 0, 1140),
        moment(0),
        4,
    ),
    "a zone is minded": (
        {
            "exclude": [
                {
                    "name": "strike",
                    "from": "2026-01-01T02:00:00+02:00",
                    "to": "2026-01-01T00:00:00-02:00",
                }
            ]
        },
        (1200, 2, 0, 1198),
        moment(2),
        4,
    ),
    "a window": ({"window": {"lastSeconds": 700 * 3600}}, (1200, 0, 500, 700), moment(500), 3),
    "a window that ends between two parts": (
        {"window": {"lastSeconds": 600 * 3600}},
        (1200, 0, 600, 600),
        moment(600),
        2,
    ),
    "a stretch and a window": (
        {"window": {"lastSeconds": 900 * 3600}, "exclude": [STRIKE]},
        (1200, 50, 300, 850),
        moment(300),
        3,
    ),
    "the newest is that of what is left": (
        {
            "window": {"lastSeconds": 100 * 3600},
            "exclude": [{"name": "bad", "from": moment(1000), "to": moment(5000)}],
        },
        (1200, 200, 900, 100),
        moment(900),
        1,
    ),
}


@pytest.mark.parametrize(("changes", "rows", "start", "parts"), CUTS.values(), ids=CUTS)
def test_cut(
    months: Place,
    changes: dict[str, Any],
    rows: tuple[int, int, int, int],
    start: str,
    parts: int,
) -> None:
    made = months.snapshot(spec(months.uri, **changes))

    assert counted(made) == rows
    assert made.window.start == start
    assert len(parts_of(made)) == parts


def test_parts_that_lose_nothing_are_shared(months: Place) -> None:
    whole = parts_of(months.snapshot())

    cut = parts_of(months.snapshot(spec(months.uri, exclude=[STRIKE])))

    assert len(set(whole) & set(cut)) == 3
    assert sorted(rows for _, rows in set(cut) - set(whole)) == [250]


def test_the_newest_is_not_after_the_read(months: Place) -> None:
    """One wrong clock must not take all rows away."""
    window = {"window": {"lastSeconds": 3600 * 100}}

    made = months.snapshot(spec(months.uri, **window), now=moment(1000))

    # Up to hour 1000 the newest is hour 1000; the later ones are kept beside it.
    assert counted(made) == (1200, 0, 901, 299)


def test_rows_without_an_event_time_are_outside_a_window(place: Place) -> None:
    rows = table()
    at: list[datetime | None] = rows["at"].to_pylist()
    at[5] = None
    place.put("a.jsonl", rows.set_column(1, "at", [at]))

    made = place.snapshot(spec(place.uri, window={"lastSeconds": 3600 * 1200}))

    assert counted(made) == (1200, 0, 1, 1199)
    kept = place.snapshot(spec(place.uri, exclude=[STRIKE]))
    assert counted(kept) == (1200, 50, 0, 1150)


def test_nothing_is_left(months: Place) -> None:
    everything = {"name": "all", "from": moment(0), "to": moment(5000)}

    with pytest.raises(StepError) as raised:
        months.snapshot(spec(months.uri, exclude=[everything]))

    assert raised.value.reason == "EmptyVersion"
    assert str(raised.value) == (
        "all 1,200 rows are left out, 1,200 by spec.exclude and 0 by spec.window; leave out less"
    )


def test_the_wire_says_from() -> None:
    written = spec("s3://b/*", exclude=[STRIKE]).to_wire()["exclude"]

    assert written == [STRIKE]
    assert DatasetSpec.model_validate(spec("s3://b/*", exclude=[STRIKE]).to_wire()).exclude[0].to
