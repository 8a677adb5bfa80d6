"""TrainingJobs on a real API server, with the engine played by the test."""

from pathlib import Path
from typing import Any

import pytest

from tests.builders import (
    AGAINST,
    GATES,
    MEASURED,
    make_candidate,
    make_dataset,
    make_evaluation,
    make_follower,
    make_model,
    make_snapshot,
    make_trainingjob,
    sha,
    version_name,
)
from tests.cluster.controlplane import ControlPlane
from tests.integration.conftest import RunOperator
from tests.integration.played import Played
from tests.integration.waiting import stays
from tidemill.api.documents.results import Unchanged

pytestmark = pytest.mark.cluster

LATER = {
    "start": "2013-02-01T00:00:00Z",
    "end": "2013-06-30T23:00:00Z",
    "matureUntil": "2013-06-30T23:00:00Z",
    "testStart": "2013-06-01T00:00:00Z",
    "validationStart": "2013-05-15T00:00:00Z",
}
WORSE = {**MEASURED, "value": "0.6"}


@pytest.fixture
def played(
    control_plane: ControlPlane, run_operator: RunOperator, namespace: str, tmp_path: Path
) -> Played:
    """A namespace with accepted data and an operator."""
    made = Played.on(control_plane, run_operator, namespace, tmp_path)
    made.run()
    made.user(make_dataset())
    made.succeed("flights", make_snapshot())
    made.wait_reason("dataset", "flights", "Ready", "InUse")
    return made


def job(**spec: Any) -> Any:
    """The TrainingJob delays, retraining at once on drift and new data."""
    retrain = {"triggers": [{"type": "Drift"}], "cooldownSeconds": 0, "maxPerDay": 64}
    return make_trainingjob(spec={"retrain": retrain, **spec})


def train(played: Played, model: str = "first", **more: Any) -> str:
    """A run that is under way trains and is judged; returns its model's name."""
    run = played.wait(lambda: played.status("trainingjob", "delays").get("active"), "a run")
    played.succeed("delays", make_candidate())
    played.wait(
        lambda: played.status("trainingjob", "delays")["active"]["stage"] == "Evaluate",
        "the judging",
    )
    played.succeed("delays", make_evaluation(model, **more))
    name: str = run["name"]
    played.wait(
        lambda: (played.status("trainingjob", "delays").get("active") or {}).get("name") != name,
        "the end of the run",
    )
    return name


def test_a_job_trains_judges_and_approves(played: Played) -> None:
    mark = played.audit.mark()
    played.user(job())
    played.wait_reason("trainingjob", "delays", "Reconciling", "Training")

    name = train(played)

    message = played.wait_reason("trainingjob", "delays", "Ready", "ModelApproved")
    assert message == f"{name} is approved: roc_auc 0.7130."
    assert played.told("trainingjob", "delays", "Reconciling") == ("", "", "")
    status = played.status("trainingjob", "delays")
    assert status["approved"] == {"name": name, "metric": "roc_auc", "value": "0.713"}
    assert status["history"][0]["outcome"] == "Approved"
    record = played.get("modelversion", name)
    assert record["spec"]["datasetVersion"] == version_name()
    assert len(record["spec"]["executions"]) == 2
    assert played.told("modelversion", name, "Approved")[:2] == ("True", "GatesPassed")
    played.idle()
    writes = [
        (one.verb, one.resource)
        for one in played.audit.writes(mark)
        if one.namespace == played.namespace and one.resource in ("trainingjobs", "modelversions")
    ]
    # Claimed, training; judging claimed and told; recorded, judged; closed and told.
    assert writes == [
        *[("update", "trainingjobs")] * 4,
        ("create", "modelversions"),
        ("update", "modelversions"),
        *[("update", "trainingjobs")] * 2,
    ]


def test_a_users_relaxed_gate_approves_the_newest_model_without_a_run(played: Played) -> None:
    played.user(job())
    name = train(played, metrics=[WORSE])
    played.wait_reason("trainingjob", "delays", "Stalled", "Refused")
    executions = played.names("pipelineexecutions")

    played.user(job(gates=[{**GATES[0], "min": "0.59"}, GATES[1]]))

    message = played.wait_reason("trainingjob", "delays", "Ready", "ModelApproved")
    assert message == f"{name} is approved: roc_auc 0.6000."
    assert played.told("trainingjob", "delays", "Stalled") == ("", "", "")
    assert played.names("pipelineexecutions") == executions


def test_two_causes_at_once_are_acted_on_one_after_the_other(played: Played) -> None:
    """A changed spec and a request, made while no operator looks."""
    played.user(job())
    train(played)
    played.wait_settled("trainingjob", "delays")
    played.kill()
    played.user(job(refit=False))
    request = played.ask("trainingjob", "delays", "retrain")
    played.run()

    train(played, "second", metrics=[AGAINST])
    train(played, "third", metrics=[AGAINST])
    status = played.wait_settled("trainingjob", "delays")

    assert [item["cause"] for item in status["history"]] == ["Manual", "Spec", "Spec"]
    assert status["request"] == request
    assert len(status["startedAt"]) == 3


