"""Labels of several raters: what becomes of them, how far they agree, and where they do not."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import cohen_kappa_score

from tests.unit.steps.small import Place, path_of, spec, table
from tidemill.api.documents.manifest import Manifest
from tidemill.api.documents.results import Snapshot
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps.failures import StepError
from tidemill.steps.objects import sha256_of_file

RATERS = ["label_a", "label_b", "label_c"]


def rated(
    noise: float = 0.1, seen: float = 1.0, raters: Sequence[str] = RATERS, seed: int = 0
) -> pa.Table:
    """The small table, its label told by raters who err and have not seen all."""
    chance = np.random.default_rng(seed)
    rows = table()
    late = rows["late"].to_numpy()
    rows = rows.drop_columns(["late"])
    for name in raters:
        said = late ^ (chance.random(1200) < noise)
        known = chance.random(1200) < seen
        rows = rows.append_column(
            name, pa.array([bool(s) if k else None for s, k in zip(said, known, strict=True)])
        )
    return rows


def labelled(place: Place, raters: Sequence[str] = RATERS, **labels: Any) -> DatasetSpec:
    """A Dataset whose label its raters make."""
    return spec(place.uri, labels={"raters": list(raters), **labels})


def rows_of(made: Snapshot) -> pa.Table:
    """All rows of a version of one part."""
    manifest = Manifest.model_validate_json(path_of(made.manifest).read_bytes())
    (part,) = manifest.parts
    return pq.read_table(path_of(part.uri))


RESOLVED: dict[str, tuple[dict[str, Any], list[str | None]]] = {
    "the majority": ({}, ["y", "y", "n", None, None, "y"]),
    "an adjudicator": (
        {"conflicts": "Adjudicate", "adjudication": "boss"},
        ["y", "n", None, "n", None, "y"],
    ),
    "nothing where they disagree": ({"conflicts": "Drop"}, ["y", None, None, None, None, "y"]),
}


@pytest.mark.parametrize(("labels", "expected"), RESOLVED.values(), ids=RESOLVED)
def test_what_a_rows_label_is(
    place: Place, labels: dict[str, Any], expected: list[str | None]
) -> None:
    rows = table(6).drop_columns(["late"])
    for name, said in {
        "label_a": ["y", "y", "n", "y", None, None],
        "label_b": ["y", "y", "n", "n", None, "y"],
        "label_c": ["y", "n", "y", None, None, None],
        "boss": ["n", "n", None, "n", "y", None],
    }.items():
        rows = rows.append_column(name, pa.array(said, pa.string()))
    place.put("a.parquet", rows)

    made = place.snapshot(labelled(place, **labels))

    found = dict(
        zip(rows_of(made)["id"].to_pylist(), rows_of(made)["late"].to_pylist(), strict=True)
    )
    assert [found[f"r{number}"] for number in range(6)] == expected
    roles = {column.name: column.role for column in made.columns}
    assert [roles[name] for name in RATERS] == ["Rater"] * 3
    assert roles["late"] == "Label"


def test_what_is_recorded_of_three_raters(place: Place) -> None:
    place.put("a.parquet", rated(seen=0.8))

    made = place.snapshot(
        labelled(place, provenance="Crowd", costPerLabel="0.05", minAgreement="0.4")
    )

    report = made.labels
    assert report is not None
    assert (report.provenance, report.statistic) == ("Crowd", "Fleiss")
    ratings = {item.name: item.ratings for item in report.raters}
    assert all(900 < count < 1020 for count in ratings.values())
    assert report.cost == f"{sum(ratings.values()) * 0.05:.2f}"
    assert report.doubly_rated_rows is not None and 1000 < report.doubly_rated_rows < 1150
    assert 0.5 < float(report.kappa_low or 0) < float(report.kappa or 0) < 0.75
    assert float(report.kappa or 0) < float(report.kappa_high or 0) < 0.8
    assert 0.9 < float(report.coverage) < 1
    assert made.labelled_rows == round(float(report.coverage) * 1200)
    assert made.violations == ()


def test_two_raters_have_cohens_kappa(place: Place) -> None:
    rows = rated(raters=RATERS[:2])
    place.put("a.csv", rows)

    report = place.snapshot(labelled(place, RATERS[:2])).labels

    assert report is not None
    expected = cohen_kappa_score(rows["label_a"].to_pylist(), rows["label_b"].to_pylist())
    assert (report.statistic, report.kappa) == ("Cohen", f"{expected:.6f}")


def test_conflicts_are_listed(place: Place) -> None:
    rows = rated(raters=RATERS[:2])
    place.put("a.parquet", rows)

    made = place.snapshot(labelled(place, RATERS[:2]))

    assert made.labels is not None and made.labels.conflicts is not None
    assert sha256_of_file(path_of(made.labels.conflicts)) == made.labels.conflicts.digest
    listed = json.loads(path_of(made.labels.conflicts).read_bytes())
    differ = [
        number
        for number, (a, b) in enumerate(
            zip(rows["label_a"].to_pylist(), rows["label_b"].to_pylist(), strict=True)
        )
        if a != b
    ]
    assert listed["conflictingRows"] == made.labels.conflicting_rows == len(differ)
    assert [item["row"]["id"] for item in listed["rows"]] == [f"r{n}" for n in reversed(differ)]
    assert listed["rows"][0]["label"] is None
    assert set(listed["rows"][0]["ratings"]) == {"label_a", "label_b"}


def test_raters_who_agree_have_no_list(place: Place) -> None:
    place.put("a.parquet", rated(noise=0))

    report = place.snapshot(labelled(place)).labels

    assert report is not None
    assert (report.kappa, report.conflicting_rows, report.conflicts) == ("1.000000", 0, None)


def test_too_little_agreement_is_refused(place: Place) -> None:
    place.put("a.parquet", rated(noise=0.3))

    (found,) = place.snapshot(labelled(place, minAgreement="0.6")).violations

    assert (found.name, found.reason, found.severity) == ("Labels", "LabelDisagreement", "Fail")
    assert found.message.startswith("expected a Fleiss kappa of at least 0.6, observed 0.1")
    assert "95 % interval" in found.message


UNSAID = {
    "too few rows": (
        rated(seen=0.05),
        {"minAgreement": "0.6", "minRows": 500},
        "expected a Fleiss kappa of at least 0.6 on at least 500 rows with two or more ratings,"
        " observed 10 such rows",
    ),
}


@pytest.mark.parametrize(("rows", "labels", "said"), UNSAID.values(), ids=UNSAID)
def test_no_verdict_is_no_refusal(
    place: Place, rows: pa.Table, labels: dict[str, Any], said: str
) -> None:
    place.put("a.parquet", rows)

    (found,) = place.snapshot(labelled(place, **labels)).violations

    assert (found.reason, found.severity) == ("NoData", "Warn")
    assert found.message == said


def test_provenance_alone_is_recorded_too(stocked: Place) -> None:
    made = stocked.snapshot(
        spec(stocked.uri, labels={"provenance": "ProcessFeedback", "costPerLabel": "2"})
    )

    assert made.labels is not None
    assert made.labels.to_wire() == {
        "provenance": "ProcessFeedback",
        "coverage": "1.000000",
        "cost": "2400.00",
        "raters": [],
        "statistic": "",
    }
    assert stocked.snapshot().labels is None


def test_raters_are_never_features(place: Place) -> None:
    place.put("a.parquet", rated())
    body = labelled(place).to_wire()
    del body["columns"]["features"]

    made = place.snapshot(DatasetSpec.model_validate(body))

    features = {column.name for column in made.columns if column.role == "Feature"}
    assert features == {"load", "place", "grade"}


WRONG = {
    "a rater that is not there": (
        {"raters": ["label_a", "label_x"]},
        "MissingColumn",
        "labels.raters names label_x, which ",
    ),
    "an adjudicator who is not there": (
        {"raters": RATERS, "conflicts": "Adjudicate", "adjudication": "boss"},
        "MissingColumn",
        "labels.adjudication names boss, which ",
    ),
    "raters of different things": (
        {"raters": ["label_a", "at"]},
        "TypeMismatch",
        "labels.raters: label_a, at are of different types in ",
    ),
}


@pytest.mark.parametrize(("labels", "reason", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_labelled(
    place: Place, labels: dict[str, Any], reason: str, said: str
) -> None:
    place.put("a.parquet", rated())

    with pytest.raises(StepError) as raised:
        place.snapshot(spec(place.uri, labels=labels))

    assert raised.value.reason == reason
    assert str(raised.value).startswith(said)


def test_a_label_that_is_there_is_not_overwritten(place: Place) -> None:
    place.put("a.parquet", rated().append_column("late", table()["late"]))

    with pytest.raises(StepError) as raised:
        place.snapshot(labelled(place))

    assert raised.value.reason == "InvalidSpec"
    assert "has already; labels.raters makes the label" in str(raised.value)


def test_an_export_with_a_line_per_rating_is_brought_to_columns(place: Place) -> None:
    """By prepare, as the field's documentation says."""
    rows = rated(raters=RATERS[:2])
    long = pa.concat_tables(
        [
            rows.drop_columns(RATERS[:2])
            .append_column("rater", pa.array([name] * 1200))
            .append_column("said", rows[name])
            for name in RATERS[:2]
        ]
    )
    place.put("long.parquet", long)
    place.put("wide.parquet", rows)
    files = {name: f"file://{place.source}/{name}.parquet" for name in ("long", "wide")}
    select = (
        "SELECT * EXCLUDE (rater, said), max(said) FILTER (rater = 'label_a') AS label_a,"
        " max(said) FILTER (rater = 'label_b') AS label_b FROM source GROUP BY ALL"
    )
    labels = {"raters": RATERS[:2]}

    one = place.snapshot(spec(files["long"], labels=labels, prepare={"select": select}))
    other = place.snapshot(spec(files["wide"], labels=labels))

    assert one.digest == other.digest
    assert one.labels == other.labels
