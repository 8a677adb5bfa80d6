"""Where a Dataset's rows come from."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from tidemill.api.base import SET_LIST, Model, Ref, rules
from tidemill.api.scalars import Short, StorageUri


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


SOURCES = ("objects",)
"""The fields of Source: one of them is set."""
_EXACTLY_ONE = (
    f"[{', '.join(f'has(self.{name})' for name in SOURCES)}].filter(x, x).size() == 1",
    f"set exactly one of the sources there are: {', '.join(SOURCES)}",
)


class Source(Model):
    """Where data comes from: exactly one of its fields."""

    model_config = ConfigDict(json_schema_extra=rules(_EXACTLY_ONE))

    objects: ObjectsSource | None = None
    """Objects in an object store."""
