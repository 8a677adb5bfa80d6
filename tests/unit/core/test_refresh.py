"""One read of a source: what the step is told, what is made of what it hands back."""

import json
from typing import Any

import pytest

from tests.builders import (
    COLUMNS,
    VIOLATION,
    WINDOW,
    make_candidate,
    make_dataset,
    make_snapshot,
    sha,
    stamp,
    version_name,
)
from tests.unit.core.world import World
from tidemill.api.base import Model
from tidemill.api.documents.arguments import RefreshArguments
from tidemill.api.documents.results import Failure, Unchanged
from tidemill.api.v1alpha1 import DatasetVersion
from tidemill.core.acceptance import contract_hash
from tidemill.core.refresh import record_names, spec_hash

HOURLY = {"refresh": {"schedule": "0 * * * *"}}
STORE = "s3://artifacts/tidemill/cluster/tides/records/datasets/flights"


@pytest.fixture
def world() -> World:
    """A world with a Dataset that is read every hour, its first read under way."""
    made = World()
    made.user(make_dataset(spec=HOURLY))
    made.settle()
    return made


def loaded(world: World, content: str = "winter", **more: Any) -> World:
    """The read that is under way has brought this."""
    world.succeed(make_snapshot(content, **more))
    world.settle()
    return world


def told(world: World) -> RefreshArguments:
    """What the step under way was told."""
    (name,) = world.running()
    (parameter,) = world.objects[("PipelineExecution", name)]["spec"]["parameters"]
    assert parameter["name"] == "arguments"
    return RefreshArguments.model_validate(json.loads(parameter["value"]))


def record(world: World, content: str = "winter") -> DatasetVersion:
    return DatasetVersion.parse(world.objects[("DatasetVersion", version_name(content))])


