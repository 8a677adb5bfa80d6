"""manifests/ by kubectl and kustomize alone, on a real API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.controlplane import ControlPlane
from tests.integration.chart import NAMESPACE, ROOT, objects
from tests.integration.kubectl import Body, Kubectl

MANIFESTS = ROOT / "manifests"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """An API server where nothing of ours is installed."""
    with ControlPlane(tmp_path_factory.mktemp("manifests"), controllers=False) as plane:
        yield Kubectl(plane.kubeconfig)


@pytest.fixture(scope="module")
def installed(bare: Kubectl) -> Kubectl:
    """The base, applied as its first line says."""
    bare("apply", "--server-side", "-k", str(MANIFESTS / "base"))
    bare("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    return bare


def built(kubectl: Kubectl, folder: Path) -> list[Body]:
    """What kustomize makes of a folder."""
    return [body for body in yaml.safe_load_all(kubectl("kustomize", str(folder))) if body]


def test_the_base_installs_the_operator(installed: Kubectl) -> None:
    deployment = installed.get("deployment", "tidemill", NAMESPACE)

    assert deployment is not None
    assert len(installed.all("crd")) == 6


def test_the_base_is_the_chart_without_helm(bare: Kubectl) -> None:
    ours = {(body["kind"], body["metadata"]["name"]) for body in built(bare, MANIFESTS / "base")}
    charts = {(body["kind"], body["metadata"]["name"]) for body in objects()}

    assert ours - charts == {("Namespace", NAMESPACE)}
    assert charts - ours == set()
    assert "helm" not in bare("kustomize", str(MANIFESTS / "base")).lower()


def test_the_samples_apply_as_a_whole(installed: Kubectl) -> None:
    installed("apply", "-k", str(MANIFESTS / "samples"))

    for kind in ("dataset/flights", "trainingjob/delays", "modeldeployment/delays"):
        name = kind.partition("/")[2]
        assert installed.get(kind.partition("/")[0], name, "flights") is not None


def test_applying_the_samples_again_leaves_secrets_alone(installed: Kubectl) -> None:
    made = {body["kind"] for body in built(installed, MANIFESTS / "samples")}

    assert "Secret" not in made


def test_the_gateway_component_goes_with_the_base(bare: Kubectl, tmp_path: Path) -> None:
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [relative(MANIFESTS / "base", tmp_path)],
        "components": [relative(MANIFESTS / "components" / "gateway", tmp_path)],
        "patches": [
            {
                "target": {"kind": "Gateway", "name": "public"},
                "patch": '[{"op": "replace", "path": "/spec/gatewayClassName", "value": "mine"}]',
            }
        ],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))

    gateways = [body for body in built(bare, tmp_path) if body["kind"] == "Gateway"]

    assert [
        (one["metadata"]["namespace"], one["spec"]["gatewayClassName"]) for one in gateways
    ] == [("gateways", "mine")]


def relative(path: Path, start: Path) -> str:
    """kustomize takes relative paths only."""
    up = len(start.resolve().parts) - 1
    return "/".join([*[".."] * up, *path.resolve().parts[1:]])
