"""A real API server with our CRDs, kubectl, and the operator as a process.

`control_plane` is shared by all tests of a session and has no controllers: pods, Deployments and
Jobs can be made, and nothing acts on them. `controlled_plane` has kube-controller-manager beside
it (garbage collection, Jobs, Deployments, EndpointSlices). `own_plane` belongs to one test, which
may stop and restart it. `run_operator(...)` starts the operator and ends it after the test.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.cluster.controlplane import ControlPlane
from tests.integration.audit import AuditLog
from tests.integration.kubectl import Kubectl
from tests.integration.operator_process import ROOT, OperatorProcess
from tests.integration.waiting import wait_for as wait

LEASE_NAMESPACE = "tidemill-system"
_numbers = itertools.count(1)

RunOperator = Callable[..., OperatorProcess]
"""run_operator(env=None, *, plane=None, command=None): the operator, started."""


def install_crds(kubectl: Kubectl) -> None:
    """Install the CRDs and the operator's namespace, and wait until the kinds are served."""
    kubectl(
        "apply", "--server-side", "-f", str(ROOT / "crds"),
        "--field-manager=test",
    )  # fmt: skip
    kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    kubectl("create", "namespace", LEASE_NAMESPACE)


def _plane(directory: Path, *, controllers: bool) -> Iterator[ControlPlane]:
    with ControlPlane(directory, audit=True, controllers=controllers) as plane:
        install_crds(Kubectl(plane.kubeconfig))
        yield plane


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server for the session, without controllers."""
    yield from _plane(tmp_path_factory.mktemp("plane"), controllers=False)


@pytest.fixture(scope="session")
def controlled_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server for the session, with kube-controller-manager."""
    yield from _plane(tmp_path_factory.mktemp("plane"), controllers=True)


@pytest.fixture
def own_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """An API server for one test, to be stopped and restarted at will."""
    yield from _plane(tmp_path / "plane", controllers=False)


@pytest.fixture
def kubectl(control_plane: ControlPlane) -> Kubectl:
    """kubectl against `control_plane`."""
    return Kubectl(control_plane.kubeconfig)


@pytest.fixture
def audit(control_plane: ControlPlane) -> AuditLog:
    """The audit log of `control_plane`."""
    return AuditLog(control_plane.audit_log)


@pytest.fixture
def namespace(kubectl: Kubectl) -> str:
    """A new namespace of `control_plane`."""
    return make_namespace(kubectl)


def make_namespace(kubectl: Kubectl) -> str:
    """Make a namespace nobody has used yet and return its name."""
    name = f"t{next(_numbers)}"
    kubectl("create", "namespace", name)
    return name


@pytest.fixture
def wait_for() -> Callable[..., object]:
    """wait_for(condition, timeout=30, what=""): the condition's first true answer."""
    return wait


@pytest.fixture
def run_operator(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunOperator]:
    """Start operators; each has a Lease of its own unless TIDEMILL_LEASE_NAME is given."""
    started: list[OperatorProcess] = []

    def run(
        env: dict[str, str] | None = None,
        *,
        plane: ControlPlane | None = None,
        command: Sequence[str] = ("-m", "tidemill", "run"),
        kubeconfig: Path | None = None,
    ) -> OperatorProcess:
        if kubeconfig is None:
            used: ControlPlane = plane or request.getfixturevalue("control_plane")
            kubeconfig = used.kubeconfig
        number = next(_numbers)
        environment = {"TIDEMILL_LEASE_NAME": f"lease-{number}", **(env or {})}
        log = tmp_path / f"operator-{number}.log"
        operator = OperatorProcess(kubeconfig, log, environment, command)
        started.append(operator)
        return operator

    yield run
    for operator in started:
        operator.stop()
