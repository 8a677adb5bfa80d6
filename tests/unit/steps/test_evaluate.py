"""`evaluate`: both models on the same unseen rows, the refit, and a bundle a server believes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pytest

from tests.unit.steps.small import START, Place, champion, gates, path_of, spec, table
from tidemill.api.documents.bundle import Bundle
from tidemill.api.documents.profile import Profile, ValueType
from tidemill.api.documents.results import Candidate, Evaluation, Snapshot
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.serving.bundles import read_bundle
from tidemill.steps.failures import StepError
from tidemill.steps.objects import sha256, sha256_of_file


@pytest.fixture(scope="module")
def made(stocked: Place) -> Snapshot:
    """A snapshot of the small table."""
    return stocked.snapshot()


@pytest.fixture(scope="module")
def candidate(stocked: Place, made: Snapshot) -> Candidate:
    """A candidate trained on it."""
    return stocked.train(made, output=f"file://{stocked.root}/store/evaluated")


@pytest.fixture(scope="module")
def evaluated(stocked: Place, made: Snapshot, candidate: Candidate) -> Evaluation:
    """Its evaluation, without a champion."""
    asked = gates(
        {"name": "a", "type": "Absolute", "metric": "recall", "min": "0.1"},
        {"name": "b", "type": "Absolute", "metric": "f1", "slice": "west", "min": "0.1"},
        {"name": "c", "type": "Absolute", "metric": "roc_auc", "min": "0.1"},
    )
    output = f"file://{stocked.root}/store/evaluated"
    return stocked.evaluate(made, candidate, gates=asked, output=output)


def bundle_of(made: Evaluation) -> Bundle:
    """The bundle it wrote."""
    return Bundle.model_validate_json(path_of(made.bundle).read_bytes())


def test_metrics_are_the_pipelines_then_the_gates_then_the_slices(evaluated: Evaluation) -> None:
    asked = [(item.metric, item.slice) for item in evaluated.metrics]

    assert asked == [("roc_auc", ""), ("recall", ""), ("f1", "west"), ("roc_auc", "west")]
    first = evaluated.metrics[0]
    assert (first.samples, first.trivial) == (300, "0.500000")
    assert first.value is not None
    assert 0.6 < float(first.value) < 1
    assert first.champion is first.change is first.change_low is None
    assert 20 < evaluated.metrics[2].samples < 120


def test_metrics_are_those_of_the_unrefitted_model(
    evaluated: Evaluation, candidate: Candidate
) -> None:
    """Recall computed anew from the candidate's file on the newest 300 rows."""
    session = onnxruntime.InferenceSession(path_of(candidate.model).read_bytes())
    rows = table().slice(900)
    inputs = {
        "load": np.array(rows["load"].to_pylist(), dtype=np.float32).reshape(-1, 1),
        "grade": np.array(rows["grade"].to_pylist(), dtype=np.float32).reshape(-1, 1),
        "place": np.array([v or "" for v in rows["place"].to_pylist()], dtype=object).reshape(
            -1, 1
        ),
    }
    said = session.run(["probabilities"], inputs)[0][:, 1] >= 0.5
    true = np.array(rows["late"].to_pylist())

    recall = next(item for item in evaluated.metrics if item.metric == "recall")

    assert recall.value == f"{(said & true).sum() / true.sum():.6f}"


def test_a_server_believes_the_bundle(evaluated: Evaluation, tmp_path: Path) -> None:
    bundle = bundle_of(evaluated)
    folder = path_of(evaluated.bundle).parent
    for name in (bundle.model.name, bundle.profile.name):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "bundle.json").write_bytes(path_of(evaluated.bundle).read_bytes())

    loaded = read_bundle(tmp_path)

    assert sha256_of_file(path_of(evaluated.bundle)) == evaluated.bundle.digest
    assert sha256(loaded.model) == evaluated.model.digest == bundle.model.digest
    session = onnxruntime.InferenceSession(loaded.model)
    for golden in bundle.golden:
        inputs = {
            item.name: np.array(
                [[np.nan if golden.inputs[item.name] is None else golden.inputs[item.name]]],
                dtype=np.float32,
            )
            if item.type is ValueType.NUMBER
            else np.array([[golden.inputs[item.name] or ""]], dtype=object)
            for item in bundle.signature.features
        }
        answer = session.run(["probabilities"], inputs)[0][0, 1]
        assert answer == pytest.approx(golden.probability, abs=1e-7)
    assert len(bundle.golden) == 20


