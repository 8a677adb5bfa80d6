"""spec.prepare: one SELECT of the user's over the rows that were read, in a sandbox.

`source` holds the source's rows as parts hold them: six types, times in UTC without a zone. A
query in which every row goes its own way (no aggregate, window, join, order or subquery) is run
on each object apart, so that versions go on sharing the parts of objects that did not change; any
other is run on all of them at once and makes one part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import ReadRows
from tidemill.api.v1alpha1.datasource import SqlMode
from tidemill.steps import sandbox
from tidemill.steps.cuts import Kept
from tidemill.steps.failures import StepError
from tidemill.steps.parts import LocalPart, RawObject, inspect, opinions, write_part
from tidemill.steps.schema import merge
from tidemill.steps.selects import check_select

WHERE = "prepare.select"
MOST_SECONDS = 900.0
"""How long a query may take, for all objects together."""
MOST_TIMES_LARGER = 50
LEAST_ALLOWED_BYTES = 1 << 30
"""What a query writes may be as large as this, or as many times what it read."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a query has made of the rows that were read."""

    raw: list[RawObject]
    rows_in: int | None = None
    """How many rows went in; None: nothing was prepared."""
    rows_out: int = 0
    """How many came out."""

    def counted(self, written: Sequence[LocalPart], kept: Kept) -> ReadRows:
        """What became of all rows, with what was written of them and kept of that."""
        rows = sum(part.rows for part in written)
        return ReadRows(
            read=rows if self.rows_in is None else rows - self.rows_out + self.rows_in,
            prepared=None if self.rows_in is None else rows,
            excluded=kept.excluded,
            outside_window=kept.outside_window,
        )


def prepare(
    connection: duckdb.DuckDBPyConnection,
    raw: Sequence[RawObject],
    spec: DatasetSpec,
    scratch: Path,
) -> Prepared:
    """Run spec.prepare on raw objects, which it uses up. Without one they stay as they are.

    Raises InvalidSelect, or PrepareFailed for a query that may run and does not come to an end.
    """
    if spec.prepare is None:
        return Prepared(list(raw))
    schema = merge(opinions(connection, raw, None), None)
    select = check_select(connection, spec.prepare.select, frozenset(schema), WHERE)
    sql = spec.source.sql
    if sql is not None and sql.mode is not SqlMode.FULL and not select.row_wise:
        said = f"{WHERE}: with source.sql.mode {sql.mode} each row has to go its own way; leave out"
        said = f"{said} aggregates, windows, joins, subqueries and order, or set mode: Full"
        raise StepError("InvalidSelect", said)
    parts = [write_part(connection, item, schema, scratch) for item in raw]
    inputs = [[part] for part in parts] if select.row_wise else [parts]
    names = [item.name for item in raw] if select.row_wise else ["all objects together"]
    tasks = [
        sandbox.Task([str(part.file) for part in group], str(scratch / f"prepared-{place}.parquet"))
        for place, group in enumerate(inputs)
    ]
    spill = str(scratch / "prepare-spill")
    work = sandbox.Work(select.sql, list(schema), tasks, spill, sandbox.memory_for_query())
    size = sum(part.file.stat().st_size for part in parts)
    most = max(LEAST_ALLOWED_BYTES, MOST_TIMES_LARGER * size)
    trouble = sandbox.run(work, MOST_SECONDS, most)
    if trouble is not None:
        shows = not spec.columns.sensitive
        raise StepError("PrepareFailed", f"{WHERE} {_told(trouble, shows=shows)}; change it")
    for part in parts:
        part.file.unlink()
    advice = f"change {WHERE}"
    made = [
        inspect(connection, name, Path(task.target), advice)
        for name, task in zip(names, tasks, strict=True)
    ]
    rows_out = sum(pq.read_metadata(task.target).num_rows for task in tasks)
    return Prepared(made, sum(part.rows for part in parts), rows_out)


def _told(trouble: sandbox.Trouble, *, shows: bool) -> str:
    """What is wrong; without DuckDB's words where they may hold a sensitive value."""
    if trouble.kind in ("TimeOver", "TooLarge"):
        return trouble.said
    if trouble.kind == "OutOfMemory":
        return "needs more memory than resources.memory leaves it"
    if not shows and trouble.kind not in ("Binder", "Catalog"):
        return f"fails ({trouble.kind} error; its words may hold sensitive values)"
    return f"fails: {trouble.said}"
