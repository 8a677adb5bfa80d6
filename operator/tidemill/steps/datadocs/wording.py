"""Numbers, shares and times as people read them."""

from datetime import UTC, datetime
from math import isfinite

from tidemill.steps.schema import ColumnType
from tidemill.steps.windows import naive

_DAY = 86400
_PLACES = 4


def count(value: int) -> str:
    """A whole number with commas."""
    return f"{value:,}"


def share(value: float) -> str:
    """A share in percent: whole from 10 % on, with a digit more below."""
    percent = 100 * value
    if 0 < percent < 0.05:
        return "<0.1 %"
    if 99.95 <= percent < 100:
        return ">99.9 %"
    return f"{percent:.0f} %" if percent >= 99.95 or percent == 0 else f"{percent:.1f} %"


def change(now: int, before: int) -> str:
    """How much more or less than before."""
    if before <= 0:
        return "the version before had none"
    grown = now / before - 1
    return "as many as before" if now == before else f"{100 * grown:+.1f} % on the version before"


def number(value: float, kind: str = ColumnType.NUMBER) -> str:
    """A value of a numeric, time or date column on an axis."""
    if not isfinite(value):
        return str(value)
    if kind in (ColumnType.TIMESTAMP, ColumnType.DATE):
        try:
            moment = datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            return f"{value:g}"
        return moment.strftime("%Y-%m-%d" if kind == ColumnType.DATE else "%Y-%m-%d %H:%M")
    if kind == ColumnType.BOOLEAN and value in (0, 1):
        return "true" if value else "false"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.{_PLACES}g}"


def moment(written: str) -> str:
    """A document's time to the minute, in UTC; as it stands if it is none."""
    try:
        return f"{naive(written):%Y-%m-%d %H:%M}"
    except ValueError:
        return written


def stretch(start: str, end: str) -> str:
    """How long it is from one time to another."""
    try:
        seconds = (naive(end) - naive(start)).total_seconds()
    except ValueError:
        return ""
    if seconds >= 2 * _DAY:
        return f"{seconds / _DAY:,.0f} days"
    return f"{seconds / 3600:,.1f} hours"


def tick(start: datetime, unit: str) -> str:
    """The beginning of a stretch of time on an axis."""
    forms = {"hour": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m"}
    return start.strftime(forms.get(unit, "%Y-%m" if unit == "quarter" else "%Y"))
