"""An API server of a test file's own, and the stage around it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.stage import Stage, staged
from tests.cluster.controlplane import ControlPlane
from tests.integration.conftest import install_crds
from tests.integration.kubectl import Kubectl


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with our CRDs and without controllers."""
    with ControlPlane(tmp_path_factory.mktemp("plane"), audit=True) as plane:
        install_crds(Kubectl(plane.kubeconfig))
        yield plane


@pytest.fixture
def stage(plane: ControlPlane, tmp_path: Path) -> Iterator[Stage]:
    """What is played around the API server; no operator runs yet."""
    with staged(plane, tmp_path) as stage:
        yield stage
        stage.check()
