"""`Wakes`: who is looked at when something changes."""

from typing import Any

import pytest

from tests.unit.shell.bodies import a_dataset, a_service
from tidemill.core.plan import Body
from tidemill.shell.store import Key, Store
from tidemill.shell.wakes import Wakes, references


def own(kind: str, name: str, version: int = 5, **more: Any) -> Body:
    metadata = more.pop("metadata", {})
    body = a_dataset(name, uid=f"uid-{kind}-{name}", version=version, **metadata)
    return {**body, "kind": kind, **more}


def version_of(name: str, dataset: str, created: str, version: int = 5) -> Body:
    body = own("DatasetVersion", name, version, spec={"datasetRef": {"name": dataset}})
    body["metadata"]["creationTimestamp"] = created
    return body


DATASET = own("Dataset", "tides")
OLD_VERSION = version_of("tides-1", "tides", "2026-01-01T00:00:00Z")
NEW_VERSION = version_of("tides-2", "tides", "2026-01-02T00:00:00Z")
JOB = own("TrainingJob", "learn", spec={"datasetRef": {"name": "tides"}})
MODEL = own("ModelVersion", "learn-1", spec={"trainingJobRef": {"name": "learn"}})
FOLLOWER = own(
    "ModelDeployment",
    "serve",
    spec={"model": {"trainingJobRef": {"name": "learn"}}},
)
PINNED = own(
    "ModelDeployment",
    "pinned",
    spec={
        "model": {"modelVersionRef": {"name": "learn-1"}},
        "route": {"gatewayRef": {"name": "gate", "namespace": "edge"}},
    },
)
IMPORTED = own(
    "ModelDeployment", "imported", spec={"model": {"bundle": {"uri": "s3://b", "digest": "d"}}}
)
EXECUTION = own(
    "PipelineExecution",
    "tides-abc",
    metadata={
        "ownerReferences": [
            {"apiVersion": "tidemill.dev/v1alpha1", "kind": "Dataset", "name": "tides",
             "uid": "uid-Dataset-tides", "controller": True}
        ]
    },
)  # fmt: skip
ALL = (
    DATASET, OLD_VERSION, NEW_VERSION, JOB, MODEL, FOLLOWER, PINNED, IMPORTED, EXECUTION,
)  # fmt: skip


def pod(label: str, value: str) -> Body:
    body = a_service("pod-1", uid="uid-pod", version=50, owner="uid-replicaset")
    return {**body, "kind": "Pod", "metadata": {**body["metadata"], "labels": {label: value}}}


def touched(body: Body, **metadata: Any) -> Body:
    """The object as after a change of its status, or of the metadata given."""
    return {**body, "metadata": {**body["metadata"], "resourceVersion": "50", **metadata}}


def named(*keys: Key) -> set[str]:
    return {f"{key.kind}/{key.name}" for key in keys}


GATEWAY: Body = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "gate", "namespace": "edge", "uid": "g", "resourceVersion": "50"},
}

CASES: dict[str, tuple[Body, set[str]]] = {
    "a Dataset's status concerns its jobs and its newest record": (
        touched(DATASET),
        {"Dataset/tides", "TrainingJob/learn", "DatasetVersion/tides-2"},
    ),
    "a Dataset's spec concerns all its records": (
        touched(DATASET, generation=2),
        {
            "Dataset/tides",
            "TrainingJob/learn",
            "DatasetVersion/tides-1",
            "DatasetVersion/tides-2",
        },
    ),
    "a DatasetVersion concerns its Dataset and who learns from it": (
        touched(NEW_VERSION),
        {"DatasetVersion/tides-2", "Dataset/tides", "TrainingJob/learn"},
    ),
    "a TrainingJob concerns its Dataset, its models and who follows it": (
        touched(JOB),
        {
            "TrainingJob/learn",
            "Dataset/tides",
            "ModelVersion/learn-1",
            "ModelDeployment/serve",
        },
    ),
    "a ModelVersion concerns its job, who follows that, who pins it and who imports": (
        touched(MODEL),
        {
            "ModelVersion/learn-1",
            "TrainingJob/learn",
            "ModelDeployment/serve",
            "ModelDeployment/pinned",
            "ModelDeployment/imported",
        },
    ),
    "a ModelDeployment concerns the job it follows": (
        touched(FOLLOWER),
        {"ModelDeployment/serve", "TrainingJob/learn"},
    ),
    "an execution concerns its owner": (
        touched(EXECUTION),
        {"PipelineExecution/tides-abc", "Dataset/tides"},
    ),
    "a step's pod concerns its execution": (
        pod("tidemill.dev/execution", "tides-abc"),
        {"PipelineExecution/tides-abc"},
    ),
    "a server's pod concerns its deployment": (
        pod("tidemill.dev/modeldeployment", "serve"),
        {"ModelDeployment/serve"},
    ),
    "a Gateway concerns whose routes it carries": (GATEWAY, {"ModelDeployment/pinned"}),
    "a stranger concerns nobody": (pod("app", "x"), set()),
}


