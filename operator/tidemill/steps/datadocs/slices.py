"""How many rows each slice of a version has, and how its labels are balanced."""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

from dataclasses import dataclass

import duckdb

from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import DataWindow
from tidemill.steps.engine import one
from tidemill.steps.failures import StepError
from tidemill.steps.predicates import parse
from tidemill.steps.schema import Schema
from tidemill.steps.windows import LabelRule, Portion, where_portion


@dataclass(frozen=True, slots=True)
class SliceRows:
    """One slice's rows. NULL is false: a row whose condition is unknown is not in it."""

    rows: int
    labelled: int
    """Rows with a final label."""
    positive: int


def count_slices(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    spec: DatasetSpec,
    rule: LabelRule,
    schema: Schema,
    window: DataWindow,
) -> dict[str, SliceRows]:
    """Slice -> rows, in one scan. A slice on columns these data lack is left out."""
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
        return {}
    counts = [int(count) for count in one(connection, f"SELECT {', '.join(asked)} FROM {table}")]
    return {name: SliceRows(*counts[3 * place : 3 * place + 3]) for place, name in enumerate(names)}
