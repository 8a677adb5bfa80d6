"""A small world in memory: objects, documents and a clock, and passes over them.

Passes are made of the real gather and plan functions; what they want is carried out here as the
shell does it: a claim and nothing else, or creates, deletes and then the status. The engine is
the test: it says how an execution ends.
"""

import asyncio
import hashlib
import itertools
import json
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from tests.builders import NAMESPACE, START, sha
from tidemill.api.base import Model
from tidemill.api.v1alpha1 import KINDS, Dataset, ModelVersion, TrainingJob
from tidemill.core.conditions import rfc3339
from tidemill.core.identity import controller_uid
from tidemill.core.plan import Body, Delete, Plan
from tidemill.ports import Sight
from tidemill.settings import Settings
from tidemill.shell.kinds import KINDS as PASSES
from tidemill.shell.store import Key
from tidemill.shell.wakes import references


class CrashError(Exception):
    """The operator ends right after a write."""


DECIDED = ("Dataset", "TrainingJob", "DatasetVersion", "ModelVersion")
"""The kinds whose passes this world runs."""
OWN_KINDS = {kind.names.kind: kind for kind in KINDS}


class World:
    """Objects by (kind, name), documents by URI, and the time."""

    def __init__(self, *, decided: tuple[str, ...] = DECIDED) -> None:
        self.decided = decided
        self.objects: dict[tuple[str, str], Body] = {}
        self.stored: dict[str, bytes] = {}
        self.now: datetime = START
        self.writes: list[str] = []
        """Each write: `<verb> <kind>/<name>`."""
        self.events: list[tuple[str, str]] = []
        """Each Event: object and reason."""
        self.lineage: list[Body] = []
        """OpenLineage events, in order."""
        self.reads: list[str] = []
        self.crash_after: int | None = None
        """The operator ends once, right after so many writes."""
        self._numbers = itertools.count(1)

    # --- what the operator sees ---

    def get(self, kind: str, namespace: str, name: str) -> Body | None:
        return self.objects.get((kind, name))

    def select(self, kind: str, namespace: str, label: str = "", value: str = "") -> list[Body]:
        return [
            item
            for (of, _), item in sorted(self.objects.items())
            if of == kind and (not label or item["metadata"].get("labels", {}).get(label) == value)
        ]

    def owned(self, kind: str, uid: str) -> list[Body]:
        return [item for item in self.select(kind, "") if controller_uid(item) == uid]

    def served(self, kind: str) -> bool:
        return True

    def referring(self, kind: str, namespace: str, name: str, by: str) -> list[Body]:
        wanted = Key(kind, namespace, name)
        return [item for item in self.select(by, "") if wanted in references(item)]

    async def read(self, uri: str, digest: str | None = None, limit: int = 262144) -> bytes | None:
        self.reads.append(uri)
        return self.stored.get(uri)

    def sight(self) -> Sight:
        more: dict[str, Any] = {
            name: None
            for name in Sight.__dataclass_fields__
            if name not in ("index", "documents", "settings", "cluster_uid", "now")
        }
        return Sight(
            index=self,
            documents=self,
            settings=Settings(),
            cluster_uid="cluster",
            now=self.now,
            **more,
        )

    # --- what a person or the API server does ---

    def add(self, body: Body, **meta: Any) -> Body:
        """Create an object; its status is dropped as the API server would."""
        metadata = {
            "namespace": NAMESPACE,
            "generation": 1,
            **body["metadata"],
            "uid": f"uid-{next(self._numbers)}",
            "creationTimestamp": rfc3339(self.now),
            **meta,
        }
        kept = {key: value for key, value in body.items() if key != "status"}
        made = {**json.loads(json.dumps(kept)), "metadata": metadata}
        self.objects[(body["kind"], metadata["name"])] = made
        return made

    def user(self, thing: Dataset | TrainingJob) -> Body:
        """Commit an object; the same name again is a change of spec."""
        wire = thing.to_wire()
        old = self.objects.get((thing.kind, thing.metadata.name))
        if old is None:
            return self.add(wire)
        metadata = {**old["metadata"], "generation": old["metadata"]["generation"] + 1}
        new = {**old, "spec": wire["spec"], "metadata": metadata}
        self.objects[(thing.kind, thing.metadata.name)] = new
        return new

    def annotate(self, kind: str, name: str, text: str) -> None:
        old = self.objects[(kind, name)]
        metadata = {**old["metadata"], "annotations": {"tidemill.dev/request": text}}
        self.objects[(kind, name)] = {**old, "metadata": metadata}

    def remove(self, kind: str, name: str) -> None:
        """Delete an object, and at once what it controls, as the garbage collector does."""
        gone = self.objects.pop((kind, name))
        for key, item in list(self.objects.items()):
            if controller_uid(item) == gone["metadata"]["uid"]:
                self.objects.pop(key)

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)

    # --- passes ---

    def once(self, kind: str, name: str) -> Plan:
        """One pass, carried out."""
        return asyncio.run(self._once(kind, name))

    async def _once(self, kind: str, name: str) -> Plan:
        body = self.objects[(kind, name)]
        how = PASSES[kind]
        plan: Plan = how.plan(await how.gather(body, self.sight()))
        if plan.claim is not None:
            assert plan.claim != body.get("status"), "a claim has to change something"
            self._status(kind, name, plan.claim, "claim")
            self.lineage += plan.lineage
            return plan
        before = len(self.writes)
        for item in plan.create:
            self._create(item)
        for what in plan.delete:
            self._delete(what)
        if plan.status is not None and plan.status != body.get("status"):
            self._status(kind, name, plan.status, "status")
        if len(self.writes) > before:
            self.events += [(f"{kind}/{name}", event.reason) for event in plan.events]
        return plan

    def settle(self) -> list[str]:
        """Passes over everything until a round writes nothing; returns the writes."""
        before = len(self.writes)
        for _ in range(60):
            mark = len(self.writes)
            for kind, name in sorted(self.objects):
                if kind in self.decided and (kind, name) in self.objects:
                    with suppress(CrashError):
                        self.once(kind, name)
            if len(self.writes) == mark:
                return self.writes[before:]
        raise AssertionError(f"it never settles: {self.writes[-20:]}")

    def _status(self, kind: str, name: str, status: Body, verb: str) -> None:
        OWN_KINDS[kind].parse({**self.objects[(kind, name)], "status": status})
        self.objects[(kind, name)] = {**self.objects[(kind, name)], "status": status}
        self._wrote(f"{verb} {kind}/{name}")

    def _create(self, body: Body) -> None:
        key = (body["kind"], body["metadata"]["name"])
        there = self.objects.get(key)
        if there is None:
            OWN_KINDS[body["kind"]].parse(body)
            self.add(body)
            self._wrote(f"create {key[0]}/{key[1]}")
            return
        assert controller_uid(there) == controller_uid(body), f"{key} is not ours"
        mark = "tidemill.dev/spec-hash"
        assert there["metadata"]["annotations"][mark] == body["metadata"]["annotations"][mark]

    def _delete(self, what: Delete) -> None:
        if self.objects[(what.kind, what.name)]["metadata"]["uid"] == what.uid:
            self.remove(what.kind, what.name)
            self._wrote(f"delete {what.kind}/{what.name}")

    def _wrote(self, what: str) -> None:
        self.writes.append(what)
        if self.crash_after == len(self.writes):
            self.crash_after = None
            raise CrashError(what)

    # --- the engine ---

    def put(self, uri: str, document: Model) -> dict[str, str]:
        """Store a document; returns where, with its digest."""
        data = document.model_dump_json(by_alias=True, exclude_none=True).encode()
        self.stored[uri] = data
        return {"uri": uri, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}"}

    def running(self) -> list[str]:
        """Names of executions that have not ended."""
        return [
            item["metadata"]["name"]
            for item in self.select("PipelineExecution", "")
            if item.get("status", {}).get("state") not in ("Succeeded", "Failed", "Canceled")
        ]

    def succeed(self, result: Model, name: str = "") -> str:
        """The one execution that runs (or the one named) ends well and hands this back."""
        named = name or self._only()
        body = self.objects[("PipelineExecution", named)]
        uri = f"s3://artifacts/{body['metadata']['uid']}/1/result.json"
        self._end(named, "Succeeded", "Succeeded", "Done.", result=self.put(uri, result))
        return named

    def fail(self, reason: str, message: str, name: str = "") -> str:
        """The one execution that runs (or the one named) fails after all its attempts."""
        named = name or self._only()
        self._end(named, "Failed", reason, message)
        return named

    def _only(self) -> str:
        (name,) = self.running()
        return name

    def _end(self, name: str, state: str, reason: str, message: str, **more: Any) -> None:
        body = self.objects[("PipelineExecution", name)]
        ready = {
            "type": "Ready",
            "status": str(state == "Succeeded"),
            "reason": reason,
            "message": message,
            "lastTransitionTime": rfc3339(self.now),
        }
        status = {
            "state": state,
            "ended": rfc3339(self.now),
            "conditions": [ready],
            "image": "tidemill/steps:1",
            "imageDigest": sha("image"),
            **more,
        }
        self.objects[("PipelineExecution", name)] = {**body, "status": status}

    # --- what came of it ---

    def dataset(self, name: str = "flights") -> Dataset:
        return Dataset.parse(self.objects[("Dataset", name)])

    def job(self, name: str = "delays") -> TrainingJob:
        return TrainingJob.parse(self.objects[("TrainingJob", name)])

    def model(self, name: str) -> ModelVersion:
        return ModelVersion.parse(self.objects[("ModelVersion", name)])

    def names(self, kind: str) -> list[str]:
        return [name for of, name in sorted(self.objects) if of == kind]
