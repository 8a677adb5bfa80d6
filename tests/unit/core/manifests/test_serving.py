"""Bodies of a revision's children: whole, restricted, and the same for the same values."""

from dataclasses import replace
from typing import Any

import pytest

from tidemill.api.v1alpha1.modeldeployment import RequestLog, ServerResources
from tidemill.core.manifests import serving
from tidemill.core.manifests.serving import Owner, ServerPod

OWNER = Owner(name="delays", namespace="tides", uid="uid-md")
POD = ServerPod(
    deployment="delays",
    revision="delays-0123456789",
    image="tidemill/serving:1",
    pull_policy="IfNotPresent",
    secret="tidemill-artifacts",
    bundle_uri="s3://a/t/bundle.json",
    bundle_digest="sha256:1",
    resources=ServerResources(cpu="250m", memory="512Mi"),
    request_log=None,
    log_uri="s3://a/t/requests/delays",
)
LOGGING = replace(POD, request_log=RequestLog(sample="0.5", keep_seconds=60))


def container(pod: ServerPod, name: str = "server") -> dict[str, Any]:
    spec = serving.pod_template(pod)["spec"]
    found: dict[str, Any] = next(
        item for item in (*spec["initContainers"], *spec["containers"]) if item["name"] == name
    )
    return found


def environment(pod: ServerPod) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in container(pod)["env"]}


def test_the_bundle_is_fetched_and_verified_first() -> None:
    fetch = container(POD, "fetch")

    assert fetch["command"] == ["python", "-m", "tidemill.serving.fetch"]
    assert fetch["args"] == [
        "--bundle=s3://a/t/bundle.json",
        "--digest=sha256:1",
        "--to=/mnt/models",
    ]
    assert fetch["envFrom"] == [{"secretRef": {"name": "tidemill-artifacts"}}]


def test_the_server_reads_the_model_and_has_no_credential() -> None:
    server = container(POD)

    assert server["command"] == ["python", "-m", "tidemill.serving"]
    assert {"name": "model", "mountPath": "/mnt/models", "readOnly": True} in server["volumeMounts"]
    assert "envFrom" not in server
    assert environment(POD) == {
        "TIDEMILL_MODEL_NAME": "delays",
        "TIDEMILL_REVISION": "delays-0123456789",
        "TIDEMILL_MODEL_DIR": "/mnt/models",
        "TIDEMILL_LISTEN_PORT": "8080",
        "TIDEMILL_DRAIN_SECONDS": "10",
        "TIDEMILL_POD_NAME": "",
    }


def test_only_a_request_log_gives_the_server_a_credential() -> None:
    assert container(LOGGING)["envFrom"] == [{"secretRef": {"name": "tidemill-artifacts"}}]
    assert (
        environment(LOGGING).items()
        >= {
            "TIDEMILL_REQUEST_LOG_URI": "s3://a/t/requests/delays",
            "TIDEMILL_REQUEST_LOG_SAMPLE": "0.5",
            "TIDEMILL_REQUEST_LOG_KEEP_SECONDS": "60",
        }.items()
    )


@pytest.mark.parametrize("name", ["fetch", "server"])
def test_pods_keep_the_restricted_standard(name: str) -> None:
    spec = serving.pod_template(POD)["spec"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert container(POD, name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container(POD, name)["resources"] == {
        "requests": {"cpu": "250m", "memory": "512Mi"},
        "limits": {"memory": "512Mi"},
    }


def test_probes_ask_what_they_say() -> None:
    server = container(POD)

    def path(probe: str) -> str:
        found: str = server[probe]["httpGet"]["path"]
        return found

    assert path("startupProbe") == path("readinessProbe") == "/v2/health/ready"
    assert path("livenessProbe") == "/v2/health/live"


def test_a_pod_has_time_to_drain_and_to_finish() -> None:
    spec = serving.pod_template(POD)["spec"]

    assert spec["terminationGracePeriodSeconds"] == 50


def test_prometheus_finds_pods_by_deployment_and_revision() -> None:
    metadata = serving.pod_template(POD)["metadata"]

    assert (
        metadata["labels"].items()
        >= {
            "tidemill.dev/modeldeployment": "delays",
            "tidemill.dev/revision": "delays-0123456789",
            "app.kubernetes.io/managed-by": "tidemill",
        }.items()
    )
    assert metadata["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8080",
        "prometheus.io/path": "/metrics",
    }


def test_pods_spread_where_there_is_room() -> None:
    (spread,) = serving.pod_template(POD)["spec"]["topologySpreadConstraints"]

    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert spread["labelSelector"]["matchLabels"] == {"tidemill.dev/revision": POD.revision}


def test_a_deployment_has_the_stored_template_as_it_is() -> None:
    template = {"stored": "as it was"}

    body = serving.deployment(OWNER, POD.revision, template, 3)

    assert body["spec"]["template"] is template
    assert body["spec"]["replicas"] == 3
    assert body["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert body["spec"]["selector"]["matchLabels"].items() <= (
        serving.pod_labels("delays", POD.revision).items()
    )


CHILDREN: dict[str, tuple[dict[str, Any], str]] = {
    "a Deployment": (serving.deployment(OWNER, POD.revision, {}, 1), POD.revision),
    "a revision's Service": (serving.service(OWNER, POD.revision), POD.revision),
    "the deployment's Service": (serving.entry_service(OWNER, {}), "delays"),
    "the disruption budget": (serving.disruption_budget(OWNER, POD.revision), "delays"),
}


@pytest.mark.parametrize(("body", "name"), CHILDREN.values(), ids=CHILDREN)
def test_children_belong_to_the_deployment(body: dict[str, Any], name: str) -> None:
    metadata = body["metadata"]

    assert (metadata["name"], metadata["namespace"]) == (name, "tides")
    (reference,) = metadata["ownerReferences"]
    assert (reference["uid"], reference["controller"]) == ("uid-md", True)
    assert metadata["labels"]["tidemill.dev/modeldeployment"] == "delays"
    assert metadata["labels"]["app.kubernetes.io/managed-by"] == "tidemill"
    assert "app.kubernetes.io/instance" not in metadata["labels"]


def test_services_select_pods_of_this_deployment() -> None:
    one = serving.service(OWNER, POD.revision)["spec"]["selector"]
    every = serving.entry_service(OWNER, {})["spec"]["selector"]

    assert one == {
        "tidemill.dev/modeldeployment": "delays",
        "tidemill.dev/revision": POD.revision,
    }
    assert every == {"tidemill.dev/modeldeployment": "delays"}


def test_one_pod_of_what_serves_may_be_away() -> None:
    spec = serving.disruption_budget(OWNER, POD.revision)["spec"]

    assert spec["maxUnavailable"] == 1
    assert spec["selector"]["matchLabels"]["tidemill.dev/revision"] == POD.revision
