"""Who gets which share, and whether it is seen to be so."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import sha, stamp
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentStatus, Route
from tidemill.core import traffic
from tidemill.core.scaling import Workload
from tidemill.core.traffic import Claimant, Roads, RouteView

ROUTE = Route.model_validate(
    {"gatewayRef": {"name": "public", "namespace": "gateways"}, "hostnames": ["a.example.com"]}
)


def role(name: str) -> dict[str, Any]:
    return {"revision": name, "modelVersion": name, "digest": sha(name)}


def status(**more: Any) -> ModelDeploymentStatus:
    return ModelDeploymentStatus.model_validate({"stable": role("old"), **more})


def rolling(weight: int, **more: Any) -> ModelDeploymentStatus:
    rollout = {"stepStarted": stamp(), "weight": weight}
    return status(candidate=role("new"), rollout=rollout, **more)


ALONE = status()
SHARES = {
    "before there is a stable nothing is shared": (
        ModelDeploymentStatus.model_validate(
            {"candidate": role("new"), "rollout": {"stepStarted": stamp()}}
        ),
        {},
    ),
    "stable alone has all": (ALONE, {"old": 100}),
    "a candidate that starts has a backend of weight 0": (rolling(0), {"old": 100, "new": 0}),
    "a step shares": (rolling(25), {"old": 75, "new": 25}),
    "what was taken out keeps a backend of weight 0": (
        status(retiring=["older", "oldest"]), {"old": 100, "older": 0, "oldest": 0}
    ),
}  # fmt: skip


@pytest.mark.parametrize(("of", "weights"), SHARES.values(), ids=SHARES)
def test_shares(of: ModelDeploymentStatus, weights: dict[str, int]) -> None:
    assert traffic.shares(of) == weights


FIRST = ModelDeploymentStatus.model_validate(
    {"candidate": role("new"), "rollout": {"stepStarted": stamp()}}
)
SELECTED = {
    "stable's pods behind a route, whatever the weight": (
        rolling(25), True, {"tidemill.dev/revision": "old"}
    ),
    "without a route all pods while the candidate has a weight": (rolling(25), False, {}),
    "without a route stable's while it has none": (
        rolling(0), False, {"tidemill.dev/revision": "old"}
    ),
    "the first model's before it is stable": (FIRST, False, {"tidemill.dev/revision": "new"}),
    "nobody's before there is a model": (
        ModelDeploymentStatus(), False, {"tidemill.dev/revision": "none"}
    ),
}  # fmt: skip


@pytest.mark.parametrize(("of", "routed", "labels"), SELECTED.values(), ids=SELECTED)
def test_selected(of: ModelDeploymentStatus, routed: bool, labels: dict[str, str]) -> None:
    assert traffic.selected(of, routed=routed) == labels


def http_route(
    accepted: str = "True",
    resolved: str = "True",
    *,
    observed: int = 3,
    parent: dict[str, Any] | None = None,
    **weights: int,
) -> dict[str, Any]:
    told = {"observedGeneration": observed, "reason": "Because", "message": "as it is"}
    return {
        "metadata": {"name": "delays", "namespace": "tides", "generation": 3},
        "spec": {
            "rules": [{"backendRefs": [{"name": n, "weight": w} for n, w in weights.items()]}]
        },
        "status": {
            "parents": [
                {
                    "parentRef": parent or {"name": "public", "namespace": "gateways"},
                    "conditions": [
                        {"type": "Accepted", "status": accepted, **told},
                        {"type": "ResolvedRefs", "status": resolved, **told},
                    ],
                }
            ]
        },
    }


VIEWS = {
    "accepted and resolved at this generation": (http_route(old=95, new=5), True, ""),
    "accepted at an earlier one": (http_route(observed=2), None, ""),
    "not accepted": (http_route("False"), False, "Because"),
    "a Service was not found": (http_route(resolved="False"), False, "Because"),
    "not said": (http_route("Unknown"), None, ""),
    "said by another Gateway": (
        http_route(parent={"name": "other", "namespace": "gateways"}), None, ""
    ),
    "said by a Gateway of that name elsewhere": (http_route(parent={"name": "public"}), None, ""),
    "no answer": ({**http_route(), "status": {}}, None, ""),
}  # fmt: skip


@pytest.mark.parametrize(("body", "accepted", "reason"), VIEWS.values(), ids=VIEWS)
def test_read_route(body: dict[str, Any], accepted: bool | None, reason: str) -> None:
    view = traffic.read_route(body, ROUTE)

    assert (view.accepted, view.reason) == (accepted, reason)


def test_weights_are_read_by_service() -> None:
    assert traffic.read_route(http_route(old=95, new=5), ROUTE).weights == {"old": 95, "new": 5}


def test_a_gateway_without_namespace_is_in_the_routes_own() -> None:
    route = Route.model_validate({"gatewayRef": {"name": "public"}})

    assert traffic.read_route(http_route(parent={"name": "public"}), route).accepted is True


def routed(accepted: bool | None = True, **weights: int) -> Roads:
    return Roads(route=ROUTE, view=RouteView(weights=weights, accepted=accepted))


STEP = rolling(25)
PODS = {
    "old": Workload(endpoints=frozenset({"o1", "o2"})),
    "new": Workload(endpoints=frozenset({"n1"})),
}
IN_FORCE = {
    "the route carries it and is accepted": (STEP, routed(old=75, new=25), True),
    "not accepted yet": (STEP, routed(None, old=75, new=25), False),
    "refused": (STEP, routed(False, old=75, new=25), False),
    "the weight before": (STEP, routed(old=95, new=5), False),
    "the candidate has no backend": (STEP, routed(old=100), False),
    "somebody else has a weight": (STEP, routed(old=75, new=25, older=1), False),
    "a backend of weight 0 is none": (ALONE, routed(old=100, older=0), True),
    "no route is there": (STEP, Roads(route=ROUTE), False),
    "all pods are behind the Service": (
        STEP, Roads(behind_entry=frozenset({"o1", "o2", "n1"})), True
    ),
    "the candidate's are not yet": (STEP, Roads(behind_entry=frozenset({"o1", "o2"})), False),
    "without weight the candidate's are not": (
        rolling(0), Roads(behind_entry=frozenset({"o1", "o2"})), True
    ),
    "without weight they are still": (
        rolling(0), Roads(behind_entry=frozenset({"o1", "o2", "n1"})), False
    ),
}  # fmt: skip


@pytest.mark.parametrize(("of", "roads", "seen"), IN_FORCE.values(), ids=IN_FORCE)
def test_in_force(of: ModelDeploymentStatus, roads: Roads, seen: bool) -> None:
    assert traffic.in_force(of, roads, PODS) is seen


RETIRED = status(retiring=["new"])
TAKEN_OUT = {
    "its weight is 0 and that is accepted": (routed(old=100, new=0), True),
    "it has no backend": (routed(old=100), True),
    "its weight is not 0": (routed(old=75, new=25), False),
    "that is not accepted yet": (routed(None, old=100, new=0), False),
    "there is no route": (Roads(route=ROUTE), True),
    "its pods are not behind the Service": (Roads(behind_entry=frozenset({"o1"})), True),
    "one of its pods is": (Roads(behind_entry=frozenset({"o1", "n1"})), False),
}


@pytest.mark.parametrize(("roads", "out"), TAKEN_OUT.values(), ids=TAKEN_OUT)
def test_taken_out(roads: Roads, out: bool) -> None:
    assert traffic.taken_out(RETIRED, roads, PODS) is out


ACHIEVED = {
    "a route achieves what it carries": (STEP, routed(old=75, new=25), 25),
    "pods achieve what they are": (STEP, Roads(behind_entry=frozenset({"o1", "o2", "n1"})), 33),
    "pods behind nothing are not counted": (STEP, Roads(behind_entry=frozenset({"o1"})), 0),
    "without a rollout nothing": (ALONE, routed(old=100), 0),
}


@pytest.mark.parametrize(("of", "roads", "percent"), ACHIEVED.values(), ids=ACHIEVED)
def test_achieved(of: ModelDeploymentStatus, roads: Roads, percent: int) -> None:
    assert traffic.achieved(of, roads, PODS) == percent


def claimant(name: str, created: str, *hostnames: str) -> Claimant:
    return Claimant(
        namespace="tides", name=name, uid=f"uid-{name}", created=created, hostnames=hostnames
    )


ME = claimant("me", "2026-01-02", "a.example.com", "b.example.com")
CONTESTS = {
    "an older one has a name of mine": (
        ME, claimant("x", "2026-01-01", "a.example.com", "c.example.com"), {"a.example.com"}
    ),
    "a younger one has": (ME, claimant("x", "2026-01-03", "a.example.com"), set()),
    "of the same second the lower uid is older": (
        ME, claimant("a", "2026-01-02", "a.example.com"), {"a.example.com"}
    ),
    "an older one has other names": (ME, claimant("x", "2026-01-01", "c.example.com"), set()),
    "I am no other": (ME, ME, set()),
    "neither names any": (claimant("me", "2026-01-02"), claimant("x", "2026-01-01"), {""}),
    "only I name some": (ME, claimant("x", "2026-01-01"), set()),
}  # fmt: skip


@pytest.mark.parametrize(("me", "other", "names"), CONTESTS.values(), ids=CONTESTS)
def test_contested(me: Claimant, other: Claimant, names: set[str]) -> None:
    assert set(traffic.contested(me, [other])) == names


OLDER = claimant("older", "2026-01-01", "a.example.com")
TWO = Route.model_validate(
    {"gatewayRef": {"name": "public"}, "hostnames": ["a.example.com", "b.example.com"]}
)
ANY = Route.model_validate({"gatewayRef": {"name": "public"}})
CONDITIONS: dict[str, tuple[Roads, bool, tuple[str, str, str] | None]] = {
    "no route, no condition": (Roads(), True, None),
    "accepted": (
        routed(old=100), True, ("True", "RouteAccepted", "Gateway public routes to it.")
    ),
    "not answered": (
        routed(None, old=100), True,
        ("Unknown", "RoutePending", "Waiting for Gateway public to accept the route."),
    ),
    "nothing to route to yet": (
        Roads(route=ROUTE), False,
        ("Unknown", "RoutePending", "The route is made when the first model serves."),
    ),
    "refused": (
        Roads(
            route=ROUTE,
            view=RouteView(
                weights={}, accepted=False, reason="NotAllowedByListeners", message="not here"
            ),
        ),
        True,
        (
            "False", "RouteNotAccepted",
            "Gateway public refuses the route: NotAllowedByListeners: not here",
        ),
    ),
    "no Gateway API": (
        Roads(route=ROUTE, gateway_api=False), True,
        (
            "False", "GatewayApiMissing",
            "spec.route needs the Gateway API: install its CRDs, or leave spec.route out.",
        ),
    ),
    "a host name of an older one": (
        Roads(route=TWO, contested={"a.example.com": OLDER}), True,
        (
            "False", "HostnameConflict",
            "Host name a.example.com belongs to the older ModelDeployment tides/older: choose "
            "another in spec.route.hostnames.",
        ),
    ),
    "all host names of an older one": (
        Roads(route=ANY, contested={"": OLDER}), True,
        (
            "False", "HostnameConflict",
            "All host names of the Gateway belong to the older ModelDeployment tides/older: name "
            "some in spec.route.hostnames.",
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("roads", "serving", "said"), CONDITIONS.values(), ids=CONDITIONS)
def test_routed_condition(roads: Roads, serving: bool, said: tuple[str, str, str] | None) -> None:
    told = traffic.routed_condition(roads, serving=serving)

    assert (told and (told.status, told.reason, told.message)) == said


OPEN = {
    "a route with its host name": (Roads(route=ROUTE), True),
    "one of two host names is left": (
        Roads(route=TWO, contested={"a.example.com": OLDER}), True
    ),
    "no host name is left": (Roads(route=ROUTE, contested={"a.example.com": OLDER}), False),
    "all host names of the Gateway": (Roads(route=ANY), True),
    "all host names are another's": (Roads(route=ANY, contested={"": OLDER}), False),
    "no Gateway API": (Roads(route=ROUTE, gateway_api=False), False),
    "no route": (Roads(), False),
}  # fmt: skip


@pytest.mark.parametrize(("roads", "is_open"), OPEN.values(), ids=OPEN)
def test_a_route_is_written_where_there_is_room_for_it(roads: Roads, is_open: bool) -> None:
    assert roads.open is is_open


def test_a_contested_host_name_is_left_out() -> None:
    roads = Roads(route=TWO, contested={"a.example.com": OLDER})

    assert roads.hostnames == ("b.example.com",)


def gateway(*listeners: dict[str, Any], address: str = "") -> dict[str, Any]:
    held = {"addresses": [{"value": address}]} if address else {}
    return {"spec": {"listeners": list(listeners)}, "status": held}


HTTP: dict[str, Any] = {"protocol": "HTTP", "port": 80}
HTTPS: dict[str, Any] = {"protocol": "HTTPS", "port": 443}
ADDRESSES: dict[str, tuple[Roads, dict[str, Any] | None, str]] = {
    "without a route the Service": (Roads(), None, "http://delays.tides.svc"),
    "the host name, where the Gateway is not known": (
        Roads(route=ROUTE), None, "http://a.example.com"
    ),
    "by HTTP": (Roads(route=ROUTE), gateway(HTTP), "http://a.example.com"),
    "by HTTPS where there is both": (
        Roads(route=ROUTE), gateway(HTTP, HTTPS), "https://a.example.com"
    ),
    "on another port": (
        Roads(route=ROUTE), gateway({**HTTP, "port": 8080}), "http://a.example.com:8080"
    ),
    "on a listener of its host names": (
        Roads(route=ROUTE),
        gateway({**HTTPS, "hostname": "*.example.org"}, {**HTTP, "hostname": "*.example.com"}),
        "http://a.example.com",
    ),
    "not on one for other traffic": (
        Roads(route=ROUTE), gateway({"protocol": "TLS", "port": 443}, HTTP),
        "http://a.example.com",
    ),
    "without a host name by the Gateway's address": (
        Roads(route=ANY), gateway(HTTP, address="192.0.2.7"), "http://192.0.2.7"
    ),
    "without either it is not known": (Roads(route=ANY), gateway(HTTP), ""),
    "nowhere while there is a conflict": (
        Roads(route=ROUTE, contested={"a.example.com": OLDER}), gateway(HTTP), ""
    ),
    "a pattern of host names is no host name": (
        Roads(
            route=Route.model_validate(
                {"gatewayRef": {"name": "public"}, "hostnames": ["*.example.com", "b.example.com"]}
            )
        ),
        gateway(HTTP), "http://b.example.com",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("roads", "of", "url"), ADDRESSES.values(), ids=ADDRESSES)
def test_address(roads: Roads, of: dict[str, Any] | None, url: str) -> None:
    assert traffic.address(roads, of, name="delays", namespace="tides") == url


def test_roads_know_whether_weights_are_a_routes() -> None:
    assert replace(Roads(), route=ROUTE).routed
    assert not Roads().routed
