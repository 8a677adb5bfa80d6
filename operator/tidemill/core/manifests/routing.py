"""The HTTPRoute of a deployment: standard channel fields only, and all of it ours."""

from collections.abc import Mapping, Sequence

from tidemill.core.manifests.serving import COMPONENT, SERVICE_PORT, Owner
from tidemill.core.plan import Body

API_VERSION = "gateway.networking.k8s.io/v1"
GROUP = "gateway.networking.k8s.io"
PREFIX = "/v2"
"""Only the inference protocol is routed: metrics on the same port stay inside the cluster."""


def http_route(
    owner: Owner,
    *,
    gateway: str,
    gateway_namespace: str,
    hostnames: Sequence[str],
    weights: Mapping[str, int],
) -> Body:
    """One rule that shares requests between the revisions' Services by weight.

    What the API server would fill in is written out, so that the live object holds what we want.
    """
    spec: Body = {
        "parentRefs": [
            {
                "group": GROUP,
                "kind": "Gateway",
                "namespace": gateway_namespace,
                "name": gateway,
            }
        ],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": PREFIX}}],
                "backendRefs": [
                    {
                        "group": "",
                        "kind": "Service",
                        "name": name,
                        "port": SERVICE_PORT,
                        "weight": weight,
                    }
                    for name, weight in weights.items()
                ],
            }
        ],
    }
    if hostnames:
        spec["hostnames"] = list(hostnames)
    return {
        "apiVersion": API_VERSION,
        "kind": "HTTPRoute",
        "metadata": owner.metadata(owner.name, COMPONENT, {}),
        "spec": spec,
    }
