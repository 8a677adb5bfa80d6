"""How large a version's slices are, for its record."""

import duckdb

from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import DataWindow, SliceReport
from tidemill.steps.datadocs.slices import count_slices
from tidemill.steps.schema import Schema
from tidemill.steps.windows import LabelRule


def report_slices(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    spec: DatasetSpec,
    rule: LabelRule,
    schema: Schema,
    window: DataWindow,
) -> tuple[SliceReport, ...]:
    """Rows and label balance of each slice of a table (SQL). A slice on columns that these data
    lack is left out: that they lack them is a violation already.
    """
    found = count_slices(connection, table, spec, rule, schema, window)
    return tuple(
        SliceReport(
            name=name,
            rows=counts.rows,
            labelled_rows=counts.labelled,
            positive_rows=counts.positive,
        )
        for name, counts in found.items()
    )
