"""kubectl against one API server."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.cluster import gobuild

Body = dict[str, Any]


class Kubectl:
    """Runs the real kubectl with one kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._program = gobuild.ensure("kubectl")

    def run(self, *words: str, data: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it and return what became of it, failure included."""
        return subprocess.run(
            [str(self._program), f"--kubeconfig={self.kubeconfig}", *words],
            input=data,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def __call__(self, *words: str, data: str | None = None) -> str:
        """Run it and return its output; fail with its complaint."""
        done = self.run(*words, data=data)
        if done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, kind: str, name: str, namespace: str = "") -> Body | None:
        """Return one object, or None."""
        scope = ["-n", namespace] if namespace else []
        done = self.run("get", kind, name, *scope, "-o", "json", "--ignore-not-found")
        if done.returncode:
            raise AssertionError(f"kubectl get {kind} {name}: {done.stderr.strip()}")
        found: Body | None = json.loads(done.stdout) if done.stdout.strip() else None
        return found

    def all(self, kind: str, namespace: str = "", selector: str = "") -> list[Body]:
        """Return all objects of a kind in a namespace, or in all of them."""
        scope = ["-n", namespace] if namespace else ["-A"]
        chosen = ["-l", selector] if selector else []
        items: list[Body] = json.loads(self("get", kind, *scope, *chosen, "-o", "json"))["items"]
        return items

    def apply(self, *bodies: Body, manager: str = "test") -> list[Body]:
        """Apply objects by server-side apply and return them as stored."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(bodies)})
        answer = self(
            "apply", "--server-side", f"--field-manager={manager}", "--force-conflicts",
            "-o", "json", "-f", "-", data=text,
        )  # fmt: skip
        read = json.loads(answer)
        stored: list[Body] = read["items"] if read["kind"] == "List" else [read]
        return stored

    def create(self, body: Body) -> Body:
        """Create one object and return it as stored."""
        stored: Body = json.loads(self("create", "-o", "json", "-f", "-", data=json.dumps(body)))
        return stored

    def patch(self, kind: str, name: str, namespace: str, patch: Body, *more: str) -> Body:
        """Merge a patch into an object; pass "--subresource=status" to reach its status."""
        answer = self(
            "patch", kind, name, "-n", namespace, "--type=merge", "-p", json.dumps(patch),
            "-o", "json", *more,
        )  # fmt: skip
        stored: Body = json.loads(answer)
        return stored

    def delete(self, kind: str, name: str, namespace: str, *more: str) -> None:
        """Delete one object without waiting for it to be gone."""
        self("delete", kind, name, "-n", namespace, "--wait=false", *more)


def condition(body: Body | None, type_: str) -> Body:
    """Return the object's condition of a type, or an empty dict."""
    held = (body or {}).get("status", {}).get("conditions", [])
    return next((item for item in held if item["type"] == type_), {})
