"""The standing watch: is live input still what the model learned from?

Windows follow one another from a claimed anchor, status.monitor.windowStart. A window that shows
what the one before showed is not written down; one that shows something else, or counts, becomes
the new anchor. A window without enough requests is passed over: it neither counts as drifted nor
ends a row of drifted ones.

Far more missing, unknown or invalid values than in the baseline are bad data, not drift: such a
feature is named, and has no part in the verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tidemill.api.base import Condition
from tidemill.api.documents.profile import MAX_FEATURES, FeatureProfile, Profile
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1.modeldeployment import (
    DriftedFeature,
    Episode,
    ModelDeploymentStatus,
    Monitoring,
    MonitorStatus,
)
from tidemill.core import queries
from tidemill.core.conditions import MAX_MESSAGE, condition, parse_time, rfc3339
from tidemill.core.drift import compare
from tidemill.core.queries import Point
from tidemill.core.verdicts import Verdict, number, too_few

BROKEN_SHARE = 0.05
"""A feature is broken when its share of values that are missing, unknown or invalid lies above the
baseline's by more than this."""
MOST_TOLD = 5
"""How many features a message names."""
BROKEN_KINDS = ("missing", "unknown", "invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time whose input is judged."""

    start: datetime
    seconds: int

    @property
    def end(self) -> datetime:
        """Its end."""
        return self.start + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read for one window."""

    window: Window
    baseline: Profile | None = None
    answers: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    """Prometheus' answers by part, as `parts` named them."""
    reason: str = ""
    """Why the window cannot be judged now: PrometheusUnavailable or BaselineUnavailable."""
    trouble: str = ""
    """The same in words."""

    def of(self, part: str) -> tuple[Point, ...]:
        """The answer to one part; empty if there is none."""
        return self.answers.get(part, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one window has shown."""

    window: Window
    verdict: Verdict
    samples: int
    message: str
    share: str = "0"
    """The share of judged features that had drifted, to two digits."""
    features: tuple[DriftedFeature, ...] = ()
    broken: tuple[str, ...] = ()
    data_after: str = ""
    """The newest event time of requests when the window began."""


def due(
    monitor: MonitorStatus | None, policy: Monitoring, *, scrape_seconds: int, now: datetime
) -> Window | None:
    """The window to judge now: the last one that is over, and scraped once more since."""
    if monitor is None or monitor.window_start is None:
        return None
    begin, length = parse_time(monitor.window_start), timedelta(seconds=policy.window_seconds)
    over = (now - timedelta(seconds=scrape_seconds) - begin) // length
    if over < 1:
        return None
    return Window(start=begin + (over - 1) * length, seconds=policy.window_seconds)


def next_at(
    monitor: MonitorStatus | None, policy: Monitoring, *, scrape_seconds: int, now: datetime
) -> datetime | None:
    """When the next window can be judged."""
    if monitor is None or monitor.window_start is None:
        return None
    length = timedelta(seconds=policy.window_seconds)
    begin = parse_time(monitor.window_start) + timedelta(seconds=scrape_seconds)
    return begin + (max((now - begin) // length, 0) + 1) * length


def parts(
    window: Window, *, namespace: str, revision: str, scrape_seconds: int
) -> Mapping[str, str]:
    """What one window asks, by name, to be evaluated at its end."""
    pods, seconds = queries.selector(namespace, revision), window.seconds
    broken = {
        kind: queries.total(f"tidemill_feature_{kind}_total", pods, seconds, "feature")
        for kind in BROKEN_KINDS
    }
    return {
        "predictions": queries.total("tidemill_predictions_total", pods, seconds),
        "bins": queries.total("tidemill_feature_values_total", pods, seconds, "feature", "bin"),
        "event-time": queries.event_time(pods, window.start),
        "first-event-time": queries.first_event_time(pods, seconds, scrape_seconds),
        **broken,
    }


def judge(policy: Monitoring, reading: Reading, baseline: Profile) -> Shown:
    """What a window has shown, against the model's baseline."""
    window = reading.window
    samples = round(queries.scalar(reading.of("predictions")) or 0.0)
    until = f"in the window to {rfc3339(window.end)}"
    if samples < policy.min_samples:
        said = too_few("predictions", samples, policy.min_samples).text
        return Shown(
            window=window, verdict=Verdict.NO_DATA, samples=samples, message=f"{said} {until}"
        )
    watched = baseline.features[:MAX_FEATURES]
    broken = {item.name: bad for item in watched if (bad := _bad_share(item, reading)) is not None}
    features = _features(policy, reading, [item for item in watched if item.name not in broken])
    if not features:
        said = f"No feature has {policy.min_samples} values {until}{_told(broken)}"
        return Shown(
            window=window,
            verdict=Verdict.NO_DATA,
            samples=samples,
            message=said,
            broken=tuple(sorted(broken)),
        )
    drifted = [item for item in features if item.drifted]
    share = len(drifted) / len(features)
    failed = share > float(policy.drift.max_share_of_features)
    named = "".join(
        f"{', ' if index else ': '}{item.feature} {item.distance} > {item.bound}"
        for index, item in enumerate(drifted[:MOST_TOLD])
    )
    said = (
        f"{len(drifted)} of {len(features)} features drifted"
        f" (at most {policy.drift.max_share_of_features} of them may){named}"
        f" (n={samples} {until}){_told(broken)}"
    )
    return Shown(
        window=window,
        verdict=Verdict.FAILED if failed else Verdict.SUCCESSFUL,
        samples=samples,
        message=said[:MAX_MESSAGE],
        share=f"{share:.2f}",
        features=features,
        broken=tuple(sorted(broken)),
        data_after=_data_after(reading),
    )


def _features(
    policy: Monitoring, reading: Reading, watched: Sequence[FeatureProfile]
) -> tuple[DriftedFeature, ...]:
    """The features with enough values, the largest distance first."""
    by_feature: dict[str, list[Point]] = {}
    for point in reading.of("bins"):
        by_feature.setdefault(point.labels.get("feature", ""), []).append(point)
    found: list[tuple[float, DriftedFeature]] = []
    for item in watched:
        live = queries.histogram(by_feature.get(item.name, ()), len(item.counts))
        measured = compare(item, live, policy.event_seconds or reading.window.seconds)
        if measured.distance is None or round(measured.samples) < policy.min_samples:
            continue
        bound = max(float(policy.drift.threshold), measured.floor)
        entry = DriftedFeature(
            feature=item.name,
            distance=f"{measured.distance:.4f}",
            bound=f"{bound:.4f}",
            drifted=measured.distance > bound,
        )
        found.append((measured.distance, entry))
    found.sort(key=lambda pair: (-pair[0], pair[1].feature))
    return tuple(entry for _, entry in found)


def _bad_share(item: FeatureProfile, reading: Reading) -> tuple[float, float] | None:
    """Live and baseline share of a feature's broken values, if they are too far apart."""
    bad = sum(
        point.value
        for kind in BROKEN_KINDS
        for point in reading.of(kind)
        if point.labels.get("feature") == item.name
    )
    good = sum(
        point.value for point in reading.of("bins") if point.labels.get("feature") == item.name
    )
    if bad <= 0:
        return None
    seen = sum(item.counts) + item.missing
    before = item.missing / seen if seen else 0.0
    live = bad / (bad + good)
    return (live, before) if live - before > BROKEN_SHARE else None


def _told(broken: Mapping[str, tuple[float, float]]) -> str:
    """Which features are broken, in words."""
    if not broken:
        return ""
    worst = sorted(broken.items(), key=lambda pair: -pair[1][0])[:MOST_TOLD]
    named = ", ".join(
        f"{name} {number(100 * live)} % (baseline {number(100 * before)} %)"
        for name, (live, before) in worst
    )
    return f"; bad data: share of missing, unknown or invalid values: {named}"


def _data_after(reading: Reading) -> str:
    seconds = queries.scalar(reading.of("event-time"))
    if seconds is None:
        seconds = queries.scalar(reading.of("first-event-time"))
    moment = reading.window.start if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return rfc3339(moment)


def begin(
    status: ModelDeploymentStatus, *, baseline: str, watched: bool, now: datetime
) -> ModelDeploymentStatus:
    """The status when something else became stable: the watch begins anew.

    An episode is closed unless what serves now has the same baseline.
    """
    kept = status.episode is not None and status.episode.baseline == baseline
    return status.model_copy(
        update={
            "monitor": MonitorStatus(window_start=rfc3339(now)) if watched else None,
            "episode": status.episode if kept else None,
        }
    )


def is_news(monitor: MonitorStatus, policy: Monitoring, shown: Shown) -> bool:
    """Whether a window has to be written down: it counts, or shows something else than before."""
    needed = policy.drift.consecutive_windows
    if shown.verdict is Verdict.FAILED and monitor.consecutive < needed:
        return True
    before = (monitor.verdict, monitor.share, monitor.broken)
    return before != (shown.verdict, shown.share, shown.broken)


def step_monitor(
    status: ModelDeploymentStatus, policy: Monitoring, shown: Shown, *, baseline: str
) -> ModelDeploymentStatus:
    """The status after a window: the same one, if it shows what was known already."""
    before = status.monitor or MonitorStatus()
    if not is_news(before, policy, shown):
        return status
    failed = shown.verdict is Verdict.FAILED
    counted = {
        Verdict.FAILED: min(before.consecutive + 1, policy.drift.consecutive_windows),
        Verdict.SUCCESSFUL: 0,
    }.get(shown.verdict, before.consecutive)
    first = before.consecutive == 0 and failed
    after = MonitorStatus(
        verdict=str(shown.verdict),
        message=shown.message[:MAX_MESSAGE],
        broken=shown.broken,
        window_start=rfc3339(shown.window.end),
        consecutive=counted,
        samples=shown.samples,
        share=shown.share,
        features=shown.features,
        first_drifted=rfc3339(shown.window.start) if first else before.first_drifted,
        data_after=shown.data_after if first else before.data_after,
    )
    if counted == 0:
        after = after.model_copy(update={"first_drifted": None, "data_after": None})
    status = status.model_copy(update={"monitor": after})
    if failed and counted >= policy.drift.consecutive_windows:
        return _with_episode(status, after, baseline)
    return status


def _with_episode(
    status: ModelDeploymentStatus, monitor: MonitorStatus, baseline: str
) -> ModelDeploymentStatus:
    """Open an episode; there is one for a deployment and baseline."""
    if status.episode is not None and status.episode.baseline == baseline:
        return status
    began = monitor.first_drifted or monitor.window_start or ""
    opened = Episode(
        number=status.episodes + 1,
        baseline=baseline,
        since=began,
        data_after=monitor.data_after or began,
        features=tuple(item.feature for item in monitor.features if item.drifted),
    )
    return status.model_copy(update={"episode": opened, "episodes": opened.number})


def monitored(
    status: ModelDeploymentStatus,
    policy: Monitoring,
    reading: Reading | None,
    *,
    prometheus: bool,
) -> Condition:
    """The Monitored condition. Drift is no fault: the watch works, so it is True."""
    if status.stable is None:
        return condition("Monitored", None, Reason.NOT_MONITORED, "Nothing serves yet.")
    if not prometheus or status.monitor is None:
        said = "Nothing is watched: the operator has no Prometheus (TIDEMILL_PROMETHEUS_URL)."
        return condition("Monitored", False, Reason.NOT_MONITORED, said)
    if reading is not None and reading.reason:
        said = f"The last window cannot be judged: {reading.trouble}"
        known = reading.reason == Reason.BASELINE_UNAVAILABLE
        return condition("Monitored", False if known else None, reading.reason, said)
    monitor = status.monitor
    if status.episode is not None:
        features = ", ".join(status.episode.features[:MOST_TOLD])
        said = (
            f"Episode {status.episode.number}: input has drifted since {status.episode.since}"
            f" ({features}). {monitor.message}"
        )
        return condition("Monitored", True, Reason.DRIFT_CONFIRMED, said)
    if monitor.broken:
        return condition("Monitored", True, Reason.DATA_QUALITY, monitor.message)
    if monitor.verdict == Verdict.FAILED:
        windows = f"window {monitor.consecutive} of {policy.drift.consecutive_windows} in a row"
        return condition("Monitored", True, Reason.DRIFTED, f"{monitor.message}; {windows}")
    if monitor.verdict == Verdict.SUCCESSFUL:
        return condition("Monitored", True, Reason.NO_DRIFT, monitor.message)
    if monitor.verdict == Verdict.NO_DATA:
        return condition("Monitored", True, Reason.NO_DATA, monitor.message)
    length = f"{policy.window_seconds} s"
    said = f"The first window of {length} began at {monitor.window_start}."
    return condition("Monitored", True, Reason.COLLECTING, said)
