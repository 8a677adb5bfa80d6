"""Conditions as metav1.Condition has them, and the kstatus summary.

`Ready` is on every kind. `Reconciling` and `Stalled` are there only while True. All others are
positive: True is good. The reasons each may have, and what they mean, are in api/reasons.py.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from tidemill.api.base import Condition, ConditionStatus

ONLY_WHILE_TRUE = ("Reconciling", "Stalled")
MAX_MESSAGE = 1024


def rfc3339(moment: datetime) -> str:
    """A time as Kubernetes writes it: whole seconds, UTC, Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """A time as Kubernetes (or a step) wrote it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def elapsed(since: str, now: datetime) -> float:
    """Seconds since a stored time; a time in the future counts as now."""
    return max(0.0, (now - parse_time(since)).total_seconds())


def condition(type_: str, status: bool | None, reason: str, message: str = "") -> Condition:
    """A wanted condition; None is Unknown. Generation and time are stamped by `merge`."""
    value = {
        True: ConditionStatus.TRUE,
        False: ConditionStatus.FALSE,
        None: ConditionStatus.UNKNOWN,
    }
    return Condition(
        type=type_, status=value[status], reason=str(reason), message=message[:MAX_MESSAGE]
    )


def merge(
    before: Iterable[Condition], wanted: Iterable[Condition], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The conditions to write: the wanted ones and no others, sorted with Ready first.

    lastTransitionTime moves only when the status does. Those of ONLY_WHILE_TRUE that are not
    True are left out.
    """
    old: Mapping[str, Condition] = {item.type: item for item in before}
    kept = []
    for item in wanted:
        if item.type in ONLY_WHILE_TRUE and item.status is not ConditionStatus.TRUE:
            continue
        last = old.get(item.type)
        same = last is not None and last.status is item.status
        since = last.last_transition_time if last is not None and same else rfc3339(now)
        kept.append(
            item.model_copy(
                update={"observed_generation": generation, "last_transition_time": since}
            )
        )
    return tuple(sorted(kept, key=lambda item: (item.type != "Ready", item.type)))


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of this type, if there is one."""
    return next((item for item in conditions if item.type == type_), None)


def is_true(conditions: Iterable[Condition], type_: str) -> bool:
    """Whether there is such a condition and it is True."""
    found = find(conditions, type_)
    return found is not None and found.status is ConditionStatus.TRUE
