"""A small made-up table, the Dataset that describes it, and steps run on it in a directory."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tidemill.api.documents.arguments import (
    Champion,
    EvaluateArguments,
    Known,
    RefreshArguments,
    TrainArguments,
)
from tidemill.api.documents.results import Candidate, Evaluation, Result, Snapshot
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.api.v1alpha1.trainingjob import BuiltinPipeline, Decision, Gate
from tidemill.steps.evaluate import evaluate
from tidemill.steps.refresh import refresh
from tidemill.steps.train import train

START = datetime(2026, 1, 1)
NOW = "2026-06-01T00:00:00Z"
HASH = "0123456789abcdef"


def table(rows: int = 1200, seed: int = 0, start: datetime = START) -> pa.Table:
    """Half a year's worth of requests, one an hour: `late` follows from `load` and `place`."""
    chance = np.random.default_rng(seed)
    load = chance.normal(50, 15, rows).round(2)
    place = chance.choice(["north", "south", "west"], rows, p=[0.5, 0.3, 0.2])
    grade = chance.integers(1, 6, rows)
    likely = 1 / (1 + np.exp(-((load - 55) / 8 + (place == "west") * 1.5)))
    return pa.table(
        {
            "id": [f"r{number}" for number in range(rows)],
            "at": pa.array(
                [start + timedelta(hours=number) for number in range(rows)], pa.timestamp("us")
            ),
            "load": pa.array([None if i % 50 == 7 else v for i, v in enumerate(load)]),
            "place": pa.array([None if i % 60 == 9 else v for i, v in enumerate(place)]),
            "grade": grade,
            "note": [f"note {number % 7}" for number in range(rows)],
            "late": chance.random(rows) < likely,
        }
    )


def spec(uri: str, **changes: Any) -> DatasetSpec:
    """The Dataset of such a table; `changes` replace whole top-level fields of its spec."""
    body: dict[str, Any] = {
        "source": {"objects": {"uri": uri}},
        "columns": {
            "key": ["id"],
            "eventTime": "at",
            "label": {"name": "late"},
            "context": ["note"],
            "features": ["load", "place", "grade"],
        },
        "split": {"testShare": "0.25", "validationShare": "0.15"},
        "slices": [{"name": "west", "where": "place = 'west'"}],
        **changes,
    }
    return DatasetSpec.model_validate(body)


def expectations(*items: dict[str, Any], evolution: str = "Additive") -> dict[str, Any]:
    """A contract with these expectations."""
    return {"expectations": list(items), "schema": {"evolution": evolution}}


@dataclass
class Place:
    """A source and an artifact store below one directory."""

    root: Path
    spent: int = field(default=0)

    @property
    def source(self) -> Path:
        """Where the source's objects lie."""
        directory = self.root / "source"
        directory.mkdir(exist_ok=True)
        return directory

    @property
    def store(self) -> str:
        """The Dataset's place in the artifact store."""
        return f"file://{self.root}/store/datasets/small"

    @property
    def uri(self) -> str:
        """All objects of the source."""
        return f"file://{self.source}/*"

    def scratch(self) -> Path:
        """A new empty directory."""
        self.spent += 1
        directory = self.root / f"scratch-{self.spent}"
        directory.mkdir()
        return directory

    def put(self, name: str, rows: pa.Table) -> Path:
        """Write an object in the format its name tells."""
        path = self.source / name
        if name.endswith(".parquet"):
            pq.write_table(rows, path)
        elif name.endswith(".csv"):
            pyarrow.csv.write_csv(rows, path)
        else:
            lines = (json.dumps(row, default=datetime.isoformat) for row in rows.to_pylist())
            path.write_text("\n".join(lines))
        return path

    def refresh(self, wanted: DatasetSpec | None = None, **changes: Any) -> Result:
        """Run dataset-refresh."""
        body: dict[str, Any] = {
            "dataset": "small",
            "spec": wanted or spec(self.uri),
            "store": self.store,
            "contract_hash": HASH,
            "now": NOW,
            **changes,
        }
        return refresh(RefreshArguments(**body), self.scratch())

    def snapshot(self, wanted: DatasetSpec | None = None, **changes: Any) -> Snapshot:
        """Run dataset-refresh and expect a snapshot."""
        result = self.refresh(wanted, **changes)
        assert isinstance(result, Snapshot)
        return result

    def train_arguments(self, made: Snapshot, **changes: Any) -> TrainArguments:
        """For a snapshot, with a short search."""
        body: dict[str, Any] = {
            "manifest": made.manifest,
            "profile": made.profile,
            "window": made.window,
            "columns_spec": spec(self.uri),
            "pipeline": BuiltinPipeline.model_validate({"search": {"maxTrials": 2}}),
            "decision": Decision(threshold="0.5"),
            "output": f"file://{self.root}/store/jobs/run",
            **changes,
        }
        return TrainArguments(**body)

    def train(self, made: Snapshot, **changes: Any) -> Candidate:
        """Run train-tabular."""
        return train(self.train_arguments(made, **changes), self.scratch())

    def evaluate_arguments(
        self, made: Snapshot, candidate: Candidate, **changes: Any
    ) -> EvaluateArguments:
        """For a snapshot and a candidate."""
        assert candidate.document is not None
        body: dict[str, Any] = {
            "manifest": made.manifest,
            "profile": made.profile,
            "window": made.window,
            "dataset_spec": spec(self.uri),
            "dataset_digest": made.digest,
            "pipeline": BuiltinPipeline(),
            "candidate": candidate.document,
            "output": f"file://{self.root}/store/jobs/run",
            "now": NOW,
            **changes,
        }
        return EvaluateArguments(**body)

    def evaluate(self, made: Snapshot, candidate: Candidate, **changes: Any) -> Evaluation:
        """Run evaluate."""
        return evaluate(self.evaluate_arguments(made, candidate, **changes), self.scratch())


def known(made: Snapshot, name: str = "small-1") -> Known:
    """A snapshot as a later refresh knows it."""
    return Known(
        name=name,
        digest=made.digest,
        rows=made.rows,
        manifest=made.manifest,
        profile=made.profile,
    )


def champion(made: Evaluation, name: str = "small-model") -> Champion:
    """A model as a later evaluation knows it."""
    return Champion(name=name, bundle=made.bundle)


def gates(*items: dict[str, Any]) -> tuple[Gate, ...]:
    """Gates from their wire form."""
    return tuple(Gate.model_validate(item) for item in items)


def path_of(document: StoredDocument | str) -> Path:
    """The file behind a file:// URI."""
    uri = document if isinstance(document, str) else document.uri
    return Path(uri.removeprefix("file://"))


def files_below(directory: Path) -> Sequence[str]:
    """All files below a directory, by their paths."""
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())
