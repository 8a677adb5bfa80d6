"""Result documents: only what lies where it may lie is believed."""

import hashlib
import json
from typing import Any

import pytest

from tidemill.api.documents.results import Failure
from tidemill.api.v1alpha1.datasetversion import StoredDocument
from tidemill.core.attempts import Problem
from tidemill.core.resultdocument import Checked, Reading, check

PREFIX = "s3://artifacts/tidemill/cluster-1/team"
URI = f"{PREFIX}/runs/u1/1/result.json"
DIGEST = "sha256:" + "a" * 64


def _published(uri: str, **more: Any) -> bytes:
    stored = {"uri": uri, "digest": DIGEST}
    document = {"kind": "Published", "version": 1, "artifacts": {"model": stored}, **more}
    return json.dumps(document).encode()


def test_a_good_document_is_pinned_by_its_digest() -> None:
    data = _published(f"{PREFIX}/runs/u1/1/model.onnx")

    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert check(Reading(uri=URI, data=data), PREFIX) == Checked(
        document=StoredDocument(uri=URI, digest=digest)
    )


def test_a_failure_is_handed_on() -> None:
    data = json.dumps({"kind": "Failure", "reason": "NoObjects", "message": "None."}).encode()

    assert check(Reading(uri=URI, data=data), PREFIX) == Checked(
        failure=Failure(reason="NoObjects", message="None.")
    )


REFUSED: dict[str, tuple[bytes | None, str, str]] = {
    "no document": (None, "ResultMissing", f"There is no result document at {URI}."),
    "no JSON": (
        b"{", "ResultInvalid",
        f"The result document {URI} is not valid: it: Invalid JSON: EOF while parsing an object"
        " at line 1 column 1."),
    "of no known kind": (
        b'{"kind": "Surprise"}', "ResultInvalid",
        f"The result document {URI} is not valid: it: Input tag 'Surprise' found using 'kind' does"
        " not match any of the expected tags: 'Failure', 'Unchanged', 'Snapshot', 'Erased',"
        " 'Candidate', 'Evaluation', 'Published'."),
    "with a digest that is none": (
        b'{"kind": "Published", "artifacts": {"m": {"uri": "s3://a/b", "digest": "x"}}}',
        "ResultInvalid",
        f"The result document {URI} is not valid: Published.artifacts.m.digest: String should match"
        " pattern '^sha256:[0-9a-f]{64}$'."),
    "of a later version": (
        _published(f"{PREFIX}/m", version=2), "ResultInvalid",
        f"The result document {URI} has version 2; this operator reads version 1. The step image"
        " and the operator must be of one release."),
    "pointing to another namespace": (
        _published("s3://artifacts/tidemill/cluster-1/other/m"), "ResultInvalid",
        f"The result document {URI} points to s3://artifacts/tidemill/cluster-1/other/m, outside"
        f" of {PREFIX}/."),
    "pointing to a namespace whose name begins alike": (
        _published(f"{PREFIX}-two/m"), "ResultInvalid",
        f"The result document {URI} points to {PREFIX}-two/m, outside of {PREFIX}/."),
    "climbing out": (
        _published(f"{PREFIX}/../other/m"), "ResultInvalid",
        f"The result document {URI} points to {PREFIX}/../other/m, outside of {PREFIX}/."),
    "pointing to a user's own place": (
        _published("https://example.test/m"), "ResultInvalid",
        f"The result document {URI} points to https://example.test/m, outside of {PREFIX}/."),
}  # fmt: skip


@pytest.mark.parametrize(("data", "reason", "message"), REFUSED.values(), ids=REFUSED)
def test_a_document_that_is_not_believed(data: bytes | None, reason: str, message: str) -> None:
    assert check(Reading(uri=URI, data=data), PREFIX) == Checked(
        problem=Problem(reason=reason, message=message)
    )


def test_no_value_of_a_broken_document_is_quoted() -> None:
    data = json.dumps({"kind": "Failure", "reason": "hunter2 is the password", "message": ""})

    problem = check(Reading(uri=URI, data=data.encode()), PREFIX).problem

    assert problem is not None
    assert "hunter2" not in problem.message
