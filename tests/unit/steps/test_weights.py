"""Rows without a weight that can be used, and rows that count more than others."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.unit.steps.small import Place, spec, table
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.trainingjob import MetricName
from tidemill.steps.engine import connect
from tidemill.steps.failures import StepError
from tidemill.steps.metrics import Scored, change_interval, measure
from tidemill.steps.weights import check_weights

COLUMNS = {
    "key": ["id"],
    "eventTime": "at",
    "label": {"name": "late"},
    "weight": "worth",
    "context": ["note"],
    "features": ["load", "place", "grade"],
}

FOUND: dict[str, tuple[list[float | None], list[tuple[str, str]]]] = {
    "weights of 0 and more": ([0.0, 1.0, 2.5], []),
    "a missing one": (
        [1.0, None],
        [
            (
                "Incomplete",
                "worth: expected a weight of 0 or more in every row, observed missing ones; broken"
                " by 1 of 2 rows (50 %)",
            )
        ],
    ),
    "a negative one": (
        [1.0, 2.0, -1.0, 4.0],
        [
            (
                "OutOfRange",
                "worth: expected a weight of 0 or more in every row, observed negative ones; broken"
                " by 1 of 4 rows (25 %)",
            )
        ],
    ),
}


@pytest.mark.parametrize(("values", "expected"), FOUND.values(), ids=FOUND)
def test_check_weights(
    tmp_path: Path, values: list[float | None], expected: list[tuple[str, str]]
) -> None:
    wanted = spec("s3://b/*", columns=COLUMNS)
    with connect(tmp_path) as connection:
        connection.register("given", pa.table({"worth": pa.array(values, pa.float64())}))
        found = check_weights(connection, "given", wanted, len(values))

    assert [(item.reason, item.message) for item in found] == expected
    assert {item.severity for item in found} <= {"Fail"}


def test_without_a_weight_column_nothing_is_checked(tmp_path: Path) -> None:
    with connect(tmp_path) as connection:
        assert check_weights(connection, "nowhere", spec("s3://b/*"), 1) == ()


def weighted_place(place: Place, worth: Any) -> tuple[Place, DatasetSpec]:
    """A source whose rows have a weight."""
    place.put("a.parquet", table().append_column("worth", pa.array(worth)))
    return place, spec(place.uri, columns=COLUMNS)


def test_weights_count_in_training_and_in_metrics(place: Place, stocked: Place) -> None:
    late = table()["late"].to_numpy()
    weighted, wanted = weighted_place(place, np.where(late, 3.0, 1.0))
    made = weighted.snapshot(wanted)

    candidate = weighted.train(made, columns_spec=wanted)
    judged = weighted.evaluate(made, candidate, dataset_spec=wanted)

    plain = stocked.train(stocked.snapshot())
    fitted = late[:720]
    positive = 3 * fitted.sum()
    assert candidate.trivial == pytest.approx(positive / (positive + (~fitted).sum()))
    assert candidate.model.digest != plain.model.digest
    assert candidate.signature.features == plain.signature.features
    assert judged.metrics[0].samples == 300


def test_a_row_of_weight_0_is_as_if_it_was_not_there(place: Place) -> None:
    """Half of the rows, turned over and without weight, change nothing that is measured."""
    labels = np.array([0, 1, 0, 1, 1, 0] * 20, dtype=np.int8)
    chance = np.random.default_rng(0)
    likely = np.clip(labels * 0.3 + chance.random(120) * 0.7, 0, 1)
    doubled = np.concatenate([labels, 1 - labels])
    weights = np.concatenate([np.ones(120), np.zeros(120)])
    both = Scored(doubled, np.concatenate([likely, likely]), 0.5, weights)
    alone = Scored(labels, likely, 0.5)

    for metric in MetricName:
        assert measure(metric, both) == pytest.approx(measure(metric, alone), abs=1e-12), metric


def test_weights_stay_with_their_rows() -> None:
    scored = Scored(
        np.array([1, 0, 1], dtype=np.int8),
        np.array([0.9, 0.2, 0.3]),
        0.5,
        np.array([1.0, 2.0, 5.0]),
    )

    kept = scored.select(np.array([True, False, True]))

    assert measure(MetricName.RECALL, kept) == pytest.approx(1 / 6)
    interval = change_interval(MetricName.ACCURACY, scored, scored, seed=1)
    assert interval == (0.0, 0.0)


def test_a_weight_is_a_number(place: Place) -> None:
    rows = table()
    place.put("a.parquet", rows.append_column("worth", pc.cast(rows["grade"], pa.string())))

    with pytest.raises(StepError, match="weight worth is a String; it has to be a number") as said:
        place.snapshot(spec(place.uri, columns=COLUMNS))

    assert said.value.reason == "TypeMismatch"


def test_missing_weights_break_the_contract(place: Place) -> None:
    weighted, wanted = weighted_place(place, [None, *[1.0] * 1199])

    made = weighted.snapshot(wanted)

    assert [(item.name, item.reason, item.severity) for item in made.violations] == [
        ("Weight", "Incomplete", "Fail")
    ]
