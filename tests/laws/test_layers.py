"""Who may import whom: the contracts of pyproject.toml, kept by import-linter."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.laws.tree import ROOT

OPERATOR_STARTS_WITHOUT = ("kfp", "kubernetes", "pandas", "numpy", "duckdb", "onnxruntime")


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program in the repository with our packages on its path."""
    environment = {**os.environ, "PYTHONPATH": "operator"}
    return subprocess.run(
        argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_layers_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")

    done = run(str(program), "--no-cache")

    assert done.returncode == 0, done.stdout


def test_there_are_contracts() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

    assert len(contracts["contracts"]) >= 10


def test_the_operator_starts_without_what_only_pods_need() -> None:
    """What is imported is measured, not read: a lazy import inside a function is fine."""
    modules = "import tidemill.__main__, tidemill.shell.app, sys; print(*sys.modules)"

    done = run(sys.executable, "-c", modules)

    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & set(OPERATOR_STARTS_WITHOUT) == set()
