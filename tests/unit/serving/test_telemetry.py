"""What Prometheus reads: every series from the start, and numbers that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.serving.bundles import profile
from tidemill.api.documents.profile import Profile
from tidemill.serving.batch import Batch
from tidemill.serving.counters import Counters
from tidemill.serving.telemetry import BUCKETS, CODES, Telemetry, registry_of

PROFILE = Profile.model_validate(profile())
BINS = {"dep_hour": 5, "temp": 4, "weekend": 2, "carrier": 5, "origin": 3}


@pytest.fixture
def counters() -> Counters:
    return Counters(PROFILE.features, PROFILE.prediction)


def series(telemetry: Telemetry) -> dict[tuple[str, ...], float]:
    """Return our series by name and label values."""
    text = generate_latest(registry_of(telemetry)).decode()
    return {
        (sample.name, *(sample.labels[key] for key in sorted(sample.labels, reverse=True))): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.name.startswith("tidemill_")
    }


def test_every_series_is_there_at_nought_from_the_start(counters: Counters) -> None:
    found = series(Telemetry("sha256:ab", counters, lambda: 0))

    expected: set[tuple[str, ...]] = set()
    expected |= {("tidemill_requests_total", str(code)) for code in CODES}
    bounds = [*(str(float(bound)) for bound in BUCKETS), "+Inf"]
    expected |= {("tidemill_request_seconds_bucket", bound) for bound in bounds}
    expected |= {
        (name,)
        for name in (
            "tidemill_request_seconds_sum",
            "tidemill_request_seconds_count",
            "tidemill_predictions_total",
            "tidemill_null_predictions_total",
            "tidemill_event_time_seconds",
            "tidemill_log_dropped_total",
        )
    }
    expected |= {("tidemill_prediction_values_total", str(place)) for place in range(20)}
    for feature, bins in BINS.items():
        for place in range(bins):
            expected.add(("tidemill_feature_values_total", feature, str(place)))
        for kind in ("missing", "unknown", "invalid", "out_of_range"):
            expected.add((f"tidemill_feature_{kind}_total", feature))
    info = ("tidemill_model_info", "sha256:ab")
    assert found == {**dict.fromkeys(expected, 0.0), info: 1.0}


def test_requests_are_counted_by_code_and_time(counters: Counters) -> None:
    telemetry = Telemetry("sha256:ab", counters, lambda: 7)
    telemetry.request(200, 0.001)
    telemetry.request(200, 0.0011)
    telemetry.request(422, 60.0)
    found = series(telemetry)

    assert found["tidemill_requests_total", "200"] == 2
    assert found["tidemill_requests_total", "422"] == 1
    assert found["tidemill_request_seconds_bucket", "0.001"] == 1
    assert found["tidemill_request_seconds_bucket", "0.0025"] == 2
    assert found["tidemill_request_seconds_bucket", "10.0"] == 2
    assert found["tidemill_request_seconds_bucket", "+Inf"] == 3
    assert found["tidemill_request_seconds_count",] == 3
    assert found["tidemill_request_seconds_sum",] == pytest.approx(60.0021)
    assert found["tidemill_log_dropped_total",] == 7


def test_the_newest_event_time_stays(counters: Counters) -> None:
    telemetry = Telemetry("sha256:ab", counters, lambda: 0)
    for moment in (1357034400.0, 1357041600.0, 1357038000.0):
        telemetry.event_time(moment)

    assert series(telemetry)["tidemill_event_time_seconds",] == 1357041600.0


def test_values_are_counted_by_the_time_of_the_scrape(counters: Counters) -> None:
    telemetry = Telemetry("sha256:ab", counters, lambda: 0)
    batch = Batch(
        2, np.array([[6.0, 30.0], [np.nan, 70.0], [0.0, 1.0]]), (["UA", "ZZ"], ["", "JFK"])
    )
    counters.add(batch, np.array([0.31, np.nan]))
    counters.add_invalid("temp", 2)
    found = series(telemetry)

    counted = {key: value for key, value in found.items() if value and "requests" not in key[0]}
    assert counted == {
        ("tidemill_model_info", "sha256:ab"): 1,
        ("tidemill_predictions_total",): 2,
        ("tidemill_null_predictions_total",): 1,
        ("tidemill_prediction_values_total", "6"): 1,
        ("tidemill_feature_values_total", "dep_hour", "0"): 1,
        ("tidemill_feature_values_total", "dep_hour", "4"): 1,
        ("tidemill_feature_out_of_range_total", "dep_hour"): 1,
        ("tidemill_feature_values_total", "temp", "2"): 1,
        ("tidemill_feature_missing_total", "temp"): 1,
        ("tidemill_feature_invalid_total", "temp"): 2,
        ("tidemill_feature_values_total", "weekend", "0"): 1,
        ("tidemill_feature_values_total", "weekend", "1"): 1,
        ("tidemill_feature_values_total", "carrier", "0"): 1,
        ("tidemill_feature_unknown_total", "carrier"): 1,
        ("tidemill_feature_values_total", "origin", "1"): 1,
        ("tidemill_feature_missing_total", "origin"): 1,
    }
