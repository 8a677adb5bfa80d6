"""kopf as host: settings, login, and the streams of our own kinds by `on.event`.

Only what was measured to be safe is used (no handlers of changes, timers, daemons, indexes or
progress annotations). kopf ends on trouble it does not know, such as an ERROR in a stream; it is
then started again, while our own tasks go on.
"""

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from tidemill.adapters.apiserver import Answer, ApiServer
from tidemill.adapters.resources import OWN
from tidemill.core.plan import Body
from tidemill.errors import TransientError
from tidemill.shell.absent import absent
from tidemill.shell.store import Store

with absent("kubernetes", "kubernetes_asyncio", "pykube"):
    import kopf

logger = logging.getLogger(__name__)

_RESTART_SECONDS = (0.5, 5.0)
_UP_SECONDS = 30.0


class EndlessBackoffs:
    """Delays between kopf's tries of one request: they grow to three seconds and never end."""

    def __iter__(self) -> Iterator[float]:
        """The delays, each jittered."""
        for delay in itertools.chain((0.2, 0.5, 1.0, 2.0), itertools.repeat(3.0)):
            yield delay * (0.75 + random.random() / 2)  # noqa: S311


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing and computes nothing: we have no handlers of changes."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        """An empty essence."""
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Nothing was stored."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing is stored."""


class NoProgress(kopf.ProgressStorage):
    """Keeps nothing: there are no handlers with progress."""

    def fetch(self, *, key: Any, body: kopf.Body) -> None:
        """Nothing was stored."""

    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Nothing is stored."""

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Nothing is there to purge."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Nothing is touched."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """The essence as it is."""
        return essence


def login(settings: kopf.OperatorSettings | None = None) -> kopf.ConnectionInfo:
    """The credential of the pod's ServiceAccount, else of the kubeconfig."""
    used = settings or kopf.OperatorSettings()
    found = kopf.login_with_service_account(settings=used) or kopf.login_with_kubeconfig(
        settings=used
    )
    if found is None:
        raise TransientError("there is neither a ServiceAccount token nor a kubeconfig")
    return found


def configure(settings: kopf.OperatorSettings) -> None:
    """The settings that leave kopf with streams alone."""
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.posting.enabled = False
    settings.queueing.worker_limit = None
    settings.queueing.idle_timeout = 0.2
    settings.queueing.exit_timeout = 0.5
    settings.watching.initial_streaming = False
    settings.watching.chunk_size = None
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.process.ultimate_exiting_timeout = None
    settings.networking.error_backoffs = EndlessBackoffs()


_IDENTITY: Any = "tidemill"


class Host:
    """Runs kopf, again and again if need be.

    `listed` is told of each list kopf takes: what was deleted before it, kopf will not tell.
    `started` is called each time kopf has started, as that takes over the process's signals.
    """

    def __init__(
        self,
        api: ApiServer,
        store: Store,
        namespace: str,
        listed: Callable[[str], None],
        *,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        self._started = started
        self._kinds = {type_.path(namespace): type_.kind for type_ in OWN.values()}
        self._streaming: set[str] = set()
        self._api = api
        self._store = store
        self._namespace = namespace
        self._listed = listed

    @property
    def up(self) -> bool:
        """Whether kopf watches all our kinds."""
        return self._streaming == set(OWN)

    def answered(self, answer: Answer) -> None:
        """kopf's request was answered: it has begun to watch, it has listed, or it cannot."""
        kind = self._kinds.get(answer.path)
        if kind is None or answer.method != "GET":
            return
        if answer.watch and answer.code == 200:
            self._streaming.add(kind)
            return
        self._streaming.discard(kind)
        if answer.code == 200:
            self._listed(kind)

    async def run(self) -> None:
        """Have kopf deliver our kinds into the store, until cancelled."""
        failures = 0
        while True:
            begun = asyncio.get_running_loop().time()
            await self._run_once()
            if asyncio.get_running_loop().time() - begun > _UP_SECONDS:
                failures = 0
            first, last = _RESTART_SECONDS
            delay = min(first * 2.0 ** min(failures, 16), last)
            failures += 1
            await asyncio.sleep(delay * (0.5 + random.random()))  # noqa: S311

    async def _run_once(self) -> None:
        tasks: Collection[asyncio.Task[Any]] = ()
        try:
            tasks = await kopf.spawn_tasks(
                registry=self._registry(),
                settings=_settings(),
                standalone=True,
                # Left out, kopf asks for the user's name, and a container's user has none.
                identity=_IDENTITY,
                **({"namespaces": [self._namespace]} if self._namespace else {"clusterwide": True}),
            )
            self._started()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = None if task.cancelled() else task.exception()
                logger.warning("kopf's %s ended (%s); starting it again", task.get_name(), error)
        finally:
            await _end(tasks)
            self._streaming.clear()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        async def log_in(**_: object) -> kopf.AiohttpSession:
            return kopf.AiohttpSession(
                server=self._api.server,
                aiohttp_session=self._api.hosted_session(self.answered),
            )

        async def deliver(event: Any, **_: object) -> None:
            self._deliver(event["type"], event["object"])

        kopf.on.login(registry=registry)(log_in)
        for type_ in OWN.values():
            group, _, version = type_.api_version.partition("/")
            kopf.on.event(group, version, type_.plural, registry=registry)(deliver)
        return registry

    def _deliver(self, type_: str | None, body: Body) -> None:
        if type_ == "DELETED":
            self._store.remove(body, gone=True)
        else:
            self._store.put(body)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    configure(settings)
    return settings


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """End kopf's root tasks; each ends those it has started."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(running, timeout=10)