def test_what_serves_has_learned_from_all_rows(
    evaluated: Evaluation, made: Snapshot, candidate: Candidate
) -> None:
    bundle = bundle_of(evaluated)

    assert (bundle.data_start, bundle.data_end) == (made.window.start, made.window.end)
    assert (evaluated.data_start, evaluated.data_end) == (bundle.data_start, bundle.data_end)
    assert bundle.twin is not None
    assert bundle.twin.digest == candidate.model.digest != bundle.model.digest
    assert bundle.twin_data_end == candidate.data_end
    assert (bundle.dataset_digest, bundle.seed) == (made.digest, 0)
    assert bundle.metrics == tuple(item.to_wire() for item in evaluated.metrics)


def test_the_baseline_is_of_the_rows_it_learned_from(evaluated: Evaluation) -> None:
    bundle = bundle_of(evaluated)
    folder = path_of(evaluated.bundle).parent

    profile = Profile.model_validate_json((folder / bundle.profile.name).read_bytes())

    assert profile.rows == 1200
    assert [item.name for item in profile.features] == ["load", "place", "grade"]
    assert all(sum(item.counts) + item.missing == 1200 for item in profile.features)
    assert profile.prediction is not None
    assert sum(profile.prediction.counts) == 1200
    assert len(profile.prediction.counts) == 20


def test_without_a_refit_the_judged_model_serves(
    stocked: Place, made: Snapshot, candidate: Candidate
) -> None:
    output = f"file://{stocked.root}/store/unrefitted"

    found = stocked.evaluate(made, candidate, refit=False, output=output)

    bundle = bundle_of(found)
    assert bundle.twin is None
    assert bundle.model.digest == candidate.model.digest
    assert (bundle.data_end, bundle.twin_data_end) == (candidate.data_end, candidate.data_end)
    folder = path_of(found.bundle).parent
    profile = Profile.model_validate_json((folder / bundle.profile.name).read_bytes())
    assert profile.rows == 720


def test_a_second_run_writes_the_same_bundle(
    stocked: Place, made: Snapshot, candidate: Candidate
) -> None:
    output = f"file://{stocked.root}/store/twice"

    first, second = (stocked.evaluate(made, candidate, output=output) for _ in range(2))

    assert first == second


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A source whose rows are all newer than the stocked one's."""
    from datetime import timedelta

    place = Place(tmp_path_factory.mktemp("later"))
    place.put("a.parquet", table(seed=5, start=START + timedelta(days=60)))
    return place


def test_a_champion_is_scored_on_the_same_rows(later: Place, evaluated: Evaluation) -> None:
    made = later.snapshot()
    candidate = later.train(made)

    found = later.evaluate(made, candidate, champion=champion(evaluated, "first"))

    assert (found.champion, found.champion_saw_test_rows) == ("first", False)
    first = found.metrics[0]
    values = [first.value, first.champion, first.change, first.change_low, first.change_high]
    numbers = [float(value or "nan") for value in values]
    assert numbers[2] == pytest.approx(numbers[0] - numbers[1], abs=2e-6)
    assert numbers[3] <= numbers[2] <= numbers[4]
    assert numbers[4] - numbers[3] < 0.2
    assert all(len((value or "").rpartition(".")[2]) == 6 for value in values)