def test_a_drift_is_retrained_when_data_of_it_are_there(played: Played) -> None:
    """The job waits, the Dataset looks once; then one run, and no other for the episode."""
    played.user(job())
    first = train(played)
    follower = make_follower(stable=first, episode={}).to_wire()
    played.user(make_follower())
    played.wait(lambda: played.get("modeldeployment", "delays"), "the follower")
    played.kill()  # what a ModelDeployment's own passes would tell, the test tells
    uid = played.get("modeldeployment", "delays")["metadata"]["uid"]
    drifted = {"status": {**follower["status"], "observedGeneration": 1}}
    played.kubectl.patch(
        "modeldeployment", "delays", played.namespace, drifted, "--subresource=status"
    )
    played.run()

    played.wait(
        lambda: played.status("trainingjob", "delays").get("wantsDataFor") == f"{uid}/1",
        "the wish",
    )
    status = played.status("trainingjob", "delays")
    assert [item["reason"] for item in status["pending"]] == ["WaitingForData"]
    assert played.wait_run("flights")
    read = played.status("dataset", "flights")["active"]
    assert (read["cause"], read["key"]) == ("Drift", f"{uid}/1")
    played.succeed("flights", make_snapshot("spring", window=LATER))
    train(played, "challenger", metrics=[{**AGAINST, "changeLow": "-0.1"}])
    status = played.wait_settled("trainingjob", "delays")

    assert status["history"][0]["cause"] == "Drift"
    assert status["history"][0]["outcome"] == "Refused"
    assert status["history"][0]["datasetVersion"] == version_name("spring")
    assert "wantsDataFor" not in status
    assert played.told("trainingjob", "delays", "Ready")[:2] == ("True", "ModelApproved")
    stays(lambda: played.running("delays") == [], 3, "no second run of the episode")


def test_a_drift_whose_refresh_brings_nothing_waits(played: Played) -> None:
    played.user(job())
    first = train(played)
    played.kill()
    played.user(make_follower())
    follower = make_follower(stable=first, episode={}).to_wire()
    drifted = {"status": {**follower["status"], "observedGeneration": 1}}
    played.kubectl.patch(
        "modeldeployment", "delays", played.namespace, drifted, "--subresource=status"
    )
    played.run()
    played.succeed("flights", Unchanged(fingerprint="print-of-winter"))
    played.wait_settled("dataset", "flights")

    stays(lambda: played.running("flights") == [], 3, "one refresh")
    status = played.status("trainingjob", "delays")
    assert [item["reason"] for item in status["pending"]] == ["WaitingForData"]


def test_a_strangers_object_of_the_runs_name_is_left_alone(played: Played) -> None:
    played.user(job())
    run = played.wait(lambda: played.status("trainingjob", "delays").get("active"), "a run")
    body = make_model(run["name"], job="other").to_wire()
    stranger = played.kubectl.create(
        {
            "apiVersion": "tidemill.dev/v1alpha1",
            "kind": "ModelVersion",
            "metadata": {"name": run["name"], "namespace": played.namespace},
            "spec": body["spec"],
        }
    )
    played.succeed("delays", make_candidate())
    played.wait(
        lambda: played.status("trainingjob", "delays")["active"]["stage"] == "Evaluate",
        "the judging",
    )
    played.succeed("delays", make_evaluation())

    message = played.wait_reason("trainingjob", "delays", "Stalled", "NameConflict")

    assert message == (
        f"ModelVersion {run['name']} exists and does not belong to this TrainingJob; it is left"
        " alone. Delete it to let the work go on."
    )
    there = played.get("modelversion", run["name"])
    assert there["metadata"]["uid"] == stranger["metadata"]["uid"]
    assert there["spec"] == stranger["spec"]
    played.kubectl("delete", "modelversion", run["name"], "-n", played.namespace)
    played.wait_reason("trainingjob", "delays", "Ready", "ModelApproved")
    assert played.get("modelversion", run["name"])["spec"]["digest"] == sha("new-model")


def test_a_changed_spec_cuts_a_run_short(played: Played) -> None:
    played.user(job())
    old = played.wait_run("delays")

    played.user(job(refit=False))

    played.wait(lambda: played.running("delays") not in ([], [old]), "the new run")
    assert played.running("delays") != [old]
    assert played.status("trainingjob", "delays")["history"][0]["outcome"] == "Superseded"


def test_killed_after_each_step_it_makes_each_thing_once(played: Played) -> None:
    """After each claim and each create."""
    mark = played.audit.mark()
    played.user(job())

    def again(told: Any, what: str) -> None:
        played.wait(told, what)
        played.kill()
        played.run()

    def active() -> dict[str, Any]:
        found: dict[str, Any] = played.status("trainingjob", "delays").get("active") or {}
        return found

    again(active, "the claim of the run")
    again(lambda: played.running("delays"), "the training")
    played.succeed("delays", make_candidate())
    again(lambda: active().get("stage") == "Evaluate", "the claim of the judging")
    again(lambda: played.running("delays"), "the judging")
    played.succeed("delays", make_evaluation())
    again(lambda: played.names("modelversions"), "the record")
    again(lambda: not active(), "the end")
    played.wait_reason("trainingjob", "delays", "Ready", "ModelApproved")

    made = [
        one.resource
        for one in played.audit.writes(mark)
        if one.namespace == played.namespace
        and one.verb == "create"
        and one.code == 201
        and one.resource in ("pipelineexecutions", "modelversions")
    ]
    assert sorted(made) == ["modelversions", "pipelineexecutions", "pipelineexecutions"]
    assert len(played.status("trainingjob", "delays")["startedAt"]) == 1
