"""Documents become values: what is missing or cannot be believed is an observation."""

import pytest

from tests.builders import make_execution, make_profile, make_snapshot, stored
from tidemill.api.documents.profile import Profile
from tidemill.core.observed import Unreadable
from tidemill.errors import TerminalError, TransientError
from tidemill.shell.gather.results import PROFILE_LIMIT, read_document, read_result


class Store:
    """An artifact store with one answer."""

    def __init__(self, answer: bytes | Exception | None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str | None, int]] = []

    async def read(self, uri: str, digest: str | None = None, limit: int = 262144) -> bytes | None:
        self.asked.append((uri, digest, limit))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


DONE = make_execution("flights-1")
WHERE = stored("flights-1/result.json")


async def test_a_result_is_read_by_its_digest() -> None:
    store = Store(make_snapshot().model_dump_json(by_alias=True).encode())

    assert await read_result(store, DONE) == make_snapshot()
    assert store.asked == [(WHERE.uri, WHERE.digest, 262144)]


@pytest.mark.parametrize("state", ["Running", "Failed", None])
async def test_there_is_no_result_before_a_success(state: str | None) -> None:
    store = Store(None)

    assert await read_result(store, make_execution("flights-1", state=state)) is None
    assert await read_result(store, None) is None
    assert store.asked == []


UNREADABLE = {
    "nothing there": (
        None,
        Unreadable("ResultMissing", f"There is no document at {WHERE.uri}."),
    ),
    "other bytes": (
        TerminalError("DigestMismatch", "sha256 differs."),
        Unreadable("DigestMismatch", "sha256 differs."),
    ),
    "no JSON": (
        b"<html>",
        Unreadable("ResultInvalid", f"The document {WHERE.uri} is not valid at its beginning."),
    ),
    "another kind": (
        b'{"kind": "Riddle"}',
        Unreadable("ResultInvalid", f"The document {WHERE.uri} is not valid at its beginning."),
    ),
    "a field amiss": (
        b'{"kind": "Unchanged", "fingerprint": 7}',
        Unreadable(
            "ResultInvalid",
            f"The document {WHERE.uri} is not valid at Unchanged.fingerprint.",
        ),
    ),
}


@pytest.mark.parametrize(("answer", "told"), UNREADABLE.values(), ids=UNREADABLE)
async def test_what_cannot_be_believed_is_a_value(
    answer: bytes | Exception | None, told: Unreadable
) -> None:
    assert await read_result(Store(answer), DONE) == told


async def test_a_success_without_a_document_is_told() -> None:
    bare = DONE.model_copy(update={"status": DONE.status.model_copy(update={"result": None})})

    assert await read_result(Store(None), bare) == Unreadable(
        "ResultMissing", "PipelineExecution flights-1 has left no result document."
    )


async def test_a_store_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(TransientError):
        await read_result(Store(TransientError("timed out")), DONE)


async def test_a_profile_may_be_larger_than_a_result() -> None:
    store = Store(make_profile().model_dump_json(by_alias=True).encode())

    assert await read_document(store, WHERE, Profile) == make_profile()
    assert store.asked == [(WHERE.uri, WHERE.digest, PROFILE_LIMIT)]
