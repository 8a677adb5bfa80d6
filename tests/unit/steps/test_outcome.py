"""`run`: arguments in, one result document out, whatever happens between."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.unit.steps.small import HASH, NOW, Place, spec, table
from tidemill.api.documents.arguments import RefreshArguments
from tidemill.api.documents.results import RESULT, Failure, Published, Snapshot
from tidemill.steps import outcome
from tidemill.steps.failures import StepError


def arguments(place: Place) -> str:
    """For dataset-refresh, as they travel."""
    made = RefreshArguments(
        dataset="small", spec=spec(place.uri), store=place.store, contract_hash=HASH, now=NOW
    )
    return made.model_dump_json(by_alias=True)


def result_of(place: Place) -> Any:
    """The result document."""
    return RESULT.validate_json((place.root / "result.json").read_bytes())


def uri(place: Place) -> str:
    """Where it goes."""
    return f"file://{place.root}/result.json"


def test_a_step_leaves_its_result(place: Place) -> None:
    place.put("a.parquet", table())

    outcome.run("dataset-refresh", arguments(place), uri(place))

    assert isinstance(result_of(place), Snapshot)


def test_a_result_that_is_there_stands(place: Place) -> None:
    place.put("a.parquet", table())
    (place.root / "result.json").write_text('{"kind": "Published"}')

    outcome.run("dataset-refresh", arguments(place), uri(place))

    assert result_of(place) == Published()


def test_a_step_error_becomes_a_failure(place: Place) -> None:
    with pytest.raises(SystemExit) as ended:
        outcome.run("dataset-refresh", arguments(place), uri(place))

    said = f"{place.uri} matches none of the 0 objects below file://{place.source}/; check the"
    failure = Failure(reason="NoObjects", message=f"{said} pattern, or upload the data")
    assert result_of(place) == failure
    assert ended.value.code == f"NoObjects: {failure.message}"


def raising(error: Exception) -> Any:
    """A step that fails so."""

    def step(_arguments: str, _scratch: Path) -> Any:
        raise error

    return step


UNFORESEEN = {
    "a step error": (
        StepError("TooFewRows", "ten rows", transient=True),
        Failure(reason="TooFewRows", message="ten rows", transient=True),
    ),
    "the database's memory": (
        duckdb.OutOfMemoryException("could not allocate 5 GB"),
        Failure(
            reason="OutOfMemory",
            message="the data do not fit the step's memory (could not allocate 5 GB); raise"
            " resources.memory",
        ),
    ),
    "the process's memory": (
        MemoryError(),
        Failure(
            reason="OutOfMemory",
            message="the data do not fit the step's memory (MemoryError); raise resources.memory",
        ),
    ),
    "an error of ours": (
        KeyError("https://me:secret@host/x?sig=1"),
        Failure(
            reason="StepFailed",
            message="KeyError: 'https://host/x'; the step's log has the traceback",
        ),
    ),
}


@pytest.mark.parametrize(("error", "expected"), UNFORESEEN.values(), ids=UNFORESEEN)
def test_every_failure_is_said(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: Failure
) -> None:
    monkeypatch.setattr(outcome, "_STEPS", {"dataset-refresh": raising(error)})

    with pytest.raises(SystemExit):
        outcome.run("dataset-refresh", "{}", uri(place))

    assert result_of(place) == expected


def test_arguments_that_cannot_be_read_name_the_field(place: Place) -> None:
    given = json.loads(arguments(place))
    given["spec"]["columns"].pop("eventTime")

    with pytest.raises(SystemExit):
        outcome.run("dataset-refresh", json.dumps(given), uri(place))

    assert result_of(place) == Failure(
        reason="InvalidArguments", message="arguments: spec.columns.eventTime: Field required"
    )


def test_a_result_beyond_its_bound_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = Published(metrics={f"metric {place}": 0.5 for place in range(20_000)})
    monkeypatch.setattr(outcome, "_STEPS", {"dataset-refresh": lambda *_: large})

    with pytest.raises(SystemExit):
        outcome.run("dataset-refresh", "{}", uri(place))

    assert result_of(place).reason == "ResultTooLarge"


def test_a_users_pipeline_publishes_its_metrics(place: Place) -> None:
    outcome.publish({"roc_auc": 0.7, "rows": 12}, uri(place))

    assert result_of(place) == Published(metrics={"roc_auc": 0.7, "rows": 12})


@pytest.mark.parametrize(
    "metrics", [{"roc_auc": "good"}, {"roc_auc": float("nan")}, {"roc_auc": [1]}], ids=str
)
def test_metrics_are_numbers(place: Place, metrics: dict[str, Any]) -> None:
    with pytest.raises(SystemExit):
        outcome.publish(metrics, uri(place))

    found = result_of(place)
    assert found.reason == "InvalidArguments"
    assert found.message.startswith("metrics must be numbers by name: ")
