"""Bodies of executions, and what they were told."""

import pytest

from tests.builders import make_dataset, make_execution
from tidemill.api.v1alpha1.pipelineexecution import PipelineExecutionSpec, PipelineSource
from tidemill.core.identity import LABEL_DATASET, stable_hash
from tidemill.core.manifests.executions import (
    MAX_ARGUMENTS,
    arguments_of,
    arguments_parameter,
    execution_body,
)


def test_the_same_document_is_the_same_text() -> None:
    one, other = arguments_parameter({"a": 1, "b": 2}), arguments_parameter({"b": 2, "a": 1})

    assert one == other
    assert one is not None
    assert (one.name, one.value) == ("arguments", '{"a":1,"b":2}')


def test_a_document_too_large_for_a_parameter_is_none() -> None:
    fits = MAX_ARGUMENTS - len('{"a":""}')

    assert arguments_parameter({"a": "x" * fits}) is not None
    assert arguments_parameter({"a": "x" * (fits + 1)}) is None


@pytest.mark.parametrize("text", [None, "", "no JSON", "[1, 2]"])
def test_an_execution_that_carries_none_was_told_nothing(text: str | None) -> None:
    assert arguments_of(make_execution("x", arguments=text)) == {}


def test_what_an_execution_was_told_is_read_back() -> None:
    assert arguments_of(make_execution("x", arguments='{"contractHash": "abc"}')) == {
        "contractHash": "abc"
    }


def test_the_mark_is_the_hash_of_the_spec() -> None:
    spec = PipelineExecutionSpec(pipeline=PipelineSource(inline="x"))

    body = execution_body(
        "Dataset", make_dataset().metadata, name="flights-1", label=LABEL_DATASET, spec=spec
    )

    mark = body["metadata"]["annotations"]["tidemill.dev/spec-hash"]
    assert mark == stable_hash(body["spec"])
    assert body["metadata"]["namespace"] == "tides"
