"""Argo CD's health of every kind, by the cases that lie beside the scripts."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.argocd.lua import ARGOCD, SCRIPTS, run
from tidemill.api.base import GROUP
from tidemill.api.v1alpha1 import KINDS

NAMES = [kind.names.kind for kind in KINDS]


def health(kind: str, body: dict[str, Any]) -> Any:
    """What the kind's script answers for an object."""
    return run((SCRIPTS / kind / "health.lua").read_text(), body)


def cases() -> list[Any]:
    """Every case of every health_test.yaml."""
    found = []
    for kind in NAMES:
        for case in yaml.safe_load((SCRIPTS / kind / "health_test.yaml").read_text())["tests"]:
            path = SCRIPTS / kind / case["inputPath"]
            found.append(pytest.param(kind, path, case["healthStatus"], id=f"{kind}-{path.stem}"))
    return found


@pytest.mark.parametrize(("kind", "path", "wanted"), cases())
def test_health(kind: str, path: Path, wanted: dict[str, str]) -> None:
    body = yaml.safe_load(path.read_text())

    assert body["kind"] == kind
    assert health(kind, body) == wanted


def test_every_kind_has_a_script_and_nothing_else_has() -> None:
    assert {path.name for path in SCRIPTS.iterdir()} == set(NAMES)


@pytest.mark.parametrize("kind", NAMES)
def test_an_object_nobody_has_looked_at_is_never_healthy(kind: str) -> None:
    """A fresh object has the CRD's default status, and none at all before the CRD knew it."""
    fresh: dict[str, Any] = {"metadata": {"generation": 1}, "spec": {}}

    for status in ({}, {"status": {"observedGeneration": -1}}):
        assert health(kind, {**fresh, **status})["status"] == "Progressing"


def test_every_test_file_is_used() -> None:
    used = {case.values[1] for case in cases()}

    assert used == set(SCRIPTS.glob("*/testdata/*.yaml"))


@pytest.mark.parametrize("kind", NAMES)
def test_the_patch_holds_the_script(kind: str) -> None:
    patch = yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text())["data"]

    held = patch[f"resource.customizations.health.{GROUP}_{kind}"]
    assert held == (SCRIPTS / kind / "health.lua").read_text()
