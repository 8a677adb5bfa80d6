"""A version that grows from the one before: its parts, and what was read since.

Append adds rows; Upsert lets rows replace those of equal key, in old parts and among the new. A
part that keeps its rows and its types stays as it is, so that versions share it.
"""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

import logging
from collections.abc import Sequence
from pathlib import Path

import duckdb

from tidemill.api.documents.arguments import Known
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps.engine import one, quoted
from tidemill.steps.failures import StepError
from tidemill.steps.objects import Store
from tidemill.steps.parts import (
    LocalPart,
    RawObject,
    copy_part,
    fetch_parts,
    inspect,
    read_manifest,
    scan_parts,
    write_part,
)
from tidemill.steps.schema import Schema, type_of
from tidemill.steps.sources.reading import Reading

logger = logging.getLogger(__name__)

MOST_PARTS = 64
_SMALL = 1_000_000
"""Parts of fewer rows are put together once there are too many."""


class OutgrownError(Exception):
    """Rows have gone at the source: what was read does not make a version with those before."""


def fetch_base(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    read: Reading,
    previous: Known | None,
    scratch: Path,
) -> list[RawObject]:
    """The parts that what was read is added to; none if it is the whole."""
    if not read.adds or previous is None:
        return []
    folder = scratch / "before"
    folder.mkdir(exist_ok=True)
    files = fetch_parts(store, read_manifest(store, previous.manifest).parts, folder)
    return [inspect(connection, f"a part of {previous.name}", file) for file in files]


def grow(
    connection: duckdb.DuckDBPyConnection,
    spec: DatasetSpec,
    read: Reading,
    new: Sequence[LocalPart],
    base: Sequence[RawObject],
    schema: Schema,
    scratch: Path,
) -> list[LocalPart]:
    """The parts of the version: those of the base first. Raises OutgrownError."""
    old = [_canonical(connection, item, schema, scratch) for item in base]
    parts = list(new)
    if read.replaces:
        missing = [name for name in spec.columns.key if name not in schema]
        if missing or not spec.columns.key or read.newest_by not in schema:
            name = (*missing, read.newest_by)[0]
            raise StepError(
                "MissingColumn", f"column {name} is not among those read; Upsert needs it"
            )
        parts = [_newest(connection, spec, read.newest_by, part) for part in parts]
        before = sum(part.rows for part in old)
        old = [_without(connection, spec, part, parts) for part in old]
        replaced = before - sum(part.rows for part in old)
        if read.adds and replaced != read.replaced:
            raise OutgrownError
        logger.info("%d rows replace older ones of the same key", replaced)
    if base:
        # The rest of a version that has grown; of a whole one, no rows are for others to judge.
        parts = [part for part in (*old, *parts) if part.rows]
    return _together(connection, parts, scratch)


def _canonical(
    connection: duckdb.DuckDBPyConnection, raw: RawObject, schema: Schema, scratch: Path
) -> LocalPart:
    """An old part under the present schema."""
    if {name: type_of(kind) for name, kind in raw.types.items()} != schema:
        return write_part(connection, raw, schema, scratch)
    (rows,) = one(connection, f"SELECT count(*) FROM {scan_parts([raw.file])}")
    return LocalPart(raw.file, f"sha256:{raw.file.stem}", rows)


def _newest(
    connection: duckdb.DuckDBPyConnection, spec: DatasetSpec, mark: str, part: LocalPart
) -> LocalPart:
    """Of rows with the same key the one with the largest watermark; of those the largest. Rows
    without a key are all kept.
    """
    keys = [quoted(name) for name in spec.columns.key]
    first = (
        f"row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY {quoted(mark)} DESC, r DESC)"
    )
    unknown = " OR ".join(f"{key} IS NULL" for key in keys)
    table = scan_parts([part.file])
    query = (
        f"SELECT * EXCLUDE (r) FROM (SELECT t.*, CAST(t AS VARCHAR) AS r FROM {table} AS t)"
        f" QUALIFY {first} = 1 OR {unknown}"
    )
    return _if_fewer(connection, query, part)


def _without(
    connection: duckdb.DuckDBPyConnection,
    spec: DatasetSpec,
    part: LocalPart,
    others: Sequence[LocalPart],
) -> LocalPart:
    """The rows of a part whose key is not among those of others."""
    same = " AND ".join(f"a.{quoted(name)} = b.{quoted(name)}" for name in spec.columns.key)
    newer = scan_parts([other.file for other in others])
    query = (
        f"SELECT * FROM {scan_parts([part.file])} AS a"
        f" WHERE NOT EXISTS (SELECT 1 FROM {newer} AS b WHERE {same})"
    )
    return _if_fewer(connection, query, part)


def _if_fewer(connection: duckdb.DuckDBPyConnection, query: str, part: LocalPart) -> LocalPart:
    """A part of the query's rows, or the part itself if they are all of it."""
    (rows,) = one(connection, f"SELECT count(*) FROM ({query})")
    if rows == part.rows:
        return part
    return copy_part(connection, query, part.file.with_name(f"{part.file.name}.kept"))


def _together(
    connection: duckdb.DuckDBPyConnection, parts: list[LocalPart], scratch: Path
) -> list[LocalPart]:
    """The parts, small ones put into one where there are too many."""
    small = [part for part in parts if part.rows < _SMALL]
    if len(parts) <= MOST_PARTS or len(small) < 2:
        return parts
    joined = copy_part(
        connection,
        f"SELECT * FROM {scan_parts([part.file for part in small])}",
        scratch / "together.part",
    )
    return [*(part for part in parts if part.rows >= _SMALL), joined]
