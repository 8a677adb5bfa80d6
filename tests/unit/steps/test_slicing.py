"""How large slices are, in a version's record."""

import pyarrow.compute as pc

from tests.unit.steps.small import Place, spec, table


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