def test_a_revoked_version_concerns_all_that_learned_from_it() -> None:
    store, keys = Store(references), list[Key]()
    for number in (1, 2):
        learned = {"trainingJobRef": {"name": "learn"}, "datasetVersion": "tides-1"}
        store.put(own("ModelVersion", f"learn-{number}", spec=learned))
    store.put(OLD_VERSION)
    Wakes(store, lambda key, urgent: keys.append(key))
    conditions = [{"type": "Revoked", "status": "True"}]
    store.put({**touched(OLD_VERSION), "status": {"conditions": conditions}})
    assert {"ModelVersion/learn-1", "ModelVersion/learn-2"} <= named(*keys)

    keys.clear()
    again = touched(OLD_VERSION)
    again["metadata"]["resourceVersion"] = "60"
    store.put({**again, "status": {"conditions": [*conditions, {"type": "X", "status": "True"}]}})

    assert named(*keys) == {"DatasetVersion/tides-1"}


@pytest.mark.parametrize(("body", "woken"), CASES.values(), ids=CASES)
def test_a_change_wakes(body: Body, woken: set[str]) -> None:
    store, keys = Store(references), list[Key]()
    for item in ALL:
        store.put(item)
    Wakes(store, lambda key, urgent: keys.append(key))

    store.put(body)

    assert named(*keys) == woken
    assert len(keys) == len(set(keys))


def test_a_changed_reference_wakes_the_old_and_the_new_target() -> None:
    store, keys = Store(references), list[Key]()
    for item in (*ALL, own("Dataset", "waves")):
        store.put(item)
    Wakes(store, lambda key, urgent: keys.append(key))

    store.put({**touched(JOB), "spec": {"datasetRef": {"name": "waves"}}})

    assert {"Dataset/tides", "Dataset/waves"} <= named(*keys)


def test_a_deleted_child_wakes_its_owner_and_a_deleted_object_itself() -> None:
    store, keys = Store(references), list[Key]()
    for item in ALL:
        store.put(item)
    Wakes(store, lambda key, urgent: keys.append(key))

    store.remove(touched(EXECUTION))

    assert named(*keys) == {"PipelineExecution/tides-abc", "Dataset/tides"}


URGENT: dict[str, tuple[Body, bool]] = {
    "a changed spec": (touched(DATASET, generation=2), True),
    "a request": (touched(DATASET, annotations={"tidemill.dev/request": "refresh@now"}), True),
    "a new object": (own("Dataset", "waves"), True),
    "a status": (touched(DATASET), False),
    "another annotation": (touched(DATASET, annotations={"note": "x"}), False),
}


@pytest.mark.parametrize(("body", "urgent"), URGENT.values(), ids=URGENT)
def test_a_person_waits_for(body: Body, urgent: bool) -> None:
    store, woken = Store(references), dict[Key, bool]()
    store.put(DATASET)
    wakes = Wakes(store, woken.__setitem__)
    wakes.live = True

    store.put(body)

    assert woken[Key("Dataset", "sea", body["metadata"]["name"])] is urgent


def test_nobody_waits_while_the_stores_are_filled() -> None:
    store, woken = Store(references), dict[Key, bool]()
    Wakes(store, woken.__setitem__)

    store.put(DATASET)

    assert woken == {Key("Dataset", "sea", "tides"): False}
