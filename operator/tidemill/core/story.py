"""The story of an object: one Event for each thing that became different, no noise.

An Event's reason is the reason of the condition it tells of, so that both can be looked up in
one table.
"""

from collections.abc import Iterable

from tidemill.api.base import Condition, ConditionStatus
from tidemill.api.reasons import Reason
from tidemill.core.conditions import ONLY_WHILE_TRUE
from tidemill.core.plan import Event


def tell(
    before: Iterable[Condition],
    after: Iterable[Condition],
    *,
    quiet: frozenset[str] = frozenset(),
) -> tuple[Event, ...]:
    """What to say of the change from one set of conditions to another.

    Ready first. A condition is told when its status, reason or message differ; Ready and
    a drift that lasts only when their status or reason do: the others say the rest of Ready, and
    every window of a drift has other numbers. One that says what another has said already
    is not told twice. What is not True is a warning if it was True, or stalls. A condition whose
    type is in `quiet` and that is well is told only after it was not.
    """
    old = {item.type: item for item in before}
    told: list[Event] = []
    for item in after:
        last = old.get(item.type)
        if last is not None and _said(last) == _said(item):
            continue
        if item.status is ConditionStatus.UNKNOWN and last is None:
            continue  # nothing is known of it yet
        was_bad = last is not None and last.status is ConditionStatus.FALSE
        if item.type in quiet and item.status is ConditionStatus.TRUE and not was_bad:
            continue
        if any(event.reason == item.reason or event.message == item.message for event in told):
            continue
        told.append(Event(reason=item.reason, message=item.message, warning=_bad(item, last)))
    return tuple(told)


def _said(item: Condition) -> tuple[ConditionStatus, str, str]:
    by_reason = item.type == "Ready" or item.reason == Reason.DRIFT_CONFIRMED
    return item.status, item.reason, "" if by_reason else item.message


def _bad(item: Condition, last: Condition | None) -> bool:
    if item.type in ONLY_WHILE_TRUE:
        return item.type == "Stalled"
    was_good = last is not None and last.status is ConditionStatus.TRUE
    return item.status is ConditionStatus.FALSE and (was_good or item.type != "Ready")
