"""A database as a source: the Secret its step needs, and what the next read goes on from."""

import json
from typing import Any

import pytest

from tests.builders import VIOLATION, make_dataset, make_snapshot, version_name
from tests.unit.core.world import World
from tidemill.api.documents.arguments import RefreshArguments
from tidemill.api.v1alpha1 import DatasetVersion
from tidemill.api.v1alpha1.datasetversion import SourceRead

READ = SourceRead(kind="Sql", shape="abc", rows=200, watermark="200", watermark_type="Integer")
SPEC = {
    "source": {
        "sql": {
            "secretRef": {"name": "harbour"},
            "table": "flights",
            "mode": "Append",
            "watermark": "seen",
        }
    },
    "refresh": {"schedule": "0 * * * *"},
}


@pytest.fixture
def world() -> World:
    """A Dataset of a database, its first read under way."""
    made = World()
    made.user(make_dataset(spec=SPEC))
    made.settle()
    return made


def execution(world: World) -> dict[str, Any]:
    """The spec of the read under way."""
    (name,) = world.running()
    spec: dict[str, Any] = world.objects[("PipelineExecution", name)]["spec"]
    return spec


def told(world: World) -> RefreshArguments:
    """What its step was told."""
    (parameter,) = execution(world)["parameters"]
    return RefreshArguments.model_validate(json.loads(parameter["value"]))


def next_read(world: World, **more: Any) -> RefreshArguments:
    """What the second read is told, after the first has brought this."""
    world.succeed(make_snapshot(source_read=READ, **more))
    world.settle()
    world.later(hours=1)
    world.settle()
    return told(world)


def test_the_step_gets_the_secret_with_the_url(world: World) -> None:
    assert execution(world)["secretRefs"] == [{"name": "harbour"}]


def test_a_record_says_how_far_the_source_was_read(world: World) -> None:
    next_read(world)

    record = DatasetVersion.parse(world.objects[("DatasetVersion", version_name())])
    assert record.spec.source_read == READ


def test_the_next_read_goes_on_from_there(world: World) -> None:
    previous = next_read(world).previous

    assert previous is not None
    assert previous.source_read == READ


def test_nothing_is_added_to_a_version_that_was_refused(world: World) -> None:
    previous = next_read(world, violations=[VIOLATION]).previous

    assert previous is not None
    assert previous.source_read is None
