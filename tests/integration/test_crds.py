"""The CRDs on a real API server: served, documented, defaulted, and refusing what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.kubectl import Body, Kubectl
from tidemill.api.crd import CATEGORY
from tidemill.api.v1alpha1 import KINDS, Dataset, ModelDeployment

ROOT = Path(__file__).parents[2]
INVALID = sorted((Path(__file__).parent / "invalid").glob("*.yaml"))
FOLDER = ROOT / "manifests" / "samples"
SAMPLES = [*sorted(FOLDER.glob("[0-9]*.yaml")), *sorted(FOLDER.glob("sources/*.yaml"))]
MARK = "# refused with: "

RUN: Body = {
    "apiVersion": "tidemill.dev/v1alpha1",
    "kind": "PipelineExecution",
    "metadata": {"name": "mine"},
    "spec": {"pipeline": {"builtin": "evaluate"}},
}


def sample(kind: str) -> Body:
    """The sample of a kind."""
    for path in SAMPLES:
        for body in yaml.safe_load_all(path.read_text()):
            if body and body["kind"] == kind:
                return dict(body)
    raise AssertionError(f"no sample of {kind}")


def in_namespace(body: Body, namespace: str) -> str:
    """An object as JSON, moved to a namespace."""
    return json.dumps({**body, "metadata": {**body["metadata"], "namespace": namespace}})


def test_every_kind_is_established_and_structural(kubectl: Kubectl) -> None:
    crds = {body["metadata"]["name"]: body for body in kubectl.all("crd")}

    for kind in KINDS:
        said = crds[f"{kind.names.plural}.tidemill.dev"]["status"]["conditions"]
        held = {item["type"]: item["status"] for item in said}
        assert held == {"NamesAccepted": "True", "Established": "True"}, kind.names.kind


def test_short_names_mean_our_kinds_and_nobody_elses(kubectl: Kubectl) -> None:
    rows = kubectl("api-resources", "--no-headers").splitlines()
    taken = [row.split()[1] for row in rows if len(row.split()) == 5]
    words = [word for names in taken for word in names.split(",")]

    for kind in KINDS:
        assert words.count(kind.names.short) == 1, kind.names.short


def test_one_category_lists_them_all(kubectl: Kubectl) -> None:
    listed = kubectl("api-resources", f"--categories={CATEGORY}", "--no-headers", "-o", "name")

    assert set(listed.split()) == {f"{kind.names.plural}.tidemill.dev" for kind in KINDS}


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_refused(path: Path, kubectl: Kubectl) -> None:
    """Each file says in its second line what a user must read."""
    wanted = path.read_text().splitlines()[1]
    assert wanted.startswith(MARK)

    done = kubectl.run("create", "--dry-run=server", "--validate=strict", "-f", str(path))

    assert done.returncode == 1
    assert wanted.removeprefix(MARK) in done.stderr


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_valid(path: Path, kubectl: Kubectl, namespace: str) -> None:
    for body in yaml.safe_load_all(path.read_text()):
        scope = () if body["kind"] == "Namespace" else ("-n", namespace)
        text = json.dumps(body) if not scope else in_namespace(body, namespace)

        kubectl("apply", "--dry-run=server", "--validate=strict", *scope, "-f", "-", data=text)


def test_a_new_object_was_not_looked_at_yet(kubectl: Kubectl, namespace: str) -> None:
    stored = kubectl.create(json.loads(in_namespace(sample("Dataset"), namespace)))

    assert stored["status"] == {"observedGeneration": -1}


def test_defaults_are_stored(kubectl: Kubectl, namespace: str) -> None:
    """What is left out is what the models say, at every depth."""
    short: Body = {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "delays", "namespace": namespace},
        "spec": {"model": {"trainingJobRef": {"name": "delays"}}},
    }

    stored = kubectl.create(short)

    assert ModelDeployment.parse(stored).spec == ModelDeployment.parse(short).spec
    assert stored["spec"]["rollout"]["canary"]["steps"] == [
        {"weight": 5, "holdSeconds": 300},
        {"weight": 25, "holdSeconds": 300},
        {"weight": 50, "holdSeconds": 300},
    ]
    assert stored["spec"]["monitoring"]["drift"]["threshold"] == "0.1"


def test_what_is_stored_is_what_the_model_reads(kubectl: Kubectl, namespace: str) -> None:
    stored = kubectl.create(json.loads(in_namespace(sample("Dataset"), namespace)))

    assert Dataset.parse(stored).spec == Dataset.parse(sample("Dataset")).spec


def test_an_execution_is_never_changed(kubectl: Kubectl, namespace: str) -> None:
    kubectl.create(json.loads(in_namespace(RUN, namespace)))

    done = kubectl.run(
        "patch", "pex", "mine", "-n", namespace, "--type=merge", "-p", '{"spec":{"backoffLimit":9}}'
    )

    assert done.returncode == 1
    assert "spec: Invalid value" in done.stderr
    assert "an execution is never changed; create another" in done.stderr


def test_the_scale_subresource_is_what_an_autoscaler_sees(kubectl: Kubectl, namespace: str) -> None:
    kubectl.create(json.loads(in_namespace(sample("ModelDeployment"), namespace)))
    status = {"status": {"observedGeneration": 1, "replicas": 2, "selector": "a=b"}}
    kubectl.patch("md", "delays", namespace, status, "--subresource=status")

    scale: dict[str, Any] = json.loads(
        kubectl("get", "md", "delays", "-n", namespace, "--subresource=scale", "-o", "json")
    )

    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (2, 2)
    assert scale["status"]["selector"] == "a=b"


EXPLAINED = {
    "modeldeployment.spec.rollout": (
        "The candidate gets pods of its own, then traffic step by step",
        "a failed analysis still rolls back. Default: false.",
        "Default: 86400.",
    ),
    "modeldeployment.spec.rollout.analysis": ("How often to measure. Default: 30.",),
    "dataset.spec.columns.label": ("Two values, for a binary classification.",),
    "trainingjob.spec.gates": ("measured on test rows that training never saw",),
    "modelversion.status": ("What each gate said.",),
}


@pytest.mark.parametrize("path", EXPLAINED)
def test_explain_reads_like_documentation(path: str, kubectl: Kubectl) -> None:
    text = " ".join(kubectl("explain", path).split())

    missing = [part for part in EXPLAINED[path] if part not in text]
    assert missing == []
    assert "<no description>" not in text


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.names.kind)
def test_every_field_has_a_description(kind: Any, kubectl: Kubectl) -> None:
    page = kubectl("explain", kind.names.plural, "--recursive", "--output=plaintext-openapiv2")

    assert "spec" in page and "status" in page
    crd = kubectl.get("crd", f"{kind.names.plural}.tidemill.dev")
    assert crd is not None
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    silent = [
        path for part in ("spec", "status") for path in undocumented(schema[part], f".{part}")
    ]
    assert silent == []


def undocumented(schema: Body, path: str) -> list[str]:
    """The paths of fields that say nothing."""
    found = [] if schema.get("description") else [path]
    for name, one in schema.get("properties", {}).items():
        found += undocumented(one, f"{path}.{name}")
    for name, one in schema.get("items", {}).get("properties", {}).items():
        found += undocumented(one, f"{path}[].{name}")
    return found
