"""The demo's spoilt models are whole bundles: they are fetched and started like good ones."""

from __future__ import annotations

import time
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore

from tests.demo.bad_models import slow_bundle, wrong_bundle
from tests.unit.serving.bundles import GOLDEN, score
from tidemill.serving.batch import Batch
from tidemill.serving.bundles import read_bundle
from tidemill.serving.fetch import fetch
from tidemill.serving.model import OnnxModel


def test_a_wrong_model_says_the_opposite(bundle: Path, model: bytes, tmp_path: Path) -> None:
    made = wrong_bundle(None, (bundle / "bundle.json").as_uri())
    fetch(made["uri"], made["digest"], tmp_path)
    served = OnnxModel(read_bundle(tmp_path))

    opposite = served.predict(Batch.of_rows(GOLDEN, served.layout))
    assert opposite.tolist() == pytest.approx([1 - value for value in score(model, GOLDEN)])


def test_a_slow_model_says_the_same_later(bundle: Path, model: bytes, tmp_path: Path) -> None:
    made = slow_bundle(None, (bundle / "bundle.json").as_uri(), milliseconds=60)
    fetch(made["uri"], made["digest"], tmp_path)
    served = OnnxModel(read_bundle(tmp_path))
    rows = Batch.of_rows(GOLDEN, served.layout)
    right = OnnxModel(read_bundle(bundle))
    scores = served.predict(rows)

    # The best of a few, as the machine may be busy; the fast one takes well under a millisecond.
    assert _best_of_five(served, rows) > 10 * _best_of_five(right, rows)
    assert scores.tolist() == pytest.approx(score(model, GOLDEN))
    assert served.inline_rows == 0


def test_a_store_of_the_bucket_will_do(bundle: Path) -> None:
    bucket = MemoryStore()
    for file in bundle.iterdir():
        obstore.put(bucket, f"tidemill/c1/team/records/delays/{file.name}", file.read_bytes())

    made = wrong_bundle(bucket, "s3://artifacts/tidemill/c1/team/records/delays/bundle.json")

    assert made["uri"].startswith("s3://artifacts/tidemill/c1/team/records/delays-wrong-")
    path = made["uri"].removeprefix("s3://artifacts/")
    assert obstore.head(bucket, path)["size"] > 0


def _best_of_five(model: OnnxModel, rows: Batch) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        model.predict(rows)
        times.append(time.perf_counter() - start)
    return min(times)
