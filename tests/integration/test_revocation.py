"""Versions taken back on a real API server, with the engine played by the test."""

import json
from pathlib import Path

import pytest

from tests.builders import make_dataset, make_model, make_snapshot, version_name
from tests.cluster.controlplane import ControlPlane
from tests.integration.conftest import RunOperator
from tests.integration.played import Played
from tidemill.api.documents.results import Erased

pytestmark = pytest.mark.cluster

WINTER, SUMMER = version_name(), version_name("summer")


@pytest.fixture
def played(
    control_plane: ControlPlane, run_operator: RunOperator, namespace: str, tmp_path: Path
) -> Played:
    """A Dataset of two accepted versions in a namespace of its own."""
    made = Played.on(control_plane, run_operator, namespace, tmp_path)
    made.run()
    made.user(make_dataset())
    made.succeed("flights", make_snapshot())
    made.wait_reason("dataset", "flights", "Ready", "InUse")
    made.ask("dataset", "flights", "refresh")
    made.succeed("flights", make_snapshot("summer"))
    made.wait(lambda: accepted(made) == SUMMER, "the second version in use")
    made.idle()
    return made


def accepted(played: Played) -> str:
    """The version in use."""
    return str(played.status("dataset", "flights")["accepted"]["name"])


def answered(played: Played, request: str) -> None:
    played.wait(
        lambda: played.status("dataset", "flights").get("request") == request, f"{request} answered"
    )


def test_a_revoked_version_is_used_by_nobody(played: Played) -> None:
    """The older one too, by its digest: a record that is not the newest is woken all the same."""
    played.user(make_model(datasetVersion=SUMMER))
    (model,) = played.names("modelversion")
    mark = played.audit.mark()

    request = played.ask("dataset", "flights", f"revoke/{SUMMER}")

    answered(played, request)
    assert accepted(played) == WINTER
    assert played.told("datasetversion", SUMMER, "Revoked")[:2] == ("True", "Revoked")
    assert played.told("datasetversion", SUMMER, "Accepted")[:2] == ("False", "Revoked")
    message = played.wait_reason("modelversion", model, "Approved", "DataRevoked")
    assert message == f"DatasetVersion {SUMMER}, which it has learned from, was revoked."
    digest = played.get("datasetversion", WINTER)["spec"]["digest"]
    second = played.ask("dataset", "flights", f"revoke/{digest}")
    answered(played, second)
    assert played.told("datasetversion", WINTER, "Revoked")[:2] == ("True", "Revoked")
    assert played.told("dataset", "flights", "Ready")[:2] == ("False", "Revoked")
    played.idle()
    records = [item for item in played.audit.writes(mark) if item.resource == "datasetversions"]
    assert [(item.verb, item.subresource) for item in records] == [("update", "status")] * 2


def test_an_erased_version_keeps_its_record_through_a_crash(played: Played) -> None:
    request = played.ask("dataset", "flights", f"erase/{WINTER}")
    execution = played.wait_run("flights")
    body = played.get("pipelineexecution", execution)
    told = json.loads(body["spec"]["parameters"][0]["value"])
    assert body["spec"]["pipeline"] == {"builtin": "dataset-erase"}
    assert [item[:8] for item in told["keep"]] == [SUMMER.removeprefix("flights-")]
    assert told["erase"] == [played.get("datasetversion", WINTER)["spec"]["digest"]]
    played.wait_reason("datasetversion", WINTER, "Revoked", "Revoked")

    played.kill()
    played.succeed("flights", Erased(objects=4, bytes=1000))
    played.run()

    played.wait_reason("datasetversion", WINTER, "Erased", "Erased")
    played.wait(lambda: "active" not in played.status("dataset", "flights"), "the run spent")
    status = played.status("dataset", "flights")
    assert (status["request"], status["accepted"]["name"]) == (request, SUMMER)
    assert status["schemaAnchor"] == SUMMER
    assert played.running("flights") == []
    played.idle()
