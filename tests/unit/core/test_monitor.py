"""The standing watch: which window is due, what it shows, and what is written down of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import at, make_profile, sha, stamp
from tidemill.api.documents.profile import FeatureProfile, Profile, ValueType
from tidemill.api.v1alpha1.modeldeployment import (
    ModelDeploymentStatus,
    Monitoring,
    MonitorStatus,
)
from tidemill.core import monitor, queries
from tidemill.core.monitor import Reading, Shown, Window
from tidemill.core.verdicts import Verdict
from tidemill.ports import Sample

HOUR = 3600
POLICY = Monitoring.model_validate(
    {"windowSeconds": HOUR, "minSamples": 100, "drift": {"consecutiveWindows": 2}}
)
SCRAPE = 15
FIRST = Window(start=at(), seconds=HOUR)


def collecting(**more: Any) -> MonitorStatus:
    return MonitorStatus.model_validate({"windowStart": stamp(), **more})


DUE: dict[str, tuple[MonitorStatus | None, float, Window | None]] = {
    "nothing is watched": (None, HOUR + 15, None),
    "the window is not over": (collecting(), HOUR - 1, None),
    "it is over and not scraped once more": (collecting(), HOUR + 14, None),
    "it is": (collecting(), HOUR + 15, FIRST),
    "it stays due until the next one is": (collecting(), 2 * HOUR + 14, FIRST),
    "of several the last is due": (
        collecting(), 5 * HOUR + 15, Window(start=at(hours=4), seconds=HOUR)
    ),
}  # fmt: skip


@pytest.mark.parametrize(("status", "after", "window"), DUE.values(), ids=DUE)
def test_due(status: MonitorStatus | None, after: float, window: Window | None) -> None:
    found = monitor.due(status, POLICY, scrape_seconds=SCRAPE, now=at(seconds=after))

    assert found == window


@pytest.mark.parametrize(
    ("after", "next_"),
    [(0, HOUR + 15), (HOUR, HOUR + 15), (HOUR + 15, 2 * HOUR + 15), (2 * HOUR, 2 * HOUR + 15)],
)
def test_the_next_look(after: float, next_: float) -> None:
    found = monitor.next_at(collecting(), POLICY, scrape_seconds=SCRAPE, now=at(seconds=after))

    assert found == at(seconds=next_)


def test_everything_is_asked_of_the_revision_at_the_windows_end() -> None:
    asked = monitor.parts(FIRST, namespace="tides", revision="r1", scrape_seconds=SCRAPE)

    pods = '{namespace="tides",revision="r1"}'
    assert asked["bins"] == (
        f"sum by (feature,bin) (increase(tidemill_feature_values_total{pods}[3600s]))"
    )
    assert asked["unknown"] == (
        f"sum by (feature) (increase(tidemill_feature_unknown_total{pods}[3600s]))"
    )
    assert set(asked) == {
        "predictions", "bins", "missing", "unknown", "invalid", "event-time", "first-event-time",
    }  # fmt: skip
    assert f"@ {int(at().timestamp())}" in asked["event-time"]


BASELINE = make_profile()
SAME = {"dep_hour": (200, 300, 300, 200), "carrier": (600, 340, 10)}
LATE = {"dep_hour": (0, 0, 300, 700), "carrier": (600, 340, 10)}


def read(
    values: Mapping[str, tuple[float, ...]],
    *,
    predictions: float = 1000,
    event: float | None = 1364774400,
    first_event: float | None = None,
    **bad: dict[str, float],
) -> Reading:
    """A reading of the first window; `bad` is kind -> feature -> count."""
    found = [Sample({"part": "predictions"}, predictions)]
    for feature, counts in values.items():
        for n, count in enumerate(counts):
            labels = {"part": "bins", "feature": feature, "bin": str(n)}
            found.append(Sample(labels, float(count)))
    for kind, features in bad.items():
        for feature, count in features.items():
            found.append(Sample({"part": kind, "feature": feature}, count))
    for part, value in (("event-time", event), ("first-event-time", first_event)):
        if value is not None:
            found.append(Sample({"part": part}, value))
    return Reading(window=FIRST, answers=queries.split(found))


END = stamp(hours=1)
SHOWN: dict[str, tuple[Reading, Verdict, str, str]] = {
    "the same distribution": (
        read(SAME), Verdict.SUCCESSFUL, "0.00",
        f"0 of 2 features drifted (at most 0.2 of them may) (n=1000 in the window to {END})",
    ),
    "another one": (
        read(LATE), Verdict.FAILED, "0.50",
        "1 of 2 features drifted (at most 0.2 of them may): dep_hour 0.4968 > 0.1000 "
        f"(n=1000 in the window to {END})",
    ),
    "too few predictions": (
        read(LATE, predictions=99), Verdict.NO_DATA, "0",
        f"predictions: 99 of 100 samples in the window to {END}",
    ),
    "a feature with too few values has no part in it": (
        read({"dep_hour": (0, 0, 0, 99), "carrier": (600, 340, 10)}), Verdict.SUCCESSFUL, "0.00",
        f"0 of 1 features drifted (at most 0.2 of them may) (n=1000 in the window to {END})",
    ),
    "nor has a feature without values": (
        read({"carrier": (600, 340, 10)}), Verdict.SUCCESSFUL, "0.00",
        f"0 of 1 features drifted (at most 0.2 of them may) (n=1000 in the window to {END})",
    ),
    "no feature has enough values": (
        read({"dep_hour": (9, 0, 0, 0)}), Verdict.NO_DATA, "0",
        f"No feature has 100 values in the window to {END}",
    ),
    "values that are missing are bad data, not drift": (
        read(LATE, missing={"dep_hour": 1000}), Verdict.SUCCESSFUL, "0.00",
        "0 of 1 features drifted (at most 0.2 of them may) "
        f"(n=1000 in the window to {END}); bad data: share of missing, unknown or invalid "
        "values: dep_hour 50 % (baseline 0 %)",
    ),
    "so are unknown and invalid ones together": (
        read(SAME, unknown={"carrier": 100.0}, invalid={"carrier": 50.0}), Verdict.SUCCESSFUL,
        "0.00",
        "0 of 1 features drifted (at most 0.2 of them may) "
        f"(n=1000 in the window to {END}); bad data: share of missing, unknown or invalid "
        "values: carrier 13.6 % (baseline 5 %)",
    ),
    "hardly more missing than in the baseline are none": (
        read(SAME, missing={"carrier": 80.0}), Verdict.SUCCESSFUL, "0.00",
        f"0 of 2 features drifted (at most 0.2 of them may) (n=1000 in the window to {END})",
    ),
    "nothing but bad data": (
        read({}, missing={"dep_hour": 1000, "carrier": 1000}), Verdict.NO_DATA, "0",
        f"No feature has 100 values in the window to {END}; bad data: share of missing, unknown "
        "or invalid values: dep_hour 100 % (baseline 0 %), carrier 100 % (baseline 5 %)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("reading", "verdict", "share", "said"), SHOWN.values(), ids=SHOWN)
def test_judge(reading: Reading, verdict: Verdict, share: str, said: str) -> None:
    shown = monitor.judge(POLICY, reading, BASELINE)

    assert (shown.verdict, shown.share, shown.message) == (verdict, share, said)


def noisy(floor: float) -> Profile:
    hour = BASELINE.features[0].model_copy(update={"noise_floor": {"3600": floor}})
    return make_profile(features=(hour, BASELINE.features[1]))


@pytest.mark.parametrize(("floor", "drifted"), [(0.49, True), (0.5, False)])
def test_a_distance_within_the_noise_of_the_training_data_is_no_drift(
    floor: float, drifted: bool
) -> None:
    shown = monitor.judge(POLICY, read(LATE), noisy(floor))

    first = shown.features[0]
    assert (first.feature, first.drifted, first.bound) == ("dep_hour", drifted, f"{floor:.4f}")


def test_the_largest_distance_comes_first() -> None:
    shown = monitor.judge(POLICY, read(LATE), BASELINE)

    assert [(item.feature, item.distance) for item in shown.features] == [
        ("dep_hour", "0.4968"),
        ("carrier", "0.0000"),
    ]


def test_a_share_at_its_bound_is_no_drift() -> None:
    half = Monitoring.model_validate({**POLICY.to_wire(), "drift": {"maxShareOfFeatures": "0.5"}})

    assert monitor.judge(half, read(LATE), BASELINE).verdict is Verdict.SUCCESSFUL


EVENTS: dict[str, tuple[Reading, str]] = {
    "what the pods had seen when the window began": (read(LATE), "2013-04-01T00:00:00Z"),
    "else what they saw first in it": (
        read(LATE, event=None, first_event=1364860800), "2013-04-02T00:00:00Z"
    ),
    "else when it began": (read(LATE, event=None), stamp()),
}  # fmt: skip


@pytest.mark.parametrize(("reading", "moment"), EVENTS.values(), ids=EVENTS)
def test_data_after(reading: Reading, moment: str) -> None:
    assert monitor.judge(POLICY, reading, BASELINE).data_after == moment


GOOD = monitor.judge(POLICY, read(SAME), BASELINE)
BAD = monitor.judge(POLICY, read(LATE), BASELINE)
FEW = monitor.judge(POLICY, read(LATE, predictions=9), BASELINE)
STABLE = {"revision": "r1", "modelVersion": "m1", "digest": sha("m1"), "weight": 100}


def watching(**more: Any) -> ModelDeploymentStatus:
    return ModelDeploymentStatus.model_validate(
        {"stable": STABLE, "monitor": {"windowStart": stamp()}, **more}
    )


def after(shown: Shown, hours: float) -> Shown:
    """The same, in a later window."""
    return replace(shown, window=Window(start=at(hours=hours), seconds=HOUR))


def steps(*shown: Shown, policy: Monitoring = POLICY) -> list[ModelDeploymentStatus]:
    """The status after each of these windows, one after the other."""
    found, status = [], watching()
    for hours, item in enumerate(shown):
        status = monitor.step_monitor(status, policy, after(item, hours), baseline=sha("p1"))
        found.append(status)
    return found


def test_a_window_that_shows_what_was_known_is_not_written() -> None:
    first, second, third = steps(GOOD, GOOD, GOOD)

    assert first.monitor is not None
    assert (first.monitor.verdict, first.monitor.window_start) == ("Successful", stamp(hours=1))
    assert second is first
    assert third is first


def test_drifted_windows_are_counted_from_the_first() -> None:
    _, first, second = (item.monitor for item in steps(GOOD, BAD, BAD))

    assert first is not None and second is not None
    assert (first.consecutive, second.consecutive) == (1, 2)
    assert (first.first_drifted, second.first_drifted) == (stamp(hours=1), stamp(hours=1))
    assert (second.window_start, second.data_after) == (stamp(hours=3), "2013-04-01T00:00:00Z")


def test_a_good_window_ends_the_count() -> None:
    *_, last = (item.monitor for item in steps(BAD, GOOD))

    assert last is not None
    assert (last.consecutive, last.first_drifted, last.data_after) == (0, None, None)


def test_windows_without_data_are_passed_over_and_written_once() -> None:
    first, few, fewer, again = steps(BAD, FEW, FEW, BAD)

    assert first.monitor is not None and few.monitor is not None and again.monitor is not None
    assert (few.monitor.verdict, few.monitor.consecutive) == ("NoData", 1)
    assert fewer is few
    assert again.monitor.consecutive == 2
    assert again.episode is not None
    assert again.episode.since == stamp()


def test_an_episode_opens_when_drift_is_confirmed_and_only_once() -> None:
    first, second, third = steps(BAD, BAD, BAD)

    assert first.episode is None
    assert second.episode is not None
    assert second.episode.to_wire() == {
        "number": 1,
        "baseline": sha("p1"),
        "since": stamp(),
        "dataAfter": "2013-04-01T00:00:00Z",
        "features": ["dep_hour"],
    }
    assert second.episodes == 1
    assert third is second, "drift that goes on is no news"


def test_an_episode_stays_open_though_the_drift_ends() -> None:
    *_, last = steps(BAD, BAD, GOOD)

    assert last.episode is not None
    assert last.monitor is not None and last.monitor.verdict == "Successful"


def test_one_window_is_enough_where_spec_says_so() -> None:
    quick = Monitoring.model_validate({**POLICY.to_wire(), "drift": {"consecutiveWindows": 1}})

    assert steps(BAD, policy=quick)[0].episode is not None


def test_another_model_closes_the_episode_and_begins_anew() -> None:
    *_, drifted = steps(BAD, BAD)

    after_ = monitor.begin(drifted, baseline=sha("p2"), watched=True, now=at(hours=9))

    assert after_.episode is None
    assert after_.episodes == 1
    assert after_.monitor == MonitorStatus(window_start=stamp(hours=9))
    second = monitor.step_monitor(
        monitor.step_monitor(after_, POLICY, after(BAD, 9), baseline=sha("p2")),
        POLICY, after(BAD, 10), baseline=sha("p2"),
    )  # fmt: skip
    assert second.episode is not None
    assert second.episode.number == 2


def test_the_same_model_in_other_pods_keeps_the_episode() -> None:
    *_, drifted = steps(BAD, BAD)

    after_ = monitor.begin(drifted, baseline=sha("p1"), watched=True, now=at(hours=9))

    assert after_.episode == drifted.episode


def test_without_prometheus_nothing_is_watched() -> None:
    assert monitor.begin(watching(), baseline="", watched=False, now=at()).monitor is None


EPISODE = {
    "number": 1, "baseline": sha("p1"), "since": stamp(), "dataAfter": stamp(),
    "features": ["dep_hour", "carrier"],
}  # fmt: skip


def told(verdict: str = "", **more: Any) -> ModelDeploymentStatus:
    given = {"windowStart": stamp(), "verdict": verdict, "message": "As measured", **more}
    return watching(monitor=given)


CONDITIONS: dict[
    str, tuple[ModelDeploymentStatus, Reading | None, bool, tuple[str, str, str]]
] = {
    "nothing serves": (
        ModelDeploymentStatus(), None, True, ("Unknown", "NotMonitored", "Nothing serves yet.")
    ),
    "there is no Prometheus": (
        watching(), None, False,
        (
            "False", "NotMonitored",
            "Nothing is watched: the operator has no Prometheus (TIDEMILL_PROMETHEUS_URL).",
        ),
    ),
    "the first window is collected": (
        watching(), None, True,
        ("True", "Collecting", f"The first window of 3600 s began at {stamp()}."),
    ),
    "no drift": (told("Successful"), None, True, ("True", "NoDrift", "As measured")),
    "too few": (told("NoData"), None, True, ("True", "NoData", "As measured")),
    "drift, once": (
        told("Failed", consecutive=1), None, True,
        ("True", "Drifted", "As measured; window 1 of 2 in a row"),
    ),
    "drift, confirmed": (
        told("Failed", consecutive=2).model_copy(
            update={"episode": watching(episode=EPISODE).episode}
        ),
        None, True,
        (
            "True", "DriftConfirmed",
            f"Episode 1: input has drifted since {stamp()} (dep_hour, carrier). As measured",
        ),
    ),
    "bad data": (
        told("Successful", broken=["carrier"]), None, True,
        ("True", "DataQuality", "As measured"),
    ),
    "Prometheus does not answer": (
        told("Successful"),
        Reading(window=FIRST, reason="PrometheusUnavailable", trouble="refused"), True,
        (
            "Unknown", "PrometheusUnavailable",
            "The last window cannot be judged: refused",
        ),
    ),
    "the baseline is gone": (
        told("Successful"),
        Reading(window=FIRST, reason="BaselineUnavailable", trouble="no profile"), True,
        ("False", "BaselineUnavailable", "The last window cannot be judged: no profile"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "reading", "prometheus", "said"), CONDITIONS.values(), ids=CONDITIONS
)
def test_monitored(
    status: ModelDeploymentStatus,
    reading: Reading | None,
    prometheus: bool,
    said: tuple[str, str, str],
) -> None:
    found = monitor.monitored(status, POLICY, reading, prometheus=prometheus)

    assert (found.status, found.reason, found.message) == said


def test_at_most_64_features_are_watched() -> None:
    one = FeatureProfile(name="f", type=ValueType.NUMBER, edges=(1.0,), counts=(5, 5))
    many = make_profile(
        features=tuple(one.model_copy(update={"name": f"f{n:02}"}) for n in range(70))
    )

    shown = monitor.judge(POLICY, read({f"f{n:02}": (500, 500) for n in range(70)}), many)

    assert len(shown.features) == 64
