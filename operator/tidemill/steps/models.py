"""Gradient boosting inside a scikit-learn pipeline, and the same as one ONNX graph.

The pipeline imputes the median for a missing number and spreads each category's frequent values
over columns of 0 and 1; rare, unknown and missing ones are all 0. It is fitted on one row that
carries the medians, with the categories given, so that its state is known without holding all
rows as one mixed array; training uses its two halves on numbers and texts apart.

The graph takes float32. LightGBM's thresholds are doubles that lie between two float32 values,
and rounding one to the nearest float32 may carry it past a value: measured, a column of whole
numbers near 1.3e9 lost 0.3 in probability. So each is first brought down to the greatest float32
below it, which decides alike for every float32.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import lightgbm
import numpy as np
import scipy.sparse
from lightgbm import LGBMClassifier
from numpy.typing import NDArray
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from tidemill.api.documents.bundle import Feature
from tidemill.api.documents.profile import ValueType
from tidemill.steps.failures import StepError
from tidemill.steps.metrics import Floats, Labels
from tidemill.steps.onnxmodel import OnnxModel
from tidemill.steps.tables import MISSING_TEXT, Rows

ALGORITHM = "LightGBM"
PARITY = 1e-4
PARITY_ROWS = 10_000

_MOST_CATEGORIES = 100
_LEAST_ROWS = 10
_OPSET = {"": 17, "ai.onnx.ml": 3}
_UNKNOWN = "a value that no row has"

Matrix: TypeAlias = Any
"""A dense array of float32, or a sparse one in rows."""
Parameters = dict[str, int | float]

update_registered_converter(
    LGBMClassifier,
    "LightGbmLGBMClassifier",
    calculate_linear_classifier_output_shapes,
    convert_lightgbm,
    options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
)


@dataclass(frozen=True, slots=True)
class Preparation:
    """The fitted columns of a pipeline."""

    features: tuple[Feature, ...]
    columns: ColumnTransformer

    def matrix(self, rows: Rows) -> Matrix:
        """What the boosting learns from."""
        halves = self.columns.named_transformers_
        # Whether all numbers are finite is asked of their sum, which large ones overflow.
        with np.errstate(over="ignore", invalid="ignore"):
            numbers = halves["numbers"].transform(rows.numbers) if "numbers" in halves else None
        texts = halves["texts"].transform(rows.texts) if "texts" in halves else None
        if texts is None:
            return np.ascontiguousarray(numbers, dtype=np.float32)
        if numbers is None:
            return texts.tocsr()
        return scipy.sparse.hstack([scipy.sparse.csr_matrix(numbers), texts], format="csr")


def prepare(rows: Rows) -> Preparation:
    """Fit imputation and categories on some rows."""
    kinds = [item.type for item in rows.features]
    number_places = [place for place, kind in enumerate(kinds) if kind is ValueType.NUMBER]
    text_places = [place for place, kind in enumerate(kinds) if kind is ValueType.CATEGORY]
    medians = [_median(rows.numbers[:, place]) for place in range(rows.numbers.shape[1])]
    frequent = [_frequent(rows.texts[:, place]) for place in range(rows.texts.shape[1])]
    halves: list[tuple[str, Any, list[int]]] = []
    if number_places:
        imputer = SimpleImputer(strategy="median", keep_empty_features=True)
        halves.append(("numbers", imputer, number_places))
    if text_places:
        encoder = OneHotEncoder(categories=frequent, handle_unknown="ignore", dtype=np.float32)
        halves.append(("texts", encoder, text_places))
    columns = ColumnTransformer(halves, sparse_threshold=1.0)
    row = np.empty((1, len(kinds)), dtype=np.object_)
    row[0, number_places] = medians
    row[0, text_places] = [values[0] for values in frequent]
    columns.fit(row)
    return Preparation(rows.features, columns)


def _median(values: NDArray[np.float32]) -> float:
    known = values[~np.isnan(values)]
    # In doubles, for two large numbers have no mean in float32.
    return float(np.float32(np.median(known.astype(np.float64)))) if len(known) else 0.0


def _frequent(values: NDArray[np.object_]) -> NDArray[np.object_]:
    """The most frequent values, at least one."""
    counts = Counter(values.tolist())
    counts.pop(MISSING_TEXT, None)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = [value for value, count in ranked[:_MOST_CATEGORIES] if count >= _LEAST_ROWS]
    found = kept or [value for value, _ in ranked[:1]] or [MISSING_TEXT]
    return np.array(found, dtype=np.object_)


def fit(
    matrix: Matrix,
    labels: Labels,
    parameters: Parameters,
    seed: int,
    validation: tuple[Matrix, Labels] | None = None,
    patience: int = 30,
    weights: tuple[Floats | None, Floats | None] = (None, None),
) -> LGBMClassifier:
    """Fit one boosting; with validation rows it stops `patience` rounds after their loss was
    least. One thread and a seed: the same data give the same model. `weights` are how much the
    rows to learn from, and those to stop by, count.
    """
    settings: dict[str, Any] = {
        **parameters,
        "random_state": seed,
        "n_jobs": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    model = LGBMClassifier(**settings)
    if validation is None:
        model.fit(matrix, labels, sample_weight=weights[0])
        return model
    stop = lightgbm.early_stopping(patience, verbose=False)
    unseen, truth = validation
    model.fit(
        matrix,
        labels,
        sample_weight=weights[0],
        eval_X=unseen,
        eval_y=truth,
        eval_sample_weight=None if weights[1] is None else [weights[1]],
        eval_metric="binary_logloss",
        callbacks=[stop],
    )
    return model


def probabilities_of(model: LGBMClassifier, matrix: Matrix) -> Floats:
    """The probability of yes for every row of a matrix."""
    found: Floats = np.asarray(model.predict_proba(matrix))[:, 1]
    return found


def trees_of(model: LGBMClassifier) -> int:
    """How many trees a fitted boosting uses."""
    return int(model.best_iteration_ or model.n_estimators)


def _floor32(threshold: float) -> float:
    near = np.float32(threshold)
    return float(np.nextafter(near, np.float32(-np.inf)) if float(near) > threshold else near)


def _with_float32_thresholds(model: LGBMClassifier) -> LGBMClassifier:
    """The same model for float32 values, with thresholds that a float32 can hold."""

    def lowered(line: re.Match[str]) -> str:
        return "threshold=" + " ".join(repr(_floor32(float(word))) for word in line[1].split())

    written = model.booster_.model_to_string()
    written = re.sub(r"^threshold=(.*)$", lowered, written, flags=re.MULTILINE)
    # The header's sizes no longer hold; without them the trees are found by reading.
    written = re.sub(r"^tree_sizes=.*\n", "", written, flags=re.MULTILINE)
    # LightGBM has no public way to put a booster into its scikit-learn model.
    model._Booster = lightgbm.Booster(model_str=written)
    return model


@dataclass(frozen=True, slots=True)
class Exported:
    """A fitted pipeline as ONNX, proven to answer alike."""

    onnx: OnnxModel
    parity: float
    """The largest difference of a probability on the rows it was tried with."""


def export(preparation: Preparation, model: LGBMClassifier, rows: Rows) -> Exported:
    """Write the pipeline as an ONNX graph and compare both on up to 10,000 of the rows, and on
    one where everything is missing and one where every category is unknown. Raises ParityFailed.
    """
    pipeline = Pipeline(
        [("columns", preparation.columns), ("model", _with_float32_thresholds(model))]
    )
    inputs = [
        (
            f"input{place}",
            FloatTensorType([None, 1])
            if item.type is ValueType.NUMBER
            else StringTensorType([None, 1]),
        )
        for place, item in enumerate(preparation.features)
    ]
    options = {id(model): {"zipmap": False}}
    graph = convert_sklearn(pipeline, "tidemill", inputs, options=options, target_opset=_OPSET)
    onnx = OnnxModel.from_graph(graph, preparation.features)
    sample = _sample(rows)
    expected: Floats = np.asarray(pipeline.predict_proba(_mixed(sample)))[:, 1]
    parity = float(np.abs(expected - onnx.probabilities(sample)).max())
    if not parity < PARITY:
        said = f"the ONNX graph differs from the trained model by {parity:.3g} in probability, on"
        said = (
            f"{said} {len(sample):,} rows; at most {PARITY:g} is allowed. Leave out columns whose"
        )
        raise StepError("ParityFailed", f"{said} numbers are too large for float32")
    return Exported(onnx, parity)


def _sample(rows: Rows) -> Rows:
    """Rows spread evenly over all, and the two strangest ones there can be."""
    step = max(1, -(-len(rows) // PARITY_ROWS))
    some = rows.take(np.arange(0, len(rows), step, dtype=np.int64))
    width, depth = rows.texts.shape[1], rows.numbers.shape[1]
    strange = np.array([[MISSING_TEXT] * width, [_UNKNOWN] * width], dtype=np.object_)
    return Rows(
        rows.features,
        np.concatenate([some.numbers, np.full((2, depth), np.nan, dtype=np.float32)]),
        np.concatenate([some.texts, strange.reshape(2, width)]),
        np.concatenate([some.labels, np.zeros(2, dtype=np.int8)]),
        np.concatenate([some.seconds, np.zeros(2)]),
        {},
    )


def _mixed(rows: Rows) -> NDArray[np.object_]:
    """Rows as one array of numbers and texts, in the order of the features."""
    mixed = np.empty((len(rows), len(rows.features)), dtype=np.object_)
    for place, item in enumerate(rows.features):
        mixed[:, place] = rows.column(item.name)
    return mixed


def as_text(parameters: Parameters) -> dict[str, str]:
    """Parameters as a record keeps them."""
    return {name: f"{value:g}" for name, value in sorted(parameters.items())}


def from_text(parameters: dict[str, str], known: Sequence[str]) -> Parameters:
    """Parameters as they were recorded: whole numbers where they look so."""
    read: Parameters = {}
    for name in known:
        number = float(parameters[name])
        read[name] = int(number) if number.is_integer() else number
    return read
