"""Why a thing cannot go on, or cannot use what it was handed."""

import pytest
from pydantic import ValidationError

from tests.builders import make_candidate, make_execution
from tidemill.api.documents.results import Failure
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.core.observed import Unreadable
from tidemill.core.trouble import Problem, invalid_result, name_conflict, stuck, unusable


def test_an_unreadable_result_is_told_as_it_is() -> None:
    wrong = Unreadable("DigestMismatch", "sha256 differs.")

    assert unusable(wrong) == wrong


def test_a_failure_speaks_for_itself() -> None:
    failure = Failure(reason="TooFewRows", message="12 rows.")

    assert unusable(failure) == Unreadable("TooFewRows", "12 rows.")


def test_the_wrong_kind_of_result_is_named() -> None:
    assert unusable(make_candidate()) == Unreadable(
        "ResultInvalid", "The result document is of kind Candidate, which was not asked for."
    )


def test_a_result_that_does_not_fit_says_where() -> None:
    with pytest.raises(ValidationError) as raised:
        StoredDocument(uri="ftp://x", digest="sha256:" + "a" * 64)

    assert invalid_result(raised.value) == Unreadable(
        "ResultInvalid", "The result does not fit into a record at uri."
    )


def test_a_stuck_execution_is_a_problem() -> None:
    waiting = make_execution("x", state="Pending", reason="SecretMissing", message="!", stuck=True)

    assert stuck(waiting) == Problem(reason="SecretMissing", message="!")
    assert stuck(make_execution("x", state="Running")) is None


def test_a_conflict_of_names_says_what_to_do() -> None:
    assert name_conflict("PipelineExecution", "x", "Dataset") == Problem(
        reason="NameConflict",
        message="PipelineExecution x exists and does not belong to this Dataset; it is left alone."
        " Delete it to let the work go on.",
    )


def test_a_conflict_of_names_is_looked_at_again() -> None:
    assert name_conflict("PipelineExecution", "x", "Dataset").look_again == 10.0
    assert Problem(reason="SecretMissing", message="!").look_again is None
