"""A version's rows as arrays."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tests.unit.steps.small import spec
from tidemill.api.documents.bundle import Feature
from tidemill.api.documents.profile import ValueType
from tidemill.api.v1alpha1.datacolumns import Slice
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps.engine import connect
from tidemill.steps.predicates import parse
from tidemill.steps.schema import ColumnType
from tidemill.steps.tables import features_of, load, newest, oldest
from tidemill.steps.windows import label_rule

SCHEMA = {
    "id": ColumnType.STRING,
    "at": ColumnType.TIMESTAMP,
    "load": ColumnType.NUMBER,
    "place": ColumnType.STRING,
    "grade": ColumnType.INTEGER,
    "note": ColumnType.STRING,
    "late": ColumnType.BOOLEAN,
}
START = datetime(2026, 1, 1)
ROWS = pa.table(
    {
        "id": ["a", "b", "c", "d", "e"],
        "at": pa.array([START + timedelta(days=n) for n in range(5)], pa.timestamp("us")),
        "load": [1.5, None, 1e300, -2.0, 4.0],
        "place": ["west", None, "", "north", "west"],
        "grade": [1, 2, None, 4, 5],
        "note": ["x"] * 5,
        "late": [True, False, None, True, False],
    }
)
SPEC = spec("s3://b/*")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the rows."""
    with connect(tmp_path) as opened:
        opened.register("given", ROWS)
        yield opened


def test_rows_are_numbers_texts_and_labels(connection: duckdb.DuckDBPyConnection) -> None:
    rule = label_rule(connection, "given", SPEC, ColumnType.BOOLEAN)
    slices = [parse(Slice(name="west", where="place = 'west'"), SCHEMA)]
    features = features_of(SPEC, SCHEMA)

    rows = load(connection, "given", SPEC, rule, features, "TRUE", slices)

    assert [item.name for item in rows.features] == ["load", "place", "grade"]
    # The row without a label is not there; what float32 cannot hold is missing.
    assert rows.labels.tolist() == [1, 0, 1, 0]
    assert np.nan_to_num(rows.numbers, nan=-99).tolist() == [[1.5, 1], [-99, 2], [-2, 4], [4, 5]]
    assert rows.texts.tolist() == [["west"], [""], ["north"], ["west"]]
    assert rows.slices["west"].tolist() == [True, False, False, True]
    assert rows.column("grade").tolist() == [1, 2, 4, 5]
    assert rows.column("place").tolist() == ["west", "", "north", "west"]
    assert (oldest(rows), newest(rows)) == (START, START + timedelta(days=4))
    assert rows.take(np.array([3, 0])).texts.tolist() == [["west"], ["west"]]


def test_features_in_the_order_of_the_spec_else_of_their_names() -> None:
    body = SPEC.to_wire()
    del body["columns"]["features"]
    unlisted = DatasetSpec.model_validate(body)

    assert features_of(SPEC, SCHEMA) == (
        Feature(name="load", type=ValueType.NUMBER),
        Feature(name="place", type=ValueType.CATEGORY),
        Feature(name="grade", type=ValueType.NUMBER),
    )
    assert [item.name for item in features_of(unlisted, SCHEMA)] == ["grade", "load", "place"]
