"""Plain requests to the real API server, for tests that make, look at and delete objects."""

import json
import ssl
import threading
from collections.abc import Iterable
from http.client import HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

from tests.cluster.controlplane import ControlPlane

Body = dict[str, Any]
OWN = "/apis/tidemill.dev/v1alpha1"
PATHS = {
    "Dataset": f"{OWN}/datasets",
    "DatasetVersion": f"{OWN}/datasetversions",
    "TrainingJob": f"{OWN}/trainingjobs",
    "ModelVersion": f"{OWN}/modelversions",
    "ModelDeployment": f"{OWN}/modeldeployments",
    "PipelineExecution": f"{OWN}/pipelineexecutions",
    "ConfigMap": "/api/v1/configmaps",
    "ControllerRevision": "/apis/apps/v1/controllerrevisions",
    "Deployment": "/apis/apps/v1/deployments",
    "Event": "/apis/events.k8s.io/v1/events",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/httproutes",
    "Job": "/apis/batch/v1/jobs",
    "Pod": "/api/v1/pods",
    "PodDisruptionBudget": "/apis/policy/v1/poddisruptionbudgets",
    "Service": "/api/v1/services",
}
"""Where the kinds lie that belong to a namespace."""


class Cluster:
    """One connection a thread, kept open."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._trust = ssl.create_default_context(cafile=str(plane.certificate))
        self._own = threading.local()
        self._opened: list[HTTPSConnection] = []

    def close(self) -> None:
        """Close all connections; whoever asks again opens another."""
        for connection in self._opened:
            connection.close()

    @property
    def uid(self) -> str:
        """What documents of this cluster lie under."""
        uid: str = self.call("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
        return uid

    def call(self, method: str, path: str, body: Body | None = None, kind: str = "") -> Body:
        """One request; fails on any answer that is not a success, or None for 404 to a GET."""
        code, answer = self.ask(method, path, body, kind)
        if code >= 400:
            raise AssertionError(f"{method} {path}: {code} {answer.get('message')}")
        return answer

    def ask(
        self, method: str, path: str, body: Body | None = None, kind: str = ""
    ) -> tuple[int, Body]:
        """One request; code and answer, failures included."""
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "Authorization": f"Bearer {self._plane.token}",
            "Content-Type": kind or "application/json",
            "User-Agent": "chaos",
        }
        connection = self._connection()
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except Exception:
            connection.close()  # the next request opens it again
            raise

    def make_namespace(self, name: str) -> str:
        """Make a namespace and return its name."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.call("POST", "/api/v1/namespaces", body)
        return name

    def create(self, *bodies: Body) -> None:
        """Create objects of the kinds in PATHS."""
        for body in bodies:
            self.call("POST", place(body["kind"], body["metadata"]["namespace"]), body)

    def get(self, kind: str, namespace: str, name: str) -> Body | None:
        """One object, or None."""
        code, answer = self.ask("GET", f"{place(kind, namespace)}/{quote(name)}")
        if code >= 400 and code != 404:
            raise AssertionError(f"GET {kind} {name}: {code} {answer.get('message')}")
        return None if code == 404 else answer

    def all(self, kind: str, namespace: str = "") -> list[Body]:
        """All objects of a kind, with their kind and apiVersion."""
        answer = self.call("GET", place(kind, namespace))
        head = {"apiVersion": answer["apiVersion"], "kind": kind}
        return [{**head, **item} for item in answer["items"]]

    def everything(self, namespace: str, kinds: Iterable[str]) -> list[Body]:
        """All objects of these kinds in a namespace."""
        return [item for kind in kinds for item in self.all(kind, namespace)]

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete one object at once; its children are nobody's business here."""
        options = {"propagationPolicy": "Background"}
        self.call("DELETE", f"{place(kind, namespace)}/{quote(name)}", options)

    def merge(self, kind: str, namespace: str, name: str, patch: Body) -> Body:
        """Merge a patch into an object."""
        path = f"{place(kind, namespace)}/{quote(name)}"
        return self.call("PATCH", path, patch, "application/merge-patch+json")

    def _connection(self) -> HTTPSConnection:
        held: HTTPSConnection | None = getattr(self._own, "connection", None)
        if held is None:
            address = urlsplit(self._plane.server).netloc
            held = self._own.connection = HTTPSConnection(address, context=self._trust, timeout=30)
            self._opened.append(held)
        return held


def place(kind: str, namespace: str = "") -> str:
    """The path of a kind's collection."""
    path = PATHS[kind]
    if not namespace:
        return path
    head, _, plural = path.rpartition("/")
    return f"{head}/namespaces/{namespace}/{plural}"
