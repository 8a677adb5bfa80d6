"""`slices`: rows and labels of the named parts, as the data hold them."""

from pathlib import Path

import duckdb
import pyarrow.compute as pc

from tests.unit.steps.datadocs.test_timeline import SCHEMA
from tests.unit.steps.small import NOW, spec, table
from tidemill.steps.datadocs.slices import SliceRows, count_slices
from tidemill.steps.schema import ColumnType
from tidemill.steps.windows import find_window, label_rule, naive


def test_slices_are_counted(tmp_path: Path) -> None:
    connection, rows = duckdb.connect(), table()
    connection.register("rows", rows)
    slices = [
        {"name": "west", "where": "place = 'west'"},
        {"name": "none", "where": "grade > 9"},
        {"name": "gone", "where": "absent = 1"},
    ]
    wanted = spec(f"file://{tmp_path}/*", slices=slices)
    rule = label_rule(connection, "rows", wanted, ColumnType.BOOLEAN)
    window = find_window(connection, "rows", wanted, rule, now=naive(NOW), schema=SCHEMA).window

    found = count_slices(connection, "rows", wanted, rule, SCHEMA, window)

    west = rows.filter(pc.equal(rows["place"], "west"))
    late = pc.sum(west["late"]).as_py()
    assert found == {
        "west": SliceRows(len(west), len(west), late),
        "none": SliceRows(0, 0, 0),
    }


def test_without_slices_nothing_is_scanned(tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.register("rows", table())
    wanted = spec(f"file://{tmp_path}/*", slices=[])
    rule = label_rule(connection, "rows", wanted, ColumnType.BOOLEAN)
    window = find_window(connection, "rows", wanted, rule, now=naive(NOW), schema=SCHEMA).window

    assert count_slices(connection, "no such table", wanted, rule, SCHEMA, window) == {}
