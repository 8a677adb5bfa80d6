"""When a TrainingJob trains again: triggers, and the guards that hold them back.

A change of spec and a person's request are acted on at once. The triggers (Drift, NewData,
Schedule, in this order) must pass the guards: not suspended, no run under way, the cooldown since
the last run's end, the runs of 24 hours. A trigger that is held back stays pending, the newest of
each kind, until it may start or is no longer wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from tidemill.api.documents.manifest import Manifest
from tidemill.api.reasons import Reason
from tidemill.api.scalars import decimal
from tidemill.api.v1alpha1.trainingjob import PendingTrigger, Retrain, Trigger
from tidemill.core.conditions import rfc3339
from tidemill.core.schedule import InvalidSchedule, Ticks, look

DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A confirmed drift of the deployment that follows the job."""

    key: str
    """`<ModelDeployment uid>/<episode number>`."""
    data_after: datetime
    """Labelled data after this event time would show the change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A DatasetVersion, as far as triggers go."""

    name: str
    digest: str
    mature_until: datetime
    """The newest event time whose label is final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """All that the decision to train again may depend on."""

    now: datetime
    retrain: Retrain
    created: datetime
    """When the job was made; the first tick lies after it."""
    last_tick: datetime | None = None
    last_ended: datetime | None = None
    """When the last run ended."""
    started: tuple[datetime, ...] = ()
    """When the runs of the last day were claimed."""
    running: bool = False
    data: Data | None = None
    """What a run would learn from now; None: nothing."""
    pinned: bool = False
    """The data are one pinned version: waiting brings no others."""
    last_data: str | None = None
    """The version the last run learned from."""
    learned: str | None = None
    """The version the newest model of this spec has learned from: another run on it would only
    make the same model."""
    unseen_share: Decimal | None = None
    """The share of rows of `data` that the last run had not; None: not known, counts as all."""
    episode: Episode | None = None
    spent: frozenset[tuple[str, str]] = frozenset()
    """(cause, key) of the causes that were acted on."""
    pending: tuple[PendingTrigger, ...] = ()
    """Those held back at the last look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A trigger that wants a run."""

    cause: str
    key: str
    tick: datetime | None = None
    waits_for: Episode | None = None
    """It has no data yet that would show the change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is to be done about the triggers."""

    start: Due | None = None
    """The one to start a run for."""
    pending: tuple[PendingTrigger, ...] = ()
    """Those held back, and why."""
    wants: Episode | None = None
    """The episode that waits for data, which the Dataset should look for once."""
    lifts: datetime | None = None
    """When the guard that holds triggers back lifts by itself."""
    again: datetime | None = None
    """When time alone changes the answer."""
    invalid: str | None = None
    """What is wrong with the schedule."""


def answer_triggers(seen: Retraining) -> Answer:
    """Decide which trigger starts a run now, and which are held back by what."""
    ticks = _ticks(seen)
    wanted = [item for item in (_drift(seen), _new_data(seen), _tick(seen, ticks)) if item]
    guard, until = _guard(seen)
    ready = [item for item in wanted if item.waits_for is None]
    start = ready[0] if ready and guard is None else None
    held = [item for item in wanted if item is not start]
    pending = tuple(_pending(seen, item, guard or Reason.RUN_ACTIVE) for item in held)
    moments = [
        moment
        for moment in (
            until if ready else None,
            ticks.next if isinstance(ticks, Ticks) and not seen.retrain.suspend else None,
        )
        if moment is not None
    ]
    waiting = next((item.waits_for for item in wanted if item.waits_for is not None), None)
    return Answer(
        start=start,
        pending=pending,
        wants=None if seen.pinned or seen.retrain.suspend else waiting,
        lifts=until,
        again=min(moments, default=None),
        invalid=ticks.message if isinstance(ticks, InvalidSchedule) else None,
    )


def unseen_share(new: Manifest, old: Manifest | None) -> Decimal:
    """The share of a version's rows that lie in parts another version does not have.

    Parts are immutable, named by the hash of their bytes and shared between versions, so a row in
    a shared part was seen for certain; a row that moved into another part counts as new.
    """
    if new.rows == 0:
        return Decimal(0)
    known = set() if old is None else {part.digest for part in old.parts}
    fresh = sum(part.rows for part in new.parts if part.digest not in known)
    return Decimal(fresh) / Decimal(new.rows)


def drift_key(episode: str, data: str) -> str:
    """The key of a Drift run: the episode, and the data it learns from. A lost challenger does
    not reopen the episode; newer data do.
    """
    return f"{episode}/{data}"


def _trigger(seen: Retraining, type_: str) -> Trigger | None:
    return next((item for item in seen.retrain.triggers if item.type == type_), None)


def _drift(seen: Retraining) -> Due | None:
    if _trigger(seen, "Drift") is None or seen.episode is None:
        return None
    episode, data = seen.episode, seen.data
    if data is None or data.mature_until <= episode.data_after:
        return Due(cause="Drift", key=episode.key, waits_for=episode)
    key = drift_key(episode.key, data.name)
    if ("Drift", key) in seen.spent:
        return None
    if data.name == seen.learned:
        newer = Episode(key=episode.key, data_after=data.mature_until)
        return Due(cause="Drift", key=episode.key, waits_for=newer)
    return Due(cause="Drift", key=key)


def _new_data(seen: Retraining) -> Due | None:
    trigger = _trigger(seen, "NewData")
    if trigger is None or seen.data is None or seen.data.name == seen.last_data:
        return None
    if ("NewData", seen.data.digest) in seen.spent:
        return None
    if trigger.min_share is not None and seen.unseen_share is not None:
        enough = seen.unseen_share >= decimal(trigger.min_share)
        return Due(cause="NewData", key=seen.data.digest) if enough else None
    return Due(cause="NewData", key=seen.data.digest)


def _ticks(seen: Retraining) -> Ticks | InvalidSchedule | None:
    trigger = _trigger(seen, "Schedule")
    if trigger is None or trigger.schedule is None:
        return None
    after = min(seen.now, seen.last_tick or seen.created)
    return look(trigger.schedule, trigger.time_zone or "Etc/UTC", after=after, now=seen.now)


def _tick(seen: Retraining, ticks: Ticks | InvalidSchedule | None) -> Due | None:
    if not isinstance(ticks, Ticks) or ticks.due is None:
        return None
    key = rfc3339(ticks.due)
    if ("Schedule", key) in seen.spent:
        return None
    return Due(cause="Schedule", key=key, tick=ticks.due)


def _guard(seen: Retraining) -> tuple[str | None, datetime | None]:
    """The first guard that forbids a run, and when it lifts, if time alone lifts it."""
    if seen.retrain.suspend:
        return Reason.SUSPENDED, None
    if seen.running:
        return Reason.RUN_ACTIVE, None
    if seen.last_ended is not None:
        over = min(seen.last_ended, seen.now) + timedelta(seconds=seen.retrain.cooldown_seconds)
        if over > seen.now:
            return Reason.COOLDOWN_ACTIVE, over
    today = sorted(moment for moment in started_today(seen.started, seen.now))
    if len(today) >= seen.retrain.max_per_day:
        return Reason.DAILY_LIMIT_REACHED, today[-seen.retrain.max_per_day] + DAY
    return None, None


def started_today(started: Sequence[datetime], now: datetime) -> list[datetime]:
    """Those of the last 24 hours. A time in the future counts as now."""
    return [min(moment, now) for moment in started if now - min(moment, now) < DAY]


def _pending(seen: Retraining, item: Due, guard: str) -> PendingTrigger:
    reason = Reason.WAITING_FOR_DATA if item.waits_for is not None else guard
    since = next(
        (old.since for old in seen.pending if (old.cause, old.key) == (item.cause, item.key)),
        rfc3339(seen.now),
    )
    return PendingTrigger(cause=item.cause, key=item.key, reason=reason, since=since)
