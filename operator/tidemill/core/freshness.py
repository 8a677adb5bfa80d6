"""Whether a source is fresh: counted from its own last change, not from when it was looked at.

A source that stands still is one thing, one that cannot be read another: while it cannot, nobody
knows whether it changes, and the reason says which it is: an outage (SourceUnavailable), emptiness
(NoObjects, EmptyVersion), refusal (AccessDenied), or what else the last read ran into.
"""

from datetime import datetime

from tidemill.api.base import Condition
from tidemill.api.reasons import Reason
from tidemill.core import conditions as c
from tidemill.core.trouble import Problem


def fresh(
    *, within: int | None, changed: str | None, outage: Problem | None, now: datetime
) -> Condition | None:
    """The Fresh condition; None without a limit.

    `changed` is when the source was last seen to have changed, `outage` why it cannot be read now.
    """
    if within is None:
        return None
    if changed is None:
        said = "It is not known when the source last changed."
        if outage is not None:
            return c.condition("Fresh", None, outage.reason, f"{said} {outage.message}")
        return c.condition("Fresh", None, Reason.NOT_READ, said)
    if c.elapsed(changed, now) <= within:
        said = f"The source changed at {changed}."
        return c.condition("Fresh", True, Reason.SOURCE_CHANGED, said)
    limit = f"{changed}, which is longer ago than freshWithinSeconds: {within}."
    if outage is not None:
        said = f"The source was last seen to change at {limit} It cannot be read: {outage.message}"
        return c.condition("Fresh", False, outage.reason, said)
    said = f"The source has not changed since {limit} Look whether what fills it still runs."
    return c.condition("Fresh", False, Reason.SOURCE_STALE, said)


def last_change(told: str | None, before: str | None, read: str, *, is_new: bool) -> str | None:
    """When a source last changed, after a read.

    `told` is what the source says, `before` what was known. A source that does not say when it
    changed has done so by the time its content was found to be new.
    """
    return told or (read if is_new else before)
