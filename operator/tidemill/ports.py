"""What the shell needs of the outside, as small protocols that adapters fill."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tidemill.core.attempts import StartError
from tidemill.core.plan import Body
from tidemill.settings import Settings


class Index(Protocol):
    """The objects that are watched, in memory. Bodies are shared: never change one."""

    def get(self, kind: str, namespace: str, name: str) -> Body | None:
        """One object, or None."""
        ...

    def select(self, kind: str, namespace: str, label: str = "", value: str = "") -> list[Body]:
        """All objects of a kind in a namespace ("" for all), or those with label == value."""
        ...

    def owned(self, kind: str, uid: str) -> list[Body]:
        """All objects of a kind whose controller has this uid."""
        ...

    def served(self, kind: str) -> bool:
        """Whether the API server has this kind at all; the Gateway API may not be installed."""
        ...

    def referring(self, kind: str, namespace: str, name: str, by: str) -> list[Body]:
        """All objects of kind `by`, in any namespace, that refer to this object."""
        ...


class Documents(Protocol):
    """Documents in the artifact store."""

    async def read(self, uri: str, digest: str | None = None, limit: int = 262144) -> bytes | None:
        """The bytes, or None if there is no such object. Raises TerminalError("DigestMismatch")
        or ("TooLarge"), TransientError when the store cannot be reached. With a digest the
        answer is cached."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of an instant vector."""

    labels: dict[str, str]
    value: float


class Metrics(Protocol):
    """A Prometheus server."""

    async def query(self, promql: str, at: datetime | None = None) -> list[Sample]:
        """An instant query. Raises TransientError when it cannot be answered."""
        ...


class ConfigMaps(Protocol):
    """Users' ConfigMaps, read one at a time; they are neither watched nor kept."""

    async def read(self, namespace: str, name: str) -> dict[str, str] | None:
        """Its data, or None if there is no such ConfigMap."""
        ...


class Pipelines(Protocol):
    """A Kubeflow Pipelines server."""

    async def get(self, run_id: str) -> Body | None:
        """The run as the v2beta1 API tells it, or None if there is none."""
        ...

    async def create(self, namespace: str, body: Body) -> Body:
        """Start a run with the client-set body["run_id"]."""
        ...

    async def terminate(self, run_id: str) -> None:
        """Ask a run to end; one that has ended or does not exist is fine."""
        ...

    def start_error(self, run_id: str) -> StartError | None:
        """Why the last `create` of this run failed; None once it was created or seen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a gather function may look at."""

    index: Index
    documents: Documents
    metrics: Metrics | None
    """None: no Prometheus is configured."""
    pipelines: Pipelines | None
    """None: no Kubeflow Pipelines server is configured."""
    settings: Settings
    """What the admin has set."""
    cluster_uid: str
    """uid of the kube-system namespace."""
    now: datetime
    config_maps: ConfigMaps | None = None
    """None: pipelines in users' ConfigMaps cannot be read."""
