"""Argo CD's health of every kind, computed as Argo CD does: Lua 5.1 without its libraries."""

from pathlib import Path
from typing import Any

import lupa.lua51 as lua
import pytest
import yaml

from tidemill.api.base import GROUP
from tidemill.api.v1alpha1 import KINDS

ARGOCD = Path(__file__).parents[3] / "manifests" / "argocd"
SCRIPTS = ARGOCD / "resource_customizations" / GROUP
# Argo CD opens the base, table and a safe os library; nothing else is there.
CLOSED = ("string", "io", "debug", "math", "os", "package", "require", "dofile", "loadfile")


def health(kind: str, body: dict[str, Any]) -> dict[str, str]:
    """What the kind's script answers for an object."""
    runtime = lua.LuaRuntime(unpack_returned_tuples=True)
    for name in CLOSED:
        runtime.globals()[name] = None
    runtime.globals()["obj"] = runtime.table_from(body, recursive=True)
    answer = runtime.execute((SCRIPTS / kind / "health.lua").read_text())
    return dict(answer.items())


def cases() -> list[Any]:
    """Every case of every health_test.yaml."""
    found = []
    for kind in sorted(path.name for path in SCRIPTS.iterdir()):
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
    assert {path.name for path in SCRIPTS.iterdir()} == {kind.names.kind for kind in KINDS}


@pytest.mark.parametrize("kind", [kind.names.kind for kind in KINDS])
def test_an_object_nobody_has_looked_at_is_never_healthy(kind: str) -> None:
    """A fresh object has the CRD's default status, and none at all before the CRD knew it."""
    fresh: dict[str, Any] = {"metadata": {"generation": 1}, "spec": {}}

    for status in ({}, {"status": {"observedGeneration": -1}}):
        assert health(kind, {**fresh, **status})["status"] == "Progressing"


def test_every_test_file_is_used() -> None:
    used = {case.values[1] for case in cases()}

    assert used == set(SCRIPTS.glob("*/testdata/*.yaml"))


def test_the_patch_holds_every_script() -> None:
    patch = yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text())["data"]

    for kind in KINDS:
        name = kind.names.kind
        held = patch[f"resource.customizations.health.{GROUP}_{name}"]
        assert held == (SCRIPTS / name / "health.lua").read_text()
