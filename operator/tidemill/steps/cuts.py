"""Rows that are left out by their event time: excluded stretches, and what is too old.

A part that loses nothing stays the file it is, so that versions go on sharing it; one that loses
some of its rows is written anew without them, and one that loses all of them is no part.
"""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps.engine import one, quoted
from tidemill.steps.failures import StepError
from tidemill.steps.parts import LocalPart, copy_part, scan_parts
from tidemill.steps.windows import naive, timestamp


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of parts, and how many rows went."""

    parts: list[LocalPart]
    excluded: int = 0
    outside_window: int = 0


def cut(
    connection: duckdb.DuckDBPyConnection,
    parts: Sequence[LocalPart],
    spec: DatasetSpec,
    now: datetime,
    scratch: Path,
) -> Kept:
    """Leave out the rows that spec.exclude and spec.window say. Raises EmptyVersion."""
    if not spec.exclude and spec.window is None:
        return Kept(list(parts))
    table = scan_parts([part.file for part in parts])
    excluded = _excluded(spec)
    outside = _outside(connection, table, spec, excluded, now)
    kept: list[LocalPart] = []
    gone = [0, 0]
    for place, part in enumerate(parts):
        source = scan_parts([part.file])
        counts = f"count(*) FILTER ({excluded}), count(*) FILTER (NOT ({excluded}) AND {outside})"
        found = one(connection, f"SELECT {counts} FROM {source}")
        gone = [gone[0] + found[0], gone[1] + found[1]]
        if sum(found) == part.rows and part.rows:
            continue
        if sum(found) == 0:
            kept.append(part)
            continue
        rest = f"SELECT * FROM {source} WHERE NOT (({excluded}) OR {outside})"
        kept.append(copy_part(connection, rest, scratch / f"cut-{place}.part"))
    if not any(part.rows for part in kept):
        said = f"all {sum(gone):,} rows are left out, {gone[0]:,} by spec.exclude and {gone[1]:,}"
        raise StepError("EmptyVersion", f"{said} by spec.window; leave out less")
    return Kept(kept, gone[0], gone[1])


def _excluded(spec: DatasetSpec) -> str:
    """SQL: whether a row falls into an excluded stretch; never NULL."""
    moment = quoted(spec.columns.event_time)
    stretches = " OR ".join(
        f"({moment} >= {timestamp(naive(item.from_))} AND {moment} < {timestamp(naive(item.to))})"
        for item in spec.exclude
    )
    return f"COALESCE({stretches}, FALSE)" if stretches else "FALSE"


def _outside(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    spec: DatasetSpec,
    excluded: str,
    now: datetime,
) -> str:
    """SQL: whether a row is too old, counted from the newest one up to `now`; never NULL."""
    if spec.window is None:
        return "FALSE"
    moment = quoted(spec.columns.event_time)
    known = f"{moment} <= {timestamp(now)} AND NOT ({excluded})"
    (newest,) = one(connection, f"SELECT max({moment}) FROM {table} WHERE {known}")
    if newest is None:
        return f"({moment} IS NULL)"
    oldest = newest - timedelta(seconds=spec.window.last_seconds)
    return f"COALESCE({moment} <= {timestamp(oldest)}, TRUE)"
