"""Who gets which share of the requests, and whether it is seen to be so.

With spec.route the shares are weights of an HTTPRoute, in force once the Gateway has accepted that
generation of it. Without, they are shares of the pods behind one Service: it selects stable's pods
alone while the candidate has no weight, and all pods of the deployment while it has one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tidemill.api.base import Condition
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentStatus, Route
from tidemill.core.conditions import condition
from tidemill.core.identity import LABEL_REVISION
from tidemill.core.plan import Body
from tidemill.core.scaling import NONE, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteView:
    """Our HTTPRoute as it is."""

    weights: Mapping[str, int]
    """By Service."""
    accepted: bool | None
    """Whether the Gateway has accepted this very generation and found its Services; None: it has
    not answered yet."""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """Another ModelDeployment on the same Gateway."""

    namespace: str
    name: str
    uid: str
    created: str
    hostnames: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roads:
    """All that is seen of the ways requests take."""

    route: Route | None = None
    """spec.route."""
    gateway_api: bool = True
    """Whether the cluster has HTTPRoutes."""
    view: RouteView | None = None
    """Our HTTPRoute; None: it is not there."""
    contested: Mapping[str, Claimant] = field(default_factory=dict)
    """Host names of ours that an older ModelDeployment has."""
    behind_entry: frozenset[str] = frozenset()
    """The ready pods behind the Service of the deployment's own name."""

    @property
    def routed(self) -> bool:
        """Whether weights are those of a route."""
        return self.route is not None

    @property
    def hostnames(self) -> tuple[str, ...]:
        """The host names that are ours alone."""
        given = self.route.hostnames if self.route is not None else ()
        return tuple(name for name in given if name not in self.contested)

    @property
    def open(self) -> bool:
        """Whether there is a route to write: an API for it, and a host name left."""
        if self.route is None or not self.gateway_api:
            return False
        return bool(self.hostnames) if self.route.hostnames else not self.contested


def shares(status: ModelDeploymentStatus) -> Mapping[str, int]:
    """The share of requests each revision is to have, in percent; none before there is a stable.

    Revisions on their way out keep a backend of weight 0 for as long as their Service is there.
    """
    if status.stable is None:
        return {}
    weight = status.rollout.weight if status.rollout is not None else 0
    wanted = {status.stable.revision: 100 - weight}
    if status.candidate is not None:
        wanted[status.candidate.revision] = weight
    wanted.update(dict.fromkeys(status.retiring, 0))
    return wanted


def selected(status: ModelDeploymentStatus, *, routed: bool) -> Mapping[str, str]:
    """Which of the deployment's pods the Service of its own name selects."""
    if not routed and status.rollout is not None and status.rollout.weight > 0:
        return {}
    first = status.stable or status.candidate
    return {LABEL_REVISION: first.revision} if first is not None else {LABEL_REVISION: "none"}


def read_route(body: Body, route: Route) -> RouteView:
    """Our HTTPRoute, and what the Gateway that spec names has said of it."""
    metadata, spec = body["metadata"], body.get("spec", {})
    weights = {
        backend["name"]: int(backend.get("weight", 1))
        for rule in spec.get("rules") or ()
        for backend in rule.get("backendRefs") or ()
    }
    wanted = (route.gateway_ref.name, route.gateway_ref.namespace or metadata["namespace"])
    for parent in body.get("status", {}).get("parents") or ():
        ref = parent.get("parentRef", {})
        if (ref.get("name"), ref.get("namespace", metadata["namespace"])) == wanted:
            return _answered(weights, parent, metadata.get("generation", 0))
    return RouteView(weights=weights, accepted=None)


def _answered(weights: Mapping[str, int], parent: Body, generation: int) -> RouteView:
    told = {
        item["type"]: item
        for item in parent.get("conditions") or ()
        if item.get("observedGeneration", 0) >= generation
    }
    for kind in ("Accepted", "ResolvedRefs"):
        if told.get(kind, {}).get("status") == "False":
            item = told[kind]
            return RouteView(
                weights=weights,
                accepted=False,
                reason=item.get("reason", ""),
                message=item.get("message", ""),
            )
    both = all(told.get(kind, {}).get("status") == "True" for kind in ("Accepted", "ResolvedRefs"))
    return RouteView(weights=weights, accepted=True if both else None)


def in_force(
    status: ModelDeploymentStatus, roads: Roads, workloads: Mapping[str, Workload]
) -> bool:
    """Whether requests are seen to be shared as claimed."""
    wanted = shares(status)
    if roads.routed:
        view = roads.view
        if view is None or view.accepted is not True:
            return False
        return all(
            view.weights.get(name, 0) == wanted.get(name, 0) for name in {*wanted, *view.weights}
        )
    behind = roads.behind_entry
    for name, weight in wanted.items():
        pods = workloads.get(name, NONE).endpoints
        if not (pods <= behind if weight else pods.isdisjoint(behind)):
            return False
    return True


