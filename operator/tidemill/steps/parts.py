"""From source objects to parts: canonical parquet files, each named by its hash, one per object.

A part's columns stand in the order of their names and hold the six types of `schema`; times are
UTC without a zone; NaN and the infinities are null. The same object under the same schema always
gives the same part, so versions share what did not change.
"""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from tidemill.api.documents.manifest import Manifest, Part
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.steps.engine import one, quoted, single_threaded, text
from tidemill.steps.failures import StepError
from tidemill.steps.objects import Store, join, sha256, sha256_of_file
from tidemill.steps.schema import SQL_TYPES, ColumnType, Schema, type_of
from tidemill.steps.sources import csvfaults
from tidemill.steps.sources.formats import format_of
from tidemill.steps.sources.reading import EXCLUDE

_ROW_GROUP = 122880
_FOOTER = 65536


@dataclass(frozen=True, slots=True)
class RawObject:
    """A downloaded object."""

    name: str
    """The object's path at the source, for messages."""
    file: Path
    types: Mapping[str, str]
    """Column -> DuckDB type as found."""
    advice: str = EXCLUDE
    """What to do if it cannot be read."""


@dataclass(frozen=True, slots=True)
class LocalPart:
    """A part in scratch."""

    file: Path
    digest: str
    rows: int

    @property
    def name(self) -> str:
        """Its file name in the store."""
        return f"{self.digest.removeprefix('sha256:')}.parquet"


def _unreadable(name: str, file: Path, error: Exception, advice: str) -> StepError:
    line = csvfaults.told(str(error).replace(str(file), name))[:300]
    said = f"{name} cannot be read as {format_of(file.name)}: {line}; {advice}"
    return StepError("UnreadableObject", said)


def scan(file: Path, text_columns: Sequence[str] = ()) -> str:
    """SQL that reads a raw file. Columns that are to be text are not guessed: 007 stays 007."""
    path = text(str(file))
    kind = format_of(file.name)
    if kind == "parquet":
        return f"read_parquet({path})"
    if kind == "jsonl":
        return f"read_json({path}, format = 'newline_delimited', sample_size = -1)"
    types = ", ".join(f"{text(name)}: 'VARCHAR'" for name in text_columns)
    chosen = f", types = {{{types}}}" if types else ""
    return f"read_csv({path}, header = true, sample_size = -1{chosen})"


def inspect(
    connection: duckdb.DuckDBPyConnection, name: str, file: Path, advice: str = EXCLUDE
) -> RawObject:
    """Find an object's columns. Raises UnreadableObject."""
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {scan(file)}").fetchall()
    except duckdb.Error as error:
        raise _unreadable(name, file, error, advice) from error
    types = {row[0]: row[1] for row in rows}
    if format_of(file.name) == "csv" and csvfaults.is_misread(types):
        raise _unreadable(name, file, ValueError(csvfaults.fault(file)), advice)
    return RawObject(name, file, types, advice)


def opinions(
    connection: duckdb.DuckDBPyConnection, raw: Sequence[RawObject], anchor: Schema | None
) -> dict[str, dict[str, ColumnType | None]]:
    """Object -> column -> type; None where an object holds no value.

    A csv column without any value looks like text. That is asked for only where it would matter:
    where another object, or the anchor, says otherwise.
    """
    seen = {item.name: {name: type_of(kind) for name, kind in item.types.items()} for item in raw}
    for item in raw:
        if format_of(item.file.name) != "csv":
            continue
        doubtful = [
            name
            for name, kind in seen[item.name].items()
            if kind is ColumnType.STRING and _others(name, seen, anchor) - {ColumnType.STRING}
        ]
        if doubtful:
            counts = ", ".join(f"count({quoted(name)})" for name in doubtful)
            row = one(connection, f"SELECT {counts} FROM {scan(item.file)}")
            for name, count in zip(doubtful, row, strict=True):
                if count == 0:
                    seen[item.name][name] = None
    return seen


