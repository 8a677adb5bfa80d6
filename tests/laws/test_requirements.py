"""The locked requirement sets hold what was asked for, by hash, and agree with one another."""

import re
from pathlib import Path

import pytest

from tests.laws.tree import ROOT

FOLDER = ROOT / "operator" / "requirements"
SETS = sorted(path.stem for path in FOLDER.glob("*.in"))
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)")


def normal(name: str) -> str:
    """A project's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(path: Path) -> dict[str, str]:
    """Name -> the exact version asked for, or nothing; included files too."""
    found: dict[str, str] = {}
    for line in path.read_text().splitlines():
        words = line.split("#")[0].strip()
        if words.startswith("-r "):
            found |= asked(path.parent / words.removeprefix("-r ").strip())
        elif words:
            name = re.split(r"[\[=<>~! ;]", words, maxsplit=1)[0]
            pin = PIN.match(words)
            found[normal(name)] = pin.group(2) if pin else ""
    return found


def locked(name: str) -> dict[str, str]:
    """Name -> version of a lock file."""
    pins = (PIN.match(line) for line in (FOLDER / f"{name}.txt").read_text().splitlines())
    return {normal(pin.group(1)): pin.group(2) for pin in pins if pin}


@pytest.mark.parametrize("name", SETS)
def test_a_lock_answers_what_was_asked(name: str) -> None:
    have = locked(name)

    for project, version in asked(FOLDER / f"{name}.in").items():
        assert project in have, f"{project} of {name}.in is not in {name}.txt"
        assert version in ("", have[project])


@pytest.mark.parametrize("name", SETS)
def test_every_pin_has_a_hash(name: str) -> None:
    text = (FOLDER / f"{name}.txt").read_text()

    for block in re.split(r"\n(?=[A-Za-z])", text):
        if PIN.match(block):
            assert "--hash=sha256:" in block, block.splitlines()[0]


@pytest.mark.parametrize("name", [name for name in SETS if name != "dev"])
def test_what_is_tested_is_what_is_shipped(name: str) -> None:
    """The development set holds every other set, in the same versions."""
    ours, dev = locked(name), locked("dev")

    assert {project: dev.get(project) for project in ours} == ours