def taken_out(
    status: ModelDeploymentStatus, roads: Roads, workloads: Mapping[str, Workload]
) -> bool:
    """Whether no request is seen to go to a retiring revision any more."""
    if roads.routed:
        view = roads.view
        if view is None:
            return True  # no route, no requests
        return view.accepted is True and not any(view.weights.get(x, 0) for x in status.retiring)
    behind = roads.behind_entry
    return all(workloads.get(x, NONE).endpoints.isdisjoint(behind) for x in status.retiring)


def achieved(status: ModelDeploymentStatus, roads: Roads, workloads: Mapping[str, Workload]) -> int:
    """The candidate's share of requests in percent: its weight, or its share of the pods."""
    if status.rollout is None or status.candidate is None:
        return 0
    if roads.routed or not roads.behind_entry:
        return status.rollout.weight
    mine = workloads.get(status.candidate.revision, NONE).endpoints & roads.behind_entry
    return round(100 * len(mine) / len(roads.behind_entry))


def contested(me: Claimant, others: Iterable[Claimant]) -> Mapping[str, Claimant]:
    """Host names of mine that an older deployment on the same Gateway has; "" for all of them,
    where neither names any.
    """
    found: dict[str, Claimant] = {}
    for other in others:
        if other.uid == me.uid or (me.created, me.uid) < (other.created, other.uid):
            continue
        both = set(me.hostnames or ("",)) & set(other.hostnames or ("",))
        found.update(dict.fromkeys(both, other))
    return found


def routed_condition(roads: Roads, *, serving: bool) -> Condition | None:
    """The Routed condition; None without spec.route."""
    if roads.route is None:
        return None
    if not roads.gateway_api:
        said = "spec.route needs the Gateway API: install its CRDs, or leave spec.route out."
        return condition("Routed", False, Reason.GATEWAY_API_MISSING, said)
    if roads.contested:
        return condition("Routed", False, Reason.HOSTNAME_CONFLICT, _contest(roads))
    gateway = roads.route.gateway_ref.name
    view = roads.view
    if view is not None and view.accepted:
        return condition("Routed", True, Reason.ROUTE_ACCEPTED, f"Gateway {gateway} routes to it.")
    if view is not None and view.accepted is False:
        said = f"Gateway {gateway} refuses the route: {view.reason}: {view.message}"
        return condition("Routed", False, Reason.ROUTE_NOT_ACCEPTED, said)
    said = f"Waiting for Gateway {gateway} to accept the route."
    if not serving:
        said = "The route is made when the first model serves."
    return condition("Routed", None, Reason.ROUTE_PENDING, said)


def _contest(roads: Roads) -> str:
    name, other = min(roads.contested.items(), key=lambda item: item[0])
    whose = f"the older ModelDeployment {other.namespace}/{other.name}"
    if not name:
        return (
            f"All host names of the Gateway belong to {whose}: name some in spec.route.hostnames."
        )
    return f"Host name {name} belongs to {whose}: choose another in spec.route.hostnames."


def address(roads: Roads, gateway: Body | None, *, name: str, namespace: str) -> str:
    """Where the model answers; empty if that is not known."""
    if roads.route is None:
        return f"http://{name}.{namespace}.svc"
    named = [host for host in roads.hostnames if not host.startswith("*")]
    if not roads.open:
        return ""
    spec = (gateway or {}).get("spec", {})
    host = named[0] if named else ""
    listeners = [item for item in spec.get("listeners") or () if _listens(item, host)]
    listeners.sort(key=lambda item: item.get("protocol") != "HTTPS")
    if not host:
        addresses = (gateway or {}).get("status", {}).get("addresses") or ()
        host = next((item["value"] for item in addresses if item.get("value")), "")
    if not host:
        return ""
    if not listeners:
        return f"http://{host}"
    scheme = listeners[0].get("protocol", "HTTP").lower()
    port = listeners[0].get("port", 80)
    usual = {"http": 80, "https": 443}.get(scheme) == port
    return f"{scheme}://{host}" if usual else f"{scheme}://{host}:{port}"


def _listens(listener: Body, host: str) -> bool:
    """Whether a Gateway's listener takes requests for a host."""
    if listener.get("protocol") not in ("HTTP", "HTTPS"):
        return False
    wanted = listener.get("hostname", "")
    if not wanted or not host:
        return True
    return bool(wanted == host or (wanted.startswith("*.") and host.endswith(wanted[1:])))
