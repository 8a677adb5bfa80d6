"""Records on a real API server: they outlive their makers, and are never changed."""

from pathlib import Path

import pytest

from tests.builders import (
    make_candidate,
    make_dataset,
    make_evaluation,
    make_snapshot,
    make_trainingjob,
    version_name,
)
from tests.cluster.controlplane import ControlPlane
from tests.integration.conftest import RunOperator, make_namespace
from tests.integration.kubectl import Kubectl
from tests.integration.played import Played
from tests.integration.waiting import stays

pytestmark = pytest.mark.cluster


@pytest.fixture
def trained(controlled_plane: ControlPlane, run_operator: RunOperator, tmp_path: Path) -> Played:
    """A namespace with a Dataset and an approved model, and a garbage collector at work."""
    namespace = make_namespace(Kubectl(controlled_plane.kubeconfig))
    made = Played.on(controlled_plane, run_operator, namespace, tmp_path)
    made.run()
    made.user(make_dataset())
    made.succeed("flights", make_snapshot())
    made.user(make_trainingjob())
    made.succeed("delays", make_candidate())
    made.wait(
        lambda: made.status("trainingjob", "delays")["active"]["stage"] == "Evaluate", "judging"
    )
    made.succeed("delays", make_evaluation())
    made.wait_reason("trainingjob", "delays", "Ready", "ModelApproved")
    return made


def gone(played: Played, kind: str, name: str) -> None:
    """Delete an object, and wait until it and its executions are gone."""
    played.kubectl("delete", kind, name, "-n", played.namespace)
    played.wait(
        lambda: not [x for x in played.names("pipelineexecutions") if x.startswith(f"{name}-")],
        f"the garbage of {name}",
    )


def test_a_record_is_never_changed(trained: Played) -> None:
    (model,) = trained.names("modelversions")
    for kind, name in (("datasetversion", version_name()), ("modelversion", model)):
        done = trained.kubectl.run(
            "patch", kind, name, "-n", trained.namespace, "--type=merge",
            "-p", '{"spec": {"digest": "sha256:' + "0" * 64 + '"}}',
        )  # fmt: skip
        assert "a record is never changed" in done.stderr


def test_a_training_job_made_again_adopts_its_models_and_trains_no_more(trained: Played) -> None:
    models = trained.names("modelversions")
    gone(trained, "trainingjob", "delays")
    assert trained.names("modelversions") == models

    trained.user(make_trainingjob())

    message = trained.wait_reason("trainingjob", "delays", "Ready", "ModelApproved")
    assert message == f"{models[0]} is approved: roc_auc 0.7130."
    stays(lambda: trained.running("delays") == [], 3, "no run")
    status = trained.status("trainingjob", "delays")
    assert status["handled"][0]["cause"] == "Spec"
    assert status["history"][0]["name"] == models[0]


def test_a_dataset_made_again_adopts_its_versions_and_reads_once(trained: Played) -> None:
    gone(trained, "dataset", "flights")
    assert trained.names("datasetversions") == [version_name()]
    assert trained.told("datasetversion", version_name(), "Accepted")[0] == "True"

    trained.user(make_dataset())
    trained.wait_reason("dataset", "flights", "Ready", "InUse")
    trained.succeed("flights", make_snapshot())
    status = trained.wait_settled("dataset", "flights")

    assert trained.names("datasetversions") == [version_name()]
    assert status["schemaAnchor"] == status["accepted"]["name"] == version_name()
    stays(lambda: trained.running("flights") == [], 3, "one read")


def test_records_have_no_owner(trained: Played) -> None:
    for kind in ("datasetversions", "modelversions"):
        for item in trained.kubectl.all(kind, trained.namespace):
            assert "ownerReferences" not in item["metadata"]


def test_executions_go_with_their_parent(trained: Played) -> None:
    gone(trained, "trainingjob", "delays")
    gone(trained, "dataset", "flights")

    assert trained.names("pipelineexecutions") == []