def test_the_execution_is_ours_and_says_what_it_is_for(world: World) -> None:
    (name,) = world.running()
    body = world.objects[("PipelineExecution", name)]

    assert body["metadata"]["labels"] == {
        "app.kubernetes.io/name": "tidemill",
        "app.kubernetes.io/component": "execution",
        "app.kubernetes.io/managed-by": "tidemill",
        "tidemill.dev/dataset": "flights",
    }
    assert body["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "tidemill.dev/v1alpha1",
            "kind": "Dataset",
            "name": "flights",
            "uid": "uid-1",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert len(body["metadata"]["annotations"]["tidemill.dev/spec-hash"]) == 64
    assert body["spec"]["pipeline"] == {"builtin": "dataset-refresh"}
    assert body["spec"]["secretRefs"] == [{"name": "tides"}]
    assert body["spec"]["resources"] == {"cpu": "500m", "memory": "1Gi"}


def test_the_first_read_knows_of_nothing_before(world: World) -> None:
    spec = make_dataset(spec=HOURLY).spec

    assert told(world) == RefreshArguments(
        dataset="flights",
        spec=spec,
        store=STORE,
        contract_hash=contract_hash(spec, None),
        now=stamp(),
        execution=world.running()[0],
    )


def test_the_docs_page_is_recorded_and_named_in_status(world: World) -> None:
    page = {"uri": "s3://artifacts/tidemill/docs.html", "digest": sha("page")}

    loaded(world, docs=page)

    docs = record(world).spec.docs
    assert docs is not None
    assert docs.to_wire() == page
    status = world.objects[("Dataset", "flights")]["status"]
    assert status["accepted"]["docs"] == status["latest"]["docs"] == page["uri"]


def test_the_record_holds_what_made_it(world: World) -> None:
    (name,) = world.running()
    loaded(world, codeRevision="0123abc")

    spec = record(world).spec
    assert (spec.execution, spec.step_image, spec.code_revision) == (
        name,
        "tidemill/steps:1",
        "0123abc",
    )
    assert spec.step_image_digest == sha("image")
    assert (spec.parent, spec.created_at) == (None, stamp())


def test_a_version_of_an_earlier_release_has_no_page(world: World) -> None:
    loaded(world)

    assert record(world).spec.docs is None
    assert "docs" not in world.objects[("Dataset", "flights")]["status"]["accepted"]


def test_a_later_read_knows_the_norm_the_last_version_and_the_source(world: World) -> None:
    loaded(world)
    world.later(hours=1)
    world.settle()

    args = told(world)

    assert args.anchor is not None
    assert args.previous is not None
    assert args.anchor.name == args.previous.name == version_name()
    assert args.previous.manifest == record(world).spec.manifest
    assert args.fingerprint == "print-of-winter"
    assert args.contract_hash == contract_hash(make_dataset(spec=HOURLY).spec, version_name())
    assert args.now == stamp(hours=1)


def test_a_changed_spec_reads_again_whatever_the_source_looks_like(world: World) -> None:
    loaded(world)
    world.user(make_dataset(spec={**HOURLY, "split": {"testShare": "0.3"}}))
    world.settle()

    assert told(world).fingerprint is None


def test_until_the_present_spec_has_been_read_the_source_is_read_again(world: World) -> None:
    loaded(world)
    world.user(make_dataset(spec={**HOURLY, "split": {"testShare": "0.3"}}))
    world.settle()
    world.fail("MissingColumn", "There is no column late.")
    world.settle()
    world.later(hours=1)
    world.settle()

    assert told(world).fingerprint is None


def test_rows_whose_label_became_final_are_read_again(world: World) -> None:
    """All but the last day of the source was final when it was read; now that day is, too."""
    young = {**WINDOW, "end": stamp(), "matureUntil": stamp(days=-1)}
    loaded(world, window=young)
    world.later(hours=1)
    world.settle()

    assert told(world).fingerprint is None


def test_what_can_never_become_final_is_not_waited_for(world: World) -> None:
    loaded(world, window={**WINDOW, "end": stamp(), "matureUntil": stamp()})
    world.later(hours=1)
    world.settle()

    assert told(world).fingerprint == "print-of-winter"


def test_a_snapshot_becomes_a_record(world: World) -> None:
    world.later(minutes=3)
    (name,) = world.running()

    loaded(world, violations=[{**VIOLATION, "severity": "Warn"}])

    made = record(world)
    body = world.objects[("DatasetVersion", version_name())]
    assert "ownerReferences" not in body["metadata"]
    assert body["metadata"]["labels"]["tidemill.dev/dataset"] == "flights"
    assert made.spec.digest == sha("winter")
    assert made.spec.rows == 77911
    assert made.spec.execution == name
    assert made.spec.step_image == "tidemill/steps:1"
    assert made.spec.created_at == stamp(minutes=3)
    assert made.spec.parent is None
    assert [item.name for item in made.spec.violations] == ["hours"]


def test_the_next_record_has_a_parent(world: World) -> None:
    loaded(world)
    world.later(hours=1)
    world.settle()
    loaded(world, "spring")

    assert record(world, "spring").spec.parent == version_name()


def test_the_same_content_is_the_same_version(world: World) -> None:
    loaded(world)
    world.later(hours=1)
    world.settle()
    loaded(world, "spring")
    world.later(hours=1)
    world.settle()

    writes = loaded(world, "winter").writes

    assert [item for item in writes if item.startswith("create DatasetVersion")] == [
        f"create DatasetVersion/{version_name()}",
        f"create DatasetVersion/{version_name('spring')}",
    ]
    latest = world.dataset().status.latest
    assert latest is not None
    assert latest.name == version_name()


def test_the_same_content_of_which_more_counts_is_another_version(world: World) -> None:
    young = {**WINDOW, "end": stamp(), "matureUntil": stamp(days=-1)}
    loaded(world, window=young)
    world.later(hours=1)
    world.settle()
    grown = make_snapshot(window={**young, "matureUntil": stamp()}, labelledRows=75100)

    world.succeed(grown)
    world.settle()

    assert world.names("DatasetVersion") == sorted(
        [version_name(), record_names("flights", grown)[2]]
    )
    accepted = world.dataset().status.accepted
    assert accepted is not None
    assert accepted.name == record_names("flights", grown)[2]


def test_the_names_of_a_record() -> None:
    short, long, reading = record_names("flights", make_snapshot())

    assert short == version_name()
    assert long == f"flights-{sha('winter').removeprefix('sha256:')[:16]}"
    assert reading not in (short, long)
    assert len(reading) == len(long)


def test_another_content_of_that_short_name_gives_a_longer_one(world: World) -> None:
    stranger = make_snapshot("strange")
    world.add(
        {
            "kind": "DatasetVersion",
            "metadata": {"name": version_name(), "labels": {}},
            "spec": {
                **stranger.to_wire(),
                "datasetRef": {"name": "other"},
                "execution": "other-1",
                "createdAt": stamp(),
            },
        }
    )

    loaded(world)

    accepted = world.dataset().status.accepted
    assert accepted is not None
    assert accepted.name == record_names("flights", make_snapshot())[1]


UNUSABLE: dict[str, tuple[Model, str, str]] = {
    "another kind of document": (
        make_candidate(),
        "ResultInvalid",
        "PipelineExecution {name} succeeded, but its result cannot be used.",
    ),
    "a failure that says so": (
        Failure(reason="TooFewRows", message="12 rows are too few."),
        "TooFewRows",
        "PipelineExecution {name} succeeded, but its result cannot be used.",
    ),
    "a snapshot that fits no record": (
        make_snapshot(columns=[{**COLUMNS[0], "type": "String"}] * 1001),
        "ResultInvalid",
        "PipelineExecution {name} succeeded, but its result cannot be used.",
    ),
}


@pytest.mark.parametrize(("result", "reason", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_result_that_cannot_be_used(
    world: World, result: Model, reason: str, message: str
) -> None:
    name = world.succeed(result)
    world.settle()

    ready = world.dataset().status.conditions[0]
    assert (ready.status, ready.reason) == ("False", reason)
    assert ready.message == message.format(name=name)
    assert world.names("DatasetVersion") == []
    assert world.running() == []


def test_a_result_that_is_gone_cannot_be_used(world: World) -> None:
    world.succeed(make_snapshot())
    world.stored.clear()
    world.settle()

    assert world.dataset().status.conditions[0].reason == "ResultMissing"


def test_an_unchanged_source_is_a_read(world: World) -> None:
    loaded(world)
    world.later(hours=1)
    world.settle()
    world.succeed(Unchanged(fingerprint="print-of-winter", source_changed=stamp(minutes=5)))
    world.settle()

    status = world.dataset().status
    assert status.last_read == stamp(hours=1)
    assert status.source_changed == stamp(minutes=5)
    assert status.handled[0].outcome == "Unchanged"
    assert world.names("DatasetVersion") == [version_name()]


def test_a_changed_spec_cuts_a_read_for_the_old_one_short(world: World) -> None:
    (old,) = world.running()
    world.user(make_dataset(spec={**HOURLY, "split": {"testShare": "0.3"}}))

    writes = world.settle()

    (new,) = world.running()
    assert writes == [
        "claim Dataset/flights",
        f"create PipelineExecution/{new}",
        f"delete PipelineExecution/{old}",
        "status Dataset/flights",
    ]
    assert world.dataset().status.handled[0].outcome == "Superseded"


def test_a_spec_that_comes_back_is_read_again(world: World) -> None:
    loaded(world)
    (first,) = world.names("PipelineExecution")
    world.user(make_dataset(spec={**HOURLY, "split": {"testShare": "0.3"}}))
    world.settle()
    loaded(world, "winter", window={**WINDOW, "testStart": "2013-03-01T00:00:00Z"})

    world.user(make_dataset(spec=HOURLY))
    world.settle()

    (again,) = world.running()
    assert again != first
    active = world.dataset().status.active
    assert active is not None
    assert active.key == f"{spec_hash(make_dataset(spec=HOURLY).spec)}/3"


def test_a_spec_too_large_for_a_step_is_said(world: World) -> None:
    values = [f"{number:04d}{'x' * 250}" for number in range(500)]
    large = {"name": "v", "type": "AllowedValues", "column": "carrier", "values": values}
    world.user(make_dataset(spec={**HOURLY, "contract": {"expectations": [large]}}))
    world.settle()

    conditions = {item.type: item for item in world.dataset().status.conditions}
    assert conditions["Stalled"].reason == "InvalidSpec"
    assert conditions["Ready"].message == (
        "The spec is too large to hand to a step (64 KiB); shorten the lists of allowed values in"
        " contract.expectations."
    )


def test_a_stranger_of_our_childs_name_is_left_alone() -> None:
    world = World()
    dataset = make_dataset()
    world.user(dataset)
    world.once("Dataset", "flights")
    active = world.dataset().status.active
    assert active is not None
    world.add(
        {
            "kind": "PipelineExecution",
            "metadata": {"name": active.name, "ownerReferences": []},
            "spec": {"pipeline": {"builtin": "dataset-refresh"}},
        }
    )

    writes = world.settle()

    conditions = {item.type: item for item in world.dataset().status.conditions}
    assert writes == ["status Dataset/flights"]
    assert (conditions["Stalled"].reason, conditions["Ready"].reason) == ("NameConflict",) * 2
    assert conditions["Stalled"].message == (
        f"PipelineExecution {active.name} exists and does not belong to this Dataset; it is left"
        " alone. Delete it to let the work go on."
    )


def test_it_goes_on_when_the_stranger_is_gone() -> None:
    world = World()
    world.user(make_dataset())
    world.once("Dataset", "flights")
    active = world.dataset().status.active
    assert active is not None
    world.add(
        {
            "kind": "PipelineExecution",
            "metadata": {"name": active.name},
            "spec": {"pipeline": {"builtin": "dataset-refresh"}},
        }
    )
    world.settle()
    world.remove("PipelineExecution", active.name)

    world.settle()

    assert world.running() == [active.name]
    assert "Stalled" not in [item.type for item in world.dataset().status.conditions]


def test_a_step_that_waits_for_a_person_is_said(world: World) -> None:
    (name,) = world.running()
    waiting = {"reason": "SecretMissing", "message": "Create tides.", "lastTransitionTime": stamp()}
    body = world.objects[("PipelineExecution", name)]
    body["status"] = {
        "state": "Pending",
        "conditions": [
            {"type": "Ready", "status": "False", **waiting},
            {"type": "Stalled", "status": "True", **waiting},
        ],
    }
    world.settle()

    conditions = {item.type: item for item in world.dataset().status.conditions}
    assert conditions["Stalled"].reason == "SecretMissing"
    assert (conditions["Ready"].reason, conditions["Ready"].message) == (
        "SecretMissing",
        "Create tides.",
    )


def test_an_execution_that_was_deleted_by_hand_is_made_again(world: World) -> None:
    (name,) = world.running()
    world.remove("PipelineExecution", name)

    world.settle()

    assert world.running() == [name]


SHAPING = {
    "the source": {"source": {"objects": {"uri": "s3://tides/other/*.parquet"}}},
    "a column": {"columns": {"eventTime": "t", "label": {"name": "late"}}},
    "the split": {"split": {"testShare": "0.3"}},
    "who labels": {"labels": {"raters": ["label_a", "label_b"]}},
    "the preparation": {"prepare": {"select": "SELECT * FROM source"}},
    "the window": {"window": {"lastSeconds": 86400}},
    "an excluded time": {
        "exclude": [{"name": "x", "from": "2013-01-01T00:00:00Z", "to": "2013-01-02T00:00:00Z"}]
    },
    "a slice": {"slices": [{"name": "jfk", "where": "origin = 'JFK'"}]},
    "an expectation": {"contract": {}},
}


@pytest.mark.parametrize("changed", SHAPING.values(), ids=SHAPING)
def test_what_shapes_a_read_changes_the_hash(changed: dict[str, Any]) -> None:
    assert spec_hash(make_dataset(spec=changed).spec) != spec_hash(make_dataset().spec)


CALM = {
    "the schedule": HOURLY,
    "the resources": {"resources": {"memory": "4Gi"}},
    "how many versions are kept": {"versionHistoryLimit": 3},
    "the owner": {"contract": {**make_dataset().to_wire()["spec"]["contract"], "owner": "me"}},
    "a default written out": {"split": {"by": "Time", "testShare": "0.2"}},
    "where labels come from": {
        "labels": {"provenance": "Crowd", "instructions": "Look twice.", "costPerLabel": "0.05"}
    },
    "what a column means": {
        "columns": {
            **make_dataset().to_wire()["spec"]["columns"],
            "describe": [{"name": "dep_hour", "description": "Hour of departure"}],
        }
    },
}


@pytest.mark.parametrize("changed", CALM.values(), ids=CALM)
def test_what_does_not_changes_nothing(changed: dict[str, Any]) -> None:
    assert spec_hash(make_dataset(spec=changed).spec) == spec_hash(make_dataset().spec)


def with_drift(**drift: Any) -> dict[str, Any]:
    """A Dataset's spec with a rule of drift."""
    return {**HOURLY, "contract": {"drift": drift}}


def test_without_a_rule_of_drift_nothing_is_compared(world: World) -> None:
    loaded(world)
    world.later(hours=1)
    world.settle()

    assert told(world).drift_references == ()


def test_a_read_is_compared_with_the_two_versions_accepted_last(world: World) -> None:
    world.user(make_dataset(spec=with_drift()))
    world.settle()
    for content in ("winter", "spring", "summer"):
        loaded(world, content)
        world.later(hours=1)
        world.settle()

    names = [item.name for item in told(world).drift_references]
    assert names == [version_name("summer"), version_name("spring")]


def test_a_refused_version_is_no_reference(world: World) -> None:
    world.user(make_dataset(spec=with_drift()))
    world.settle()
    loaded(world)
    world.later(hours=1)
    world.settle()
    loaded(world, "broken", violations=[VIOLATION])
    world.later(hours=1)
    world.settle()

    assert [item.name for item in told(world).drift_references] == [version_name()]


def test_a_pinned_version_is_the_reference_and_is_kept(world: World) -> None:
    loaded(world)
    pinned = {**with_drift(against="Version", version=version_name()), "versionHistoryLimit": 1}
    world.user(make_dataset(spec=pinned))
    world.settle()
    for content in ("spring", "summer", "autumn"):
        loaded(world, content)
        world.later(hours=1)
        world.settle()

    assert [item.name for item in told(world).drift_references] == [version_name()]
    assert ("DatasetVersion", version_name()) in world.objects


def test_a_rule_of_drift_is_part_of_what_a_read_is_for() -> None:
    plain, ruled = make_dataset(spec=HOURLY).spec, make_dataset(spec=with_drift()).spec

    assert spec_hash(plain) != spec_hash(ruled)
    assert contract_hash(plain, None) != contract_hash(ruled, None)
    psi = make_dataset(spec=with_drift(profile="psi")).spec
    assert contract_hash(psi, None) != contract_hash(ruled, None)
