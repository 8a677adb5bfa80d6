"""`wording`: numbers as people read them."""

from datetime import datetime

import pytest

from tidemill.steps.datadocs import wording
from tidemill.steps.schema import ColumnType

SHARES = {
    0.0: "0 %",
    0.0001: "<0.1 %",
    0.0123: "1.2 %",
    0.5: "50.0 %",
    0.99999: ">99.9 %",
    1.0: "100 %",
}


@pytest.mark.parametrize(("value", "said"), SHARES.items())
def test_share(value: float, said: str) -> None:
    assert wording.share(value) == said


NUMBERS = {
    "a whole number": (1234567.0, ColumnType.NUMBER, "1,234,567"),
    "a fraction": (3.14159, ColumnType.NUMBER, "3.142"),
    "a huge number": (1e300, ColumnType.NUMBER, "1e+300"),
    "no number": (float("nan"), ColumnType.NUMBER, "nan"),
    "a yes": (1.0, ColumnType.BOOLEAN, "true"),
    "a time": (1767225600.0, ColumnType.TIMESTAMP, "2026-01-01 00:00"),
    "a date": (1767225600.0, ColumnType.DATE, "2026-01-01"),
    "a time beyond the calendar": (1e15, ColumnType.TIMESTAMP, "1e+15"),
}


@pytest.mark.parametrize(("value", "kind", "said"), NUMBERS.values(), ids=NUMBERS)
def test_number(value: float, kind: ColumnType, said: str) -> None:
    assert wording.number(value, kind) == said


CHANGES = {
    (110, 100): "+10.0 % on the version before",
    (50, 100): "-50.0 % on the version before",
    (100, 100): "as many as before",
    (100, 0): "the version before had none",
}


@pytest.mark.parametrize(("rows", "said"), CHANGES.items())
def test_change(rows: tuple[int, int], said: str) -> None:
    assert wording.change(*rows) == said


def test_times() -> None:
    assert wording.moment("2026-01-02T03:04:05Z") == "2026-01-02 03:04"
    assert wording.moment("some day") == "some day"
    assert wording.stretch("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z") == "31 days"
    assert wording.stretch("2026-01-01T00:00:00Z", "2026-01-01T06:30:00Z") == "6.5 hours"
    assert wording.stretch("", "") == ""
    assert wording.tick(datetime(2026, 5, 1), "month") == "2026-05"
