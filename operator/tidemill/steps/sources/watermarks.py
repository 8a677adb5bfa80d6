"""Watermarks: how the largest value of a column is written down, and read back with its type."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tidemill.steps.failures import StepError

LENGTH = 256


def kind_of(value: Any) -> str | None:
    """Integer, Decimal, Number, Instant, Timestamp, Date or Text; None for no value."""
    match value:
        case None:
            return None
        case int():
            return "Integer"
        case Decimal():
            return "Decimal"
        case float():
            return "Number"
        case datetime():
            return "Timestamp" if value.tzinfo is None else "Instant"
        case date():
            return "Date"
    return "Text"


def checked(column: str, value: Any) -> Any:
    """The value, if it can be a watermark. Raises InvalidQuery."""
    known = isinstance(value, int | Decimal | float | date | str) and not isinstance(value, bool)
    if value is not None and not known:
        said = f"watermark {column} is a {type(value).__name__}; name a number, a time or a text"
        raise StepError("InvalidQuery", said)
    if isinstance(value, str) and len(value) > LENGTH:
        said = f"watermark {column} has values longer than {LENGTH} characters; name another column"
        raise StepError("InvalidQuery", said)
    return value


def written(value: Any) -> str | None:
    """The value as text."""
    if value is None:
        return None
    if isinstance(value, date):
        return value.isoformat()
    return repr(value) if isinstance(value, float) else str(value)


def read(text: str | None, kind: str | None) -> Any:
    """The value that was written."""
    if text is None or kind is None:
        return None
    readers: dict[str, Any] = {
        "Integer": int,
        "Decimal": Decimal,
        "Number": float,
        "Instant": datetime.fromisoformat,
        "Timestamp": datetime.fromisoformat,
        "Date": date.fromisoformat,
    }
    return readers.get(kind, str)(text)
