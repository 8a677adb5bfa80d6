"""The chart on a real API server: it installs as it is, and grants what the adapters need."""

import json
from collections.abc import Iterator
from dataclasses import fields

import pytest
import yaml

from tests.cluster.controlplane import ControlPlane
from tests.integration.chart import CHART, NAMESPACE, RELEASE, helm, objects, one, render
from tests.integration.kubectl import Kubectl
from tidemill.adapters.resources import OWN, TYPES
from tidemill.settings import Settings

OPERATOR = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
MONITORING = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """An API server with the chart applied as it is rendered."""
    with ControlPlane(tmp_path_factory.mktemp("chart"), controllers=False) as plane:
        kubectl = Kubectl(plane.kubeconfig)
        kubectl("create", "namespace", NAMESPACE)
        kubectl("apply", "--server-side", "--validate=strict", "-f", "-", data=render())
        kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        yield kubectl


def test_lint_is_clean() -> None:
    done = helm("lint", "--strict", str(CHART))

    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout and "ERROR" not in done.stdout


def test_it_installs_as_it_is(installed: Kubectl) -> None:
    deployment = installed.get("deployment", RELEASE, NAMESPACE)

    assert deployment is not None
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == RELEASE


def test_the_crds_outlive_the_release() -> None:
    kept = [body for body in objects() if body["kind"] == "CustomResourceDefinition"]

    assert len(kept) == len(OWN)
    for body in kept:
        assert body["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_crds_may_be_left_out_or_let_go() -> None:
    left_out = {body["kind"] for body in objects("crds.enabled=false")}
    let_go = [body for body in objects("crds.keep=false") if body["kind"].startswith("Custom")]

    assert "CustomResourceDefinition" not in left_out
    assert all("annotations" not in body["metadata"] for body in let_go)


def test_every_variable_is_one_the_operator_reads() -> None:
    known = {f"TIDEMILL_{item.name.upper()}" for item in fields(Settings)}
    everything = objects("kubeflow.caConfigMap=ca", "openlineage.tokenSecret=lineage")
    container = one(everything, "Deployment")["spec"]["template"]["spec"]["containers"][0]

    given = {item["name"] for item in container["env"]}

    assert given == known


def test_the_operator_runs_under_the_restricted_standard(installed: Kubectl) -> None:
    template = one(objects(), "Deployment")["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "operator", "namespace": "strict"},
        "spec": template["spec"],
    }
    installed("create", "namespace", "strict")
    installed("label", "ns", "strict", "pod-security.kubernetes.io/enforce=restricted")

    installed("create", "--dry-run=server", "-f", "-", data=yaml.safe_dump(pod))


Question = tuple[str, str, str, str]
"""verb, API group, resource (with its subresource after a slash), namespace."""


def allowed(kubectl: Kubectl, user: str, questions: list[Question]) -> set[Question]:
    """The questions that the API server's authorizer answers with yes."""
    reviews = []
    for verb, group, what, namespace in questions:
        resource, _, subresource = what.partition("/")
        asked = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        reviews.append(
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": user, "resourceAttributes": {**asked, "subresource": subresource}},
            }
        )
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    answers = kubectl("create", "-f", "-", "-o", r'jsonpath={.status.allowed}{"\n"}', data=text)
    return {
        question
        for question, answer in zip(questions, answers.split(), strict=True)
        if answer == "true"
    }


VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
READ = {"get", "list", "watch"}
NEEDS: dict[str, set[str]] = {
    "Dataset": READ,
    "TrainingJob": READ,
    "ModelDeployment": READ,
    "DatasetVersion": READ | {"create", "delete"},
    "ModelVersion": READ | {"create", "delete"},
    "PipelineExecution": READ | {"create", "patch", "delete"},
    "Job": READ | {"create", "delete"},
    "Pod": READ,
    "ConfigMap": {"get", "create"},
    "ControllerRevision": READ | {"create", "delete"},
    "Deployment": READ | {"create", "patch", "delete"},
    "Service": READ | {"create", "patch", "delete"},
    "EndpointSlice": READ,
    "Gateway": READ,
    "PodDisruptionBudget": READ | {"create", "patch", "delete"},
    "HTTPRoute": READ | {"create", "patch", "delete"},
    "Event": {"create", "patch"},
    "Namespace": set(),
    "Lease": set(),
}
"""What the operator does with each kind, anywhere. Namespace and Lease: one object of each."""


