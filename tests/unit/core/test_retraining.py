"""`answer_triggers`: each case says only what differs from a job with nothing to do."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.builders import at, sha, stamp
from tidemill.api.documents.manifest import Manifest, Part
from tidemill.api.v1alpha1.trainingjob import PendingTrigger, Retrain
from tidemill.core.retraining import (
    Answer,
    Data,
    Due,
    Episode,
    Retraining,
    answer_triggers,
    drift_key,
    started_today,
    unseen_share,
)

DRIFT, NEW_DATA = {"type": "Drift"}, {"type": "NewData", "minShare": "0.2"}
HOURLY = {"type": "Schedule", "schedule": "0 * * * *"}


def retrain(*triggers: dict[str, Any], **more: Any) -> Retrain:
    return Retrain.model_validate({"triggers": list(triggers), **more})


def data(name: str, until: Any = None) -> Data:
    return Data(name=name, digest=sha(name), mature_until=until or at(days=-1))


NOW = at(hours=12, minutes=30)
QUIET = Retraining(
    now=NOW,
    retrain=retrain(DRIFT, NEW_DATA),
    created=at(),
    last_ended=at(hours=1),
    data=data("flights-a"),
    last_data="flights-a",
)
EPISODE = Episode(key="uid-md/3", data_after=at())
DRIFTED = replace(QUIET, episode=EPISODE)
RIPE = replace(DRIFTED, data=data("flights-b", at(hours=1)), last_data="flights-b")
NEW = replace(QUIET, data=data("flights-b"), unseen_share=Decimal("0.25"))
TIMED = replace(QUIET, retrain=retrain(HOURLY))
BOTH = replace(RIPE, last_data="flights-a", unseen_share=Decimal(1))

DRIFT_RUN = Due(cause="Drift", key="uid-md/3/flights-b")
DATA_RUN = Due(cause="NewData", key=sha("flights-b"))
NOON = at(hours=12)
TIME_RUN = Due(cause="Schedule", key=stamp(hours=12), tick=NOON)

STARTS: dict[str, tuple[Retraining, Due | None]] = {
    "nothing to do": (QUIET, None),
    "a drift with labels of its time": (RIPE, DRIFT_RUN),
    "a drift nobody asked to hear of": (replace(RIPE, retrain=retrain(NEW_DATA)), None),
    "a drift without labels of its time": (DRIFTED, None),
    "labels up to the drift, and no further": (
        replace(DRIFTED, data=data("flights-b", at()), last_data="flights-b"),
        None,
    ),
    "a drift that had its run on these data": (
        replace(RIPE, spent=frozenset({("Drift", DRIFT_RUN.key)})),
        None,
    ),
    "labels of its time that the model has learned from": (
        replace(RIPE, learned="flights-b"),
        None,
    ),
    "a lost challenger and newer data": (
        replace(RIPE, spent=frozenset({("Drift", "uid-md/3/flights-a")})),
        DRIFT_RUN,
    ),
    "enough new rows": (NEW, DATA_RUN),
    "just enough new rows": (replace(NEW, unseen_share=Decimal("0.2")), DATA_RUN),
    "too few new rows": (replace(NEW, unseen_share=Decimal("0.19")), None),
    "new rows nobody can count": (replace(NEW, unseen_share=None), DATA_RUN),
    "any new version": (
        replace(NEW, retrain=retrain({"type": "NewData"}), unseen_share=None),
        DATA_RUN,
    ),
    "data that had their run": (
        replace(NEW, spent=frozenset({("NewData", sha("flights-b"))})),
        None,
    ),
    "no data at all": (replace(NEW, data=None), None),
    "a tick": (TIMED, TIME_RUN),
    "a tick that was acted on": (replace(TIMED, last_tick=NOON), None),
    "a tick before the job was made": (replace(TIMED, created=at(hours=12, minutes=10)), None),
    "drift goes before new data": (BOTH, DRIFT_RUN),
    "the end of a run long enough ago": (
        replace(NEW, last_ended=at(hours=11, minutes=30)),
        DATA_RUN,
    ),
    "the end of a run a moment too young": (
        replace(NEW, last_ended=at(hours=11, minutes=30, seconds=1)),
        None,
    ),
    "one run less than a day may have": (
        replace(NEW, started=(at(hours=1), at(hours=2), at(hours=3))),
        DATA_RUN,
    ),
    "as many as a day may have": (
        replace(NEW, started=(at(hours=1), at(hours=2), at(hours=3), at(hours=4))),
        None,
    ),
    "yesterday's runs do not count": (
        replace(NEW, started=(at(hours=-12), at(hours=2), at(hours=3), at(hours=4))),
        DATA_RUN,
    ),
    "suspended": (replace(NEW, retrain=retrain(NEW_DATA, suspend=True)), None),
    "while a run is under way": (replace(NEW, running=True), None),
}


@pytest.mark.parametrize(("seen", "start"), STARTS.values(), ids=STARTS)
def test_what_starts(seen: Retraining, start: Due | None) -> None:
    assert answer_triggers(seen).start == start


HELD: dict[str, tuple[Retraining, list[tuple[str, str]]]] = {
    "nothing": (NEW, []),
    "by the cooldown": (replace(NEW, last_ended=NOW), [("NewData", "CooldownActive")]),
    "by a cooldown that seems to begin tomorrow": (
        replace(NEW, last_ended=at(days=1)),
        [("NewData", "CooldownActive")],
    ),
    "by the runs of the day": (
        replace(NEW, started=(NOW,) * 4),
        [("NewData", "DailyLimitReached")],
    ),
    "by suspend": (
        replace(NEW, retrain=retrain(NEW_DATA, suspend=True)),
        [("NewData", "Suspended")],
    ),
    "by a run": (replace(NEW, running=True), [("NewData", "RunActive")]),
    "by missing labels": (DRIFTED, [("Drift", "WaitingForData")]),
    "by labels that were learned from": (
        replace(RIPE, learned="flights-b"),
        [("Drift", "WaitingForData")],
    ),
    "by another that goes first": (BOTH, [("NewData", "RunActive")]),
    "missing labels hold a drift back, not the rest": (
        replace(NEW, episode=EPISODE),
        [("Drift", "WaitingForData")],
    ),
}


@pytest.mark.parametrize(("seen", "held"), HELD.values(), ids=HELD)
def test_what_is_held_back(seen: Retraining, held: list[tuple[str, str]]) -> None:
    told = answer_triggers(seen).pending

    assert [(item.cause, item.reason) for item in told] == held


def test_a_trigger_is_held_since_it_was_first_held() -> None:
    before = PendingTrigger(
        cause="NewData", key=sha("flights-b"), reason="RunActive", since=stamp(hours=2)
    )

    (told,) = answer_triggers(replace(NEW, last_ended=NOW, pending=(before,))).pending

    assert told == before.model_copy(update={"reason": "CooldownActive"})


def test_a_newer_one_of_its_kind_takes_its_place() -> None:
    before = PendingTrigger(
        cause="NewData", key=sha("flights-a"), reason="CooldownActive", since=stamp(hours=2)
    )

    (told,) = answer_triggers(replace(NEW, last_ended=NOW, pending=(before,))).pending

    assert (told.key, told.since) == (sha("flights-b"), stamp(hours=12, minutes=30))


def test_a_drift_without_labels_asks_for_them() -> None:
    assert answer_triggers(DRIFTED).wants == EPISODE


def test_a_drift_whose_labels_were_learned_from_asks_for_newer_ones() -> None:
    newer = Episode(key="uid-md/3", data_after=at(hours=1))

    assert answer_triggers(replace(RIPE, learned="flights-b")).wants == newer


def test_it_asks_during_the_cooldown_too() -> None:
    assert answer_triggers(replace(DRIFTED, last_ended=NOW)).wants == EPISODE


def test_a_pinned_version_brings_no_others() -> None:
    assert answer_triggers(replace(DRIFTED, pinned=True)).wants is None


def test_nobody_asks_while_suspended() -> None:
    asleep = replace(DRIFTED, retrain=retrain(DRIFT, suspend=True))

    assert answer_triggers(asleep).wants is None


def test_it_is_looked_at_again_when_the_cooldown_is_over() -> None:
    answer = answer_triggers(replace(NEW, last_ended=at(hours=12)))

    assert (answer.again, answer.lifts) == (at(hours=13), at(hours=13))


def test_it_is_looked_at_again_when_the_oldest_run_of_the_day_is_a_day_old() -> None:
    started = (at(hours=2), at(hours=3), at(hours=4), at(hours=5))

    assert answer_triggers(replace(NEW, started=started)).again == at(hours=26)


def test_it_is_looked_at_again_at_the_next_tick() -> None:
    assert answer_triggers(TIMED).again == at(hours=13)


def test_time_alone_changes_nothing_else() -> None:
    assert answer_triggers(QUIET) == Answer()


def test_a_schedule_that_cannot_be_read_is_said() -> None:
    bad = replace(QUIET, retrain=retrain({"type": "Schedule", "schedule": "0 25 * * *"}))

    answer = answer_triggers(bad)

    assert answer.invalid == "Schedule '0 25 * * *' cannot be read as cron: Bad hour."
    assert answer.start is None


def test_a_start_in_the_future_counts_as_now() -> None:
    assert started_today((at(days=3), at(days=-3)), NOW) == [NOW]


def test_newer_data_make_another_key_of_the_same_episode() -> None:
    assert drift_key("uid-md/3", "flights-b") != drift_key("uid-md/3", "flights-c")


def manifest(*parts: tuple[str, int]) -> Manifest:
    return Manifest(
        digest=sha("all"),
        parts=tuple(
            Part(uri=f"s3://a/{name}", digest=sha(name), rows=rows, bytes=1) for name, rows in parts
        ),
        rows=sum(rows for _, rows in parts),
    )


def test_rows_of_parts_the_last_run_had_are_not_unseen() -> None:
    old, new = manifest(("jan", 30), ("feb", 30)), manifest(("feb", 30), ("mar", 10))

    assert unseen_share(new, old) == Decimal("0.25")


def test_without_an_earlier_manifest_all_rows_are_unseen() -> None:
    assert unseen_share(manifest(("jan", 30)), None) == 1


def test_nothing_of_nothing_is_unseen() -> None:
    assert unseen_share(manifest(), None) == 0
