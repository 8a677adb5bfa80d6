"""`StepError`: what becomes of it in a result document."""

import pytest

from tidemill.api.documents.results import Failure
from tidemill.steps.failures import StepError, listing, redacted


def test_a_step_error_becomes_a_failure_document() -> None:
    error = StepError("NoObjects", "nothing there", transient=True)

    assert error.document() == Failure(reason="NoObjects", message="nothing there", transient=True)


def test_a_long_message_is_cut_to_what_a_document_holds() -> None:
    message = StepError("NoObjects", "x" * 5000).document().message

    assert (len(message), message[-4:]) == (1024, "x...")


def test_the_values_of_secret_variables_are_starred_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
    monkeypatch.setenv("MY_TOKEN", "abc")

    assert redacted("denied for hunter2hunter2, abc") == "denied for ***, abc"
    assert StepError("AccessDenied", "key hunter2hunter2").document().message == "key ***"


def test_the_url_of_a_database_is_starred_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_url", "postgresql://me:word@host/tides")
    monkeypatch.setenv("SOURCE_AWS_ENDPOINT_URL", "http://minio:9000")
    monkeypatch.setenv("SOURCE_username", "miller")

    said = "postgresql://me:word@host/tides, http://minio:9000 and miller"
    assert redacted(said) == "***, http://minio:9000 and miller"


def test_a_long_list_says_how_much_more_there_is() -> None:
    assert listing(["a", "b"]) == "a, b"
    assert listing(["a", "b", "c", "d"], most=2) == "a, b and 2 more"
