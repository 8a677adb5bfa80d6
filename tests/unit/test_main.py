"""`python -m tidemill`: its commands."""

import pytest

from tidemill import __version__
from tidemill.__main__ import main


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])

    assert end.value.code == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([])

    assert end.value.code == 2


def test_settings_that_make_no_sense_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEMILL_DEFAULT_ENGINE", "Steam")

    assert main(["run"]) == 2
    assert capsys.readouterr().err == (
        "tidemill: TIDEMILL_DEFAULT_ENGINE is 'Steam'; it must be Job or Kubeflow\n"
    )
