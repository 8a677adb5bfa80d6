"""A small cluster in memory for ModelDeployments: what plans say is done, controllers act on it.

Gather and plan are the real ones, over the real store. Deployments bring up their pods, Services
get endpoints, the Gateway accepts routes and Prometheus answers, each as a test lets it.
"""

import asyncio
import copy
import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.builders import NAMESPACE, START, make_model, make_profile, metadata, sha, stored
from tidemill.api.documents.bundle import (
    Bundle,
    Feature,
    GoldenExample,
    Signature,
    StoredFile,
)
from tidemill.api.documents.profile import Profile, ValueType
from tidemill.api.v1alpha1 import ModelVersion
from tidemill.core.conditions import rfc3339
from tidemill.core.deploymentview import Observed
from tidemill.core.holds import differences
from tidemill.core.identity import LABEL_MODELDEPLOYMENT, LABEL_REVISION, stable_hash
from tidemill.core.modeldeployment import plan_modeldeployment
from tidemill.core.plan import Event, Plan
from tidemill.core.queries import PART
from tidemill.errors import TransientError
from tidemill.ports import Sample, Sight
from tidemill.settings import Settings
from tidemill.shell.gather import modeldeployment as gathering
from tidemill.shell.store import Store
from tidemill.shell.wakes import references

Body = dict[str, Any]

CLUSTER = "cluster"
ROOT = "s3://artifacts/tidemill"
PREFIX = f"{ROOT}/{CLUSTER}/{NAMESPACE}"
NAME = "delays"
UID = f"uid-md-{NAME}"
SCRAPE = 15


def spec(**more: Any) -> Body:
    """A spec that follows a TrainingJob behind a Gateway, with two short steps."""
    return {
        "model": {"trainingJobRef": {"name": "delays"}},
        "replicas": 2,
        "route": {
            "gatewayRef": {"name": "public", "namespace": "gateways"},
            "hostnames": ["delays.example.com"],
        },
        "rollout": {
            "canary": {
                "steps": [{"weight": 5, "holdSeconds": 60}, {"weight": 50, "holdSeconds": 60}]
            },
            "analysis": {
                "periodSeconds": 30,
                "minSamples": 100,
                "metrics": [{"name": "error-rate", "max": "0.01"}],
            },
            "stepDeadlineSeconds": 3600,
        },
        "monitoring": {"windowSeconds": 3600, "minSamples": 100},
        **more,
    }


def bundle_of(version: ModelVersion, **more: Any) -> Bundle:
    """The bundle a ModelVersion stands for."""
    told: dict[str, Any] = {
        "model": StoredFile(name="model.onnx", digest=version.spec.digest),
        "profile": StoredFile(name="profile.json", digest=profile_digest(make_profile())),
        "signature": Signature(
            features=(Feature(name="dep_hour", type=ValueType.NUMBER),),
            threshold=0.4,
            positive="true",
            label="late",
        ),
        "golden": (GoldenExample(inputs={"dep_hour": 7}, probability=0.2),),
        "data_start": "2013-01-01T00:00:00Z",
        "data_end": "2013-03-31T23:00:00Z",
        "twin_data_end": "2013-03-12T23:00:00Z",
        **more,
    }
    return Bundle(**told)


def profile_digest(profile: Profile) -> str:
    """The digest of a profile as it is stored."""
    return f"sha256:{hashlib.sha256(json.dumps(profile.to_wire()).encode()).hexdigest()}"


@dataclass
class Objects:
    """An artifact store."""

    held: dict[str, bytes] = field(default_factory=dict)
    down: bool = False
    reads: list[str] = field(default_factory=list)

    async def read(self, uri: str, digest: str | None = None, limit: int = 262144) -> bytes | None:
        """The bytes of an object."""
        self.reads.append(uri)
        if self.down:
            raise TransientError("the artifact store did not answer")
        return self.held.get(uri)


