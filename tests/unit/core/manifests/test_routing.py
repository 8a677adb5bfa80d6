"""The HTTPRoute: standard fields, all written out."""

from tidemill.core.manifests import routing
from tidemill.core.manifests.serving import Owner

OWNER = Owner(name="delays", namespace="tides", uid="uid-md")


def test_one_rule_shares_requests_by_weight() -> None:
    body = routing.http_route(
        OWNER,
        gateway="public",
        gateway_namespace="gateways",
        hostnames=("delays.example.com",),
        weights={"delays-a": 95, "delays-b": 5},
    )

    assert body["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert body["metadata"]["name"] == "delays"
    assert body["spec"] == {
        "parentRefs": [
            {
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                "namespace": "gateways",
                "name": "public",
            }
        ],
        "hostnames": ["delays.example.com"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/v2"}}],
                "backendRefs": [
                    {"group": "", "kind": "Service", "name": "delays-a", "port": 80, "weight": 95},
                    {"group": "", "kind": "Service", "name": "delays-b", "port": 80, "weight": 5},
                ],
            }
        ],
    }


def test_without_host_names_it_answers_for_all_of_the_gateways() -> None:
    body = routing.http_route(
        OWNER, gateway="public", gateway_namespace="tides", hostnames=(), weights={"delays-a": 100}
    )

    assert "hostnames" not in body["spec"]
