"""The ONNX graph answers as the trained pipeline does, also where float32 is coarse."""

from typing import Any

import numpy as np
import pytest

from tidemill.api.documents.bundle import Feature
from tidemill.api.documents.profile import ValueType
from tidemill.steps import models
from tidemill.steps.failures import StepError
from tidemill.steps.models import (
    PARITY,
    Exported,
    as_text,
    export,
    fit,
    from_text,
    prepare,
    probabilities_of,
    trees_of,
)
from tidemill.steps.tables import Rows

NUMBER, CATEGORY = ValueType.NUMBER, ValueType.CATEGORY


def rows(
    labels: Any,
    numbers: dict[str, Any] | None = None,
    texts: dict[str, Any] | None = None,
) -> Rows:
    """Rows by columns: numbers first, then texts."""
    numbers, texts = numbers or {}, texts or {}
    count = len(labels)
    features = [Feature(name=name, type=NUMBER) for name in numbers]
    features += [Feature(name=name, type=CATEGORY) for name in texts]
    return Rows(
        tuple(features),
        np.array(list(numbers.values()), dtype=np.float32).T.reshape(count, len(numbers)),
        np.array(list(texts.values()), dtype=np.object_).T.reshape(count, len(texts)),
        np.array(labels, dtype=np.int8),
        np.arange(count, dtype=np.float64),
        {},
    )


def made(count: int = 3000, seed: int = 0) -> Rows:
    """Numbers with gaps, texts with many values, a label that follows from both."""
    chance = np.random.default_rng(seed)
    load = chance.normal(size=count).astype(np.float32)
    place = chance.choice(["north", "south", "west"], count)
    many = np.array([f"v{number}" for number in chance.zipf(1.5, count) % 500])
    likely = 1 / (1 + np.exp(-(load + (place == "west"))))
    labels = chance.random(count) < likely
    load[::17] = np.nan
    place[::13] = ""
    grade = chance.integers(0, 5, count)
    return rows(labels, {"load": load, "grade": grade}, {"place": place, "many": many})


def trained(given: Rows, **parameters: Any) -> Exported:
    """A small model of some rows."""
    preparation = prepare(given)
    wanted = {"n_estimators": 20, "num_leaves": 7, **parameters}
    model = fit(preparation.matrix(given), given.labels, wanted, seed=0)
    return export(preparation, model, given)


def test_the_graph_answers_as_the_pipeline() -> None:
    found = trained(made())

    assert found.parity < 1e-6


def test_the_graph_learns_something() -> None:
    given = made()

    answers = trained(given).onnx.probabilities(given)

    assert answers[given.labels == 1].mean() > answers[given.labels == 0].mean() + 0.1


KINDS = {
    "numbers only": lambda y, x, c: rows(y, {"x": x}),
    "texts only": lambda y, x, c: rows(y, texts={"c": c}),
    "a number that is always missing": lambda y, x, c: rows(y, {"x": x, "void": x * np.nan}),
    "a text that is always missing": lambda y, x, c: rows(y, {"x": x}, {"void": [""] * len(y)}),
    "texts that are all different": lambda y, x, c: rows(
        y, {"x": x}, {"id": [f"r{n}" for n in range(len(y))]}
    ),
    "nothing to learn from": lambda y, x, c: rows(y, {"x": x * 0}),
    "names that are no identifiers": lambda y, x, c: rows(y, {"a b.c": x, "größe": x}, {"x/y": c}),
    "names of the converter's own": lambda y, x, c: rows(y, {"input1": x, "variable": -x}),
    "numbers as large as float32 has": lambda y, x, c: rows(
        y, {"x": np.clip(x * np.float64(3e38), -3.4e38, 3.4e38)}
    ),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_parity_of_strange_tables(make: Any) -> None:
    chance = np.random.default_rng(0)
    numbers = chance.normal(size=500).astype(np.float32)
    texts = chance.choice(["a", "b"], 500)
    labels = (numbers + (texts == "b") + chance.normal(size=500)) > 0.5

    given = make(labels, numbers, texts)
    found = trained(given)

    assert found.parity < PARITY
    assert len(found.onnx.probabilities(given)) == 500


def test_numbers_that_float32_can_hardly_tell_apart() -> None:
    """Neighbouring float32 values: a threshold rounded to the nearer one swallows it."""
    chance = np.random.default_rng(0)
    steps = chance.integers(0, 40, 4000)
    large = (np.float32(1.3e9) + 128 * steps).astype(np.float32)
    labels = chance.random(4000) < np.where(steps % 2 == 0, 0.9, 0.1)

    found = trained(rows(labels, {"x": large}), num_leaves=31)

    assert found.parity < 1e-6


def test_without_lowered_thresholds_parity_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof is one: it sees what lowering the thresholds prevents."""
    monkeypatch.setattr(models, "_with_float32_thresholds", lambda model: model)
    chance = np.random.default_rng(0)
    steps = chance.integers(0, 40, 4000)
    large = (np.float32(1.3e9) + 128 * steps).astype(np.float32)
    labels = chance.random(4000) < np.where(steps % 2 == 0, 0.9, 0.1)

    with pytest.raises(StepError) as raised:
        trained(rows(labels, {"x": large}), num_leaves=31)

    assert raised.value.reason == "ParityFailed"
    said = str(raised.value)
    assert said.startswith("the ONNX graph differs from the trained model by 0.")
    assert said.endswith(
        " in probability, on 4,002 rows; at most 0.0001 is allowed. Leave out columns whose numbers"
        " are too large for float32"
    )


def test_the_same_seed_gives_the_same_bytes() -> None:
    given = made()

    assert trained(given).onnx.data == trained(given).onnx.data


def test_another_seed_gives_another_model() -> None:
    given = made()
    preparation = prepare(given)
    matrix = preparation.matrix(given)

    one, other = (
        fit(matrix, given.labels, {"n_estimators": 20, "colsample_bytree": 0.5}, seed)
        for seed in (0, 1)
    )

    assert (probabilities_of(one, matrix) != probabilities_of(other, matrix)).any()


def test_early_stopping_keeps_the_best_round() -> None:
    given, unseen = made(), made(seed=1)
    preparation = prepare(given)
    validation = preparation.matrix(unseen), unseen.labels

    model = fit(
        preparation.matrix(given),
        given.labels,
        {"n_estimators": 300, "num_leaves": 31},
        0,
        validation,
        patience=5,
    )

    assert 1 <= trees_of(model) < 300
    exported = export(preparation, model, given)
    answers = exported.onnx.probabilities(unseen)
    assert answers == pytest.approx(probabilities_of(model, validation[0]), abs=1e-6)


def test_rare_unknown_and_missing_categories_are_all_nothing() -> None:
    given = made()
    preparation = prepare(given)
    encoder = preparation.columns.named_transformers_["texts"]

    assert "" not in encoder.categories_[0]
    assert len(encoder.categories_[1]) <= 100
    counts = {value: int((given.texts[:, 1] == value).sum()) for value in encoder.categories_[1]}
    assert min(counts.values()) >= 10


def test_parameters_survive_a_record() -> None:
    parameters = {"learning_rate": 0.05, "num_leaves": 31, "colsample_bytree": 1}

    recorded = as_text(parameters)

    assert recorded == {"colsample_bytree": "1", "learning_rate": "0.05", "num_leaves": "31"}
    assert from_text(recorded, list(parameters)) == parameters
