"""What a database's columns become in parquet.

By the driver's own type codes where they are known, so that a column has the same type whatever
its values; else by the first value. Decimals become numbers, times with a zone UTC, what is
neither number, time nor truth value text. Bytes are refused: no model reads them.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tidemill.steps.failures import StepError

_BOOLEAN, _INTEGER, _NUMBER, _TEXT = pa.bool_(), pa.int64(), pa.float64(), pa.string()
_DATE, _TIME, _INSTANT = pa.date32(), pa.timestamp("us"), pa.timestamp("us", tz="UTC")
_BYTES = pa.binary()

_POSTGRESQL = {
    **dict.fromkeys((16,), _BOOLEAN),
    **dict.fromkeys((20, 21, 23, 26), _INTEGER),
    **dict.fromkeys((700, 701, 1700), _NUMBER),
    1082: _DATE,
    1114: _TIME,
    1184: _INSTANT,
    17: _BYTES,
}
"""By the object identifiers of pg_type."""
_MYSQL = {
    **dict.fromkeys((1, 2, 3, 8, 9, 13), _INTEGER),
    **dict.fromkeys((0, 4, 5, 246), _NUMBER),
    **dict.fromkeys((10, 14), _DATE),
    **dict.fromkeys((7, 12), _TIME),
    255: _BYTES,
}
"""By the protocol's type codes. Texts and blobs share theirs: values tell them apart."""
_TINY, _BIT = 1, 16


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a result."""

    schema: pa.Schema

    def table(self, rows: Sequence[Sequence[Any]]) -> pa.Table:
        """Rows as a table. Raises InvalidQuery for a value its column cannot hold."""
        arrays = [
            _array(field, [row[index] for row in rows]) for index, field in enumerate(self.schema)
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)


def columns_of(
    dialect: str, names: Sequence[str], described: Any, first: Sequence[Sequence[Any]]
) -> Columns:
    """The columns of a result, by what its driver says of them and its first rows."""
    fields = []
    for index, name in enumerate(names):
        values = [row[index] for row in first]
        told = described[index] if described else None
        kind = _told(dialect, told) if told else None
        if kind is None:
            kind = _by_value(next((value for value in values if value is not None), None))
        if kind == _BYTES:
            raise _binary(name)
        fields.append(pa.field(name, kind))
    return Columns(pa.schema(fields))


def _binary(name: str) -> StepError:
    said = f"column {name} holds bytes, which no model reads; leave it out of source.sql.query"
    return StepError("InvalidQuery", said)


def _told(dialect: str, told: Sequence[Any]) -> pa.DataType | None:
    if dialect == "postgresql":
        return _POSTGRESQL.get(told[1], _TEXT)
    if dialect in ("mysql", "mariadb"):
        if told[1] in (_TINY, _BIT) and told[3] == 1:
            return _BOOLEAN
        return _BYTES if told[1] == _BIT else _MYSQL.get(told[1], _TEXT)
    return None


def _by_value(value: Any) -> pa.DataType:
    kinds: tuple[tuple[type, pa.DataType], ...] = (
        (bool, _BOOLEAN),
        (int, _INTEGER),
        (float, _NUMBER),
        (Decimal, _NUMBER),
        (datetime, _TIME),
        (date, _DATE),
        (bytes, _BYTES),
    )
    if isinstance(value, datetime) and value.tzinfo is not None:
        return _INSTANT
    return next((arrow for kind, arrow in kinds if isinstance(value, kind)), _TEXT)


def _array(field: pa.Field, values: Sequence[Any]) -> pa.Array:
    convert: Callable[[Any], Any] = _CONVERTED.get(field.type, _as_text)
    try:
        return pa.array([None if one is None else convert(one) for one in values], field.type)
    except _BytesError:
        raise _binary(field.name) from None
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        said = f"column {field.name} holds a value that is no {field.type}"
        raise StepError("InvalidQuery", f"{said}; cast it in source.sql.query") from None


class _BytesError(Exception):
    """A value turned out to be bytes."""


def _as_truth(value: Any) -> bool:
    return any(value) if isinstance(value, bytes) else bool(value)


def _as_number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _as_date(value: Any) -> date | None:
    """Dates as they are; what a driver hands on as text is infinite or zero, and no date."""
    return value if isinstance(value, date) else _endless(value)


def _as_time(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else _endless(value)


def _as_instant(value: Any) -> datetime | None:
    return value.astimezone(UTC) if isinstance(value, datetime) else _endless(value)


def _endless(value: Any) -> Any:
    """None for what is no time, the infinite and the zero ones. Raises ValueError for others."""
    text = str(value)
    if text.strip("-") in ("infinity", "inf") or text.startswith("0000-"):
        return None
    raise ValueError(text)


def _as_text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        raise _BytesError
    if isinstance(value, dict | list):
        return json.dumps(value, default=str, ensure_ascii=False, sort_keys=True)
    return str(value)


_CONVERTED: dict[pa.DataType, Callable[[Any], Any]] = {
    _BOOLEAN: _as_truth,
    _INTEGER: int,
    _NUMBER: _as_number,
    _DATE: _as_date,
    _TIME: _as_time,
    _INSTANT: _as_instant,
}
