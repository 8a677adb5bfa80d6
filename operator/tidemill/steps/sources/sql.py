"""A table or a query of a SQL database, read in one read-only transaction into one parquet file.

The look is one query: how many rows there are, and the largest watermark. Append and Upsert read
what is above the watermark of the version before, as long as nothing has gone and nothing has
appeared below it; else they read all. Rows come through a cursor on the server, some at a time.

The database's own words are told, but never its URL: what could hold its password is starred out.
"""

import logging
import os
import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from tidemill.api.v1alpha1.datasetversion import SourceRead
from tidemill.api.v1alpha1.datasource import SqlMode, SqlSource
from tidemill.steps.failures import StepError
from tidemill.steps.objects import SOURCE, sha256, sha256_of_file
from tidemill.steps.sources import sqlerrors, sqltypes, watermarks
from tidemill.steps.sources.reading import Look, Reading, SourceFile
from tidemill.steps.windows import rfc3339

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10
SILENT_SECONDS = 900
"""Longest without an answer: a query may have to think."""
_DRIVERS = {
    "postgresql": "postgresql+pg8000",
    "postgres": "postgresql+pg8000",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_CELLS = 200_000
"""Cells fetched at once."""
_MOST_ROWS = 20_000
_MESSAGE = 300
_PERCENTS = re.compile(
    r"""E'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"[^"]*"|--[^\n]*|\$\$.*?\$\$|%""", re.DOTALL
)
"""pg8000 takes a percent sign for a parameter's, but not in what this finds besides."""


@dataclass(frozen=True, slots=True)
class _State:
    """What the look tells."""

    rows: int
    high: Any
    """The largest watermark; None without one."""
    below: int
    """Rows at or below the watermark that was asked about, or without one."""


class Sql:
    """The source of a SQL database."""

    def __init__(self, spec: SqlSource, shape: str, before: SourceRead | None) -> None:
        """`before` is how far the version before was read; it counts if its shape is the same."""
        self._spec = spec
        self._shape = shape
        self._before = before if _goes_on(spec, shape, before) else None
        self._engine = _engine(spec)

    def look(self) -> Look:
        """Ask for the number of rows and the largest watermark, if there is one."""
        if self._spec.watermark is None:
            return Look(None, None)
        with self._connected() as connection:
            state = self._state(connection)
        return Look(self._fingerprint(state), _moment(state.high))

    def read(self, scratch: Path, *, whole: bool = False) -> Reading:
        """Read the rows that are new, or all of them; `whole` asks for all."""
        target = scratch / "rows.parquet"
        with self._connected() as connection:
            state = self._state(connection)
            before = None if whole else self._base(state)
            rows = self._stream(connection, before, state.high, target)
        logger.info("read %d of %d rows", rows, state.rows if state.rows >= 0 else rows)
        total = rows if state.rows < 0 else state.rows
        known = self._spec.watermark is not None
        return Reading(
            fingerprint=self._fingerprint(state) if known else sha256_of_file(target),
            changed=_moment(state.high),
            files=[SourceFile(self._name, target)],
            advice="mend it at its source",
            record=SourceRead(
                kind="Sql",
                shape=self._shape,
                rows=total,
                watermark=watermarks.written(state.high),
                watermark_type=watermarks.kind_of(state.high),
            ),
            adds=before is not None,
            replaces=self._spec.mode is SqlMode.UPSERT,
            newest_by=self._spec.watermark,
            replaced=None if before is None else (before.rows or 0) - state.below,
        )

    @property
    def _name(self) -> str:
        return "the query" if self._spec.query is not None else f"table {self._spec.table}"

    def _fingerprint(self, state: _State) -> str:
        told = f"{state.rows} {watermarks.kind_of(state.high)} {watermarks.written(state.high)}"
        return sha256(told.encode())

    def _base(self, state: _State) -> SourceRead | None:
        """What the rows read now are added to; None if all have to be read."""
        before = self._before
        if before is None or before.rows is None or state.high is None:
            return None
        if watermarks.kind_of(state.high) != before.watermark_type:
            return None
        gone = before.rows - state.below
        if gone < 0 or (gone and self._spec.mode is SqlMode.APPEND):
            logger.info("rows at or below the last watermark have come or gone; all are read")
            return None
        return before

    def _state(self, connection: sa.Connection) -> _State:
        if self._spec.watermark is None:
            return _State(-1, None, -1)
        mark: sa.ColumnClause[Any] = sa.column(self._spec.watermark)
        asked: list[sa.ColumnElement[Any]] = [sa.func.count(), sa.func.max(mark)]
        if self._before is not None:
            last = watermarks.read(self._before.watermark, self._before.watermark_type)
            old = sa.case((sa.or_(mark <= last, mark.is_(None)), 1), else_=0)
            asked.append(sa.func.sum(old))
        with self._telling():
            wanted = sa.select(*asked).select_from(self._rows()).where(_always())
            row = connection.execute(wanted).one()
        below = int(row[2] or 0) if len(row) > 2 else 0
        return _State(int(row[0]), watermarks.checked(self._spec.watermark, row[1]), below)

    def _rows(self) -> sa.FromClause | sa.TextClause:
        """The table, or the query as a table: which only a single SELECT can be."""
        if self._spec.table is not None:
            schema, _, name = self._spec.table.rpartition(".")
            return sa.table(name, schema=schema or None)
        query = (self._spec.query or "").strip().rstrip(";")
        # A colon would begin a parameter, and a comment at the end take what follows with it.
        inner = query.replace(":", r"\:")
        if self._engine.dialect.driver == "pg8000":
            inner = _PERCENTS.sub(lambda found: "%%" if found[0] == "%" else found[0], inner)
        return sa.text(f"(\n{inner}\n) AS tidemill_source")

    def _stream(
        self, connection: sa.Connection, before: SourceRead | None, high: Any, target: Path
    ) -> int:
        """Write the rows to a parquet file and count them."""
        wanted = sa.select(sa.text("*")).select_from(self._rows()).where(_always())
        if self._spec.watermark is not None and before is not None:
            mark: sa.ColumnClause[Any] = sa.column(self._spec.watermark)
            last = watermarks.read(before.watermark, before.watermark_type)
            wanted = wanted.where(mark > last, mark <= high)
        with self._telling():
            # A cursor on the server tells no types: they are asked for first.
            described = connection.execute(wanted.limit(0)).cursor.description
            names = [str(column[0]) for column in described or ()]
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise StepError("InvalidQuery", f"{self._name} has two columns {twice}; rename one")
            size = max(1, min(_MOST_ROWS, _CELLS // max(1, len(names))))
            result = connection.execution_options(yield_per=size).execute(wanted)
            pages = iter(result.partitions())
            first = next(pages, [])
            columns = sqltypes.columns_of(connection.dialect.name, names, described, first)
            return _write(columns, first, pages, target)

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """One read-only transaction that sees one state of the database."""
        family = self._engine.dialect.name
        options: dict[str, Any] = {}
        if family in ("postgresql", "mysql", "mariadb"):
            options["isolation_level"] = "REPEATABLE READ"
        if family == "postgresql":
            options["postgresql_readonly"] = True
        with self._telling():
            connection = self._engine.connect().execution_options(**options)
        try:
            with self._telling():
                if family == "postgresql":
                    connection.exec_driver_sql("SET TIME ZONE 'UTC'")
                elif family in ("mysql", "mariadb"):
                    connection.exec_driver_sql("SET time_zone = '+00:00'")
                    connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
                    connection.rollback()  # so that the next transaction is one
            yield connection
        except BaseException:
            with _quietly():
                _abandon(connection)
            raise
        finally:
            with _quietly():
                connection.close()
            self._engine.dispose()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what a driver raises into a StepError in the database's words."""
        try:
            yield
        except (DBAPIError, OSError, ssl.SSLError) as error:
            cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
            raise sqlerrors.failure(cause, self._name, self._plain) from None
        except SQLAlchemyError as error:
            raise StepError("InvalidQuery", f"{self._name}: {self._plain(str(error))}") from None

    def _plain(self, said: str) -> str:
        """The words without anything that stands in the URL but the user's and the table's name."""
        url = self._engine.url
        for secret in (url.render_as_string(hide_password=False), url.password, url.host):
            if secret:
                said = said.replace(secret, "***")
        return " ".join(said.split())[:_MESSAGE]


def _always() -> sa.ColumnElement[bool]:
    """A condition that holds, with parameters: a driver lets a statement that has some be only
    one, and reads its signs in one way.
    """
    return sa.literal(1) == sa.literal(1)


def _goes_on(spec: SqlSource, shape: str, before: SourceRead | None) -> bool:
    return (
        before is not None
        and spec.mode is not SqlMode.FULL
        and before.shape == shape
        and before.watermark is not None
    )


def _moment(high: Any) -> str | None:
    """When a source with a time as its watermark has changed."""
    return rfc3339(high.replace(microsecond=0)) if isinstance(high, datetime) else None


def _write(
    columns: sqltypes.Columns,
    first: Sequence[Sequence[Any]],
    pages: Iterator[Sequence[Sequence[Any]]],
    target: Path,
) -> int:
    rows = 0
    with pq.ParquetWriter(target, columns.schema, compression="zstd") as writer:
        page: Sequence[Sequence[Any]] | None = first
        while page:
            table = columns.table(page)
            writer.write_table(table)
            rows += table.num_rows
            page = next(pages, None)
    return rows


def _engine(spec: SqlSource) -> sa.Engine:
    """A client of the database that the Secret names. Raises AccessDenied or InvalidUri."""
    key = f"{SOURCE}{spec.url_key}"
    written = os.environ.get(key, "").strip()
    if not written:
        said = f"Secret {spec.secret_ref.name} has no key {spec.url_key} with the database's URL"
        raise StepError("AccessDenied", f"{said}; add it, or set source.sql.urlKey")
    try:
        url = sa.make_url(written)
    except (ArgumentError, ValueError):
        said = f"what key {spec.url_key} of Secret {spec.secret_ref.name} holds is no database URL"
        raise StepError("InvalidUri", f"{said}: write scheme://user:password@host/name") from None
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    url, options = _connection(url)
    try:
        return sa.create_engine(url, connect_args=options, poolclass=NullPool, hide_parameters=True)
    except (NoSuchModuleError, ImportError, ArgumentError, TypeError):
        said = f"there is no driver for {url.drivername} in the step image"
        known = ", ".join(sorted(_DRIVERS))
        raise StepError("InvalidUri", f"{said}; it has those for {known}") from None


def _connection(url: sa.URL) -> tuple[sa.URL, dict[str, Any]]:
    """The URL without what its driver does not know, and what the driver is told instead."""
    if url.drivername == "postgresql+pg8000":
        told = {name: url.query.get(name) for name in url.query}
        url = url.difference_update_query(["sslmode", "connect_timeout"])
        return url, {"timeout": SILENT_SECONDS, "ssl_context": _tls(told.get("sslmode"))}
    if url.drivername in ("mysql+pymysql", "mariadb+pymysql"):
        return url, {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": SILENT_SECONDS,
            "write_timeout": SILENT_SECONDS,
            "local_infile": False,
        }
    return url, {}


def _tls(mode: Any) -> ssl.SSLContext | None:
    """The context that libpq's sslmode stands for; None is no TLS."""
    if mode in (None, "", "disable", "allow", "prefer"):
        return None
    context = ssl.create_default_context()
    if mode != "verify-full":
        context.check_hostname = False
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context


def _abandon(connection: sa.Connection) -> None:
    """Hang up without reading the rest of a result, which may have no end, as PyMySQL would."""
    pending = getattr(connection.connection.dbapi_connection, "_result", None)
    if pending is not None:
        pending.unbuffered_active = False
    connection.invalidate()


@contextmanager
def _quietly() -> Iterator[None]:
    """Closing what is broken already may fail."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        logger.debug("hanging up: %s", type(error).__name__)