def test_a_twin_stands_in_for_a_champion_that_saw_the_test_rows(
    stocked: Place, made: Snapshot, candidate: Candidate, evaluated: Evaluation
) -> None:
    """The champion is the refitted candidate itself: its twin gives the same answers."""
    output = f"file://{stocked.root}/store/against-itself"

    found = stocked.evaluate(made, candidate, champion=champion(evaluated), output=output)

    assert found.champion_saw_test_rows is False
    first = found.metrics[0]
    assert (first.value, first.change) == (first.champion, "0.000000")
    assert (first.change_low, first.change_high) == ("0.000000", "0.000000")


def test_a_champion_whose_twin_saw_the_test_rows_too_is_not_asked(
    stocked: Place, evaluated: Evaluation
) -> None:
    """With a larger test the twin has learned from some of its rows."""
    changes: dict[str, Any] = {"split": {"testShare": "0.5", "validationShare": "0.15"}}
    wanted = spec(stocked.uri, **changes)
    made = stocked.snapshot(wanted)
    output = f"file://{stocked.root}/store/larger-test"
    candidate = stocked.train(made, columns_spec=wanted, output=output)

    found = stocked.evaluate(
        made, candidate, dataset_spec=wanted, champion=champion(evaluated), output=output
    )

    assert found.champion_saw_test_rows is True
    assert found.champion == "small-model"
    assert {item.champion for item in found.metrics} == {None}
    assert {item.change_low for item in found.metrics} == {None}


HASHED: dict[str, Any] = {
    "split": {"by": "Hash", "testShare": "0.25", "validationShare": "0.15"},
}
LARGER = {"split": {**HASHED["split"], "testShare": "0.3"}}
SMALLER = {"split": {**HASHED["split"], "testShare": "0.2"}}


def hashed(place: Place, name: str, changes: dict[str, Any], **more: Any) -> Evaluation:
    """Train and judge by a split of the keys."""
    wanted = spec(place.uri, **changes)
    made = place.snapshot(wanted)
    output = f"file://{place.root}/store/{name}"
    candidate = place.train(made, columns_spec=wanted, output=output)
    return place.evaluate(made, candidate, dataset_spec=wanted, output=output, **more)


def test_by_hash_the_champions_twin_is_asked_about_groups_it_never_saw(stocked: Place) -> None:
    """Though its data are as new: what tells is the group, not the time."""
    first = hashed(stocked, "hashed-first", HASHED)

    held = bundle_of(first).held_out
    assert held is not None
    assert (held.columns, held.share) == (("id",), "0.25")
    for name, changes in (("hashed-same", HASHED), ("hashed-smaller", SMALLER)):
        found = hashed(stocked, name, changes, champion=champion(first))
        assert found.champion_saw_test_rows is False, name
        assert found.metrics[0].champion is not None, name
    larger = hashed(stocked, "hashed-larger", LARGER, champion=champion(first))
    assert larger.champion_saw_test_rows is True


def test_a_champion_split_by_time_has_seen_rows_of_all_groups(
    stocked: Place, evaluated: Evaluation
) -> None:
    found = hashed(stocked, "hashed-other", HASHED, champion=champion(evaluated))

    assert found.champion_saw_test_rows is True


def test_a_champion_that_takes_what_the_data_lost_is_not_asked(
    place: Place, evaluated: Evaluation
) -> None:
    from datetime import timedelta

    rows = table(start=START + timedelta(days=60)).drop_columns(["grade"])
    place.put("a.parquet", rows)
    columns = spec(place.uri).to_wire()["columns"]
    columns["features"] = ["load", "place"]
    wanted = spec(place.uri, columns=columns)
    made = place.snapshot(wanted)
    candidate = place.train(made, columns_spec=wanted)

    found = place.evaluate(made, candidate, dataset_spec=wanted, champion=champion(evaluated))

    assert (found.champion, found.champion_saw_test_rows) == ("small-model", False)
    assert {item.champion for item in found.metrics} == {None}


