"""What stands in for kubelets, the EndpointSlice controller, a Gateway and Prometheus.

Whatever is asked for is ready at once, in the fewest writes, so that what is measured is the
controller under test and not those.
"""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

from aiohttp import web

from tests.bench.rig import Api, Body, background

MANAGED = "app.kubernetes.io/managed-by=tidemill"
DEPLOYMENT = "tidemill.dev/modeldeployment"
REVISION = "tidemill.dev/revision"
REQUESTS = 1000
"""How many requests every pod is said to have answered, whatever the window."""
_BINS = 20

Place = tuple[str, str]
"""Namespace and name."""


class Latest:
    """Runs jobs one at a time per key; of those that wait for one, only the newest."""

    def __init__(self) -> None:
        self._waiting: dict[object, Callable[[], Awaitable[None]]] = {}
        self._running: dict[object, asyncio.Task[None]] = {}

    def submit(self, key: object, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job when its turn has come."""
        self._waiting[key] = job
        if key not in self._running:
            self._running[key] = asyncio.create_task(self._run(key))

    async def _run(self, key: object) -> None:
        try:
            while key in self._waiting:
                await self._waiting.pop(key)()
        finally:
            del self._running[key]


@dataclass
class Pods:
    """Deployments get ready pods, Services their endpoints, HTTPRoutes are accepted.

    Of a Deployment's pods nobody sees more than its status and endpoints, so there are no others;
    a Job gets a real one, which starts for ever.
    """

    api: Api
    of: dict[Place, dict[str, list[str]]] = field(default_factory=lambda: defaultdict(dict))
    """The pods of each ModelDeployment, by revision."""
    named: dict[str, list[str]] = field(default_factory=dict)
    """The pods of each revision."""
    _services: dict[Place, Body] = field(default_factory=dict)
    _slices: set[Place] = field(default_factory=set)
    _work: Latest = field(default_factory=Latest)
    _jobs_seen: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Play until cancelled."""
        watched = (
            ("/apis/apps/v1/deployments", self._deployment),
            ("/api/v1/services", self._service),
            ("/apis/gateway.networking.k8s.io/v1/httproutes", self._route),
            ("/apis/batch/v1/jobs", self._job),
        )
        async with background(*(self._watch(path, told) for path, told in watched)):
            await asyncio.Event().wait()

    async def _watch(self, path: str, told: Callable[[str, Body], None]) -> None:
        async for type_, body in self.api.follow(path, labelSelector=MANAGED):
            told(type_, body)

    def _deployment(self, type_: str, body: Body) -> None:
        metadata = body["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        of = (namespace, metadata["labels"][DEPLOYMENT])
        count = 0 if type_ == "DELETED" else body["spec"]["replicas"]
        pods = [f"{name}-{number}" for number in range(count)]
        if self.of[of].get(name, []) != pods:
            self.of[of][name] = self.named[name] = pods
            self._refresh(of)
        seen = body.get("status", {}).get("observedGeneration")
        if type_ == "DELETED" or seen == metadata["generation"]:
            return
        states = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
        status = {"observedGeneration": metadata["generation"], **dict.fromkeys(states, count)}
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}/status"
        self._work.submit(path, lambda: self._patch(path, {"status": status}))

    def _service(self, type_: str, body: Body) -> None:
        place = (body["metadata"]["namespace"], body["metadata"]["name"])
        if type_ == "DELETED":
            self._services.pop(place, None)
        else:
            self._services[place] = body
        self._work.submit(place, lambda: self._slice(place))

    def _route(self, type_: str, body: Body) -> None:
        metadata = body["metadata"]
        parents = body.get("status", {}).get("parents", [])
        held = [item["observedGeneration"] for one in parents for item in one["conditions"]]
        if type_ == "DELETED" or metadata["generation"] in held:
            return
        told = {
            "status": "True",
            "reason": "Accepted",
            "message": "",
            "observedGeneration": metadata["generation"],
            "lastTransitionTime": metadata["creationTimestamp"],
        }
        parent = {
            "parentRef": body["spec"]["parentRefs"][0],
            "controllerName": "example.com/stand-in",
            "conditions": [{"type": "Accepted", **told}, {"type": "ResolvedRefs", **told}],
        }
        path = (
            f"/apis/gateway.networking.k8s.io/v1/namespaces/{metadata['namespace']}"
            f"/httproutes/{metadata['name']}/status"
        )
        self._work.submit(path, lambda: self._patch(path, {"status": {"parents": [parent]}}))

    def _job(self, type_: str, body: Body) -> None:
        metadata, template = body["metadata"], body["spec"]["template"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods"
        if type_ != "ADDED" or path + metadata["name"] in self._jobs_seen:
            return
        owner = {"apiVersion": "batch/v1", "kind": "Job", "controller": True}
        owner |= {name: metadata[name] for name in ("name", "uid")}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": metadata["name"],
                "labels": template["metadata"]["labels"],
                "ownerReferences": [owner],
            },
            "spec": template["spec"],
        }
        self._jobs_seen.add(path + metadata["name"])
        self._work.submit(path + metadata["name"], lambda: self._post(path, pod))

    def _refresh(self, of: Place) -> None:
        for place, body in self._services.items():
            if (place[0], body["metadata"]["labels"][DEPLOYMENT]) == of:
                self._work.submit(place, lambda place=place: self._slice(place))  # type: ignore[misc]

    async def _slice(self, place: Place) -> None:
        """Write the endpoints of a Service, or take them away with it."""
        namespace, name = place
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        service = self._services.get(place)
        if service is None:
            if place in self._slices:
                self._slices.discard(place)
                await self.api.call("DELETE", f"{path}/{name}")
            return
        endpoints = self._endpoints(service)
        if place in self._slices:
            await self._patch(f"{path}/{name}", {"endpoints": endpoints})
            return
        marks = {**service["metadata"]["labels"], "kubernetes.io/service-name": name}
        self._slices.add(place)
        await self._post(
            path,
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": name, "namespace": namespace, "labels": marks},
                "addressType": "IPv4",
                "endpoints": endpoints,
            },
        )

    def _endpoints(self, service: Body) -> list[Body]:
        metadata, chosen = service["metadata"], service["spec"]["selector"]
        held = self.of[metadata["namespace"], metadata["labels"][DEPLOYMENT]]
        wanted = chosen.get(REVISION)
        pods = [
            pod for name, some in held.items() if wanted is None or name == wanted for pod in some
        ]
        return [
            {
                "addresses": [f"10.0.{number // 250}.{number % 250 + 1}"],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": pod, "namespace": metadata["namespace"]},
            }
            for number, pod in enumerate(pods)
        ]

    async def _post(self, path: str, body: Body) -> None:
        await self.api.call("POST", path, body)

    async def _patch(self, path: str, patch: Body) -> None:
        try:
            await self.api.merge(path, patch)
        except RuntimeError as error:
            if " 404 " not in str(error):  # gone meanwhile
                raise


