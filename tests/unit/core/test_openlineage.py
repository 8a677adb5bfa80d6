"""OpenLineage events of refreshes: what is told, when, and that they are of the published shape."""

from typing import Any

import jsonschema
import pytest

from tests.builders import VIOLATION, make_dataset, make_snapshot, sha, version_name
from tests.unit.core.world import World
from tidemill.api.documents.results import Erased, Unchanged
from tidemill.core.openlineage import run_id
from tidemill.core.plan import Body

HOURLY = {"refresh": {"schedule": "0 * * * *"}}
URI = {"type": "string", "format": "uri", "pattern": "^https://"}
FACETS = {"type": "object", "additionalProperties": {"$ref": "#/$defs/facet"}}
DATASET = {
    "type": "object",
    "properties": {
        "namespace": {"type": "string", "minLength": 1},
        "name": {"type": "string", "minLength": 1},
        "facets": FACETS,
        "inputFacets": FACETS,
        "outputFacets": FACETS,
    },
    "required": ["namespace", "name"],
    "additionalProperties": False,
}
SHAPE: dict[str, Any] = {
    # What https://openlineage.io/spec/2-0-2/OpenLineage.json asks of a RunEvent, and no more.
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {
        "facet": {
            "type": "object",
            "properties": {"_producer": URI, "_schemaURL": URI},
            "required": ["_producer", "_schemaURL"],
        }
    },
    "type": "object",
    "properties": {
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": URI,
        "schemaURL": {
            "const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
        },
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "run": {
            "type": "object",
            "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": FACETS},
            "required": ["runId"],
            "additionalProperties": False,
        },
        "job": {
            "type": "object",
            "properties": {
                "namespace": {"type": "string"},
                "name": {"type": "string"},
                "facets": FACETS,
            },
            "required": ["namespace", "name"],
            "additionalProperties": False,
        },
        "inputs": {"type": "array", "items": DATASET},
        "outputs": {"type": "array", "items": DATASET},
    },
    "required": ["eventTime", "producer", "schemaURL", "run", "job"],
    "additionalProperties": False,
}
CHECK = jsonschema.Draft202012Validator(
    SHAPE, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)


def world_with(**spec: Any) -> World:
    """A Dataset whose first read is under way, and what was told of it."""
    world = World()
    world.user(make_dataset(spec={**HOURLY, **spec}))
    world.settle()
    return world


def told(world: World) -> list[Body]:
    """The events so far, each of the published shape."""
    for event in world.lineage:
        CHECK.validate(event)
    return world.lineage


def test_a_read_begins_and_ends() -> None:
    world = world_with()
    (begun,) = told(world)
    world.succeed(make_snapshot())
    world.settle()

    (_, done) = told(world)
    assert [begun["eventType"], done["eventType"]] == ["START", "COMPLETE"]
    assert begun["run"]["runId"] == done["run"]["runId"]
    assert begun["job"]["namespace"] == "tidemill/tides"
    assert begun["job"]["name"] == "flights.refresh"
    assert begun["outputs"] == []


def test_what_was_made_is_told() -> None:
    world = world_with()
    world.succeed(make_snapshot())
    world.settle()

    (output,) = told(world)[-1]["outputs"]
    version = world.objects[("DatasetVersion", version_name())]["spec"]
    assert output["facets"]["version"]["datasetVersion"] == sha("winter")
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 77911
    fields = output["facets"]["schema"]["fields"]
    assert [item["name"] for item in fields] == [item["name"] for item in version["columns"]]


def test_what_was_read_is_told() -> None:
    world = world_with()
    begun = told(world)[0]["inputs"]
    world.succeed(make_snapshot())
    world.settle()

    done = told(world)[-1]["inputs"]
    assert len(begun) == 1
    assert {item["namespace"] for item in done} == {begun[0]["namespace"]}
    assert [item["name"] for item in done] == [
        "2013-01.parquet",
        "2013-02.parquet",
        "2013-03.parquet",
    ]


def test_credentials_in_a_uri_are_not_told() -> None:
    uri = "https://me:hunter2@host.test/a.csv?token=hunter3"

    (begun,) = told(world_with(source={"objects": {"uri": uri}}))

    assert begun["inputs"] == [{"namespace": "https://host.test", "name": "a.csv"}]


def test_a_read_that_finds_nothing_new_is_complete() -> None:
    world = world_with()
    world.succeed(make_snapshot())
    world.settle()
    world.later(hours=1)
    world.settle()
    world.succeed(Unchanged(fingerprint="print-of-winter"))
    world.settle()

    events = told(world)
    assert [item["eventType"] for item in events] == ["START", "COMPLETE"] * 2
    assert events[-1]["outputs"] == []
    assert events[0]["run"]["runId"] != events[-1]["run"]["runId"]


def test_a_version_that_breaks_its_contract_is_complete() -> None:
    world = world_with()
    world.succeed(make_snapshot(violations=[VIOLATION]))
    world.settle()

    assert told(world)[-1]["eventType"] == "COMPLETE"
    assert told(world)[-1]["outputs"] != []


def test_a_read_that_fails_says_why() -> None:
    world = world_with()
    world.fail("SourceUnavailable", "The store does not answer.")
    world.settle()

    failed = told(world)[1]
    assert failed["eventType"] == "FAIL"
    error = failed["run"]["facets"]["errorMessage"]
    assert error["message"] == "SourceUnavailable: The store does not answer."
    assert failed["outputs"] == []


def test_a_read_that_a_changed_spec_cuts_short_is_aborted() -> None:
    world = world_with()
    world.user(make_dataset(spec={**HOURLY, "source": {"objects": {"uri": "s3://other/*.csv"}}}))
    world.settle()

    assert [item["eventType"] for item in told(world)] == ["START", "ABORT", "START"]


def test_deleting_bytes_is_no_refresh() -> None:
    world = world_with()
    world.succeed(make_snapshot())
    world.settle()
    before = len(told(world))
    moment = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    world.annotate("Dataset", "flights", f"erase/{version_name()}@{moment}")
    world.settle()
    world.succeed(Erased(objects=1, bytes=1))
    world.settle()

    assert len(told(world)) == before


def test_owner_and_description_are_told() -> None:
    contract = {"owner": "the harbour", "description": "What the boats carry."}

    (begun,) = told(world_with(contract=contract))

    facets = begun["job"]["facets"]
    assert facets["ownership"]["owners"] == [{"name": "the harbour"}]
    assert facets["documentation"]["description"] == "What the boats carry."


def test_a_run_is_told_from_others_by_the_dataset_and_its_execution() -> None:
    assert run_id("a", "x") == run_id("a", "x")
    assert len({run_id("a", "x"), run_id("b", "x"), run_id("a", "y")}) == 3


def test_the_shape_is_checked() -> None:
    with pytest.raises(jsonschema.ValidationError):
        CHECK.validate({"eventType": "START"})