def _others(
    name: str, seen: Mapping[str, Mapping[str, ColumnType | None]], anchor: Schema | None
) -> set[ColumnType]:
    kinds = {types.get(name) for types in seen.values()} | {(anchor or {}).get(name)}
    return {kind for kind in kinds if kind is not None}


def _canonical(name: str, found: str | None, wanted: ColumnType) -> str:
    """SQL that brings one column, of a DuckDB type or absent, to a canonical type."""
    column, target = quoted(name), SQL_TYPES[wanted]
    if found is None:
        return f"CAST(NULL AS {target})"
    kind = type_of(found)
    if wanted is ColumnType.NUMBER:
        number = f"CAST({column} AS DOUBLE)"
        # Adding zero makes the negative zero the usual one.
        return f"CASE WHEN isfinite({number}) THEN {number} + 0.0 END"
    if wanted is ColumnType.TIMESTAMP and kind is ColumnType.STRING:
        return f"make_timestamp(epoch_us(TRY_CAST({column} AS TIMESTAMPTZ)))"
    if wanted is ColumnType.TIMESTAMP and "TIME ZONE" in found.upper():
        return f"make_timestamp(epoch_us({column}))"
    if wanted is ColumnType.STRING and kind is ColumnType.STRING and found != "VARCHAR":
        nested = any(mark in found for mark in ("STRUCT", "MAP", "[", "JSON", "UNION"))
        return f"CAST(to_json({column}) AS VARCHAR)" if nested else f"CAST({column} AS VARCHAR)"
    return f"CAST({column} AS {target})"


def write_part(
    connection: duckdb.DuckDBPyConnection, raw: RawObject, schema: Schema, scratch: Path
) -> LocalPart:
    """Write an object's part and remove the raw file. Raises UnreadableObject."""
    target = scratch / f"{raw.file.name}.part"
    kept_as_text = [
        name for name, kind in schema.items() if kind is ColumnType.STRING and name in raw.types
    ]
    columns = ", ".join(
        f"{_canonical(name, raw.types.get(name), schema[name])} AS {quoted(name)}"
        for name in sorted(schema)
    )
    try:
        part = copy_part(
            connection, f"SELECT {columns} FROM {scan(raw.file, kept_as_text)}", target
        )
    except duckdb.Error as error:
        raise _unreadable(raw.name, raw.file, error, raw.advice) from error
    raw.file.unlink()
    return part


def copy_part(connection: duckdb.DuckDBPyConnection, query: str, target: Path) -> LocalPart:
    """Write the rows of a query as a part. Raises duckdb.Error."""
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP}"
    with single_threaded(connection):
        connection.execute(f"COPY ({query}) TO {text(str(target))} ({options})")
    return LocalPart(target, sha256_of_file(target), pq.read_metadata(target).num_rows)


def scan_parts(files: Sequence[Path]) -> str:
    """SQL that reads parts as one table."""
    return f"read_parquet([{', '.join(text(str(file)) for file in files)}])"


def schema_of_part(store: Store, part: Part) -> Schema:
    """Read back the schema of a part, in the order of names, from its last few bytes."""
    kinds = {
        pa.bool_(): ColumnType.BOOLEAN,
        pa.int64(): ColumnType.INTEGER,
        pa.float64(): ColumnType.NUMBER,
        pa.string(): ColumnType.STRING,
        pa.date32(): ColumnType.DATE,
    }
    end = store.read_end(part.uri, _FOOTER)
    footer = int.from_bytes(end[-8:-4], "little") + 8
    if footer > len(end):
        end = store.read_end(part.uri, footer)
    found = pq.read_schema(io.BytesIO(b"PAR1" + end[-footer:]))
    return {item.name: kinds.get(item.type, ColumnType.TIMESTAMP) for item in found}


