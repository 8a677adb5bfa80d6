"""Failures are told in one line, and to the kubelet where there is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidemill.serving.failures import Exit, StartError, report

FAILURE = StartError(Exit.NOT_FOUND, "NotFound", "it is\n  not there")


def test_a_failure_is_one_line_and_a_termination_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "termination-log"
    log.touch()

    assert report(FAILURE, log) == 3
    assert capsys.readouterr().err == "NotFound: it is not there\n"
    assert json.loads(log.read_text()) == {"reason": "NotFound", "message": "it is not there"}


def test_no_termination_log_is_made_where_there_is_none(tmp_path: Path) -> None:
    report(FAILURE, tmp_path / "termination-log")

    assert list(tmp_path.iterdir()) == []


def test_a_long_message_is_cut_to_what_a_status_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    report(StartError(Exit.INTERNAL, "InternalError", "𝛿" * 5000), log)

    assert len(capsys.readouterr().err) < 1100
    assert json.loads(log.read_text("utf-8"))["message"] == "𝛿" * 900
    assert len(log.read_bytes()) <= 4096
