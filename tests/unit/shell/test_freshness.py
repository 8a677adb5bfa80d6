"""`SourceAges`: ages are told when they are asked for, from what the store was told."""

from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from tests.unit.shell.bodies import a_dataset, a_service
from tidemill.shell.freshness import SourceAges
from tidemill.shell.store import Store

CHANGED = "2026-01-01T00:00:00Z"


class Watch:
    """A store, its ages and a clock."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
        self.store, self.registry = Store(), CollectorRegistry()
        self.registry.register(SourceAges(self.store, lambda: self.now))

    def put(self, version: int, changed: str | None = CHANGED, within: int | None = None) -> None:
        body = a_dataset(
            version=version, status={} if changed is None else {"sourceChanged": changed}
        )
        refresh = {} if within is None else {"freshWithinSeconds": within}
        self.store.put({**body, "spec": {**body["spec"], "refresh": refresh}})

    def value(self, name: str) -> float | None:
        labels = {"dataset_namespace": "sea", "dataset": "tides"}
        return self.registry.get_sample_value(f"tidemill_dataset_{name}", labels)


def test_a_source_grows_older_while_nothing_happens() -> None:
    watch = Watch()
    watch.put(1, within=900)

    assert watch.value("source_age_seconds") == 600.0
    watch.now += timedelta(hours=1)
    assert watch.value("source_age_seconds") == 4200.0
    assert watch.value("fresh_within_seconds") == 900.0


def test_a_change_makes_it_young_again_and_a_future_one_is_now() -> None:
    watch = Watch()
    watch.put(1)
    watch.put(2, changed="2026-01-01T00:09:00Z")
    assert watch.value("source_age_seconds") == 60.0

    watch.put(3, changed="2027-01-01T00:00:00Z")

    assert watch.value("source_age_seconds") == 0.0


def test_what_is_not_known_is_not_told() -> None:
    watch = Watch()
    watch.put(1, changed=None)

    assert watch.value("source_age_seconds") is None
    assert watch.value("fresh_within_seconds") is None


def test_a_dataset_that_is_gone_is_forgotten() -> None:
    watch = Watch()
    watch.put(1, within=900)

    watch.store.remove(a_dataset(version=2))

    assert watch.value("source_age_seconds") is None
    assert watch.value("fresh_within_seconds") is None


def test_other_kinds_have_no_age() -> None:
    watch = Watch()

    watch.store.put(a_service(uid="s", version=1))

    assert watch.value("source_age_seconds") is None