@dataclass
class Numbers:
    """A Prometheus: what the pods have counted, as a test says."""

    rate: float = 10.0
    """Requests a second to a revision, per percent of weight not considered."""
    failing: float = 0.0
    """The candidate's share of requests answered with 503."""
    seconds: float = 0.02
    """The candidate's latency quantile."""
    nulls: float = 0.0
    bins: dict[str, list[float]] = field(default_factory=dict)
    """Predictions by revision."""
    features: dict[str, list[float]] = field(default_factory=dict)
    """Feature -> share of its values by bin."""
    missing: dict[str, float] = field(default_factory=dict)
    """Feature -> share of its values that is missing."""
    event_time: float | None = 1364774400.0  # 2013-04-01
    scraped: set[str] | None = None
    """Pods with two samples; None: all there are."""
    down: bool = False
    asked: list[tuple[str, datetime | None]] = field(default_factory=list)
    pods: dict[str, set[str]] = field(default_factory=dict)

    async def query(self, promql: str, at: datetime | None = None) -> list[Sample]:
        """Answer a batch part by part, or which pods were scraped."""
        self.asked.append((promql, at))
        if self.down:
            raise TransientError("Prometheus: connection refused")
        revision = re.findall(r'revision="([^"]+)"', promql)[0]
        if "tidemill_model_info" in promql:
            there = self.pods.get(revision, set())
            seen = there if self.scraped is None else there & self.scraped
            return [Sample({"pod": pod}, 2.0) for pod in sorted(seen)]
        seconds = int(re.findall(r"\[(\d+)s", promql)[0])
        found: list[Sample] = []
        for name in re.findall(rf'"{PART}", "([a-z-]+)"', promql):
            for labels, value in self._part(name, revision, seconds, promql):
                if not math.isnan(value):
                    found.append(Sample({**labels, PART: name}, value))
        return found

    def _part(
        self, name: str, revision: str, seconds: int, promql: str
    ) -> list[tuple[dict[str, str], float]]:
        total = self.rate * seconds
        if name == "requests":
            bad = total * self.failing
            return [({"code": "200"}, total - bad), ({"code": "503"}, bad)]
        if name == "latency":
            return [({}, self.seconds)]
        if name in ("predictions", "nulls"):
            return [({}, total * (1.0 if name == "predictions" else self.nulls))]
        if name in ("candidate-bins", "stable-bins"):
            revisions = re.findall(r'revision="([^"]+)"', promql)
            mine = revisions[0] if name == "candidate-bins" else revisions[-1]
            shares = self.bins.get(mine, [0.05] * 20)
            return [({"bin": str(n)}, total * share) for n, share in enumerate(shares)]
        if name == "bins":
            return [
                ({"feature": feature, "bin": str(n)}, total * share)
                for feature, shares in self.features.items()
                for n, share in enumerate(shares)
            ]
        if name == "missing":
            return [
                ({"feature": feature}, total * share / (1 - share))
                for feature, share in self.missing.items()
            ]
        if name == "event-time" and self.event_time is not None:
            return [({}, self.event_time)]
        return []


class CrashError(Exception):
    """The operator ended between two writes."""


