"""What a Job's pod runs: one compiled Kubeflow pipeline, from start to its result.

    python -m tidemill.steps.run_pipeline --pipeline builtin:<name>|file:<path>
        --result-uri URI --progress-uri URI [--parameters-file FILE]

Parameters are a JSON object: the file's, else that of the file named by TIDEMILL_PARAMETERS_FILE,
else the text in TIDEMILL_PARAMETERS. While it runs, progress.json follows the tasks. At its end
there is a result document, and the pod's termination message (TIDEMILL_TERMINATION_LOG, by default
/dev/termination-log) is JSON with `result` (the document's sha256) or `reason`, `message` and
`transient`. The exit code is 0 if the pipeline did what it should, else 1.

Everything is written below TMPDIR, so that a read-only root and any user will do.
"""

import argparse
import copy
import json
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import ValidationError

from tidemill.api.documents.results import MAX_BYTES, RESULT, Failure, Progress, Published
from tidemill.core import ir
from tidemill.core.attempts import Problem
from tidemill.steps.failures import StepError, redacted
from tidemill.steps.objects import Store, plain, sha256
from tidemill.steps.refresh import as_document

logger = logging.getLogger(__name__)

TERMINATION_LOG = "/dev/termination-log"
_TERMINATION_BYTES = 4096
_KILLED = (137, -9)
_EXECUTOR_MODULE = "kfp.dsl.executor_main"
_INSTALL = "pip install"
_REQUIREMENT = re.compile(r"'([^']+)'")
_OWN_REQUIREMENTS = ("kfp", "kfp-pipeline-spec", "typing-extensions")
_STARTS_REST = '"$0" "$@"'


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended."""

    digest: str | None = None
    """The result's sha256, if it did what it should."""
    failure: Failure | None = None

    def message(self) -> bytes:
        """The pod's termination message, within its 4 KiB."""
        if self.failure is None:
            return json.dumps({"result": self.digest}).encode()
        said = {"reason": self.failure.reason, "transient": self.failure.transient}
        for length in range(len(self.failure.message), -1, -64):
            data = json.dumps({**said, "message": self.failure.message[:length]}).encode()
            if len(data) <= _TERMINATION_BYTES:
                return data
        return json.dumps(said).encode()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0 or 1."""
    parser = argparse.ArgumentParser(prog="python -m tidemill.steps.run_pipeline")
    parser.add_argument("--pipeline", required=True, help="builtin:<name> or file:<path>")
    parser.add_argument("--parameters-file", type=Path, help="JSON object of parameters")
    parser.add_argument("--result-uri", required=True, help="where the result is left")
    parser.add_argument("--progress-uri", required=True, help="where progress is left")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    signal.signal(signal.SIGTERM, _end_at_once)
    with tempfile.TemporaryDirectory(prefix="tidemill-") as scratch:
        # For everything that follows, the tasks' processes too: what they leave goes with it.
        os.environ["TMPDIR"] = tempfile.tempdir = scratch
        os.environ.setdefault("HOME", scratch)
        try:
            ending = _run(given, Path(scratch))
        except StepError as failure:
            ending = _failed(given.result_uri, failure)
    _say(ending)
    return 0 if ending.failure is None else 1


def _end_at_once(_number: int, _frame: FrameType | None) -> None:
    """The pod is being taken away: the first process of a container has no default for this."""
    os._exit(128 + signal.SIGTERM)


def _run(given: argparse.Namespace, scratch: Path) -> Ending:
    store = Store()
    earlier = _ending(store, given.result_uri)
    if earlier is not None:
        logger.info("this attempt has its result already")
        return earlier
    pipeline = _pipeline(given.pipeline)
    parameters = _parameters(given.parameters_file)
    if ir.declares_result(pipeline):
        parameters[ir.RESULT_URI] = given.result_uri
    _execute(store, _runnable(pipeline.spec), parameters, given.progress_uri, scratch)
    ending = _ending(store, given.result_uri)
    if ending is not None:
        return ending
    if ir.declares_result(pipeline):
        said = f"the pipeline succeeded and left no result document at its {ir.RESULT_URI}; end it"
        raise StepError(
            "ResultMissing", f"{said} with tidemill.pipelines.components.publish_result"
        )
    data = as_document(Published())
    store.write_once(given.result_uri, data)
    return Ending(digest=sha256(data))


def _pipeline(where: str) -> ir.Compiled:
    """Read and check the compiled pipeline."""
    kind, _, name = where.partition(":")
    try:
        if kind == "builtin":
            folder = resources.files("tidemill").joinpath("pipelines", "compiled")
            written = folder.joinpath(f"{name}.yaml").read_text()
        elif kind == "file":
            written = Path(name).read_text()
        else:
            said = f"--pipeline is {where!r}; it must be builtin:<name> or file:<path>"
            raise StepError("InvalidPipeline", said)
    except (OSError, UnicodeDecodeError) as error:
        raise StepError("InvalidPipeline", f"{where} cannot be read: {error}") from error
    pipeline = ir.parse(written)
    if isinstance(pipeline, Problem):
        raise StepError(pipeline.reason, pipeline.message)
    problem = ir.job_problem(pipeline) or ir.pipeline_problem(pipeline)
    if problem is not None:
        raise StepError(problem.reason, problem.message)
    return pipeline


def _parameters(file: Path | None) -> dict[str, Any]:
    named = file or os.environ.get("TIDEMILL_PARAMETERS_FILE")
    try:
        written = Path(named).read_text() if named else os.environ.get("TIDEMILL_PARAMETERS", "{}")
        found = json.loads(written)
    except (OSError, ValueError) as error:
        raise StepError("InvalidParameters", f"the parameters cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise StepError("InvalidParameters", "the parameters are no JSON object")
    return found


def _runnable(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The pipeline without the installation of kfp that its compiler puts before every component:
    the image has it. A component that installs more is refused, for the image is read-only.
    """
    runnable = copy.deepcopy(dict(spec))
    for label, executor in runnable.get("deploymentSpec", {}).get("executors", {}).items():
        command = executor.get("container", {}).get("command", [])
        for place, part in enumerate(command):
            # The component's own code follows the start of its module, and may say what it likes.
            if _EXECUTOR_MODULE in part:
                break
            if _INSTALL in part and part.rstrip().endswith(_STARTS_REST):
                _check_installs(label.removeprefix("exec-"), part)
                command[place] = _STARTS_REST
    return runnable


