"""Features that alone part yes from no, planted one kind at a time."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tests.unit.steps.small import Place, spec, table
from tidemill.api.documents.bundle import Feature
from tidemill.api.documents.profile import ValueType
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps.failures import StepError
from tidemill.steps.leaks import Leak, auc_of_numbers, auc_of_texts, check_leaks, suspected
from tidemill.steps.tables import Rows

CHANCE = np.random.default_rng(7)
LABELS = (CHANCE.random(2000) < 0.3).astype(np.int8)
NOISE = CHANCE.normal(0, 1, 2000)


def words(values: Any) -> NDArray[np.object_]:
    """Texts, as a version's rows have them."""
    return np.array([str(value) for value in values], dtype=np.object_)


def numbers(values: Any) -> NDArray[np.float32]:
    """Numbers, as a version's rows have them."""
    return np.asarray(values, dtype=np.float32)


NUMBERS: dict[str, tuple[Any, float, float]] = {
    "the label itself": (LABELS, 1, 1),
    "the label turned over": (1 - LABELS, 1, 1),
    "the label and a little noise": (LABELS + 0.2 * NOISE, 0.98, 1),
    "something that only helps": (LABELS + NOISE, 0.7, 0.85),
    "noise": (NOISE, 0.5, 0.55),
    "one value": (np.ones(2000), 0.5, 0.5),
    "known for yes alone": (np.where(LABELS == 1, 5.0, np.nan), 1, 1),
    "known for no alone": (np.where(LABELS == 0, NOISE, np.nan), 1, 1),
    "nothing known": (np.full(2000, np.nan), 0.5, 0.5),
}


@pytest.mark.parametrize(("values", "least", "most"), NUMBERS.values(), ids=NUMBERS)
def test_auc_of_numbers(values: Any, least: float, most: float) -> None:
    assert least <= auc_of_numbers(numbers(values), LABELS) <= most


def test_auc_of_numbers_is_scikit_learns() -> None:
    values = numbers(LABELS + NOISE).round(1)

    assert auc_of_numbers(values, LABELS) == pytest.approx(roc_auc_score(LABELS, values), abs=1e-12)


TEXTS: dict[str, tuple[Any, float, float]] = {
    "the label in words": (np.where(LABELS == 1, "cancelled", "flown"), 1, 1),
    "many words, each of one class": (LABELS * 100 + np.arange(2000) % 50, 1, 1),
    "missing for no": (np.where(LABELS == 1, "a reason", ""), 1, 1),
    "something that only helps": (((LABELS + NOISE) > 0.5), 0.6, 0.75),
    "one value": (["x"] * 2000, 0.4, 0.55),
    # Within the fit rows each tells its label; out of fold it tells nothing.
    "every value once": (np.arange(2000), 0.4, 0.55),
    "every value five times": (np.arange(2000) // 5, 0.4, 0.6),
}


@pytest.mark.parametrize(("values", "least", "most"), TEXTS.values(), ids=TEXTS)
def test_auc_of_texts(values: Any, least: float, most: float) -> None:
    assert least <= auc_of_texts(words(values), LABELS) <= most


def test_one_class_has_no_leak() -> None:
    labels = np.ones(100, dtype=np.int8)

    assert auc_of_numbers(numbers(np.arange(100)), labels) == 0.5
    assert auc_of_texts(words(np.arange(100)), labels) == 0.5


def rows_with(**columns: Any) -> Rows:
    """Rows of these numbers."""
    return Rows(
        tuple(Feature(name=name, type=ValueType.NUMBER) for name in columns),
        np.stack([numbers(values) for values in columns.values()], axis=1),
        np.empty((2000, 0), dtype=np.object_),
        LABELS,
        np.arange(2000.0),
        {},
    )


def test_the_worst_comes_first() -> None:
    found = suspected(rows_with(fine=NOISE, near=LABELS + 0.2 * NOISE, same=LABELS))

    assert [leak.name for leak in found] == ["same", "near"]
    assert found[0] == Leak("same", 1.0)


def test_many_leaks_are_counted() -> None:
    with pytest.raises(
        StepError, match=r"^c0 \(AUC 1\), .* c4 \(AUC 1\) and 2 more: a column alone tells"
    ):
        check_leaks(rows_with(**{f"c{place}": LABELS for place in range(7)}), ())


def test_what_is_listed_by_name_is_allowed() -> None:
    check_leaks(rows_with(same=LABELS, fine=NOISE), ("same", "fine"))


def leaking(place: Place, features: list[str]) -> DatasetSpec:
    """A source in which `minutes` follows from the label."""
    rows = table()
    late = rows["late"].to_numpy()
    minutes = np.where(late, 30.0, -5.0) + np.arange(1200) % 7
    place.put("a.parquet", rows.append_column("minutes", pa.array(minutes)))
    body = spec(place.uri).to_wire()
    body["columns"]["features"] = features
    return DatasetSpec.model_validate(body)


def test_a_leak_stops_training_and_says_what_to_do(place: Place) -> None:
    wanted = leaking(place, [])
    made = place.snapshot(wanted)

    with pytest.raises(StepError) as raised:
        place.train(made, columns_spec=wanted)

    assert raised.value.reason == "SuspectedLeak"
    assert not raised.value.transient
    assert str(raised.value) == (
        "minutes (AUC 1): a column alone tells the label on the 720 fit rows, by more than 0.95. If"
        " it is known only after the label, list it in columns.context of the Dataset; if it is"
        " known when a prediction is asked for, list the features by name in columns.features, it"
        " among them"
    )
    assert not list((place.root / "store").rglob("candidate*"))


def test_a_leak_that_is_listed_is_trained_on(place: Place) -> None:
    wanted = leaking(place, ["load", "minutes"])
    made = place.snapshot(wanted)

    candidate = place.train(made, columns_spec=wanted)

    assert [item.name for item in candidate.signature.features] == ["load", "minutes"]