class World:
    """One ModelDeployment and everything around it."""

    def __init__(self, given: Body | None = None, *, settings: Settings | None = None) -> None:
        self.now = START
        self.store = Store(references)
        self.objects = Objects()
        self.metrics: Numbers | None = Numbers()
        self.settings = settings or Settings(artifact_root=ROOT, scrape_seconds=SCRAPE)
        self.versions = 0
        self.uids = 0
        self.events: list[Event] = []
        self.status_writes = 0
        self.writes: list[str] = []
        self.last = Plan()
        self.broken: set[str] = set()
        """Revisions whose pods never become ready."""
        self.writes_left: int | None = None
        """After so many writes the operator crashes; None: it does not."""
        self.gateway_answers = True
        self.accept: tuple[str, str, str] = ("True", "Accepted", "")
        self.put(
            {
                "apiVersion": "tidemill.dev/v1alpha1",
                "kind": "ModelDeployment",
                "metadata": metadata(NAME, uid=UID),
                "spec": given or spec(),
            }
        )
        self.put(
            {
                "apiVersion": "tidemill.dev/v1alpha1",
                "kind": "TrainingJob",
                "metadata": metadata("delays"),
                "spec": {"datasetRef": {"name": "flights"}},
            }
        )
        gathering._old_news.held.clear()

    # --- objects -----------------------------------------------------------------------------

    def put(self, body: Body) -> Body:
        """Store an object under a new resourceVersion."""
        self.versions += 1
        body = copy.deepcopy(body)
        held = body["metadata"]
        if not held.get("uid"):
            self.uids += 1
            held["uid"] = f"uid-{self.uids}"
        held["resourceVersion"] = str(self.versions)
        held.setdefault("creationTimestamp", rfc3339(self.now))
        self.store.put(body)
        return body

    def get(self, kind: str, name: str) -> Body | None:
        """One object of the namespace."""
        return self.store.get(kind, NAMESPACE, name)

    @property
    def md(self) -> Body:
        """The ModelDeployment."""
        found = self.get("ModelDeployment", NAME)
        assert found is not None
        return found

    @property
    def status(self) -> Body:
        """Its status."""
        found: Body = self.md.get("status") or {}
        return found

    def condition(self, type_: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition; empty if it is not there."""
        for item in self.status.get("conditions", ()):
            if item["type"] == type_:
                return item["status"], item["reason"], item.get("message", "")
        return "", "", ""

    def change_spec(self, **more: Any) -> None:
        """Change fields of the spec, as a person does."""
        body = copy.deepcopy(self.md)
        body["spec"].update(more)
        body["metadata"]["generation"] += 1
        self.put(body)

    def request(self, text: str) -> None:
        """Ask for something once, now."""
        body = copy.deepcopy(self.md)
        body["metadata"].setdefault("annotations", {})["tidemill.dev/request"] = (
            f"{text}@{rfc3339(self.now)}"
        )
        self.put(body)

    def approve(self, name: str, **more: Any) -> ModelVersion:
        """A model appears, approved, with its bundle."""
        version = make_model(name, **more)
        self.record(version)
        return version

    def record(self, version: ModelVersion, **bundle: Any) -> None:
        """Store a ModelVersion and its bundle."""
        wire = version.to_wire()
        self.put({**wire, "apiVersion": "tidemill.dev/v1alpha1", "kind": "ModelVersion"})
        document = bundle_of(version, **bundle)
        self.objects.held[version.spec.bundle.uri] = document.model_dump_json(
            by_alias=True
        ).encode()
        profile = make_profile()
        uri = f"{version.spec.bundle.uri.rpartition('/')[0]}/profile.json"
        self.objects.held[uri] = json.dumps(profile.to_wire()).encode()

    # --- passes ------------------------------------------------------------------------------

    def sight(self) -> Sight:
        """What gather may look at."""
        return Sight(
            index=self.store,
            documents=self.objects,
            metrics=self.metrics,
            pipelines=None,
            settings=self.settings,
            cluster_uid=CLUSTER,
            now=self.now,
        )

    def observe(self) -> Observed:
        """What a pass would see now."""
        return asyncio.run(gathering.gather(self.md, self.sight()))

    def plan(self) -> Plan:
        """What a pass would do now."""
        return plan_modeldeployment(self.observe())

    def crash_after(self, writes: int) -> None:
        """One pass that ends after so many writes; another process takes over."""
        self.writes_left = writes
        try:
            self.step()
        except CrashError:
            gathering._old_news.held.clear()
        finally:
            self.writes_left = None

    def _write(self, what: str) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise CrashError
            self.writes_left -= 1
        self.writes.append(what)

    def step(self) -> Plan:
        """One pass, carried out as shell/passes.py does."""
        plan = self.plan()
        self.last = plan
        if plan.claim is not None:
            assert plan.claim != self.status, "claims what it has claimed already"
            self._write_status(plan.claim)
            self.events += plan.events
            return plan
        before, routed = len(self.writes), set(self.weights())
        for body in plan.apply:
            self._apply(body)
        for body in plan.create:
            if self.get(body["kind"], body["metadata"]["name"]) is None:
                self._write(f"create {body['kind']} {body['metadata']['name']}")
                self.put(body)
        for item in plan.delete:
            held = self.get(item.kind, item.name)
            if held is not None and held["metadata"]["uid"] == item.uid:
                assert item.kind != "Service" or item.name not in routed, "the route points to it"
                self._write(f"delete {item.kind} {item.name}")
                self.store.remove(held, gone=True)
        if plan.status is not None and plan.status != self.status:
            self._write_status(plan.status)
        if len(self.writes) > before:
            self.events += plan.events
        return plan

    def _write_status(self, status: Body) -> None:
        self._write("status")
        self.status_writes += 1
        self.put({**self.md, "status": json.loads(json.dumps(status))})

    def _apply(self, wanted: Body) -> None:
        name, mark = wanted["metadata"]["name"], stable_hash(wanted, 16)
        held = self.get(wanted["kind"], name)
        if held is not None:
            same = held["metadata"]["annotations"]["applied"] == mark
            if same and not differences(wanted, held):
                return
        self._write(f"apply {wanted['kind']} {name}")
        self.check(wanted)
        body = copy.deepcopy(wanted)
        body["metadata"].setdefault("annotations", {})["applied"] = mark
        if held is not None:
            body["metadata"]["uid"] = held["metadata"]["uid"]
            body["metadata"]["creationTimestamp"] = held["metadata"]["creationTimestamp"]
            body["metadata"]["generation"] = held["metadata"].get("generation", 1) + 1
            if "status" in held:
                body["status"] = held["status"]
        else:
            body["metadata"]["generation"] = 1
        self.put(body)

    def check(self, wanted: Body) -> None:
        """What must hold for every child that is written, whatever happened before."""
        if wanted["kind"] == "HTTPRoute":
            refs = wanted["spec"]["rules"][0]["backendRefs"]
            assert sum(ref["weight"] for ref in refs) == 100, refs
            for ref in refs:
                assert self.get("Service", ref["name"]) is not None, f"no Service {ref['name']}"
                stable = self.status["stable"]["revision"] == ref["name"]
                if ref["weight"] and not stable:
                    slices = self.get("EndpointSlice", f"{ref['name']}-abcde")
                    assert slices and slices["endpoints"], "a weight without an endpoint"
        if wanted["kind"] == "Deployment":
            name = wanted["metadata"]["name"]
            held = self.get("ControllerRevision", name)
            assert held is not None
            assert held["data"]["podTemplate"] == wanted["spec"]["template"], "another template"
            before = self.get("Deployment", name)
            if before is not None:
                same = before["spec"]["template"] == wanted["spec"]["template"]
                assert same, "a running revision was changed"

    # --- the rest of the cluster ---------------------------------------------------------------

    def controllers(self) -> None:
        """Deployments, endpoints and the Gateway catch up with what is asked for."""
        for item in self.store.select("Deployment", NAMESPACE):
            self._run_pods(item)
        for item in self.store.select("Service", NAMESPACE):
            self._publish(item)
        if self.gateway_answers:
            for item in self.store.select("HTTPRoute", NAMESPACE):
                self._accept(item)
        if self.metrics is not None:
            self.metrics.pods = {
                item["metadata"]["name"]: self.pods_of(item["metadata"]["name"])
                for item in self.store.select("Deployment", NAMESPACE)
            }

    def pods_of(self, revision: str) -> set[str]:
        """The ready pods of a revision."""
        body = self.get("Deployment", revision)
        if body is None or revision in self.broken:
            return set()
        return {f"{revision}-{n}" for n in range(body["spec"]["replicas"])}

    def _run_pods(self, item: Body) -> None:
        name, asked = item["metadata"]["name"], item["spec"]["replicas"]
        ready = len(self.pods_of(name))
        status = {
            "observedGeneration": item["metadata"]["generation"],
            "replicas": asked,
            "readyReplicas": ready,
        }
        if item.get("status") != status:
            self.put({**item, "status": status})

    def _publish(self, service: Body) -> None:
        wanted = service["spec"]["selector"]
        pods = set()
        for item in self.store.select("Deployment", NAMESPACE):
            labels = item["spec"]["template"]["metadata"]["labels"]
            if all(labels.get(key) == value for key, value in wanted.items()):
                pods |= self.pods_of(item["metadata"]["name"])
        name = f"{service['metadata']['name']}-abcde"
        body = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "labels": {
                    **service["metadata"]["labels"],
                    "kubernetes.io/service-name": service["metadata"]["name"],
                },
            },
            "endpoints": [
                {
                    "addresses": [f"10.0.0.{n}"],
                    "conditions": {"ready": True},
                    "targetRef": {"kind": "Pod", "name": pod},
                }
                for n, pod in enumerate(sorted(pods))
            ],
        }
        held = self.get("EndpointSlice", name)
        if held is None or held["endpoints"] != body["endpoints"]:
            uid = held["metadata"]["uid"] if held is not None else ""
            self.put({**body, "metadata": {**body["metadata"], "uid": uid}})  # type: ignore[dict-item]

    def _accept(self, item: Body) -> None:
        status, reason, message = self.accept
        generation = item["metadata"]["generation"]
        told = {"observedGeneration": generation, "reason": reason, "message": message}
        answer = {
            "parents": [
                {
                    "parentRef": item["spec"]["parentRefs"][0],
                    "conditions": [
                        {"type": "Accepted", "status": status, **told},
                        {"type": "ResolvedRefs", "status": "True", **told},
                    ],
                }
            ]
        }
        if item.get("status") != answer:
            self.put({**item, "status": answer})

    # --- time ----------------------------------------------------------------------------------

    def settle(self, most: int = 60) -> Plan:
        """Passes and controllers until nothing changes at this moment; returns the last plan."""
        for _ in range(most):
            before = (self.versions, self.status_writes)
            plan = self.step()
            self.controllers()
            if (self.versions, self.status_writes) == before and plan.claim is None:
                return plan
        raise AssertionError(f"no rest after {most} passes: {self.writes[-12:]}")

    def wait(self, **after: float) -> Plan:
        """Let time pass, from one requested look to the next, and settle at the end."""
        until = self.now + timedelta(**after)
        plan = self.settle()
        while plan.requeue_after is not None:
            assert plan.requeue_after >= 0.2, f"looks again at once: {self.status}"
            soon = self.now + timedelta(seconds=plan.requeue_after)
            if soon >= until:
                break
            self.now = soon
            plan = self.settle()
        self.now = until
        return self.settle()

    def weights(self) -> dict[str, int]:
        """The weights of the route, by revision."""
        body = self.get("HTTPRoute", NAME)
        if body is None:
            return {}
        refs = body["spec"]["rules"][0]["backendRefs"]
        return {ref["name"]: ref["weight"] for ref in refs}

    def scales(self) -> dict[str, int]:
        """The asked number of pods, by revision."""
        items = self.store.select("Deployment", NAMESPACE)
        return {item["metadata"]["name"]: item["spec"]["replicas"] for item in items}

    def serving(self) -> "World":
        """A first model serves."""
        self.approve("delays-v1")
        self.settle()
        assert self.status["stable"]["modelVersion"] == "delays-v1", self.status
        return self


__all__ = [
    "CLUSTER",
    "LABEL_MODELDEPLOYMENT",
    "LABEL_REVISION",
    "NAME",
    "PREFIX",
    "ROOT",
    "SCRAPE",
    "UID",
    "Numbers",
    "Objects",
    "World",
    "bundle_of",
    "sha",
    "spec",
    "stored",
]
