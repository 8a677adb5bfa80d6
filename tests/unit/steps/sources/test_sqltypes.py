"""Types of columns where a driver tells none, and values a column cannot hold."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from tidemill.steps.failures import StepError
from tidemill.steps.sources.sqltypes import columns_of

BY_VALUE: dict[str, tuple[Any, pa.DataType, Any]] = {
    "a truth value": (True, pa.bool_(), True),
    "a whole number": (7, pa.int64(), 7),
    "a decimal": (Decimal("1.25"), pa.float64(), 1.25),
    "an infinite decimal": (Decimal("Infinity"), pa.float64(), None),
    "a time": (datetime(2026, 1, 2), pa.timestamp("us"), datetime(2026, 1, 2)),
    "a time with a zone": (
        datetime(2026, 1, 2, tzinfo=UTC),
        pa.timestamp("us", tz="UTC"),
        datetime(2026, 1, 2, tzinfo=UTC),
    ),
    "a day": (date(2026, 1, 2), pa.date32(), date(2026, 1, 2)),
    "text": ("x", pa.string(), "x"),
    "a list": ([1, "é"], pa.string(), '[1, "é"]'),
    "nothing": (None, pa.string(), None),
}


@pytest.mark.parametrize(("value", "kind", "kept"), BY_VALUE.values(), ids=BY_VALUE)
def test_types_by_value(value: Any, kind: pa.DataType, kept: Any) -> None:
    rows = [(None,), (value,)]
    columns = columns_of("oracle", ["a"], None, rows)

    assert columns.schema.field("a").type == kind
    assert columns.table(rows).to_pylist() == [{"a": None}, {"a": kept}]


REFUSED = {
    "bytes": (b"x", "column a holds bytes, which no model reads; leave it out of source.sql.query"),
    "bytes after text": (
        ("x", b"y"),
        "column a holds bytes, which no model reads; leave it out of source.sql.query",
    ),
    "text after a number": (
        (1, "x"),
        "column a holds a value that is no int64; cast it in source.sql.query",
    ),
    "too large a number": (
        2**64,
        "column a holds a value that is no int64; cast it in source.sql.query",
    ),
}


@pytest.mark.parametrize(("values", "said"), REFUSED.values(), ids=REFUSED)
def test_values_that_are_refused(values: Any, said: str) -> None:
    rows = [(value,) for value in (values if isinstance(values, tuple) else (values,))]
    with pytest.raises(StepError) as raised:
        columns_of("oracle", ["a"], None, rows[:1]).table(rows)

    assert (raised.value.reason, str(raised.value)) == ("InvalidQuery", said)