def check_event_times(
    connection: duckdb.DuckDBPyConnection, raw: Sequence[RawObject], name: str
) -> None:
    """Raise TypeMismatch if event times that are text cannot be read as times."""
    column = quoted(name)
    moment = f"TRY_CAST({column} AS TIMESTAMPTZ)"
    for item in raw:
        if name not in item.types or type_of(item.types[name]) is not ColumnType.STRING:
            continue
        table = scan(item.file)
        unread = f"count(*) FILTER ({column} IS NOT NULL AND {moment} IS NULL)"
        example = f"any_value({column}) FILTER ({column} IS NOT NULL AND {moment} IS NULL)"
        count, shown = one(connection, f"SELECT {unread}, {example} FROM {table}")
        if count:
            said = f"event time {name}: {count:,} values in {item.name} cannot be read as a time,"
            said = f"{said} such as {str(shown)[:40]!r}; write them as 2013-06-30T12:00:00Z"
            raise StepError("TypeMismatch", said)


def content_digest(connection: duckdb.DuckDBPyConnection, table: str, schema: Schema) -> str:
    """sha256:<hex> of rows and schema, whatever the order of rows, files and columns.

    Each row becomes text (its values by column name, text led by its length) and is hashed by
    sha256; the hashes are added as 256-bit numbers, so that equal rows do not cancel each other,
    and the sum is hashed with the schema and the number of rows.
    """
    # Not a chain of ||, which is as deep as there are columns, and too deep for a thousand.
    values = ", ".join(_as_text(name, schema[name]) for name in sorted(schema))
    row = f"concat_ws('|', {values})"
    lanes = ", ".join(
        f"sum(CAST('0x' || substr(hash, {16 * lane + 1}, 16) AS UBIGINT)::HUGEINT)"
        for lane in range(4)
    )
    query = f"SELECT count(*), {lanes} FROM (SELECT sha256({row}) AS hash FROM {table})"
    count, *sums = one(connection, query)
    total = sum(int(part or 0) << (64 * (3 - lane)) for lane, part in enumerate(sums))
    content = {"schema": sorted(schema.items()), "rows": count, "sum": f"{total % (1 << 256):064x}"}
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def _as_text(name: str, kind: ColumnType) -> str:
    """SQL for a value as text that no other value of its column has."""
    column = quoted(name)
    if kind is ColumnType.STRING:
        value = f"length({column}) || ':' || {column}"
    elif kind is ColumnType.TIMESTAMP:
        value = f"CAST(epoch_us({column}) AS VARCHAR)"
    else:
        value = f"CAST({column} AS VARCHAR)"
    return f"COALESCE({value}, 'N')"


def publish_parts(store: Store, prefix: str, parts: Sequence[LocalPart]) -> tuple[Part, ...]:
    """Bring parts to <prefix>/parts/; those that are there already are not sent again."""
    published = []
    for part in sorted(parts, key=lambda item: item.name):
        uri = join(prefix, "parts", part.name)
        store.upload_part(uri, part.file)
        size = part.file.stat().st_size
        published.append(Part(uri=uri, digest=part.digest, rows=part.rows, bytes=size))
    return tuple(published)


def read_manifest(store: Store, document: StoredDocument) -> Manifest:
    """A version's manifest. Raises ArtifactDamaged if it is not one."""
    try:
        return Manifest.model_validate_json(store.read_document(document))
    except ValidationError as error:
        said = f"{document.uri} is not a manifest: {error.errors()[0]['msg']}"
        raise StepError("ArtifactDamaged", said) from error


def fetch_parts(store: Store, parts: Sequence[Part], scratch: Path) -> list[Path]:
    """Bring parts to scratch, each proven by its digest; those that are there are kept."""
    files = []
    for part in parts:
        file = scratch / f"{part.digest.removeprefix('sha256:')}.parquet"
        if not file.exists():
            arriving = file.with_suffix(".arriving")
            store.download(part.uri, arriving)
            found = sha256_of_file(arriving)
            if found != part.digest:
                said = f"{part.uri} is not what was written: its sha256 is {found}"
                raise StepError("ArtifactDamaged", f"{said}, not {part.digest}")
            arriving.rename(file)
        files.append(file)
    return files
