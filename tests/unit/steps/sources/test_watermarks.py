"""Watermarks come back as they were."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from tidemill.steps.failures import StepError
from tidemill.steps.sources.watermarks import checked, kind_of, read, written

VALUES: dict[str, Any] = {
    "Integer": 9_007_199_254_740_993,
    "Decimal": Decimal("12.340000000000000000001"),
    "Number": 0.1 + 0.2,
    "Timestamp": datetime(2026, 1, 2, 3, 4, 5, 678901),
    "Instant": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2))),
    "Date": date(2026, 1, 2),
    "Text": "2026-W01 é",
}


@pytest.mark.parametrize(("kind", "value"), VALUES.items())
def test_a_watermark_comes_back_as_it_was(kind: str, value: Any) -> None:
    assert kind_of(value) == kind
    assert read(written(value), kind) == checked("seen", value)


def test_no_watermark_is_none() -> None:
    assert (kind_of(None), written(None), read(None, None)) == (None, None, None)
    assert datetime.now(UTC) > read("2026-01-02T03:04:05+00:00", "Instant")


WRONG = {
    "a truth value": (True, "watermark seen is a bool; name a number, a time or a text"),
    "bytes": (b"x", "watermark seen is a bytes; name a number, a time or a text"),
    "a long text": (
        "x" * 257,
        "watermark seen has values longer than 256 characters; name another column",
    ),
}


@pytest.mark.parametrize(("value", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_a_watermark(value: Any, said: str) -> None:
    with pytest.raises(StepError) as raised:
        checked("seen", value)

    assert (raised.value.reason, str(raised.value)) == ("InvalidQuery", said)