class Prometheus:
    """Answers the operator's queries: all pods are scraped, and no request has failed."""

    def __init__(self, pods: Pods) -> None:
        self.url = ""
        self.queries = 0
        self._pods = pods
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "Prometheus":
        app = web.Application()
        app.router.add_post("/api/v1/query", self._query)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _query(self, request: web.Request) -> web.Response:
        self.queries += 1
        text = cast(str, (await request.post())["query"])
        found = [
            {"metric": labels, "value": [0, str(value)]} for labels, value in self._answer(text)
        ]
        data = {"resultType": "vector", "result": found}
        return web.Response(
            text=json.dumps({"status": "success", "data": data}), content_type="application/json"
        )

    def _answer(self, text: str) -> list[tuple[dict[str, str], int]]:
        if "tidemill_model_info" in text:
            revisions = re.findall(r'revision="([^"]+)"', text)
            return [
                ({"pod": pod}, 1) for name in revisions for pod in self._pods.named.get(name, ())
            ]
        answers: list[tuple[dict[str, str], int]] = []
        for part in re.findall(r'"part", "([^"]+)"', text):
            if part == "requests":
                answers.append(({"part": part, "code": "200"}, REQUESTS))
            elif part.endswith("-bins"):
                each = REQUESTS // _BINS
                answers += [({"part": part, "bin": str(n)}, each) for n in range(_BINS)]
        return answers
