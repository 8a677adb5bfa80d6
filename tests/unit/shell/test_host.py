"""`Host`: when kopf is up, and when it must be looked after."""

import kopf
import pytest

from tests.unit.shell.fake_api import FakeApi
from tidemill.adapters.apiserver import Answer
from tidemill.adapters.resources import OWN
from tidemill.shell.host import EndlessBackoffs, Host, configure
from tidemill.shell.store import Store

PATHS = [type_.path("sea") for type_ in OWN.values()]


@pytest.fixture
def listed() -> list[str]:
    return []


@pytest.fixture
def host(listed: list[str]) -> Host:
    return Host(FakeApi(), Store(), "sea", listed.append)


def test_it_is_up_once_all_kinds_are_watched(host: Host) -> None:
    for path in PATHS[:-1]:
        host.answered(Answer("GET", path, True, 200))
        assert not host.up

    host.answered(Answer("GET", PATHS[-1], True, 200))
    assert host.up


@pytest.mark.parametrize(
    "answer",
    [
        Answer("GET", PATHS[0], True, 410),
        Answer("GET", PATHS[0], True, 0),
        Answer("GET", PATHS[0], False, 503),
        Answer("GET", PATHS[0], False, 200),
    ],
    ids=["watch refused", "watch failed", "list refused", "listing again"],
)
def test_it_is_not_up_while_a_kind_is_not_watched(host: Host, answer: Answer) -> None:
    for path in PATHS:
        host.answered(Answer("GET", path, True, 200))

    host.answered(answer)

    assert not host.up


ANSWERS: dict[str, tuple[Answer, bool]] = {
    "a list": (Answer("GET", PATHS[0], False, 200), True),
    "a list that failed": (Answer("GET", PATHS[0], False, 500), False),
    "a watch": (Answer("GET", PATHS[0], True, 200), False),
    "something else": (Answer("GET", "/apis/tidemill.dev/v1alpha1", False, 200), False),
    "a write": (Answer("POST", PATHS[0], False, 200), False),
    "another namespace": (Answer("GET", OWN["Dataset"].path("lake"), False, 200), False),
}


@pytest.mark.parametrize(("answer", "tells"), ANSWERS.values(), ids=ANSWERS)
def test_each_list_is_told(host: Host, listed: list[str], answer: Answer, tells: bool) -> None:
    host.answered(answer)

    assert listed == ([next(iter(OWN))] if tells else [])


def test_what_was_measured_to_be_a_trap_is_off() -> None:
    settings = kopf.OperatorSettings()

    configure(settings)

    assert settings.posting.enabled is False
    assert settings.queueing.worker_limit is None
    assert settings.queueing.idle_timeout == 0.2
    assert settings.watching.initial_streaming is False
    assert settings.watching.chunk_size is None
    assert settings.peering.standalone is True
    assert settings.scanning.disabled is True
    assert settings.persistence.diffbase_storage.fetch(body=kopf.Body({})) is None


def test_kopf_tries_for_ever_and_never_waits_long() -> None:
    delays = [delay for delay, _ in zip(EndlessBackoffs(), range(1000), strict=False)]

    assert len(delays) == 1000
    assert max(delays) <= 3.75
