"""The operator put together: what is started in which order, and how it ends.

Stores are filled first, so that nothing is decided on half of the truth; then kopf delivers our
kinds, the Lease is taken, and the workers start. A standby does all but the last, and is as true
as the leader when its turn comes. SIGTERM ends the workers after the passes they are in, then
gives up the Lease. Losing the Lease ends the process at once.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tidemill import __version__
from tidemill.adapters.apiserver import ApiServer
from tidemill.adapters.configmaps import LiveConfigMaps
from tidemill.adapters.openlineage import OpenLineage
from tidemill.adapters.prometheus import Prometheus
from tidemill.adapters.resources import OWN, TYPES
from tidemill.adapters.store import ArtifactStore
from tidemill.core.identity import LABEL_MANAGED_BY
from tidemill.core.plan import Body
from tidemill.errors import TidemillError
from tidemill.ports import Sight
from tidemill.settings import Settings
from tidemill.shell import probes
from tidemill.shell.children import Children
from tidemill.shell.events import Storyteller
from tidemill.shell.freshness import SourceAges
from tidemill.shell.guard import Guard
from tidemill.shell.host import Host, login
from tidemill.shell.informer import Informer, Scope
from tidemill.shell.kinds import KINDS, Kind
from tidemill.shell.leadership import Leadership
from tidemill.shell.loop import Loop, resync
from tidemill.shell.passes import Passes
from tidemill.shell.queue import Queue
from tidemill.shell.store import Store
from tidemill.shell.telemetry import Telemetry, log_as_json
from tidemill.shell.wakes import Wakes, references

if TYPE_CHECKING:
    from tidemill.adapters.kubeflow import KubeflowPipelines

logger = logging.getLogger(__name__)

OURS = {LABEL_MANAGED_BY: "tidemill"}
CHILDREN: Mapping[str, Mapping[str, str]] = {
    "ControllerRevision": OURS,
    "Deployment": OURS,
    "EndpointSlice": OURS,
    "Gateway": {},  # not ours: a ModelDeployment's URL depends on it
    "HTTPRoute": OURS,
    "Job": OURS,
    "Pod": OURS,
    "PodDisruptionBudget": OURS,
    "Service": OURS,
}
"""The kinds of children we watch, and the labels that say they are ours."""
OPTIONAL = frozenset({"Gateway", "HTTPRoute"})
FINISH_SECONDS = 20.0
"""How long running passes may take to end after SIGTERM."""
_RETRY_SECONDS = 2.0


class App:
    """One operator process."""

    def __init__(self, settings: Settings, work: Mapping[str, Kind] | None = None) -> None:
        self._settings = settings
        self._work = KINDS if work is None else work
        self._telemetry = Telemetry()
        self._store = Store(references, missed=self._want)
        self._queue = Queue()
        self._wakes = Wakes(self._store, lambda key, urgent: self._queue.add(key, urgent=urgent))
        self._api = ApiServer(login, fence=self._fence, observe=self._telemetry.requested)
        self._leadership = Leadership(
            self._api,
            settings.lease_namespace,
            settings.lease_name,
            settings.identity or socket.gethostname(),
        )
        self._guard = Guard(
            self._api,
            [Scope(type=type_, namespace=settings.namespace) for type_ in OWN.values()],
            self._store,
            resync_seconds=settings.resync_seconds,
            listed=self._telemetry.listed,
        )
        self._informers = [self._informer(kind) for kind in CHILDREN]
        self._host = Host(
            self._api,
            self._store,
            settings.namespace,
            self._guard.ask,
            started=self._take_signals,
        )
        self._documents = ArtifactStore(settings.artifact_root)
        self._metrics = Prometheus(settings.prometheus_url) if settings.prometheus_url else None
        self._pipelines = _pipelines(settings)
        self._lineage = self._openlineage()
        self._cluster_uid = ""
        self._stop = asyncio.Event()
        self._failed = False
        self._store.subscribe(self._telemetry.changed)
        self._telemetry.watch_queue(self._queue)
        self._telemetry.registry.register(SourceAges(self._store, lambda: datetime.now(UTC)))
        self._telemetry.leader.set_function(lambda: self._leadership.held)

    async def run(self) -> int:
        """Run until SIGTERM (0) or until something that must not end has ended (1)."""
        self._take_signals()
        server = await probes.serve(self._settings.metrics_port, self._telemetry, self._ready)
        background: set[asyncio.Task[None]] = set()
        try:
            self._start(background, self._telemetry.beat_for_ever(), "heart")
            lead = asyncio.create_task(self._lead(background), name="lead")
            stop = asyncio.create_task(self._stop.wait(), name="stop")
            await asyncio.wait({lead, stop}, return_when=asyncio.FIRST_COMPLETED)
            await self._finish(lead, stop)
        finally:
            await _cancel(background)
            await self._close()
            await server.cleanup()
        return 1 if self._failed else 0

    async def _lead(self, background: set[asyncio.Task[None]]) -> None:
        """Everything between the start and the end, in order."""
        await self._connect()
        self._start(background, self._guard.run(), "guard")
        for informer in self._informers:
            self._start(background, informer.run(), f"informer of {informer.scope.type.kind}")
        await self._until(lambda: self._guard.synced and all(i.synced for i in self._informers))
        self._wakes.live = True
        self._start(background, self._host.run(), "kopf")
        logger.info("synced; waiting for the Lease")
        await self._leadership.acquire()
        self._start(background, self._keep(), "Lease")
        self._start(
            background,
            resync(self._store, self._queue, self._work, self._settings.resync_seconds),
            "resync",
        )
        if self._lineage is not None:
            self._start(background, self._lineage.run(), "OpenLineage")
        await Loop(self._queue, self._passes(), self._telemetry).work(self._settings.workers)

    async def _connect(self) -> None:
        while True:
            try:
                await self._api.open()
                system = await self._api.get(TYPES["Namespace"], "", "kube-system")
                if system is not None:
                    self._cluster_uid = system["metadata"]["uid"]
                    return
                logger.error("there is no namespace kube-system")
            except TidemillError as error:
                logger.warning("the API server cannot be used yet: %s", error)
            await self._api.close()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _keep(self) -> None:
        await self._leadership.keep()
        self._failed = True
        self._stop.set()

    async def _finish(self, lead: asyncio.Task[None], stop: asyncio.Task[bool]) -> None:
        """Let running passes end, unless we do not lead any more."""
        stop.cancel()
        self._queue.close()
        if self._leadership.held:
            await asyncio.wait({lead}, timeout=FINISH_SECONDS)
        if lead.done() and not lead.cancelled() and lead.exception() is not None:
            logger.error("the workers ended", exc_info=lead.exception())
            self._failed = True
        await _cancel({lead})
        await self._leadership.release()
        logger.info("stopped")

    async def _close(self) -> None:
        if self._metrics is not None:
            await self._metrics.close()
        if self._pipelines is not None:
            await self._pipelines.close()
        if self._lineage is not None:
            await self._lineage.close()
        await self._api.close()

    def _passes(self) -> Passes:
        return Passes(
            api=self._api,
            store=self._store,
            kinds=self._work,
            children=Children(self._api, self._store, watched),
            storyteller=Storyteller(self._api, self._leadership.identity),
            sight=self._sight,
            fence=self._fence,
            pipelines=self._pipelines,
            optional=OPTIONAL,
            lineage=_nowhere if self._lineage is None else self._lineage.offer,
        )

    def _openlineage(self) -> OpenLineage | None:
        settings = self._settings
        if not settings.openlineage_url:
            return None
        return OpenLineage(
            settings.openlineage_url, settings.openlineage_token, told=self._telemetry.lineage
        )

    def _sight(self) -> Sight:
        return Sight(
            index=self._store,
            documents=self._documents,
            metrics=self._metrics,
            pipelines=self._pipelines,
            settings=self._settings,
            cluster_uid=self._cluster_uid,
            now=datetime.now(UTC),
            config_maps=LiveConfigMaps(self._api),
        )

    def _informer(self, kind: str) -> Informer:
        selector = ",".join(f"{label}={value}" for label, value in CHILDREN[kind].items())
        scope = Scope(
            type=TYPES[kind],
            namespace=self._settings.namespace,
            selector=selector,
            optional=kind in OPTIONAL,
        )
        return Informer(
            self._api,
            scope,
            self._store,
            resync_seconds=self._settings.resync_seconds,
            relisted=self._telemetry.listed,
            appeared=self._look_again,
        )

    def _look_again(self, kind: str) -> None:
        """A kind is served that was not: look at everything."""
        for own in self._work:
            for key in self._store.keys(own):
                self._queue.add(key)

    def _want(self, kind: str) -> None:
        """Somebody needs a kind that is not installed: look for it."""
        for informer in self._informers:
            if informer.scope.type.kind == kind:
                informer.want()

    def _ready(self) -> Mapping[str, bool]:
        return {
            "kopf": self._host.up,
            "own kinds": self._guard.synced,
            **{informer.scope.type.plural: informer.synced for informer in self._informers},
        }

    def _fence(self) -> None:
        self._leadership.fence()

    async def _until(self, condition: Any) -> None:
        while not condition():
            await asyncio.sleep(0.02)

    def _start(
        self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None], name: str
    ) -> None:
        """Run something that must not end: if it does, so does the process."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                logger.error("%s ended", name, exc_info=task.exception())
                self._failed = True
                self._stop.set()

        task = asyncio.create_task(work, name=name)
        task.add_done_callback(ended)
        tasks.add(task)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)


def _pipelines(settings: Settings) -> "KubeflowPipelines | None":
    """A client of Kubeflow Pipelines; its library is loaded only where one is configured."""
    if not settings.kubeflow_url:
        return None
    from tidemill.adapters.kubeflow import KubeflowPipelines

    return KubeflowPipelines(
        settings.kubeflow_url, namespace=settings.kubeflow_namespace, ca=settings.kubeflow_ca
    )


def watched(body: Body) -> bool:
    """Whether a child would be seen by our watches."""
    if body["kind"] in OWN:
        return True
    wanted = CHILDREN.get(body["kind"])
    labels = body["metadata"].get("labels") or {}
    return wanted is not None and all(labels.get(k) == v for k, v in wanted.items())


def run(settings: Settings, work: Mapping[str, Kind] | None = None) -> int:
    """Run the operator in this process; returns its exit code."""
    log_as_json(settings.log_level)
    logger.info("tidemill %s", __version__)

    async def main() -> int:
        return await App(settings, work).run()

    return asyncio.run(main())


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _nowhere(event: Body) -> None:
    """No OpenLineage endpoint is configured."""
