"""How large slices are, in a version's record."""

from pathlib import Path

import duckdb
import pyarrow.compute as pc

from tests.unit.steps.datadocs.test_timeline import SCHEMA
from tests.unit.steps.small import NOW, Place, spec, table
from tidemill.api.v1alpha1.datasetversion import SliceReport
from tidemill.steps.schema import ColumnType
from tidemill.steps.slicing import report_slices
from tidemill.steps.windows import find_window, label_rule, naive


def test_slices_are_counted_with_their_label_balance(stocked: Place) -> None:
    wanted = spec(
        stocked.uri,
        slices=[
            {"name": "west", "where": "place = 'west'"},
            {"name": "nowhere", "where": "grade > 99"},
        ],
    )

    west, nowhere = stocked.snapshot(wanted).slices

    inside = table().filter(pc.equal(table()["place"], "west"))
    assert (west.name, west.rows, west.labelled_rows) == ("west", len(inside), len(inside))
    assert west.positive_rows == pc.sum(inside["late"]).as_py()
    assert (nowhere.name, nowhere.rows, nowhere.positive_rows) == ("nowhere", 0, 0)


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

    found = report_slices(connection, "rows", wanted, rule, SCHEMA, window)

    west = rows.filter(pc.equal(rows["place"], "west"))
    late = pc.sum(west["late"]).as_py()
    assert found == (
        SliceReport(name="west", rows=len(west), labelled_rows=len(west), positive_rows=late),
        SliceReport(name="none", rows=0, labelled_rows=0, positive_rows=0),
    )


def test_without_slices_nothing_is_scanned(tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.register("rows", table())
    wanted = spec(f"file://{tmp_path}/*", slices=[])
    rule = label_rule(connection, "rows", wanted, ColumnType.BOOLEAN)
    window = find_window(connection, "rows", wanted, rule, now=naive(NOW), schema=SCHEMA).window

    assert report_slices(connection, "no such table", wanted, rule, SCHEMA, window) == ()
