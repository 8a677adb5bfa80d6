"""Settings: flags over variables over defaults, and refusals that name the field."""

from __future__ import annotations

import pytest

from tidemill.serving.failures import StartError
from tidemill.serving.settings import ServingSettings

ENV = {"TIDEMILL_MODEL_NAME": "delays", "HOSTNAME": "delays-7f-x2x"}


def test_variables_are_read_by_type_and_the_rest_has_defaults() -> None:
    env = {**ENV, "TIDEMILL_DRAIN_SECONDS": "2.5", "TIDEMILL_MAX_ROWS": "5"}

    settings = ServingSettings.read([], env)

    assert (settings.model_name, settings.drain_seconds, settings.max_rows) == ("delays", 2.5, 5)
    assert (settings.listen_port, settings.threads, settings.pod_name) == (8080, 1, "delays-7f-x2x")
    assert (settings.model_dir, settings.request_log_uri) == ("/mnt/models", "")


def test_a_flag_wins_over_its_variable() -> None:
    env = {**ENV, "TIDEMILL_LISTEN_PORT": "1"}

    assert ServingSettings.read(["--listen-port", "9090"], env).listen_port == 9090


WRONG = {
    "no model name": (
        {"TIDEMILL_MODEL_NAME": ""},
        "TIDEMILL_MODEL_NAME is ''; it must be a name",
    ),
    "a name with a slash": (
        {"TIDEMILL_MODEL_NAME": "a/b"},
        "TIDEMILL_MODEL_NAME is 'a/b'; it must be a name",
    ),
    "a word for a number": (
        {"TIDEMILL_THREADS": "two"},
        "TIDEMILL_THREADS is 'two'; it must be a whole number from 1 to 64",
    ),
    "a fraction for a whole number": (
        {"TIDEMILL_MAX_ROWS": "1.5"},
        "TIDEMILL_MAX_ROWS is '1.5'; it must be a whole number from 1 to 1e+06",
    ),
    "too many threads": (
        {"TIDEMILL_THREADS": "65"},
        "TIDEMILL_THREADS is 65; it must be from 1 to 64",
    ),
    "a share above one": (
        {"TIDEMILL_REQUEST_LOG_SAMPLE": "1.1"},
        "TIDEMILL_REQUEST_LOG_SAMPLE is 1.1; it must be from 0 to 1",
    ),
    "not a number at all": (
        {"TIDEMILL_DRAIN_SECONDS": "nan"},
        "TIDEMILL_DRAIN_SECONDS is nan; it must be from 0 to 3600",
    ),
    "nothing kept": (
        {"TIDEMILL_REQUEST_LOG_KEEP_SECONDS": "0"},
        "TIDEMILL_REQUEST_LOG_KEEP_SECONDS is 0; it must be at least 1",
    ),
    "a log level of its own": (
        {"TIDEMILL_LOG_LEVEL": "LOUD"},
        "TIDEMILL_LOG_LEVEL is 'LOUD'; it must be DEBUG, INFO, WARNING or ERROR",
    ),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(StartError) as refusal:
        ServingSettings.read([], {**ENV, **change})

    assert (refusal.value.reason, str(refusal.value)) == ("InvalidSettings", message)
