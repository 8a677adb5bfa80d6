"""kfp.local with its tasks watched: who runs, who failed, and what it said last.

kfp.local tells of its tasks only in coloured log lines, so two of its functions are stood in for
while a pipeline runs: the one that executes a task and the one that starts its process. Both are
named in one place (`_STOOD_IN`), and a test tries them on the locked version of kfp.
"""

import logging
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format  # type: ignore[import-untyped]
from kfp import local
from kfp.local import pipeline_orchestrator, subprocess_task_handler
from kfp.local.orchestrator import task_executor
from kfp.local.status import Status
from kfp.pipeline_spec import pipeline_spec_pb2

logger = logging.getLogger(__name__)

_STOOD_IN = (
    (task_executor, "execute_single_task"),
    (subprocess_task_handler, "run_local_subprocess"),
)
_LAST_LINES = 40
_MOST_TASKS = 64
# What libraries say while a process ends, after what matters.
_NOISE = re.compile(r"^\s*(nanobind:|- leaked|- \.\.\. skipped|See https://nanobind)")

PENDING, RUNNING, SUCCEEDED, FAILED, SKIPPED = (
    "Pending",
    "Running",
    "Succeeded",
    "Failed",
    "Skipped",
)
_WEIGHT = (FAILED, RUNNING, SUCCEEDED, SKIPPED, PENDING)


@dataclass(slots=True)
class TaskRun:
    """One run of a task; a task in a loop has several."""

    name: str
    state: str = RUNNING
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    code: int | None = None
    """The process's exit code."""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    """What it wrote last."""

    @property
    def seconds(self) -> int:
        """How long it has taken."""
        return round((self.ended or time.monotonic()) - self.started)

    @property
    def last_line(self) -> str:
        """The last line that says something."""
        said = [line.strip() for line in self.lines if line.strip() and not _NOISE.match(line)]
        return said[-1] if said else ""


@dataclass(slots=True)
class Watch:
    """The tasks of one pipeline."""

    names: tuple[str, ...]
    """All tasks that may run, in the order of the pipeline's text."""
    changed: Callable[[], None] = lambda: None
    """Called when a task starts or ends, from the thread that runs it."""
    runs: list[TaskRun] = field(default_factory=list)
    over: bool = False

    def tasks(self) -> tuple[dict[str, Any], ...]:
        """Name, state and seconds of each task, as progress.json has them."""
        return tuple(self._task(name) for name in self.names[:_MOST_TASKS])

    def _task(self, name: str) -> dict[str, Any]:
        runs = [run for run in list(self.runs) if run.name == name]
        if not runs:
            return {"name": name, "state": SKIPPED if self.over else PENDING}
        shown = min(runs, key=lambda run: _WEIGHT.index(run.state))
        return {"name": name, "state": shown.state, "seconds": shown.seconds}

    @property
    def failed(self) -> TaskRun | None:
        """The first task that failed."""
        return next((run for run in self.runs if run.state == FAILED), None)


class PipelineFailedError(Exception):
    """kfp.local says that the pipeline failed."""


def task_names(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of all tasks that run something, those inside of loops and conditions too."""
    components = spec.get("components", {})

    def walk(dag: Mapping[str, Any], seen: frozenset[str]) -> Iterator[str]:
        for name, task in dag.get("tasks", {}).items():
            component = task.get("componentRef", {}).get("name", "")
            inner = components.get(component, {}).get("dag")
            if inner is None:
                yield name
            elif component not in seen:
                yield from walk(inner, seen | {component})

    return tuple(dict.fromkeys(walk(spec.get("root", {}).get("dag", {}), frozenset())))


def run(spec: Mapping[str, Any], arguments: Mapping[str, Any], scratch: Path, watch: Watch) -> None:
    """Run a compiled pipeline (its first document) to its end. Raises PipelineFailedError."""
    parsed = json_format.ParseDict(dict(spec), pipeline_spec_pb2.PipelineSpec())
    with warnings.catch_warnings(), _watched(watch):
        warnings.simplefilter("ignore")
        # No workspace_root: kfp.local deletes what it is given.
        local.init(
            runner=local.SubprocessRunner(use_venv=False),
            pipeline_root=str(scratch / "outputs"),
            raise_on_error=True,
        )
        try:
            pipeline_orchestrator.run_local_pipeline(parsed, dict(arguments))
        except Exception as error:  # kfp.local raises whatever its parts do
            raise PipelineFailedError(_plain(str(error))) from error
        finally:
            watch.over = True


def _plain(said: str) -> str:
    """The text without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", said)


@contextmanager
def _watched(watch: Watch) -> Iterator[None]:
    here = threading.local()
    execute = task_executor.execute_single_task

    def executed(*args: Any, **kwargs: Any) -> Any:
        task = TaskRun(kwargs["task_name"])
        here.task = task
        watch.runs.append(task)
        watch.changed()
        try:
            outputs, status = execute(*args, **kwargs)
            task.state = SUCCEEDED if status == Status.SUCCESS else FAILED
        except BaseException:
            task.state = FAILED
            raise
        finally:
            task.ended = time.monotonic()
            watch.changed()
        return outputs, status

    def started(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        task: TaskRun = here.task
        with subprocess.Popen(  # noqa: S603 -- the pipeline's own command, which is what was asked for
            full_command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
            env={**os.environ, **(env_vars or {})},
        ) as process:
            for line in process.stdout or ():
                task.lines.append(line.rstrip("\n"))
                sys.stdout.write(f"[{task.name}] {line}")
                sys.stdout.flush()
            task.code = process.wait()
        return task.code

    before = [getattr(module, name) for module, name in _STOOD_IN]
    for (module, name), substitute in zip(_STOOD_IN, (executed, started), strict=True):
        setattr(module, name, substitute)
    try:
        yield
    finally:
        for (module, name), original in zip(_STOOD_IN, before, strict=True):
            setattr(module, name, original)
