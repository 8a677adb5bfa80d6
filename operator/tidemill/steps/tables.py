"""A version's rows as arrays: numbers as float32, text as text, the label as 1 and 0.

All rows that are asked for are held in memory: 4 bytes a number, 8 a text.
"""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tidemill.api.documents.bundle import Feature
from tidemill.api.documents.profile import ValueType
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps.engine import quoted
from tidemill.steps.metrics import Floats, Labels
from tidemill.steps.predicates import Predicate
from tidemill.steps.schema import ColumnType, Role, Schema, describe, value_type
from tidemill.steps.windows import LabelRule

MISSING_TEXT = ""
_LABEL, _TIME, _WEIGHT = "label as 1 and 0", "event time in seconds", "weight of the row"


@dataclass(frozen=True, slots=True)
class Rows:
    """Some labelled rows."""

    features: tuple[Feature, ...]
    numbers: NDArray[np.float32]
    """One line per row, one column per Number, in the order of the features; NaN is missing."""
    texts: NDArray[np.object_]
    """One line per row, one column per Category, in the order of the features; "" is missing."""
    labels: Labels
    seconds: NDArray[np.float64]
    """Event times, in seconds since 1970."""
    slices: dict[str, NDArray[np.bool_]]
    """Slice -> which rows are in it."""
    weights: Floats | None = None
    """How much each row counts; None: all alike."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, places: NDArray[np.int64]) -> "Rows":
        """Some of the rows, in the given order."""
        return Rows(
            self.features,
            self.numbers[places],
            self.texts[places],
            self.labels[places],
            self.seconds[places],
            {name: inside[places] for name, inside in self.slices.items()},
            None if self.weights is None else self.weights[places],
        )

    @property
    def positive_share(self) -> float:
        """The share of the positive class, by weight."""
        return float(np.average(self.labels, weights=self.weights))

    def column(self, name: str) -> NDArray[Any]:
        """One feature's values."""
        place = next(place for place, item in enumerate(self.features) if item.name == name)
        kind = self.features[place].type
        index = sum(1 for item in self.features[:place] if item.type is kind)
        found: NDArray[Any] = (self.numbers if kind is ValueType.NUMBER else self.texts)[:, index]
        return found


def features_of(spec: DatasetSpec, schema: Schema) -> tuple[Feature, ...]:
    """The features, in the order the spec lists them, else in that of their names."""
    named = {
        column.name: value_type(ColumnType(column.type))
        for column in describe(spec, schema)
        if column.role == Role.FEATURE
    }
    order = [name for name in spec.columns.features if name in named] or sorted(named)
    return tuple(Feature(name=name, type=kind) for name in order if (kind := named[name]))


def load(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    spec: DatasetSpec,
    rule: LabelRule,
    features: Sequence[Feature],
    where: str,
    slices: Sequence[Predicate] = (),
) -> Rows:
    """Read the labelled rows of a table (SQL) that a condition (SQL) holds for."""
    moment = quoted(spec.columns.event_time)
    columns = [f"{rule.sql} AS {quoted(_LABEL)}", f"epoch({moment}) AS {quoted(_TIME)}"]
    columns += [
        f"TRY_CAST({quoted(item.name)} AS FLOAT) AS {quoted(f'feature {place}')}"
        if item.type is ValueType.NUMBER
        else f"COALESCE({quoted(item.name)}, '') AS {quoted(f'feature {place}')}"
        for place, item in enumerate(features)
    ]
    weight = spec.columns.weight
    if weight is not None:
        columns.append(f"COALESCE(greatest({quoted(weight)}, 0), 0) AS {quoted(_WEIGHT)}")
    columns += [f"COALESCE({item.sql}, FALSE) AS {quoted(f'slice {item.name}')}" for item in slices]
    query = f"SELECT {', '.join(columns)} FROM {table} WHERE {where}"
    query = f"SELECT * FROM ({query}) WHERE {quoted(_LABEL)} IS NOT NULL"
    found: pa.Table = connection.sql(query).to_arrow_table()
    texts = [
        _text(found[f"feature {place}"])
        for place, item in enumerate(features)
        if item.type is ValueType.CATEGORY
    ]
    numbers = [
        _number(found[f"feature {place}"])
        for place, item in enumerate(features)
        if item.type is ValueType.NUMBER
    ]
    return Rows(
        features=tuple(features),
        numbers=_stacked(numbers, len(found), np.float32),
        texts=_stacked(texts, len(found), np.object_),
        labels=found[_LABEL].to_numpy().astype(np.int8),
        seconds=found[_TIME].to_numpy().astype(np.float64),
        slices={item.name: found[f"slice {item.name}"].to_numpy() for item in slices},
        weights=None if weight is None else found[_WEIGHT].to_numpy().astype(np.float64),
    )


def _stacked(columns: list[NDArray[Any]], rows: int, kind: Any) -> NDArray[Any]:
    if not columns:
        return np.empty((rows, 0), dtype=kind)
    return np.stack(columns, axis=1).astype(kind, copy=False)


def _number(column: pa.ChunkedArray) -> NDArray[np.float32]:
    values: NDArray[np.float32] = column.to_numpy().astype(np.float32)
    # A model's input has no infinity; the greatest number falls on the same side of every split.
    greatest = np.finfo(np.float32).max
    return np.clip(values, -greatest, greatest)


def _text(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Texts that share one object per different value."""
    encoded = column.combine_chunks().dictionary_encode()
    values: NDArray[np.object_] = encoded.dictionary.to_numpy(zero_copy_only=False)
    if len(values) == 0:
        return np.empty(len(encoded), dtype=np.object_)
    found: NDArray[np.object_] = values.astype(np.object_)[encoded.indices.to_numpy()]
    return found


def newest(rows: Rows) -> datetime:
    """The newest event time of some rows."""
    return _moment(float(rows.seconds.max()))


def oldest(rows: Rows) -> datetime:
    """The oldest event time of some rows."""
    return _moment(float(rows.seconds.min()))


def _moment(seconds: float) -> datetime:
    moment: datetime = np.datetime64(round(seconds * 1e6), "us").astype(datetime)
    return moment
