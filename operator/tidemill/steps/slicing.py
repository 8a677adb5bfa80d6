"""How large a version's slices are, and how their labels are balanced."""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

import duckdb

from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import DataWindow, SliceReport
from tidemill.steps.engine import one
from tidemill.steps.failures import StepError
from tidemill.steps.predicates import parse
from tidemill.steps.schema import Schema
from tidemill.steps.windows import LabelRule, Portion, where_portion


def report_slices(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    spec: DatasetSpec,
    rule: LabelRule,
    schema: Schema,
    window: DataWindow,
) -> tuple[SliceReport, ...]:
    """Rows and label balance of each slice of a table (SQL), in one scan. NULL is false: a row
    whose condition is unknown is in no slice. A slice on columns that these data lack is left out:
    that they lack them is a violation already.
    """
    final = f"({rule.sql}) IS NOT NULL AND {where_portion(spec, window, schema, Portion.ALL)}"
    names, asked = [], []
    for item in spec.slices:
        try:
            inside = f"COALESCE({parse(item, schema).sql}, FALSE)"
        except StepError:
            continue  # the schema's anchor has the column, and the missing one is a violation
        names.append(item.name)
        asked += [
            f"count(*) FILTER ({inside})",
            f"count(*) FILTER ({inside} AND {final})",
            f"COALESCE(sum({rule.sql}) FILTER ({inside} AND {final}), 0)",
        ]
    if not asked:
        return ()
    counts = [int(count) for count in one(connection, f"SELECT {', '.join(asked)} FROM {table}")]
    threes = zip(counts[::3], counts[1::3], counts[2::3], strict=True)
    return tuple(
        SliceReport(name=name, rows=rows, labelled_rows=labelled, positive_rows=positive)
        for name, (rows, labelled, positive) in zip(names, threes, strict=True)
    )
