"""`compare`: how a schema differs from the frozen one, with the values that made a difference."""

from pathlib import Path

import pyarrow as pa

from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.steps.engine import connect
from tidemill.steps.expectations import compare
from tidemill.steps.schema import ColumnType, Schema

ROWS = pa.table({"hour": ["5", "6", "noon", "noon", None, "7.5"], "gate": list("abcdef")})
NOW: Schema = {"hour": ColumnType.STRING, "gate": ColumnType.STRING}
THEN: Schema = {"hour": ColumnType.INTEGER, "temp": ColumnType.NUMBER}


def compared(tmp_path: Path, evolution: str, *sensitive: str) -> tuple[Violation, ...]:
    with connect(tmp_path) as connection:
        connection.register("given", ROWS)
        return compare(connection, "given", NOW, THEN, evolution, set(sensitive), 6)


def test_what_went_and_what_changed_are_told(tmp_path: Path) -> None:
    gone, changed = compared(tmp_path, "Additive")

    assert (gone.reason, gone.message, gone.check) == (
        "MissingColumn",
        "temp: expected Number, observed no such column",
        "missing_column_check",
    )
    assert (changed.reason, changed.message, changed.check) == (
        "TypeChanged",
        "hour: expected Integer, observed String; broken by 2 of 6 rows (33.3 %), such as 'noon'",
        "data_type_check",
    )
    assert (changed.count, changed.share, changed.examples) == (2, "0.333333333", ("noon",))
    assert {(item.name, item.rule, item.severity) for item in (gone, changed)} == {
        ("Schema", "Schema", "Fail")
    }


def test_what_came_is_told_where_nothing_may(tmp_path: Path) -> None:
    *_, came = compared(tmp_path, "None")

    assert (came.reason, came.message, came.check) == (
        "ExtraColumn",
        "gate: expected no such column, as contract.schema.evolution is None, observed String",
        "extra_column_check",
    )


def test_values_of_a_sensitive_column_are_not_shown(tmp_path: Path) -> None:
    _, changed = compared(tmp_path, "Additive", "hour")

    assert (changed.count, changed.examples) == (2, ())
    assert "noon" not in changed.message
