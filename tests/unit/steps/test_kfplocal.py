"""kfp.local, watched: the two functions we stand in for are there and are called."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.steps import users_pipelines as users
from tidemill.steps import kfplocal
from tidemill.steps.kfplocal import PipelineFailedError, TaskRun, Watch, run, task_names


def spec_of(pipeline: Any, directory: Path) -> dict[str, Any]:
    """The first document of a compiled pipeline."""
    text = users.compiled(pipeline, directory).read_text()
    first: dict[str, Any] = next(yaml.safe_load_all(text))
    return first


def watched(
    pipeline: Any, arguments: dict[str, Any], directory: Path
) -> tuple[Watch, list[tuple[dict[str, Any], ...]], str | None]:
    """Run a pipeline; its watch, every state it went through, and why it failed."""
    spec = spec_of(pipeline, directory)
    seen: list[tuple[dict[str, Any], ...]] = []
    watch = Watch(task_names(spec))
    watch.changed = lambda: seen.append(watch.tasks())
    try:
        run(spec, arguments, directory, watch)
    except PipelineFailedError as error:
        return watch, seen, str(error)
    return watch, seen, None


def states(tasks: tuple[dict[str, Any], ...]) -> dict[str, str]:
    """Name -> state."""
    return {task["name"]: task["state"] for task in tasks}


def test_a_pipeline_runs_and_its_tasks_are_followed(tmp_path: Path, capsys: Any) -> None:
    watch, seen, why = watched(users.sums, {"one": 1, "text": "there"}, tmp_path)

    assert why is None
    assert states(watch.tasks()) == dict.fromkeys(["add", "add-2", "say"], "Succeeded")
    assert all(isinstance(task["seconds"], int) for task in watch.tasks())
    # Two changes a task; the first is one that runs while the others wait.
    assert len(seen) == 6
    assert sorted(states(seen[0]).values()) == ["Pending", "Pending", "Running"]
    assert "[say] saying there" in capsys.readouterr().out


def test_loops_and_branches(tmp_path: Path) -> None:
    watch, seen, why = watched(users.branches, {"one": 1}, tmp_path)

    assert why is None
    assert states(watch.tasks()) == {"add": "Succeeded", "say": "Succeeded", "fail": "Skipped"}
    assert len([run for run in watch.runs if run.name == "add"]) == 3
    assert states(seen[0])["fail"] == "Pending"


def test_a_task_that_fails_is_known_by_its_last_words(tmp_path: Path) -> None:
    watch, _, why = watched(users.fails, {"text": "bad"}, tmp_path)

    assert why is not None
    assert "\x1b" not in why
    assert watch.failed is not None
    assert (watch.failed.name, watch.failed.code) == ("fail", 1)
    assert watch.failed.last_line == "ValueError: no good: bad"
    assert states(watch.tasks()) == {"say": "Succeeded", "fail": "Failed", "say-2": "Skipped"}


def test_a_task_that_is_killed(tmp_path: Path) -> None:
    watch, _, why = watched(users.vanishes, {}, tmp_path)

    assert why is not None
    assert watch.failed is not None
    assert watch.failed.code in (137, -9)


def test_kfp_is_left_as_it_was(tmp_path: Path) -> None:
    before = [getattr(module, name) for module, name in kfplocal._STOOD_IN]

    watched(users.vanishes, {}, tmp_path)

    assert [getattr(module, name) for module, name in kfplocal._STOOD_IN] == before


def test_an_argument_that_is_missing_is_a_failure(tmp_path: Path) -> None:
    watch, _, why = watched(users.sums, {}, tmp_path)

    assert why is not None
    assert states(watch.tasks())["add"] in ("Skipped", "Failed")


LINES = {
    "the last one": (["a", "b"], "b"),
    "not the empty ones": (["a", "  ", ""], "a"),
    "not what a library says of its own end": (
        ["ValueError: x", "nanobind: leaked 3 instances!", " - leaked instance 0x1 of type"],
        "ValueError: x",
    ),
    "nothing": ([], ""),
}


@pytest.mark.parametrize(("lines", "last"), LINES.values(), ids=LINES)
def test_the_last_line_that_says_something(lines: list[str], last: str) -> None:
    task = TaskRun("t")
    task.lines.extend(lines)

    assert task.last_line == last


def test_tasks_of_loops_and_branches_are_found(tmp_path: Path) -> None:
    assert task_names(spec_of(users.branches, tmp_path)) == ("say", "fail", "add")
