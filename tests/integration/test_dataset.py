"""Datasets on a real API server, with the engine played by the test."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.builders import VIOLATION, make_dataset, make_snapshot, version_name
from tests.cluster.controlplane import ControlPlane
from tests.integration.conftest import RunOperator
from tests.integration.played import Played
from tests.integration.waiting import stays
from tidemill.api.documents.results import Unchanged
from tidemill.core.acceptance import contract_hash

pytestmark = pytest.mark.cluster

SAME = Unchanged(fingerprint="print-of-winter")


@pytest.fixture
def played(
    control_plane: ControlPlane, run_operator: RunOperator, namespace: str, tmp_path: Path
) -> Played:
    """A namespace of its own, and an operator for it."""
    return Played.on(control_plane, run_operator, namespace, tmp_path)


@pytest.fixture
def loaded(played: Played) -> Played:
    """A Dataset whose first version is accepted."""
    played.run()
    played.user(make_dataset())
    played.succeed("flights", make_snapshot())
    played.wait_reason("dataset", "flights", "Ready", "InUse")
    return played


def test_a_dataset_is_loaded_recorded_and_accepted(played: Played) -> None:
    played.run()
    mark = played.audit.mark()
    played.user(make_dataset())
    execution = played.wait_run("flights")
    assert played.told("dataset", "flights", "Reconciling")[1] == "Refreshing"

    played.succeed("flights", make_snapshot())
    played.wait_reason("dataset", "flights", "Ready", "InUse")

    status = played.status("dataset", "flights")
    assert status["accepted"] == {
        "name": version_name(),
        "digest": make_snapshot().digest,
        "rows": 77911,
    }
    assert status["schemaAnchor"] == version_name()
    assert played.told("dataset", "flights", "Ready") == (
        "True",
        "InUse",
        f"{version_name()} is in use: 77,911 rows, events up to 2013-03-31T23:00:00Z.",
    )
    assert played.told("dataset", "flights", "Reconciling") == ("", "", "")
    record = played.get("datasetversion", version_name())
    assert record["spec"]["execution"] == execution
    assert played.told("datasetversion", version_name(), "Accepted")[:2] == ("True", "ContractKept")
    played.idle()
    writes = [
        (one.verb, one.resource, one.subresource)
        for one in played.audit.writes(mark)
        if one.namespace == played.namespace and one.resource in ("datasets", "datasetversions")
    ]
    # Claimed, reconciling; recorded and judged; spent, ready.
    assert writes == [
        ("update", "datasets", "status"),
        ("update", "datasets", "status"),
        ("create", "datasetversions", ""),
        ("update", "datasetversions", "status"),
        ("update", "datasets", "status"),
        ("update", "datasets", "status"),
    ]


def test_at_rest_nothing_is_written_or_asked(loaded: Played) -> None:
    loaded.idle()
    mark = loaded.audit.mark()

    stays(
        lambda: (
            not [
                one
                for one in loaded.audit.since(mark)
                if one.namespace == loaded.namespace and one.resource != "leases"
            ]
        ),
        3,
        "an operator without requests",
    )


def test_two_causes_at_once_are_acted_on_one_after_the_other(loaded: Played) -> None:
    """A changed spec and a request, made while no operator looks."""
    loaded.kill()
    loaded.user(make_dataset(spec={"split": {"testShare": "0.3"}}))
    request = loaded.ask("dataset", "flights", "refresh")
    loaded.run()

    loaded.wait_run("flights")
    assert loaded.status("dataset", "flights")["active"]["cause"] == "Spec"
    first = loaded.succeed("flights", make_snapshot())
    loaded.wait(lambda: first not in loaded.running("flights"), "the end of the first")
    second = loaded.wait_run("flights")
    assert second != first
    active = loaded.status("dataset", "flights")["active"]
    assert (active["cause"], active["key"]) == ("Manual", request)
    loaded.succeed("flights", SAME)
    status = loaded.wait_settled("dataset", "flights")

    assert status["request"] == request
    assert {item["cause"]: item["outcome"] for item in status["handled"]} == {
        "Manual": "Unchanged",
        "Spec": "Succeeded",
    }
    assert loaded.running("flights") == []


def test_a_pruned_execution_is_not_run_again(loaded: Played) -> None:
    (first,) = loaded.names("pipelineexecutions")
    loaded.kubectl("delete", "pipelineexecution", first, "-n", loaded.namespace)
    loaded.kill()
    operator = loaded.run()

    operator.wait_idle()

    stays(lambda: loaded.names("pipelineexecutions") == [], 2, "no execution")


def test_a_pruned_execution_is_not_run_again_when_status_is_lost(loaded: Played) -> None:
    (first,) = loaded.names("pipelineexecutions")
    loaded.kubectl("delete", "pipelineexecution", first, "-n", loaded.namespace)
    loaded.kill()
    loaded.kubectl(
        "patch", "dataset", "flights", "-n", loaded.namespace, "--subresource=status",
        "--type=json", "-p", '[{"op": "remove", "path": "/status"}]',
    )  # fmt: skip
    loaded.run()

    status = loaded.wait_settled("dataset", "flights")

    assert status["accepted"]["name"] == status["schemaAnchor"] == version_name()
    stays(lambda: loaded.names("pipelineexecutions") == [], 2, "no execution")


def test_only_the_last_executions_are_kept(loaded: Played) -> None:
    for _ in range(4):
        loaded.ask("dataset", "flights", "refresh")
        loaded.succeed("flights", SAME)
        loaded.wait_settled("dataset", "flights")

    loaded.wait(lambda: len(loaded.names("pipelineexecutions")) == 3, "three executions")


def test_a_dataset_made_again_adopts_its_records(loaded: Played) -> None:
    old = loaded.get("dataset", "flights")["metadata"]["uid"]
    (first,) = loaded.names("pipelineexecutions")
    loaded.kubectl("delete", "dataset", "flights", "-n", loaded.namespace)
    loaded.user(make_dataset())
    assert loaded.get("dataset", "flights")["metadata"]["uid"] != old

    loaded.wait_reason("dataset", "flights", "Ready", "InUse")
    name = loaded.wait(
        lambda: [item for item in loaded.running("flights") if item != first], "a read"
    )
    loaded.succeed("flights", make_snapshot())
    loaded.wait_settled("dataset", "flights")

    assert name != [first]
    assert loaded.names("datasetversions") == [version_name()]


def test_a_strangers_object_of_our_childs_name_is_left_alone(played: Played) -> None:
    """It stands in the way of a read that was claimed and not yet started."""
    played.run()
    played.user(make_dataset())
    name = played.wait_run("flights")
    played.kill()
    played.kubectl("delete", "pipelineexecution", name, "-n", played.namespace)
    stranger = played.kubectl.create(
        {
            "apiVersion": "tidemill.dev/v1alpha1",
            "kind": "PipelineExecution",
            "metadata": {"name": name, "namespace": played.namespace},
            "spec": {"pipeline": {"builtin": "evaluate"}},
        }
    )
    played.run()

    message = played.wait_reason("dataset", "flights", "Stalled", "NameConflict")

    assert message == (
        f"PipelineExecution {name} exists and does not belong to this Dataset; it is left alone."
        " Delete it to let the work go on."
    )
    assert played.get("pipelineexecution", name)["metadata"]["uid"] == stranger["metadata"]["uid"]
    played.kubectl("delete", "pipelineexecution", name, "-n", played.namespace)
    played.succeed("flights", make_snapshot())
    played.wait_reason("dataset", "flights", "Ready", "InUse")
    assert played.told("dataset", "flights", "Stalled") == ("", "", "")


def test_a_refused_version_is_kept_and_not_used(loaded: Played) -> None:
    loaded.ask("dataset", "flights", "refresh")
    loaded.succeed("flights", make_snapshot("broken", violations=[VIOLATION]))
    loaded.wait_reason("dataset", "flights", "Ready", "LastGoodInUse")

    status = loaded.status("dataset", "flights")
    assert status["latest"]["name"] == version_name("broken")
    assert status["accepted"]["name"] == version_name()
    assert loaded.told("dataset", "flights", "Ready")[0] == "True"
    assert loaded.told("dataset", "flights", "Stalled") == ("", "", "")


def test_a_relaxed_contract_judges_the_newest_version_again(played: Played) -> None:
    played.run()
    played.user(make_dataset())
    played.succeed("flights", make_snapshot("broken", violations=[VIOLATION]))
    played.wait_reason("dataset", "flights", "Stalled", "ContractBroken")
    relaxed = make_dataset(spec={"contract": {}})
    played.user(relaxed)
    again = make_snapshot("broken", contractHash=contract_hash(relaxed.spec, None))
    played.succeed("flights", again)

    played.wait_reason("dataset", "flights", "Ready", "InUse")

    assert played.names("datasetversions") == [version_name("broken")]
    assert played.told("dataset", "flights", "Stalled") == ("", "", "")
    judged = played.status("datasetversion", version_name("broken"))["judgedAgainst"]
    assert judged == contract_hash(relaxed.spec, None)


def test_an_outage_is_tried_again_and_loses_nothing(loaded: Played) -> None:
    loaded.ask("dataset", "flights", "refresh")
    loaded.fail("flights", "SourceUnavailable", "The store s3://tides does not answer.")

    message = loaded.wait_reason("dataset", "flights", "SourceAvailable", "SourceUnavailable")

    read = loaded.status("dataset", "flights")["lastRead"]
    assert message == (
        f"The store s3://tides does not answer. It was last read with success at {read}."
    )
    assert loaded.told("dataset", "flights", "Ready")[:2] == ("True", "LastGoodInUse")
    assert loaded.status("dataset", "flights")["accepted"]["name"] == version_name()


def test_killed_after_each_step_it_makes_each_thing_once(played: Played) -> None:
    """After the claim and the create, after the record, and after the cause was spent."""
    mark = played.audit.mark()
    played.run()
    played.user(make_dataset())
    played.wait(lambda: played.status("dataset", "flights").get("active"), "the claim")
    played.kill()
    played.run()
    played.wait_run("flights")
    played.kill()
    played.succeed("flights", make_snapshot())
    played.run()
    played.wait(lambda: played.names("datasetversions"), "the record")
    played.kill()
    played.run()
    played.wait_settled("dataset", "flights")
    played.kill()
    played.run()
    played.wait_reason("dataset", "flights", "Ready", "InUse")

    made = [
        (one.verb, one.resource, one.name)
        for one in played.audit.writes(mark)
        if one.namespace == played.namespace
        and one.verb == "create"
        and one.resource in ("pipelineexecutions", "datasetversions")
        and one.code == 201
    ]
    assert sorted(resource for _, resource, _ in made) == ["datasetversions", "pipelineexecutions"]
    assert played.told("dataset", "flights", "Ready")[:2] == ("True", "InUse")


def test_the_story_is_told_in_events(loaded: Played) -> None:
    loaded.idle()
    found = loaded.kubectl.all("events.events.k8s.io", loaded.namespace)
    told = [item["reason"] for item in found if item["regarding"]["name"] == "flights"]

    assert sorted(told) == ["ContractKept", "InUse", "Refreshing"]


# --- growth and approval -----------------------------------------------------------------------


def test_a_version_that_has_grown_too_much_waits_for_an_approval(loaded: Played) -> None:
    loaded.ask("dataset", "flights", "refresh")
    loaded.succeed("flights", make_snapshot("summer", rows=77911 * 11))
    big, old = version_name("summer"), version_name()

    message = loaded.wait_reason("datasetversion", big, "Accepted", "GrowthNeedsApproval")

    assert loaded.told("datasetversion", big, "Accepted")[0] == "Unknown"
    assert message == (
        f"It has 857,021 rows, {old} before it 77,911: 11 times as many, which is more than"
        " contract.maxGrowth: 10. If it is right, approve it: kubectl annotate dataset flights"
        f" -n {loaded.namespace} --overwrite"
        f" tidemill.dev/request=approve/{big}@$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    )
    loaded.wait_reason("dataset", "flights", "Ready", "LastGoodInUse")
    assert loaded.status("dataset", "flights")["accepted"]["name"] == old
    assert loaded.told("dataset", "flights", "Stalled") == ("", "", "")
    loaded.idle()

    # The very command of the message, by a shell.
    command = message.partition("approve it: kubectl ")[2]
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    loaded.kubectl(*command.replace("$(date -u +%Y-%m-%dT%H:%M:%SZ)", moment).split())

    loaded.wait_reason("dataset", "flights", "Ready", "InUse")
    assert loaded.status("dataset", "flights")["accepted"]["name"] == big
    status = loaded.status("datasetversion", big)
    request = f"approve/{big}@{moment}"
    assert status["approved"]["request"] == request
    assert status["approved"]["of"] == "GrowthNeedsApproval"
    assert loaded.told("datasetversion", big, "Accepted")[:2] == ("True", "ApprovedByHand")
    loaded.wait(
        lambda: loaded.status("dataset", "flights")["request"] == request, "the request answered"
    )
    assert loaded.running("flights") == []
    loaded.idle()


def test_a_changed_schema_is_approved_and_is_the_schema_from_then_on(loaded: Played) -> None:
    broken = {
        "name": "Schema",
        "rule": "Schema",
        "reason": "MissingColumn",
        "severity": "Fail",
        "column": "tailnum",
        "message": "tailnum: expected String, observed no such column",
    }
    loaded.ask("dataset", "flights", "refresh")
    loaded.succeed("flights", make_snapshot("summer", violations=[broken]))
    changed = version_name("summer")
    loaded.wait_reason("datasetversion", changed, "Accepted", "SchemaNeedsApproval")
    loaded.wait_settled("dataset", "flights")

    loaded.ask("dataset", "flights", f"approve/{make_snapshot('summer').digest}")

    loaded.wait_reason("dataset", "flights", "Ready", "InUse")
    status = loaded.status("dataset", "flights")
    assert (status["accepted"]["name"], status["schemaAnchor"]) == (changed, changed)
    loaded.idle()
    loaded.kill()
    loaded.run().wait_idle()
    assert loaded.told("datasetversion", changed, "Accepted")[:2] == ("True", "ApprovedByHand")