def _check_installs(component: str, script: str) -> None:
    wanted = [found for found in _REQUIREMENT.findall(script) if not found.startswith("-")]
    others = [
        found for found in wanted if re.split(r"[^A-Za-z0-9._-]", found)[0] not in _OWN_REQUIREMENTS
    ]
    if others:
        said = f"The Job engine cannot run this pipeline: {component} installs {', '.join(others)}"
        said = (
            f"{said} when it starts. Build a step image that has it, or set spec.engine: Kubeflow."
        )
        raise StepError("UnsupportedPipeline", said)


def _execute(
    store: Store,
    spec: dict[str, Any],
    parameters: Mapping[str, Any],
    progress_uri: str,
    scratch: Path,
) -> None:
    from tidemill.steps import kfplocal

    watch = kfplocal.Watch(kfplocal.task_names(spec))

    def tell() -> None:
        try:
            store.overwrite(progress_uri, as_document(Progress(tasks=watch.tasks())))
        except StepError as error:
            # Progress is a courtesy; the result is what counts.
            logger.warning("progress could not be written: %s", error)

    watch.changed = tell
    tell()
    try:
        kfplocal.run(spec, parameters, scratch, watch)
    except kfplocal.PipelineFailedError as error:
        raise _why(watch.failed, str(error)) from error
    finally:
        tell()


def _why(failed: Any, said: str) -> StepError:
    """Name the task that failed and the last thing it said."""
    if failed is None:
        return StepError("PipelineFailed", f"the pipeline failed: {plain(said)[:700]}")
    if failed.code in _KILLED:
        told = f"task {failed.name} was killed (exit code {failed.code}), most likely because it"
        return StepError("OutOfMemory", f"{told} reached its memory limit; raise resources.memory")
    last = plain(failed.last_line)[:700] or f"it ended with exit code {failed.code}"
    return StepError("PipelineFailed", f"task {failed.name} failed: {last}")


def _ending(store: Store, result_uri: str) -> Ending | None:
    """What the result document says; None if there is none. Raises ResultInvalid."""
    try:
        data = store.read(result_uri, MAX_BYTES)
    except StepError as failure:
        if failure.reason == "ArtifactMissing":
            return None
        raise
    try:
        result = RESULT.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        said = f"the result document is not valid: {first['msg']}"
        raise StepError("ResultInvalid", said) from error
    if isinstance(result, Failure):
        return Ending(failure=result)
    return Ending(digest=sha256(data))


def _failed(result_uri: str, failure: StepError) -> Ending:
    """Leave a Failure, unless the step left its own, which then is what counts."""
    store = Store()
    document = failure.document()
    try:
        if not store.write_once(result_uri, as_document(document)):
            earlier = _ending(store, result_uri)
            if earlier is not None and earlier.failure is not None:
                return earlier
    except StepError as error:
        logger.error("the result could not be written: %s", error)
    return Ending(failure=document)


def _say(ending: Ending) -> None:
    if ending.failure is not None:
        sys.stderr.write(f"{ending.failure.reason}: {redacted(ending.failure.message)}\n")
    try:
        path = Path(os.environ.get("TIDEMILL_TERMINATION_LOG", TERMINATION_LOG))
        path.write_bytes(ending.message())
    except OSError as error:
        logger.info("no termination message: %s", error.strerror)


if __name__ == "__main__":
    sys.exit(main())
