"""Scalar types of the API: strings and integers with a pattern and a bound, never floats.

Numbers that are not whole are decimal strings ("0.25"), as the Kubernetes API conventions ask:
a float does not survive every encoder unchanged. Durations are whole seconds.
"""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

_DECIMAL = r"^-?[0-9]{1,12}(\.[0-9]{1,9})?$"

DecimalString = Annotated[str, Field(pattern=_DECIMAL, max_length=24)]
"""A decimal number as a string, such as "0.25" or "-3"."""

Ratio = Annotated[str, Field(pattern=r"^(0(\.[0-9]{1,9})?|1(\.0{1,9})?)$", max_length=12)]
"""A share between "0" and "1"."""

Seconds = Annotated[int, Field(ge=0, le=315360000)]
"""Whole seconds, at most ten years."""

PositiveSeconds = Annotated[int, Field(ge=1, le=315360000)]
"""Whole seconds, at least one, at most ten years."""

Name = Annotated[
    str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", min_length=1, max_length=63)
]
"""The name of a thing in a list, or of a Kubernetes object: a DNS-1035 label."""

ColumnName = Annotated[str, Field(min_length=1, max_length=128)]
"""The name of a column, as it stands in the data."""

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
"""A content digest: sha256, a colon and 64 hex digits."""

StorageUri = Annotated[
    str, Field(pattern=r"^(s3|gs|az|https|http|file)://[^\s]+$", max_length=1024)
]
"""Where an object lies: s3, gs, az, https, http or file."""

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, max_length=40)]
"""An RFC 3339 time in UTC, such as 2026-01-31T05:00:00Z."""

Cron = Annotated[str, Field(pattern=r"^[^ ]+( [^ ]+){4}$", min_length=9, max_length=128)]
"""A cron schedule of five fields: minute, hour, day of month, month, day of week."""

Short = Annotated[str, Field(max_length=256)]
"""A short line of text."""

Text = Annotated[str, Field(max_length=4096)]
"""A paragraph of text."""


def decimal(value: str) -> Decimal:
    """The number a DecimalString or Ratio stands for."""
    return Decimal(value)
