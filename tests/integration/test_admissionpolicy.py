"""Who may write records, status and owned executions, on a real API server."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cluster.controlplane import ControlPlane
from tests.integration.chart import NAMESPACE, RELEASE, render
from tests.integration.kubectl import Body, Kubectl
from tests.integration.waiting import wait_for

OPERATOR = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
COLLECTOR = "system:serviceaccount:kube-system:generic-garbage-collector"
NAMESPACES = "system:serviceaccount:kube-system:namespace-controller"
EDITOR = "jane"
TENANT = "flights"

SHA = "sha256:" + "0" * 64
MODEL: Body = {
    "apiVersion": "tidemill.dev/v1alpha1",
    "kind": "ModelVersion",
    "metadata": {"name": "delays-1", "namespace": TENANT},
    "spec": {
        "bundle": {"uri": "s3://artifacts/tidemill/bundle.json", "digest": SHA},
        "modelUri": "s3://artifacts/tidemill/model.onnx",
        "digest": SHA,
        "createdAt": "2026-01-01T00:00:00Z",
    },
}
RUN: Body = {
    "apiVersion": "tidemill.dev/v1alpha1",
    "kind": "PipelineExecution",
    "metadata": {"name": "mine", "namespace": TENANT},
    "spec": {"pipeline": {"builtin": "evaluate"}},
}
OWNER: Body = {
    "apiVersion": "tidemill.dev/v1alpha1",
    "kind": "TrainingJob",
    "name": "delays",
    "uid": "0a0a0a0a-0000-0000-0000-000000000000",
    "controller": True,
}


def named(body: Body, name: str, owner: Body | None = None) -> Body:
    """A copy under another name, owned if asked."""
    metadata = {**body["metadata"], "name": name}
    if owner:
        metadata["ownerReferences"] = [owner]
    return {**body, "metadata": metadata}


def may_all(user: str) -> list[Body]:
    """Roles that let a user do anything to our kinds: what stops them then is the policy."""
    name = user.rsplit(":", 1)[-1]
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}}
    rule = {"apiGroups": ["tidemill.dev"], "resources": ["*"], "verbs": ["*"]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    return [
        {**rbac, "kind": "ClusterRole", "rules": [rule]},
        {**rbac, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]},
    ]


@dataclass(frozen=True)
class People:
    """The same API server, asked by different people."""

    kubectl: Kubectl

    def create(self, who: str, body: Body) -> str:
        """The complaint, or nothing."""
        return self._ask(who, "create", "-f", "-", data=json.dumps(body))

    def ask(self, who: str, *words: str) -> str:
        """The complaint, or nothing."""
        return self._ask(who, *words)

    def _ask(self, who: str, *words: str, data: str | None = None) -> str:
        done = self.kubectl.run(*words, f"--as={who}", "-n", TENANT, data=data)
        return done.stderr.strip() if done.returncode else ""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """An API server with the chart; jane may edit one namespace, and do anything to our kinds."""
    with ControlPlane(tmp_path_factory.mktemp("policy"), controllers=False) as plane:
        kubectl = Kubectl(plane.kubeconfig)
        for name in (NAMESPACE, TENANT):
            kubectl("create", "namespace", name)
        kubectl("apply", "--server-side", "-f", "-", data=render())
        kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        kubectl.apply(
            *(body for user in (EDITOR, OPERATOR, COLLECTOR, NAMESPACES) for body in may_all(user))
        )
        found = People(kubectl)
        # A policy takes force a moment after it was stored.
        wait_for(
            lambda: (
                "made by the Tidemill operator alone"
                in found.ask(EDITOR, "create", "--dry-run=server", "-f", str(_file(plane)))
            ),
            what="the admission policy",
        )
        yield found


def _file(plane: ControlPlane) -> object:
    path = plane.state.root / "model.json"
    path.write_text(json.dumps(MODEL))
    return path


def test_only_the_operator_makes_records(people: People) -> None:
    said = people.create(EDITOR, named(MODEL, "forged"))

    assert "records are made by the Tidemill operator alone" in said
    assert people.create(OPERATOR, named(MODEL, "honest")) == ""


def test_only_the_operator_writes_status(people: People) -> None:
    people.create(OPERATOR, named(MODEL, "judged"))
    patch = json.dumps({"status": {"observedGeneration": 1}})
    words = ("patch", "mv", "judged", "--type=merge", "--subresource=status", "-p", patch)

    said = people.ask(EDITOR, *words)

    assert "status is written by the Tidemill operator alone" in said
    assert people.ask(OPERATOR, *words) == ""
    assert "operator alone" in people.ask("root", *words, "--as-group=system:masters")


def test_a_record_is_not_relabelled_by_its_readers(people: People) -> None:
    people.create(OPERATOR, named(MODEL, "labelled"))

    said = people.ask(EDITOR, "label", "mv", "labelled", "tidemill.dev/trainingjob=other")

    assert "only the Tidemill operator and a cluster administrator change or delete one" in said


@pytest.mark.parametrize(
    ("who", "group"),
    [(OPERATOR, ""), (COLLECTOR, ""), (NAMESPACES, ""), ("root", "system:masters")],
    ids=["operator", "garbage collector", "namespace controller", "cluster administrator"],
)
def test_who_may_delete_a_record(who: str, group: str, people: People) -> None:
    people.create(OPERATOR, named(MODEL, "going"))
    assert "change or delete one" in people.ask(EDITOR, "delete", "mv", "going")

    more = (f"--as-group={group}",) if group else ()
    assert people.ask(who, "delete", "mv", "going", *more) == ""


def test_a_namespace_of_records_can_be_deleted_whole(people: People) -> None:
    people.create(OPERATOR, named(MODEL, "one"))
    people.create(OPERATOR, named(MODEL, "two"))

    assert people.ask(NAMESPACES, "delete", "mv", "--all") == ""


def test_people_run_pipelines_of_their_own(people: People) -> None:
    assert people.create(EDITOR, named(RUN, "own")) == ""
    assert people.ask(EDITOR, "label", "pex", "own", "team=red") == ""
    assert people.ask(EDITOR, "delete", "pex", "own") == ""


def test_an_execution_of_ours_is_nobody_elses(people: People) -> None:
    owned = named(RUN, "ours", OWNER)
    said = people.create(EDITOR, owned)
    assert "make one without ownerReferences" in said

    assert people.create(OPERATOR, owned) == ""
    for words in (("label", "pex", "ours", "team=red"), ("delete", "pex", "ours")):
        assert "is the Tidemill operator's" in people.ask(EDITOR, *words)
    assert people.ask(COLLECTOR, "delete", "pex", "ours") == ""


def test_an_execution_cannot_be_given_to_us_later(people: People) -> None:
    people.create(EDITOR, named(RUN, "gift"))
    patch = json.dumps({"metadata": {"ownerReferences": [OWNER]}})

    said = people.ask(EDITOR, "patch", "pex", "gift", "--type=merge", "-p", patch)

    assert "is the Tidemill operator's" in said


def test_users_write_what_is_theirs(people: People) -> None:
    """The policy says nothing about specs of the three kinds people write."""
    dataset: Body = {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": "flights", "namespace": TENANT},
        "spec": {
            "source": {"objects": {"uri": "s3://tides/*.parquet"}},
            "columns": {"eventTime": "time_hour", "label": {"name": "late"}},
        },
    }

    assert people.create(EDITOR, dataset) == ""
    assert people.ask(EDITOR, "delete", "dataset", "flights") == ""
