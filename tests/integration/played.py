"""A namespace of a real API server with an operator, where the test plays the engine.

No Job of an execution ever runs here. The test says how an execution ends: it puts the result
document into the artifact store, a directory, and says so in the execution's status, as the pass
over the execution would.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster.controlplane import ControlPlane
from tests.integration.audit import AuditLog
from tests.integration.kubectl import Kubectl, condition
from tests.integration.operator_process import OperatorProcess
from tests.integration.waiting import wait_for
from tidemill.api.base import Model
from tidemill.core.conditions import rfc3339

Body = dict[str, Any]
PATIENCE = 60.0
"""Seconds; far more than anything takes on a machine that is not overloaded."""
OVER = ("Succeeded", "Failed", "Canceled")


@dataclass
class Played:
    """One namespace, one artifact store, and operators that come and go."""

    kubectl: Kubectl
    audit: AuditLog
    namespace: str
    store: Path
    start: Callable[[], OperatorProcess]
    operators: list[OperatorProcess] = field(default_factory=list)

    @classmethod
    def on(
        cls,
        plane: ControlPlane,
        run_operator: Callable[..., OperatorProcess],
        namespace: str,
        directory: Path,
    ) -> "Played":
        """A namespace of an API server, with operators for it alone."""
        store = directory / "store"
        store.mkdir()
        env = {
            "TIDEMILL_ARTIFACT_ROOT": f"file://{store}",
            "TIDEMILL_NAMESPACE": namespace,
            "TIDEMILL_LEASE_NAME": namespace,
        }
        kubectl, audit = Kubectl(plane.kubeconfig), AuditLog(plane.audit_log)
        return cls(kubectl, audit, namespace, store, lambda: run_operator(env, plane=plane))

    # --- the operator ---

    def run(self) -> OperatorProcess:
        """Start an operator and wait until it leads."""
        self.operators.append(self.start().wait_leading())
        return self.operators[-1]

    def kill(self) -> None:
        """End the operator as a lost node would."""
        self.operators[-1].kill()

    def idle(self) -> None:
        """Wait until the operator has nothing to do."""
        self.operators[-1].wait_idle()

    # --- the user ---

    def user(self, thing: Model) -> Body:
        """Commit an object: its spec, by server-side apply."""
        body = thing.to_wire()
        meta = {"name": body["metadata"]["name"], "namespace": self.namespace}
        wanted = {**body, "metadata": meta}
        wanted.pop("status", None)
        return self.kubectl.apply(wanted, manager="git")[0]

    def ask(self, kind: str, name: str, what: str) -> str:
        """Make a request now, unlike any before; returns its text."""
        text = f"{what}@{datetime.now(UTC).isoformat()}"
        self.kubectl("annotate", kind, name, "-n", self.namespace, "--overwrite",
                     f"tidemill.dev/request={text}")  # fmt: skip
        return text

    # --- what there is ---

    def get(self, kind: str, name: str) -> Body:
        """An object, or an empty dict."""
        return self.kubectl.get(kind, name, self.namespace) or {}

    def status(self, kind: str, name: str) -> Body:
        """Its status."""
        status: Body = self.get(kind, name).get("status") or {}
        return status

    def told(self, kind: str, name: str, type_: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition; empty words where there is none."""
        found = condition(self.get(kind, name), type_)
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    def names(self, kind: str) -> list[str]:
        """The names of all objects of a kind."""
        return sorted(item["metadata"]["name"] for item in self.kubectl.all(kind, self.namespace))

    def running(self, parent: str) -> list[str]:
        """Names of a parent's executions that have not ended."""
        return [
            item["metadata"]["name"]
            for item in self.kubectl.all("pipelineexecutions", self.namespace)
            if item["metadata"]["name"].startswith(f"{parent}-")
            and "deletionTimestamp" not in item["metadata"]
            and (item.get("status") or {}).get("state") not in OVER
        ]

    # --- waiting ---

    def wait(self, told: Callable[[], Any], what: str) -> Any:
        """Wait until something is so."""
        return wait_for(told, PATIENCE, what)

    def wait_reason(self, kind: str, name: str, type_: str, reason: str) -> str:
        """Wait until a condition has this reason; returns its message."""
        self.wait(lambda: self.told(kind, name, type_)[1] == reason, f"{type_}={reason} of {name}")
        return self.told(kind, name, type_)[2]

    def wait_run(self, parent: str) -> str:
        """Wait until an execution of a parent runs; returns its name."""
        found: list[str] = self.wait(lambda: self.running(parent), f"an execution of {parent}")
        (name,) = found
        return name

    def wait_settled(self, kind: str, name: str) -> Body:
        """Wait until nothing is active and the newest generation was looked at."""

        def settled() -> Body | None:
            body = self.get(kind, name)
            status = body.get("status") or {}
            seen = status.get("observedGeneration") == body["metadata"]["generation"]
            return status if seen and not status.get("active") else None

        status: Body = self.wait(settled, f"{name} settled")
        return status

    # --- the engine ---

    def succeed(self, parent: str, result: Model) -> str:
        """The execution of a parent that runs ends well and hands this back; returns its name."""
        name = self.wait_run(parent)
        uid = self.get("pipelineexecution", name)["metadata"]["uid"]
        stored = self.put(f"runs/{uid}/1/result.json", result)
        self._end(name, "Succeeded", "Succeeded", "Done.", result=stored)
        return name

    def fail(self, parent: str, reason: str, message: str) -> str:
        """The execution of a parent that runs fails after all its attempts; returns its name."""
        name = self.wait_run(parent)
        self._end(name, "Failed", reason, message)
        return name

    def put(self, path: str, document: Model) -> dict[str, str]:
        """Store a document below the namespace's prefix; returns where, with its digest."""
        cluster = (self.kubectl.get("namespace", "kube-system") or {})["metadata"]["uid"]
        place = self.store / cluster / self.namespace / path
        place.parent.mkdir(parents=True, exist_ok=True)
        data = document.model_dump_json(by_alias=True, exclude_none=True).encode()
        place.write_bytes(data)
        return {"uri": f"file://{place}", "digest": f"sha256:{hashlib.sha256(data).hexdigest()}"}

    def _end(self, name: str, state: str, reason: str, message: str, **more: Any) -> None:
        now = rfc3339(datetime.now(UTC))
        ready = {
            "type": "Ready",
            "status": str(state == "Succeeded"),
            "reason": reason,
            "message": message,
            "lastTransitionTime": now,
            "observedGeneration": 1,
        }
        status = {
            "state": state,
            "ended": now,
            "conditions": [ready],
            "image": "tidemill/steps:played",
            "observedGeneration": 1,
            **more,
        }
        self.kubectl.patch(
            "pipelineexecution", name, self.namespace, {"status": status}, "--subresource=status"
        )