def questions_about(kind: str) -> list[Question]:
    """Every verb on a kind."""
    known = TYPES[kind]
    group = known.api_version.rpartition("/")[0]
    return [(verb, group, known.plural, "flights") for verb in VERBS]


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_the_operator_may_do_what_it_does_and_no_more(kind: str, installed: Kubectl) -> None:
    held = allowed(installed, OPERATOR, questions_about(kind))

    assert {verb for verb, *_ in held} == NEEDS[kind]


def test_the_operator_may_write_every_status(installed: Kubectl) -> None:
    asked = [("update", "tidemill.dev", f"{known.plural}/status", "a") for known in OWN.values()]

    assert allowed(installed, OPERATOR, asked) == set(asked)


def test_the_operator_reads_no_secret_and_makes_no_pod(installed: Kubectl) -> None:
    asked = [
        *((verb, "", "secrets", where) for verb in VERBS for where in ("flights", NAMESPACE)),
        *((verb, "", "pods", "flights") for verb in VERBS if verb not in READ),
        ("list", "", "namespaces", ""),
        ("get", "", "nodes", ""),
        ("update", "coordination.k8s.io", "leases", "kube-system"),
        ("create", "rbac.authorization.k8s.io", "roles", "flights"),
    ]

    assert allowed(installed, OPERATOR, asked) == set()


def test_people_with_the_edit_role_may_edit(installed: Kubectl) -> None:
    """The aggregated roles name every kind; that `edit` picks them up is the cluster's work."""
    view, edit = (one(objects(), "ClusterRole", f"{RELEASE}-{part}") for part in ("view", "edit"))

    assert {known.plural for known in OWN.values()} <= set(view["rules"][0]["resources"])
    assert edit["rules"][0]["resources"] == [
        "datasets", "trainingjobs", "modeldeployments", "pipelineexecutions",
    ]  # fmt: skip
    assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"


def test_no_role_has_a_wildcard() -> None:
    for body in objects():
        for rule in body.get("rules", ()):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_one_namespace_needs_no_rights_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> None:
    narrow = objects("watchNamespace=flights")

    roles = [body for body in narrow if body["kind"] == "ClusterRole"]
    bound = {body["metadata"]["name"] for body in narrow if body["kind"] == "ClusterRoleBinding"}
    assert bound == {f"{RELEASE}-cluster"}
    assert one(narrow, "Role")["metadata"]["namespace"] == "flights"
    assert {body["metadata"]["name"] for body in roles} == {
        f"{RELEASE}-{part}" for part in ("cluster", "view", "edit")
    }


def test_options_render_what_they_promise() -> None:
    everything = objects(
        "replicas=2",
        "metrics.podMonitor.enabled=true",
        "metrics.serviceMonitor.enabled=true",
        "metrics.modelServers.enabled=true",
        "metrics.prometheusRule.enabled=true",
        "networkPolicy.enabled=true",
    )

    kinds = {body["kind"] for body in everything}
    assert {"PodDisruptionBudget", "NetworkPolicy", *MONITORING} <= kinds
    servers = one(everything, "PodMonitor", f"{RELEASE}-model-servers")
    targets = servers["spec"]["podMetricsEndpoints"][0]["relabelings"]
    assert {item["targetLabel"] for item in targets} == {"modeldeployment", "revision"}


REFUSED = {
    "more than two replicas": ("replicas=3", "/replicas"),
    "Kubeflow without its address": ("engine.default=Kubeflow", "/kubeflow/url"),
    "an unknown engine": ("engine.default=Argo", "/engine/default"),
    "a misspelt value": ("prometeus.url=http://p", "prometeus"),
    "a store nobody can read": ("artifactStore.root=/var/lib", "/artifactStore/root"),
}


@pytest.mark.parametrize(("setting", "said"), REFUSED.values(), ids=REFUSED)
def test_wrong_values_are_refused(setting: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        render(setting)
