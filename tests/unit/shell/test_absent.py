"""`absent`: a library is hidden for a while, and only if nobody has it yet."""

import importlib
import sys

import pytest

from tidemill.shell.absent import absent


def test_a_hidden_package_cannot_be_imported_within_the_block() -> None:
    with absent("wave"), pytest.raises(ImportError):
        importlib.import_module("wave")

    assert importlib.import_module("json") is not None
    assert "wave" not in sys.modules or sys.modules["wave"] is not None


def test_what_is_imported_already_stays() -> None:
    with absent("json"):
        assert importlib.import_module("json") is sys.modules["json"]
