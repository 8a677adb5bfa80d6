"""What a kubelet, a Gateway and Prometheus would do, played beside a real API server.

kube-controller-manager makes the pods of Deployments and the EndpointSlices of Services; here each
pod gets an address and becomes ready, each HTTPRoute is accepted, and a Prometheus server answers
over HTTP what a test says the pods have counted.
"""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import kubernetes

from tests.unit.world import Numbers
from tidemill.core.identity import LABEL_REVISION
from tidemill.errors import TransientError

Body = dict[str, Any]

_ROUTES = ("gateway.networking.k8s.io", "v1")
_MANAGED = "app.kubernetes.io/managed-by=tidemill"
_NODE = "played"
_PAUSE = 0.1
_HEARTBEAT = 5.0


@dataclass
class Cluster:
    """Plays kubelet and Gateway until it is ended."""

    kubeconfig: Path
    broken: set[str] = field(default_factory=set)
    """Revisions whose pods are not ready."""
    silent: bool = False
    """The Gateway does not answer."""
    ready: dict[str, set[str]] = field(default_factory=dict)
    """Names of ready pods by revision."""
    born: dict[str, str] = field(default_factory=dict)
    """uid of every pod that was ever seen, and its revision."""
    faults: list[str] = field(default_factory=list)
    """Errors of this player, for the test to see."""

    def __post_init__(self) -> None:
        client = kubernetes.config.new_client_from_config(str(self.kubeconfig))
        self._client = client
        self._core = kubernetes.client.CoreV1Api(client)
        self._custom = kubernetes.client.CustomObjectsApi(client)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)

    def __enter__(self) -> "Cluster":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _play(self) -> None:
        beat = 0.0
        while not self._ended.wait(_PAUSE):
            try:
                if time.monotonic() - beat > _HEARTBEAT:
                    self._be_a_node()
                    beat = time.monotonic()
                self._run_pods()
                if not self.silent:
                    self._accept_routes()
            except kubernetes.client.ApiException as error:
                if error.status not in (404, 409):
                    self.faults.append(str(error))

    def _be_a_node(self) -> None:
        """A node that is alive: endpoints are only made of pods on one."""
        body = {"metadata": {"name": _NODE}}
        with contextlib.suppress(kubernetes.client.ApiException):
            self._core.create_node(body)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "reason": "Played", "message": "",
                 "lastHeartbeatTime": now, "lastTransitionTime": now}  # fmt: skip
        self._core.patch_node_status(_NODE, {"status": {"conditions": [ready]}})

    def _run_pods(self) -> None:
        found: dict[str, set[str]] = {}
        pods = self._core.list_pod_for_all_namespaces(label_selector=_MANAGED).items
        for pod in pods:
            revision = (pod.metadata.labels or {}).get(LABEL_REVISION, "")
            if not revision:
                continue
            if pod.metadata.deletion_timestamp:
                self._end(pod)
                continue
            self.born.setdefault(pod.metadata.uid, revision)
            wanted = revision not in self.broken
            held = {item.type: item.status for item in pod.status.conditions or ()}
            if held.get("Ready") != str(wanted):
                self._set_ready(pod, wanted)
            if wanted:
                found.setdefault(revision, set()).add(pod.metadata.name)
        self.ready = found

    def _end(self, pod: Any) -> None:
        self._core.delete_namespaced_pod(
            pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0
        )

    def _set_ready(self, pod: Any, ready: bool) -> None:
        if not pod.spec.node_name:
            target = {"apiVersion": "v1", "kind": "Node", "name": _NODE}
            self._core.create_namespaced_pod_binding(
                pod.metadata.name,
                pod.metadata.namespace,
                {"metadata": {"name": pod.metadata.name}, "target": target},
                _preload_content=False,
            )
        number = int(pod.metadata.uid.replace("-", "")[:6], 16)
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {"type": name, "status": "True", "lastTransitionTime": now}
            for name in ("PodScheduled", "Initialized")
        ] + [
            {"type": name, "status": str(ready), "lastTransitionTime": now}
            for name in ("ContainersReady", "Ready")
        ]
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now,
            "conditions": conditions,
        }
        self._core.patch_namespaced_pod_status(
            pod.metadata.name, pod.metadata.namespace, {"status": status}
        )

    def _accept_routes(self) -> None:
        routes = self._custom.list_cluster_custom_object(*_ROUTES, "httproutes")["items"]
        for route in routes:
            generation = route["metadata"]["generation"]
            told = {
                "observedGeneration": generation,
                "reason": "Accepted",
                "message": "",
                "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            parents = (route.get("status") or {}).get("parents") or [{}]
            held = {
                item["observedGeneration"]
                for parent in parents
                for item in parent.get("conditions", ())
            }
            if held == {generation}:
                continue
            parent = {
                "parentRef": route["spec"]["parentRefs"][0],
                "controllerName": "tidemill.dev/played",
                "conditions": [
                    {"type": "Accepted", "status": "True", **told},
                    {"type": "ResolvedRefs", "status": "True", **told},
                ],
            }
            metadata = route["metadata"]
            self._custom.patch_namespaced_custom_object_status(
                *_ROUTES, metadata["namespace"], "httproutes", metadata["name"],
                {"status": {"parents": [parent]}},
            )  # fmt: skip


@dataclass
class PlayedPrometheus:
    """A Prometheus server that answers what `numbers` says of the pods of `cluster`."""

    cluster: Cluster
    numbers: Numbers = field(default_factory=Numbers)

    def __post_init__(self) -> None:
        played = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                form = parse_qs(self.rfile.read(length).decode())
                status, answer = played.answer(form)
                raw = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "PlayedPrometheus":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, form: dict[str, list[str]]) -> tuple[int, Body]:
        """What the HTTP API says to one query."""
        self.numbers.pods = dict(self.cluster.ready)
        moment = datetime.fromtimestamp(float(form.get("time", ["0"])[0]), UTC)
        try:
            samples = asyncio.run(self.numbers.query(form["query"][0], moment))
        except TransientError:
            return 503, {"status": "error", "errorType": "unavailable", "error": "played"}
        result = [
            {"metric": item.labels, "value": [moment.timestamp(), str(item.value)]}
            for item in samples
        ]
        return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}


@contextlib.contextmanager
def played(kubeconfig: Path) -> Iterator[tuple[Cluster, PlayedPrometheus]]:
    """Kubelet, Gateway and Prometheus."""
    with Cluster(kubeconfig) as cluster, PlayedPrometheus(cluster) as prometheus:
        yield cluster, prometheus
    assert not cluster.faults, cluster.faults
