"""Where a Dataset's rows come from."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from tidemill.api.base import SET_LIST, Model, Ref, rules
from tidemill.api.scalars import ColumnName, Short, StorageUri


class NewestBy(StrEnum):
    """What "newest" means among the objects a glob finds."""

    NAME = "Name"
    MODIFICATION = "Modification"


MaxBytes = Annotated[int, Field(ge=1, le=1099511627776, json_schema_extra={"format": "int64"})]
"""Bytes, at most a tebibyte."""


class ObjectsSource(Model):
    """Objects in an object store: csv, jsonl or parquet, told by their suffix."""

    uri: StorageUri
    """An object or a glob, such as s3://tides/flights/*.parquet, or one file by https, such as
    https://example.com/tides.csv.gz. All objects have one schema."""
    newest: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Read only this many of the newest objects. Left out: all."""
    newest_by: NewestBy = NewestBy.NAME
    """Newest by Name (the last in lexical order) or by Modification time."""
    exclude: Annotated[tuple[Short, ...], Field(max_length=100, json_schema_extra=SET_LIST)] = ()
    """Object names (what follows the last slash) to leave out, such as a month known to be bad."""
    secret_ref: Ref | None = None
    """A Secret of this namespace whose keys become the reading step's environment, such as
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL; for https its keys
    are username and password, or token."""
    max_bytes: MaxBytes = 4294967296
    """A file by https of more bytes than this, as it comes or unpacked, is refused."""


class SqlMode(StrEnum):
    """How much of a table is read each time."""

    FULL = "Full"
    APPEND = "Append"
    UPSERT = "Upsert"


class SqlSource(Model):
    """A table or a query of any database that SQLAlchemy speaks to and the step image has a driver
    for: PostgreSQL, MariaDB and MySQL. It is read in a read-only transaction."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.query), has(self.table)].filter(x, x).size() == 1",
                "set exactly one of query and table",
            ),
            (
                "!has(self.mode) || self.mode == 'Full' || has(self.watermark)",
                "modes Append and Upsert need a watermark: a column that grows",
            ),
        )
    )

    secret_ref: Ref
    """A Secret of this namespace that holds the database's URL, such as
    postgresql://user:password@host:5432/database?sslmode=verify-full or mysql://..."""
    url_key: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$", max_length=64)] = "url"
    """The Secret's key that holds the URL. The kubeflow engine knows only `url`."""
    query: Annotated[str, Field(min_length=1, max_length=16384)] | None = None
    """One SELECT, in the database's own SQL."""
    table: Annotated[str, Field(pattern=r"^[^\s;]+$", max_length=256)] | None = None
    """A table or view, such as flights or harbour.flights."""
    mode: SqlMode = SqlMode.FULL
    """Full reads all rows each time; Append only those above the last watermark, and adds them;
    Upsert does too, and lets them replace those of the same columns.key. Where rows have gone, or
    have appeared below the last watermark, all is read once more."""
    watermark: ColumnName | None = None
    """A column that grows with each row that is added (Append) or written (Upsert): a number, a
    time, or text that sorts. Its maximum and the number of rows tell whether there is anything to
    read; without one, Full reads each time."""


class GitSource(Model):
    """Files of a Git repository: plain, in Git LFS, or tracked by DVC (a .dvc file)."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=1024)]
    """The repository, such as https://git.example.com/harbour/tides.git. No user name, no
    password: those are for the Secret."""
    revision: Annotated[str, Field(pattern=r"^[^\s~^:?*\[\\]+$", max_length=256)] | None = None
    """A branch, a tag or a whole commit id. Left out: the repository's default branch."""
    path: Annotated[str, Field(pattern=r"^[^/\s][^\s]*$", max_length=1024)]
    """A file or a glob within it, such as data/*.csv: csv, jsonl or parquet by their suffix. *
    stays within a folder, ** crosses folders."""
    secret_ref: Ref | None = None
    """A Secret of this namespace: username and password, or token; and what the store of DVC's
    contents needs, such as AWS_ACCESS_KEY_ID."""
    dvc_remote: StorageUri | None = None
    """Where DVC keeps contents, such as s3://bucket/dvc. Left out: the default remote of the
    repository's .dvc/config."""
    max_bytes: MaxBytes = 4294967296
    """A commit, or a file in Git LFS or DVC, of more bytes than this is refused."""


SOURCES = ("objects", "sql", "git")
"""The fields of Source: one of them is set."""
_EXACTLY_ONE = (
    f"[{', '.join(f'has(self.{name})' for name in SOURCES)}].filter(x, x).size() == 1",
    f"set exactly one of the sources there are: {', '.join(SOURCES)}",
)


class Source(Model):
    """Where data comes from: exactly one of its fields."""

    model_config = ConfigDict(json_schema_extra=rules(_EXACTLY_ONE))

    objects: ObjectsSource | None = None
    """Objects in an object store, or one file of a web server."""
    sql: SqlSource | None = None
    """A table or a query of a SQL database."""
    git: GitSource | None = None
    """Files of a Git repository."""
