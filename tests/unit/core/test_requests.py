"""`read_request`: each case says only what differs from a request made a minute ago."""

import pytest

from tests.builders import NAMESPACE, at, stamp
from tidemill.api.base import REQUEST_ANNOTATION, Metadata
from tidemill.core.requests import Ignored, Request, read_request

VERBS = {"refresh": False, "promote": True}
NOW = at(hours=1)
RECENT = stamp(minutes=59)


def asked(text: str, *, answered: str | None = None) -> Request | Ignored | None:
    metadata = Metadata(
        name="flights",
        namespace=NAMESPACE,
        creation_timestamp=stamp(minutes=50),
        annotations={REQUEST_ANNOTATION: text},
    )
    return read_request(metadata, answered=answered, now=NOW, verbs=VERBS)


def test_a_request_is_read() -> None:
    text = f"refresh@{RECENT}"

    request = asked(text)

    assert request == Request(text=text, verb="refresh", target=None, at=at(minutes=59))


def test_a_target_is_read() -> None:
    text = f"promote/sha256:{'ab' * 32}@{RECENT}"

    request = asked(text)

    assert isinstance(request, Request)
    assert request.target == f"sha256:{'ab' * 32}"


def test_no_annotation_is_no_request() -> None:
    metadata = Metadata(name="flights")

    assert read_request(metadata, answered=None, now=NOW, verbs=VERBS) is None


def test_a_request_is_answered_once() -> None:
    text = f"refresh@{RECENT}"

    assert asked(text, answered=text) is None


def test_a_time_in_the_future_counts_as_now() -> None:
    assert isinstance(asked(f"refresh@{stamp(hours=9)}"), Request)


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    request = asked("refresh@2026-01-05T07:55:00-05:00")

    assert isinstance(request, Request)
    assert request.at == at(minutes=55)


IGNORED = {
    "a verb this kind does not know": (
        f"dance@{RECENT}",
        f"Request 'dance@{RECENT}' was ignored: dance is not one of promote, refresh.",
    ),
    "a target that is missing": (
        f"promote@{RECENT}",
        f"Request 'promote@{RECENT}' was ignored: promote needs a target, as in"
        " promote/<target>@<time>.",
    ),
    "older than a quarter of an hour": (
        f"refresh@{stamp(minutes=44)}",
        f"Request 'refresh@{stamp(minutes=44)}' was ignored: at {stamp(hours=1)} it is older than"
        " 15 minutes.",
    ),
    "older than the object": (
        f"refresh@{stamp(minutes=49)}",
        f"Request 'refresh@{stamp(minutes=49)}' was ignored: it is older than the object, which"
        f" was made at {stamp(minutes=50)}.",
    ),
    "no time": (
        "refresh",
        "Request 'refresh' was ignored: it is not of the form <verb>[/<target>]@<RFC 3339 time>,"
        " such as refresh@2026-01-31T05:00:00Z.",
    ),
    "a time nobody can read": (
        "refresh@noon",
        "Request 'refresh@noon' was ignored: it is not of the form"
        " <verb>[/<target>]@<RFC 3339 time>, such as refresh@2026-01-31T05:00:00Z.",
    ),
}


@pytest.mark.parametrize(("text", "message"), IGNORED.values(), ids=IGNORED)
def test_a_request_is_acknowledged_as_ignored(text: str, message: str) -> None:
    assert asked(text) == Ignored(text=text, message=message)


def test_the_token_of_a_long_request_fits_a_key() -> None:
    request = Request(text="x" * 200, verb="refresh", target=None, at=NOW)

    assert len(request.token) == 64
