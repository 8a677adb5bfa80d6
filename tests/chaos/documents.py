"""What steps would hand back, from the arguments they were given: always the same for the same.

The documents are real: manifests, profiles, candidates and bundles lie in the artifact store under
the digests that results name. Only the bytes of data and models are a word.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from tests.builders import COLUMNS, MEASURED, SIGNATURE, WINDOW, make_profile
from tests.chaos.artifacts import Artifacts
from tidemill.api.documents.arguments import EvaluateArguments, RefreshArguments, TrainArguments
from tidemill.api.documents.bundle import Bundle, GoldenExample, StoredFile
from tidemill.api.documents.manifest import Manifest, Part
from tidemill.api.documents.results import Candidate, Evaluation, Result, Snapshot

Answer = Callable[[Artifacts, dict[str, Any]], Result]
"""What a pipeline hands back for its arguments."""

ROWS = 77911
CONTENT = f"sha256:{hashlib.sha256(b'tides').hexdigest()}"
_MODEL = b"a model"
_SOURCE_CHANGED = "2026-01-01T00:00:00Z"


def refresh(artifacts: Artifacts, arguments: dict[str, Any]) -> Snapshot:
    """One snapshot of 77,911 flights that keeps its contract."""
    told = RefreshArguments.model_validate(arguments)
    part = artifacts.put(f"{told.store}/parts/{'0' * 64}.parquet", b"tides", own=False)
    manifest = Manifest(
        digest=CONTENT,
        parts=(Part(uri=part.uri, digest=part.digest, rows=ROWS, bytes=5),),
        rows=ROWS,
    )
    profile = make_profile(rows=ROWS)
    place = f"{told.store}/versions/{CONTENT.removeprefix('sha256:')}"
    return Snapshot.model_validate(
        {
            "digest": CONTENT,
            "rows": ROWS,
            "labelledRows": 75000,
            "positiveRows": 18000,
            "manifest": artifacts.put(f"{place}/manifest.json", manifest).to_wire(),
            "profile": artifacts.put(f"{place}/profile.json", profile, own=False).to_wire(),
            "columns": COLUMNS,
            "window": WINDOW,
            "contractHash": told.contract_hash,
            "fingerprint": "high water",
            "objects": ["2013-01.parquet"],
            "sourceChanged": _SOURCE_CHANGED,
        }
    )


def train(artifacts: Artifacts, arguments: dict[str, Any]) -> Candidate:
    """A candidate, with candidate.json beside it."""
    told = TrainArguments.model_validate(arguments)
    made = Candidate(
        model=artifacts.put(f"{told.output}/model.onnx", _MODEL, own=False),
        trivial=0.23,
        algorithm="lightgbm",
        parameters={"num_leaves": "31"},
        signature=SIGNATURE,
        feature_count=2,
        validation={"roc_auc": 0.72},
        parity=2.4e-7,
        data_start=told.window.start,
        data_end=told.window.end,
        seed=told.pipeline.seed,
    )
    document = artifacts.put(f"{told.output}/candidate.json", made)
    return made.model_copy(update={"document": document})


def evaluate(artifacts: Artifacts, arguments: dict[str, Any]) -> Evaluation:
    """A measurement good enough for the gates, and the bundle."""
    told = EvaluateArguments.model_validate(arguments)
    model = artifacts.put(f"{told.output}/model.onnx", _MODEL, own=False)
    profile = make_profile(rows=ROWS)
    baseline = artifacts.put(f"{told.output}/profile.json", profile, own=False)
    bundle = Bundle(
        model=StoredFile(name="model.onnx", digest=model.digest),
        profile=StoredFile(name="profile.json", digest=baseline.digest),
        signature=SIGNATURE,
        golden=(GoldenExample(inputs={"dep_hour": 17}, probability=0.5),),
        data_start=told.window.start,
        data_end=told.window.end,
        twin_data_end=told.window.end,
        parameters={"written": told.output},  # so that no two runs' bundles are alike
        created_at=told.now,
    )
    return Evaluation.model_validate(
        {
            "bundle": artifacts.put(f"{told.output}/bundle.json", bundle).to_wire(),
            "model": model.to_wire(),
            "algorithm": "lightgbm",
            "parameters": {"num_leaves": "31"},
            "featureCount": 2,
            "metrics": [MEASURED],
            "champion": None if told.champion is None else told.champion.name,
            "parity": 2.4e-7,
            "seed": told.pipeline.seed,
            "dataStart": told.window.start,
            "dataEnd": told.window.end,
        }
    )


ANSWERS: Mapping[str, Answer] = {
    "dataset-refresh": refresh,
    "train-tabular": train,
    "evaluate": evaluate,
}
"""What each of our pipelines hands back."""
