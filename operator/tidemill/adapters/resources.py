"""Where the kinds we read and write lie in the Kubernetes API."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidemill.api.base import API_VERSION
from tidemill.api.v1alpha1 import KINDS
from tidemill.core.plan import Body
from tidemill.errors import TerminalError


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceType:
    """One kind of the API; all that we use but Namespace are namespaced."""

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object or a subresource."""
        root = "/apis" if "/" in self.api_version else "/api"
        scope = ("namespaces", namespace) if namespace else ()
        parts = (self.api_version, *scope, self.plural, name, subresource)
        return "/".join((root, *(part for part in parts if part)))


def _builtin(api_version: str, **plurals: str) -> list[ResourceType]:
    return [
        ResourceType(api_version=api_version, kind=kind, plural=plural)
        for kind, plural in plurals.items()
    ]


OWN: Mapping[str, ResourceType] = {
    kind.names.kind: ResourceType(
        api_version=API_VERSION, kind=kind.names.kind, plural=kind.names.plural
    )
    for kind in KINDS
}
"""Our own kinds."""

TYPES: Mapping[str, ResourceType] = {
    **OWN,
    **{
        item.kind: item
        for item in (
            *_builtin("v1", ConfigMap="configmaps", Namespace="namespaces", Pod="pods"),
            *_builtin("v1", Service="services"),
            *_builtin(
                "apps/v1", ControllerRevision="controllerrevisions", Deployment="deployments"
            ),
            *_builtin("batch/v1", Job="jobs"),
            *_builtin("coordination.k8s.io/v1", Lease="leases"),
            *_builtin("discovery.k8s.io/v1", EndpointSlice="endpointslices"),
            *_builtin("events.k8s.io/v1", Event="events"),
            *_builtin("gateway.networking.k8s.io/v1", Gateway="gateways", HTTPRoute="httproutes"),
            *_builtin("policy/v1", PodDisruptionBudget="poddisruptionbudgets"),
        )
    },
}
"""Every kind we read or write, by its name."""


def type_of(body: Body) -> ResourceType:
    """The type of an object. Raises TerminalError("UnknownKind") for one we do not know."""
    found = TYPES.get(body.get("kind", ""))
    if found is None or found.api_version != body.get("apiVersion"):
        raise TerminalError(
            "UnknownKind", f"{body.get('apiVersion')} {body.get('kind')} is not a kind we manage."
        )
    return found
