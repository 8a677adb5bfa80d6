"""A small real model of late departures, made anew by each test run, and bundles around it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

NUMBERS = ("dep_hour", "temp", "weekend")
TEXTS = ("carrier", "origin")
ORDER = ("dep_hour", "carrier", "temp", "origin", "weekend")
CARRIERS = ("UA", "B6", "EV", "DL")
RARE = ("HA", "OO")
ORIGINS = ("EWR", "JFK", "LGA")
THRESHOLD = 0.5

Row = dict[str, Any]


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def train(estimator: Any = None) -> bytes:
    """Fit a pipeline on made-up departures and return it as ONNX: imputer, one-hot, estimator."""
    chance = np.random.default_rng(7)
    rows = 2000
    table = pd.DataFrame(
        {
            "dep_hour": chance.integers(5, 23, rows).astype(np.float32),
            "temp": chance.normal(55, 18, rows).astype(np.float32),
            "weekend": chance.integers(0, 2, rows).astype(np.float32),
            "carrier": chance.choice([*CARRIERS, *RARE], rows),
            "origin": chance.choice(ORIGINS, rows),
        }
    )
    score = (table["dep_hour"] - 14) / 4 + (table["carrier"] == "EV") - (table["temp"] - 55) / 40
    late = (score + chance.normal(0, 1, rows) > 0).astype(int)
    transform = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median"), list(NUMBERS)),
            ("texts", OneHotEncoder(handle_unknown="ignore"), list(TEXTS)),
        ]
    )
    if estimator is None:
        estimator = LogisticRegression(max_iter=500)
    pipeline = Pipeline([("transform", transform), ("model", estimator)])
    pipeline.fit(table, late)
    types = [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    types += [(name, StringTensorType([None, 1])) for name in TEXTS]
    graph = to_onnx(
        pipeline, initial_types=types, options={id(pipeline): {"zipmap": False}}, target_opset=17
    )
    return bytes(graph.SerializeToString())


def score(model: bytes, rows: list[Row]) -> list[float]:
    """Return the probabilities of a yes, by ONNX Runtime and nothing of ours."""
    feeds: dict[str, np.ndarray[Any, Any]] = {}
    for name in NUMBERS:
        column = [[np.nan if row.get(name) is None else float(row[name])] for row in rows]
        feeds[name] = np.array(column, dtype=np.float32)
    for name in TEXTS:
        feeds[name] = np.array([[row.get(name) or ""] for row in rows], dtype=object)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return [float(p) for p in session.run(["probabilities"], feeds)[0][:, 1]]


GOLDEN: list[Row] = [
    {"dep_hour": 6, "temp": 40.5, "weekend": False, "carrier": "UA", "origin": "EWR"},
    {"dep_hour": 20, "temp": 70, "weekend": True, "carrier": "EV", "origin": "LGA"},
    {"dep_hour": 12, "temp": None, "weekend": False, "carrier": None, "origin": "JFK"},
]


def profile() -> dict[str, Any]:
    """Return the baseline profile of the model's features."""
    number = {"type": "Number", "missing": 0}
    text = {"type": "Category", "missing": 0}
    features = [
        {
            **number,
            "name": "dep_hour",
            "edges": [9, 13, 17, 20],
            "counts": [300, 400, 500, 500, 300],
        },
        {**number, "name": "temp", "edges": [39.02, 60.1, 80.7], "counts": [500, 600, 500, 400]},
        {**number, "name": "weekend", "edges": [0.5], "counts": [1400, 600]},
        {
            **text,
            "name": "carrier",
            "categories": CARRIERS,
            "rare": RARE,
            "counts": [5, 4, 3, 2, 1],
        },
        {**text, "name": "origin", "categories": ORIGINS, "counts": [700, 700, 600]},
    ]
    ranges = {"dep_hour": (5, 22), "temp": (-5.5, 110.2), "weekend": (0, 1)}
    for feature in features:
        if (found := ranges.get(str(feature["name"]))) is not None:
            feature["minimum"], feature["maximum"] = found
    edges = [place / 20 for place in range(1, 20)]
    prediction = {**number, "name": "probability", "edges": edges, "counts": [100] * 20}
    return {
        "version": 1,
        "rows": 2000,
        "start": "2013-01-01T00:00:00Z",
        "end": "2013-03-31T00:00:00Z",
        "features": features,
        "prediction": prediction,
    }


@dataclass
class MadeBundle:
    """What a bundle is made of; change a part, then write it."""

    model: bytes
    golden: list[Row] = field(default_factory=lambda: list(GOLDEN))
    probabilities: list[float] | None = None
    profile: dict[str, Any] = field(default_factory=profile)
    changes: dict[str, Any] = field(default_factory=dict)

    def write(self, directory: Path) -> str:
        """Write the bundle and return the digest of bundle.json."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "model.onnx").write_bytes(self.model)
        (directory / "profile.json").write_text(json.dumps(self.profile))
        data = json.dumps({**self.document(directory), **self.changes}).encode()
        (directory / "bundle.json").write_bytes(data)
        return digest(data)

    def document(self, directory: Path) -> dict[str, Any]:
        """Return bundle.json for the files in the directory."""
        expected = self.probabilities
        if expected is None:
            expected = score(self.model, self.golden)
        features = [
            {"name": name, "type": "Number" if name in NUMBERS else "Category"} for name in ORDER
        ]
        return {
            "version": 1,
            "model": _stored(directory / "model.onnx"),
            "profile": _stored(directory / "profile.json"),
            "signature": {
                "features": features,
                "threshold": THRESHOLD,
                "positive": "1",
                "label": "late",
            },
            "golden": [
                {"inputs": row, "probability": probability}
                for row, probability in zip(self.golden, expected, strict=True)
            ],
            "dataStart": "2013-01-01T00:00:00Z",
            "dataEnd": "2013-03-31T00:00:00Z",
            "twinDataEnd": "2013-03-01T00:00:00Z",
        }


def _stored(path: Path) -> dict[str, str]:
    return {"name": path.name, "digest": digest(path.read_bytes())}


def tensor(name: str, values: list[Any], datatype: str | None = None) -> dict[str, Any]:
    """Return one input tensor of the protocol."""
    kind = datatype or ("FP64" if name in NUMBERS else "BYTES")
    return {"name": name, "datatype": kind, "shape": [len(values)], "data": values}


def request(rows: list[Row], **more: Any) -> dict[str, Any]:
    """Return the body of an inference request for these rows."""
    return {"inputs": [tensor(name, [row.get(name) for row in rows]) for name in ORDER], **more}
