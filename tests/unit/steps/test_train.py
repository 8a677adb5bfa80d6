"""`train`: chosen on validation rows, never having seen the test, the same each time."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.unit.steps.small import Place, path_of, spec, table
from tidemill.api.documents.arguments import TrainArguments
from tidemill.api.documents.results import Candidate, Snapshot
from tidemill.api.v1alpha1.trainingjob import BuiltinPipeline, Decision, MetricName
from tidemill.steps.failures import StepError
from tidemill.steps.metrics import Scored, measure
from tidemill.steps.objects import sha256_of_file
from tidemill.steps.train import choose_threshold, settings_to_try


@pytest.fixture(scope="module")
def made(stocked: Place) -> Snapshot:
    """A snapshot of the small table."""
    return stocked.snapshot()


@pytest.fixture(scope="module")
def candidate(stocked: Place, made: Snapshot) -> Candidate:
    """A candidate trained on it."""
    return stocked.train(made)


def test_a_candidate_says_what_it_is(candidate: Candidate, made: Snapshot) -> None:
    assert candidate.algorithm == "LightGBM"
    assert [item.name for item in candidate.signature.features] == ["load", "place", "grade"]
    assert (candidate.signature.label, candidate.signature.positive) == ("late", "true")
    assert (candidate.signature.threshold, candidate.feature_count) == (0.5, 3)
    assert 0.6 < candidate.validation["roc_auc"] < 1
    assert set(candidate.validation) == {metric.value for metric in MetricName}
    assert candidate.parity < 1e-6
    assert candidate.data_start == made.window.start
    # The validation rows are the newest it has learned from.
    assert candidate.data_end == "2026-02-07T11:00:00Z"
    assert candidate.data_end < (made.window.test_start or "")


def test_the_trivial_model_comes_first(candidate: Candidate) -> None:
    fitted = table()[:720]

    assert candidate.trivial == pytest.approx(pc.mean(fitted["late"]).as_py(), abs=1e-12)
    first, *others = candidate.trials
    assert first == {"algorithm": "Trivial", "parameters": {}, "value": 0.5}
    assert [trial["algorithm"] for trial in others] == ["LightGBM"] * 2
    best = max(trial["value"] for trial in others)
    assert candidate.validation["roc_auc"] == pytest.approx(best, abs=1e-4)


def test_documents_are_what_their_digests_say(candidate: Candidate) -> None:
    assert candidate.document is not None
    for document in (candidate.document, candidate.model):
        assert sha256_of_file(path_of(document)) == document.digest
    stored = Candidate.model_validate_json(path_of(candidate.document).read_bytes())
    assert stored == candidate.model_copy(update={"document": None})


def test_the_same_seed_gives_the_same_candidate(
    stocked: Place, made: Snapshot, candidate: Candidate
) -> None:
    assert stocked.train(made) == candidate


def test_test_rows_are_never_read(
    stocked: Place, made: Snapshot, candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the test's labels turned over the candidate is the same, byte for byte."""
    place = Place(stocked.root / "turned")
    place.root.mkdir()
    rows = table()
    late = rows["late"].to_pylist()
    turned = late[:900] + [not value for value in late[900:]]
    place.put("all.parquet", rows.set_column(6, "late", pa.array(turned)))
    other = place.snapshot()
    assert other.digest != made.digest
    taken: list[int] = []
    monkeypatch.setattr(
        "tidemill.steps.train._check_enough",
        lambda *both: taken.extend(len(rows) for rows in both),
    )

    found = place.train(other)

    assert found.model.digest == candidate.model.digest
    assert taken == [720, 180]


def test_a_metric_where_less_is_better(stocked: Place, made: Snapshot) -> None:
    pipeline = BuiltinPipeline.model_validate({"metric": "log_loss", "search": {"maxTrials": 4}})

    found = stocked.train(made, pipeline=pipeline, output=f"file://{stocked.root}/store/loss")

    _, *others = found.trials
    chosen = min(others, key=lambda trial: trial["value"])
    assert found.parameters == chosen["parameters"]


def few(rows: int, **changes: Any) -> tuple[pa.Table, dict[str, Any]]:
    """A small table and changes to the spec."""
    return table(rows), changes


