"""All that a test of chaos needs around one API server: proxy, engine, artifacts, operators."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.background import Background
from tests.bench.rig import Api
from tests.chaos.artifacts import Artifacts
from tests.chaos.cluster import Cluster
from tests.chaos.engine import Engine
from tests.chaos.proxy import Proxy
from tests.cluster.controlplane import ControlPlane
from tests.integration.operator_process import OperatorProcess

_numbers = itertools.count(1)


@dataclass
class Stage:
    """One API server and what is played around it."""

    plane: ControlPlane
    directory: Path
    background: Background
    proxy: Proxy
    engine: Engine
    artifacts: Artifacts
    cluster: Cluster
    uid: str
    """The cluster's."""
    environment: dict[str, str] = field(default_factory=dict)
    """What every operator here is told besides."""
    started: list[OperatorProcess] = field(default_factory=list)

    def start(self, **environment: str) -> OperatorProcess:
        """Start an operator behind the proxy, with a Lease of its own, and wait until it leads.

        So one that is started after another was killed need not wait for the dead one's Lease.
        """
        number = next(_numbers)
        operator = OperatorProcess(
            self.proxy.write_kubeconfig(self.directory / "proxy.kubeconfig"),
            self.directory / f"operator-{number}.log",
            {
                "TIDEMILL_LEASE_NAME": f"chaos-{number}",
                "TIDEMILL_ARTIFACT_ROOT": self.artifacts.root,
                **self.environment,
                **environment,
            },
        )
        self.started.append(operator)
        return operator.wait_leading(60.0)

    def check(self) -> None:
        """Fail if something that is played here has failed, or an operator has met a bug."""
        self.background.check()
        if self.proxy.troubles:
            raise AssertionError(f"the proxy failed: {self.proxy.troubles[0]!r}")
        for operator in self.started:
            for line in operator.lines():
                ours = str(line["logger"]).startswith("tidemill")
                assert not (ours and "trace" in line), f"{line['message']}:\n{line['trace']}"

    def make_namespace(self) -> str:
        """Make a namespace nobody has used yet and return its name."""
        return self.cluster.make_namespace(f"tide-{next(_numbers)}")


@contextmanager
def staged(
    plane: ControlPlane, directory: Path, artifacts: Artifacts | None = None
) -> Iterator[Stage]:
    """Play around an API server; end everything afterwards."""
    store = artifacts or Artifacts(directory / "artifacts")
    with Background() as background:
        proxy = background.enter(Proxy(plane))
        engine = Engine(background.enter(Api(plane.server, plane.token)), store)
        background.start(engine.run())
        cluster = Cluster(plane)
        stage = Stage(plane, directory, background, proxy, engine, store, cluster, cluster.uid)
        try:
            yield stage
        finally:
            for operator in stage.started:
                operator.kill()
            cluster.close()
