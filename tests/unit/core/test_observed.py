"""What is read from executions."""

from tests.builders import make_execution
from tidemill.core.observed import ended, failure_of, stuck_of


def test_only_what_is_over_has_ended() -> None:
    over = [ended(make_execution("x", state=s)) for s in ("Succeeded", "Failed", "Canceled")]

    assert over == [True, True, True]
    assert [ended(make_execution("x", state=s)) for s in ("Running", "Pending", None)] == [
        False,
        False,
        False,
    ]


def test_a_failure_is_told_in_the_executions_words() -> None:
    failed = make_execution("x", state="Failed", reason="AccessDenied", message="403 from tides.")

    assert failure_of(failed) == ("AccessDenied", "403 from tides.")


def test_a_failure_without_words_is_still_told() -> None:
    failed = make_execution("x", state="Canceled", reason="Canceled")

    assert failure_of(failed) == ("Canceled", "PipelineExecution x ended: Canceled.")


def test_an_execution_that_waits_for_a_person_is_stuck() -> None:
    waiting = make_execution(
        "x", state="Pending", reason="SecretMissing", message="Create tides.", stuck=True
    )

    assert stuck_of(waiting) == ("SecretMissing", "Create tides.")
    assert stuck_of(make_execution("x", state="Running")) is None


def test_one_that_is_over_is_not_stuck() -> None:
    over = make_execution("x", state="Failed", reason="SecretMissing", stuck=True)

    assert stuck_of(over) is None
