"""The templates of PromQL: whole texts, and nothing from outside that is not escaped."""

from datetime import UTC, datetime

import pytest

from tidemill.core import queries
from tidemill.ports import Sample

PODS = queries.selector("tides", "delays-r1")
AT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)

TEXTS = {
    "pods are known by labels of their target": (
        PODS, '{namespace="tides",revision="delays-r1"}'
    ),
    "a quote cannot end a label value": (
        queries.selector('a"} or vector(1) #', "r\\"),
        '{namespace="a\\"} or vector(1) #",revision="r\\\\"}',
    ),
    "nor can a line break": (
        queries.selector("a\nb", "r"), '{namespace="a\\nb",revision="r"}'
    ),
    "increases are taken by pod and then summed": (
        queries.total("tidemill_requests_total", PODS, 60, "code"),
        f"sum by (code) (increase(tidemill_requests_total{PODS}[60s]))",
    ),
    "without labels all is one sum": (
        queries.total("tidemill_predictions_total", PODS, 60),
        f"sum (increase(tidemill_predictions_total{PODS}[60s]))",
    ),
    "a quantile is of the summed histogram": (
        queries.quantile("tidemill_request_seconds", PODS, 60, "0.99"),
        "histogram_quantile(0.99, sum by (le) "
        f"(increase(tidemill_request_seconds_bucket{PODS}[60s])))",
    ),
    "a pod counts once there are two samples of it": (
        queries.scraped(PODS, 15),
        f"sum by (pod) (count_over_time(tidemill_model_info{PODS}[120s])) >= 2",
    ),
    "an event time is that of a moment, and 0 is none": (
        queries.event_time(PODS, AT),
        f"min(tidemill_event_time_seconds{PODS} @ 1767614400 > 0)",
    ),
    "the first event time of a short window looks at every scrape": (
        queries.first_event_time(PODS, 3600, 15),
        f"min(min_over_time((tidemill_event_time_seconds{PODS} > 0)[3600s:15s]))",
    ),
    "of a long one at no more than 500 moments": (
        queries.first_event_time(PODS, 604800, 15),
        f"min(min_over_time((tidemill_event_time_seconds{PODS} > 0)[604800s:1209s]))",
    ),
    "a batch is one query whose parts have names": (
        queries.batch({"b": "vector(2)", "a": "vector(1)"}),
        'label_replace(vector(1), "part", "a", "", "")'
        ' or label_replace(vector(2), "part", "b", "", "")',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), TEXTS.values(), ids=TEXTS)
def test_texts(text: str, wanted: str) -> None:
    assert text == wanted


def test_a_batch_is_split_by_part() -> None:
    answers = queries.split(
        [Sample({"part": "a", "code": "200"}, 9.0), Sample({"part": "a", "code": "503"}, 1.0)]
    )

    assert queries.by_label(answers["a"], "code") == {"200": 9.0, "503": 1.0}
    assert answers["b"] == ()
    assert queries.scalar(answers["b"]) is None
    assert queries.scalar([Sample({}, 3.0)]) == 3.0


def test_a_histogram_has_all_bins_and_no_others() -> None:
    points = [Sample({"bin": n}, 1.5) for n in ("0", "2", "7", "x", "", "-1", "²")]

    assert queries.histogram(points, 4) == (1.5, 0.0, 1.5, 0.0)
