"""One step from its JSON arguments to its result document: what the components call.

The result is written last and only if absent. A step that knows why it cannot go on leaves a
Failure there and ends with exit code 1, which fails its task; so does one that fails unforeseen,
whose traceback is in the log.
"""

import json
import logging
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import duckdb
from pydantic import ValidationError

from tidemill.api.base import Model
from tidemill.api.documents.arguments import (
    EraseArguments,
    EvaluateArguments,
    RefreshArguments,
    TrainArguments,
)
from tidemill.api.documents.results import MAX_BYTES, Published
from tidemill.steps.failures import StepError
from tidemill.steps.objects import Store, first_line
from tidemill.steps.refresh import as_document

logger = logging.getLogger(__name__)

ArgumentsT = TypeVar("ArgumentsT", bound=Model)


def _refresh(arguments: str, scratch: Path) -> Model:
    from tidemill.steps.refresh import refresh

    return refresh(_parsed(RefreshArguments, arguments), scratch)


def _erase(arguments: str, scratch: Path) -> Model:
    from tidemill.steps.erase import erase

    return erase(_parsed(EraseArguments, arguments))


def _train(arguments: str, scratch: Path) -> Model:
    from tidemill.steps.train import train

    return train(_parsed(TrainArguments, arguments), scratch)


def _evaluate(arguments: str, scratch: Path) -> Model:
    from tidemill.steps.evaluate import evaluate

    return evaluate(_parsed(EvaluateArguments, arguments), scratch)


# Each imports its libraries when it is called: a refresh needs no LightGBM.
_STEPS: Mapping[str, Callable[[str, Path], Model]] = {
    "dataset-refresh": _refresh,
    "dataset-erase": _erase,
    "train-tabular": _train,
    "evaluate": _evaluate,
}


def _parsed(kind: type[ArgumentsT], arguments: str) -> ArgumentsT:
    try:
        return kind.model_validate_json(arguments)
    except ValidationError as error:
        raise StepError("InvalidArguments", f"arguments: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in found['loc']) or 'the document'}: {found['msg']}"


def run(step: str, arguments: str, result_uri: str) -> None:
    """Run a step and leave its result at a URI. Ends the process with exit code 1 on failure."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s", force=True)
    try:
        with tempfile.TemporaryDirectory(prefix="tidemill-") as scratch:
            result = _STEPS[step](arguments, Path(scratch))
        _write(result_uri, result)
    except StepError as failure:
        _fail(result_uri, failure)
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        said = (
            f"the data do not fit the step's memory ({first_line(error)}); raise resources.memory"
        )
        _fail(result_uri, StepError("OutOfMemory", said))
    except Exception as error:
        logger.exception("the step failed")
        said = f"{type(error).__name__}: {first_line(error)}; the step's log has the traceback"
        _fail(result_uri, StepError("StepFailed", said))


def publish(metrics: Mapping[str, Any], result_uri: str) -> None:
    """Leave a Published result with the metrics of a user's own pipeline."""
    try:
        try:
            json.dumps(dict(metrics), allow_nan=False)
            published = Published.model_validate({"metrics": dict(metrics)})
        except (ValidationError, ValueError) as error:
            said = _first(error) if isinstance(error, ValidationError) else str(error)
            raise StepError(
                "InvalidArguments", f"metrics must be numbers by name: {said}"
            ) from error
        _write(result_uri, published)
    except StepError as failure:
        _fail(result_uri, failure)


def _write(result_uri: str, result: Model) -> None:
    data = as_document(result)
    if len(data) > MAX_BYTES:
        said = f"the result has {len(data):,} bytes; at most {MAX_BYTES:,} are allowed. Use fewer"
        raise StepError("ResultTooLarge", f"{said} columns or slices")
    if Store().write_once(result_uri, data):
        logger.info("result written")
    else:
        logger.info("there was a result already; it stands")


def _fail(result_uri: str, failure: StepError) -> None:
    document = failure.document()
    try:
        Store().write_once(result_uri, as_document(document))
    except StepError as error:
        logger.error("the result could not be written: %s", error)
    sys.exit(f"{document.reason}: {document.message}")
