"""The compiled pipelines are what their source says, and what the operator relies on."""

from pathlib import Path

import pytest
import yaml

from tidemill.api.v1alpha1.pipelineexecution import BuiltinIR
from tidemill.core import ir
from tidemill.core.attempts import Problem
from tidemill.pipelines.__main__ import COMPILED, compile_all, main
from tidemill.pipelines.components import IMAGE
from tidemill.steps.kfplocal import task_names

NAMES = [name.value for name in BuiltinIR]


def test_what_is_committed_is_what_compiles(tmp_path: Path) -> None:
    """`python -m tidemill.pipelines compile` brings it up to date."""
    files = compile_all(tmp_path)

    assert sorted(file.stem for file in files) == sorted(NAMES)
    assert {file.name: file.read_text() for file in files} == {
        file.name: file.read_text() for file in COMPILED.iterdir()
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_operator_can_use_it(name: str) -> None:
    pipeline = ir.parse((COMPILED / f"{name}.yaml").read_text())

    assert not isinstance(pipeline, Problem)
    assert ir.job_problem(pipeline) is None
    assert ir.declares_result(pipeline)
    assert {key: item["parameterType"] for key, item in ir.declared(pipeline).items()} == {
        "arguments": "STRING",
        "tidemill_result_uri": "STRING",
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_is_one_task_of_our_image_that_is_never_cached(name: str) -> None:
    spec = yaml.safe_load((COMPILED / f"{name}.yaml").read_text())

    (task,) = spec["root"]["dag"]["tasks"].values()
    (executor,) = spec["deploymentSpec"]["executors"].values()
    assert task["cachingOptions"] == {}
    assert executor["container"]["image"] == IMAGE
    assert "pip install" not in str(executor)
    assert len(task_names(spec)) == 1


def test_the_command_line_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decompile"]) == 2
    assert "python -m tidemill.pipelines compile" in capsys.readouterr().err


def test_the_command_line_compiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"{name}.yaml") for name in NAMES]