def test_a_metric_that_does_not_exist_is_absent(place: Place) -> None:
    rows = table()
    late = rows["late"].to_pylist()
    place.put("a.parquet", rows.set_column(6, "late", pa.array(late[:900] + [False] * 300)))
    made = place.snapshot()

    first = place.evaluate(made, place.train(made)).metrics[0]

    assert (first.metric, first.samples, first.value, first.trivial) == ("roc_auc", 300, None, None)


def test_an_unknown_slice_is_a_failure(
    stocked: Place, made: Snapshot, candidate: Candidate
) -> None:
    asked = gates(
        {"name": "eve", "type": "Absolute", "metric": "f1", "slice": "evening", "min": "0"}
    )

    with pytest.raises(StepError) as raised:
        stocked.evaluate(made, candidate, gates=asked)

    assert raised.value.reason == "InvalidSlice"
    assert str(raised.value) == (
        "gate eve asks for slice evening, which the Dataset does not have; it has west"
    )


def test_no_test_rows(stocked: Place, made: Snapshot, candidate: Candidate) -> None:
    window = made.window.model_copy(update={"test_start": "2026-03-01T00:00:00Z"})

    with pytest.raises(StepError) as raised:
        stocked.evaluate(made, candidate, window=window)

    assert raised.value.reason == "TooFewRows"
    assert str(raised.value) == (
        "no test rows with a final label from 2026-03-01T00:00:00Z on; raise split.testShare, or"
        " wait for labels to mature"
    )


def stored(directory: Path, name: str, data: bytes) -> StoredDocument:
    """A document as it stands."""
    path = directory / name
    path.write_bytes(data)
    return StoredDocument(uri=f"file://{path}", digest=sha256(data))


def test_a_candidate_that_is_none(
    stocked: Place, made: Snapshot, candidate: Candidate, tmp_path: Path
) -> None:
    document = stored(tmp_path, "candidate.json", b"{}")

    with pytest.raises(StepError) as raised:
        stocked.evaluate(made, candidate.model_copy(update={"document": document}))

    assert raised.value.reason == "ModelUnreadable"
    assert str(raised.value) == f"{document.uri} is not a candidate: Field required; train again"


def test_an_onnx_file_that_does_not_load(
    stocked: Place, made: Snapshot, candidate: Candidate, tmp_path: Path
) -> None:
    model = stored(tmp_path, "model.onnx", b"not a model")
    broken = candidate.model_copy(update={"model": model, "document": None})
    document = stored(tmp_path, "candidate.json", broken.model_dump_json(by_alias=True).encode())

    with pytest.raises(StepError) as raised:
        stocked.evaluate(made, candidate.model_copy(update={"document": document}))

    assert raised.value.reason == "ModelUnreadable"
    assert str(raised.value).startswith(f"{model.uri} cannot be loaded as an ONNX model: ")


def test_a_champions_bundle_that_is_none(
    stocked: Place, made: Snapshot, candidate: Candidate, evaluated: Evaluation, tmp_path: Path
) -> None:
    document = stored(tmp_path, "bundle.json", b'{"version": 1}')
    broken = evaluated.model_copy(update={"bundle": document})

    with pytest.raises(StepError) as raised:
        stocked.evaluate(made, candidate, champion=champion(broken))

    assert raised.value.reason == "ModelUnreadable"
    assert str(raised.value) == f"{document.uri} is not a bundle: Field required"


def test_a_damaged_file_of_a_champion_is_told(
    later: Place, evaluated: Evaluation, tmp_path: Path
) -> None:
    made = later.snapshot()
    candidate = later.train(made)
    (tmp_path / bundle_of(evaluated).model.name).write_bytes(b"other bytes")
    document = stored(tmp_path, "bundle.json", path_of(evaluated.bundle).read_bytes())

    with pytest.raises(StepError) as raised:
        later.evaluate(
            made, candidate, champion=champion(evaluated.model_copy(update={"bundle": document}))
        )

    assert raised.value.reason == "ArtifactDamaged"
