"""Attempts: names are functions of the execution, waits grow and stop, nothing starts too late."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.attempts import backoff_seconds, deadline, job_name, next_start, run_id

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
UID = "7f0a1c0e-0000-4000-8000-000000000001"


def test_the_run_id_is_a_function_of_execution_and_attempt() -> None:
    assert run_id(UID, 1) == "090f06a1-501c-5e34-8aed-8de0037ecbd0"
    assert len({run_id(UID, 1), run_id(UID, 2), run_id("other", 1)}) == 3


@pytest.mark.parametrize(
    ("name", "number", "wanted"),
    [
        ("churn-0123456789", 1, "churn-0123456789-1"),
        ("a" * 61, 2, "a" * 61 + "-2"),
        ("a" * 63, 2, "a" * 52 + "-6efcb3f2-2"),
    ],
    ids=["a short name is kept", "63 characters still fit", "a longer one is cut and marked"],
)
def test_job_name(name: str, number: int, wanted: str) -> None:
    made = job_name(name, UID, number)

    assert len(made) <= 63
    assert made == wanted


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert job_name("a" * 63, "uid-1", 1) != job_name("a" * 63, "uid-2", 1)


@pytest.mark.parametrize(
    ("failures", "plain"), [(1, 10), (2, 20), (3, 40), (6, 320), (7, 360), (10, 360), (999, 360)]
)
def test_backoff_doubles_up_to_six_minutes_and_is_spread_by_a_tenth(
    failures: int, plain: float
) -> None:
    assert plain <= backoff_seconds(failures, UID) <= plain * 1.1


@given(st.text(min_size=1, max_size=36), st.integers(1, 50))
def test_backoff_is_the_same_whoever_asks(uid: str, failures: int) -> None:
    assert backoff_seconds(failures, uid) == backoff_seconds(failures, uid)


def test_the_deadline_counts_from_the_first_claim() -> None:
    assert deadline("2026-03-01T11:00:00Z", 3600) == NOW


CASES = {
    "the first failure is followed by a second attempt": (1, 2, 3600, True),
    "the last attempt allowed is the last": (3, 2, 3600, False),
    "with limit 0 there is one attempt": (1, 0, 3600, False),
    "an attempt that would start at the deadline is none": (1, 2, 5, False),
}


@pytest.mark.parametrize(("number", "limit", "left", "again"), CASES.values(), ids=CASES)
def test_next_start(number: int, limit: int, left: float, again: bool) -> None:
    until = NOW + timedelta(seconds=left)

    start = next_start(number, limit=limit, uid=UID, now=NOW, until=until)

    assert (start is not None) is again
    if start is not None:
        assert start == NOW + timedelta(seconds=backoff_seconds(number, UID))
