"""Eight rows, and one expectation asked of them."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from tidemill.api.v1alpha1.datacontract import Expectation
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.steps.engine import connect
from tidemill.steps.expectations import Scene, check
from tidemill.steps.schema import ColumnType, Schema

NOW = datetime(2013, 7, 1)
SCHEMA: Schema = {
    "hour": ColumnType.INTEGER,
    "temp": ColumnType.NUMBER,
    "carrier": ColumnType.STRING,
    "flag": ColumnType.BOOLEAN,
    "at": ColumnType.TIMESTAMP,
    "day": ColumnType.DATE,
    "code": ColumnType.STRING,
}
ROWS = pa.table(
    {
        "hour": [5, 6, 7, 24, 25, -1, None, 5],
        "temp": [1.0, 2.5, None, None, 4.0, 5.0, 6.0, 7.0],
        "carrier": ["UA", "UA", "B6", "??", "??", "XX", None, "B6"],
        "flag": [True, False, None, True, True, True, True, True],
        "at": pa.array(
            [datetime(2013, 6, 30, hour) for hour in range(8)], pa.timestamp("us")
        ),
        "day": pa.array([datetime(2013, 6, 30)] * 8).cast(pa.date32()),
        "code": ["1", "2.5", "-3e2", "four", "", None, "2013-06-30", "true"],
    }
)  # fmt: skip

Broken = tuple[str, str] | None
Case = tuple[dict[str, Any], Broken]


def asked(
    tmp_path: Path, *bodies: dict[str, Any], rows: pa.Table = ROWS, **scene: Any
) -> tuple[Violation, ...]:
    """What some expectations find, named r0, r1 and so on, all of severity Warn."""
    items = [
        Expectation.model_validate({"name": f"r{place}", "severity": "Warn", **body})
        for place, body in enumerate(bodies)
    ]
    with connect(tmp_path) as connection:
        connection.register("given", rows)
        whole: dict[str, Any] = {"schema": SCHEMA, "now": NOW, **scene}
        return check(connection, "given", items, Scene(**whole))


def expect(tmp_path: Path, body: dict[str, Any], wanted: Broken, **scene: Any) -> None:
    """An expectation is kept, or broken for this reason and in these words."""
    found = asked(tmp_path, body, **scene)

    assert [(item.reason, item.message) for item in found] == ([] if wanted is None else [wanted])
    for item in found:
        assert (item.name, item.rule, item.severity) == ("r0", body["type"], "Warn")
        assert item.column == body.get("column", ", ".join(body.get("columns", ())))
