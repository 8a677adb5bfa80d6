"""Bodies of a revision's Deployment, Service and disruption budget, and its pod template."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidemill.api.v1alpha1.modeldeployment import RequestLog, ServerResources
from tidemill.core.identity import (
    LABEL_MODELDEPLOYMENT,
    LABEL_REVISION,
    controller_reference,
    labels,
)
from tidemill.core.plan import Body

PORT = 8080
"""Where a model server answers, metrics included."""
SERVICE_PORT = 80
DRAIN_SECONDS = 10
"""How long a server told to end still takes requests: gateways hear of it a little later."""
FINISH_SECONDS = 40
"""How much longer it may take to end the requests it has and to store its log."""
MODEL_DIRECTORY = "/mnt/models"
COMPONENT = "model-server"
USER = 65532


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The ModelDeployment that children belong to."""

    name: str
    namespace: str
    uid: str

    def metadata(self, name: str, component: str, extra: Mapping[str, str]) -> Body:
        """The metadata of a child."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": labels(component, {LABEL_MODELDEPLOYMENT: self.name, **extra}),
            "ownerReferences": [controller_reference("ModelDeployment", self.name, self.uid)],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPod:
    """All that a model server's pod is made of."""

    deployment: str
    revision: str
    image: str
    pull_policy: str
    secret: str
    """The Secret with the namespace's credential for the artifact store."""
    bundle_uri: str
    bundle_digest: str
    resources: ServerResources
    request_log: RequestLog | None
    log_uri: str
    """Where the request log goes, if one is kept."""


def pod_labels(deployment: str, revision: str) -> dict[str, str]:
    """The labels of a revision's pods; Prometheus makes labels of its targets from them."""
    marks = {LABEL_MODELDEPLOYMENT: deployment, LABEL_REVISION: revision}
    return labels(COMPONENT, marks)


def pod_template(pod: ServerPod) -> Body:
    """The pod of one revision: fetch and verify the bundle, then serve it read-only."""
    matches = {LABEL_REVISION: pod.revision}
    return {
        "metadata": {
            "labels": pod_labels(pod.deployment, pod.revision),
            "annotations": {
                "prometheus.io/scrape": "true",
                "prometheus.io/port": str(PORT),
                "prometheus.io/path": "/metrics",
            },
        },
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": DRAIN_SECONDS + FINISH_SECONDS,
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": matches},
                }
            ],
            "initContainers": [_fetch(pod)],
            "containers": [_server(pod)],
            "volumes": [{"name": "model", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
        },
    }


def _fetch(pod: ServerPod) -> Body:
    return {
        "name": "fetch",
        "image": pod.image,
        "imagePullPolicy": pod.pull_policy,
        "command": ["python", "-m", "tidemill.serving.fetch"],
        "args": [
            f"--bundle={pod.bundle_uri}",
            f"--digest={pod.bundle_digest}",
            f"--to={MODEL_DIRECTORY}",
        ],
        "envFrom": [{"secretRef": {"name": pod.secret}}],
        "resources": _resources(pod.resources),
        "securityContext": _container_security(),
        "volumeMounts": [
            {"name": "model", "mountPath": MODEL_DIRECTORY},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _server(pod: ServerPod) -> Body:
    server: Body = {
        "name": "server",
        "image": pod.image,
        "imagePullPolicy": pod.pull_policy,
        "command": ["python", "-m", "tidemill.serving"],
        "env": _environment(pod),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": _resources(pod.resources),
        "securityContext": _container_security(),
        "startupProbe": _probe("ready", period=1, failures=120),
        "readinessProbe": _probe("ready", period=2, failures=2),
        "livenessProbe": _probe("live", period=10, failures=6),
        "volumeMounts": [
            {"name": "model", "mountPath": MODEL_DIRECTORY, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }
    if pod.request_log is not None:
        server["envFrom"] = [{"secretRef": {"name": pod.secret}}]
    return server


def _environment(pod: ServerPod) -> list[Body]:
    given = {
        "TIDEMILL_MODEL_NAME": pod.deployment,
        "TIDEMILL_REVISION": pod.revision,
        "TIDEMILL_MODEL_DIR": MODEL_DIRECTORY,
        "TIDEMILL_LISTEN_PORT": str(PORT),
        "TIDEMILL_DRAIN_SECONDS": str(DRAIN_SECONDS),
    }
    if pod.request_log is not None:
        given["TIDEMILL_REQUEST_LOG_URI"] = pod.log_uri
        given["TIDEMILL_REQUEST_LOG_SAMPLE"] = pod.request_log.sample
        given["TIDEMILL_REQUEST_LOG_KEEP_SECONDS"] = str(pod.request_log.keep_seconds)
    plain: list[Body] = [{"name": name, "value": value} for name, value in given.items()]
    return [
        *plain,
        {"name": "TIDEMILL_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]


def _resources(resources: ServerResources) -> Body:
    return {
        "requests": {"cpu": resources.cpu, "memory": resources.memory},
        "limits": {"memory": resources.memory},
    }


def _container_security() -> Body:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _probe(what: str, *, period: int, failures: int) -> Body:
    return {
        "httpGet": {"path": f"/v2/health/{what}", "port": "http", "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def deployment(owner: Owner, revision: str, template: Body, replicas: int) -> Body:
    """A revision's Deployment: the stored pod template as it is, and so many pods."""
    marks = {LABEL_MODELDEPLOYMENT: owner.name, LABEL_REVISION: revision}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": owner.metadata(revision, COMPONENT, {LABEL_REVISION: revision}),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": marks},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            },
            "template": template,
        },
    }


def service(owner: Owner, revision: str) -> Body:
    """A revision's Service: what routes give weight to."""
    return _service(owner, revision, {LABEL_REVISION: revision}, {LABEL_REVISION: revision})


def entry_service(owner: Owner, selected: Mapping[str, str]) -> Body:
    """The Service of the deployment's own name, over the pods with these labels."""
    return _service(owner, owner.name, {}, selected)


def _service(
    owner: Owner, name: str, marks: Mapping[str, str], selected: Mapping[str, str]
) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.metadata(name, COMPONENT, marks),
        "spec": {
            "type": "ClusterIP",
            "selector": {LABEL_MODELDEPLOYMENT: owner.name, **selected},
            "ports": [
                {"name": "http", "port": SERVICE_PORT, "targetPort": "http", "protocol": "TCP"}
            ],
        },
    }


def disruption_budget(owner: Owner, revision: str) -> Body:
    """At most one pod of what serves is evicted at a time, and one that is not ready any time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": owner.metadata(owner.name, COMPONENT, {}),
        "spec": {
            "maxUnavailable": 1,
            "selector": {
                "matchLabels": {LABEL_MODELDEPLOYMENT: owner.name, LABEL_REVISION: revision}
            },
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