SMALL = {
    "too few rows": (
        few(130),
        r"^\d+ fit rows with a final label, \d+ of them positive; at least 100 are needed and 5 of"
        r" each class. Read more data, or wait for labels to mature$",
    ),
    "no validation rows": (
        few(1200, split={"testShare": "0.2", "validationShare": "0.01"}),
        r"^12 validation rows with a final label, \d+ of them positive; at least 20 are needed",
    ),
}


@pytest.mark.parametrize(("given", "message"), SMALL.values(), ids=SMALL)
def test_too_few_rows(place: Place, given: tuple[pa.Table, dict[str, Any]], message: str) -> None:
    rows, changes = given
    place.put("a.parquet", rows)
    made = place.snapshot(spec(place.uri, **changes))

    with pytest.raises(StepError, match=message) as raised:
        place.train(made, columns_spec=spec(place.uri, **changes))

    assert raised.value.reason == "TooFewRows"


def test_one_class_only(place: Place) -> None:
    rows = table()
    place.put("a.parquet", rows.set_column(6, "late", pa.array([True] * 1200)))

    with pytest.raises(StepError) as raised:
        place.train(place.snapshot())

    assert raised.value.reason == "TooFewRows"
    assert str(raised.value).startswith("720 fit rows with a final label, 720 of them positive;")


def test_nothing_is_mature(place: Place) -> None:
    place.put("a.parquet", table())
    made = place.snapshot(now="2025-01-01T00:00:00Z")

    with pytest.raises(StepError) as raised:
        place.train(made)

    assert (made.labelled_rows, raised.value.reason) == (0, "TooFewRows")
    assert str(raised.value).startswith("0 fit rows with a final label, 0 of them positive;")


def test_a_feature_that_went_since(stocked: Place, made: Snapshot) -> None:
    columns = spec(stocked.uri).to_wire()["columns"]
    columns["features"] = ["load", "speed"]

    with pytest.raises(StepError) as raised:
        stocked.train(made, columns_spec=spec(stocked.uri, columns=columns))

    assert raised.value.reason == "MissingColumn"
    assert str(raised.value).startswith("columns.features names speed, which the data do not have;")


def test_settings_begin_with_the_defaults_and_never_repeat() -> None:
    tried = list(settings_to_try(seed=3, most=200))

    assert tried[0]["learning_rate"] == 0.1
    assert len(tried) == 200
    assert len({tuple(sorted(item.items())) for item in tried}) == 200
    assert tried == list(settings_to_try(seed=3, most=200))
    assert tried[1:5] != list(settings_to_try(seed=4, most=5))[1:5]


LABELS = np.array([0, 0, 0, 1, 0, 1, 1, 1] * 50, dtype=np.int8)
PROBABILITIES = np.linspace(0, 1, 400).reshape(8, 50).T.ravel()
ROWS = Scored(LABELS, PROBABILITIES, 0.5)


@pytest.mark.parametrize("metric", ["f1", "accuracy", "precision", "recall"])
def test_the_threshold_is_the_best_of_many(metric: Any) -> None:
    chosen = choose_threshold(Decision(choose_by=metric), ROWS, PROBABILITIES)

    def value(threshold: float) -> float:
        scored = Scored(LABELS, PROBABILITIES, threshold)
        return measure(MetricName(metric), scored) or 0.0

    others = [value(threshold) for threshold in np.quantile(PROBABILITIES, np.arange(1, 200) / 200)]
    assert value(chosen) == pytest.approx(max(others), abs=1e-9)


def test_recall_alone_does_not_choose_always_yes() -> None:
    chosen = choose_threshold(Decision(choose_by="recall"), ROWS, PROBABILITIES)

    assert measure(MetricName.RECALL, Scored(LABELS, PROBABILITIES, chosen)) == 1
    assert chosen > 0.3


def test_a_fixed_threshold_is_taken_as_it_is() -> None:
    assert choose_threshold(Decision(threshold="0.25"), ROWS, PROBABILITIES) == 0.25


def test_arguments_survive_the_wire(stocked: Place, made: Snapshot) -> None:
    arguments = stocked.train_arguments(made)

    again = TrainArguments.model_validate_json(arguments.model_dump_json(by_alias=True))

    assert again == arguments
