"""kubectl, as a person would type it, with JSON answers where the demo reads them."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.demo.console import StoryError


@dataclass(frozen=True)
class Kubectl:
    """kubectl against one cluster and one namespace."""

    binary: str
    kubeconfig: str
    namespace: str = "default"
    context: str = ""

    def at(self, namespace: str) -> "Kubectl":
        """The same in another namespace."""
        return replace(self, namespace=namespace)

    def run(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl; its output, or StoryError with what it said."""
        command = [self.binary, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}"]
        if self.context:
            command.append(f"--context={self.context}")
        done = subprocess.run(
            [*command, *words], input=stdin, capture_output=True, text=True, check=False
        )
        if check and done.returncode != 0:
            raise StoryError(f"kubectl {' '.join(words)}: {done.stderr.strip() or done.stdout}")
        return done.stdout

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """One object, or None."""
        text = self.run("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def list(self, kind: str, *selector: str) -> list[dict[str, Any]]:
        """All objects of a kind in the namespace, oldest first."""
        items = json.loads(self.run("get", kind, "-o", "json", *selector))["items"]
        return sorted(items, key=lambda item: item["metadata"]["creationTimestamp"])

    def apply(self, body: dict[str, Any] | str, *flags: str) -> str:
        """Apply an object or a file's text."""
        text = body if isinstance(body, str) else json.dumps(body)
        return self.run("apply", "-f", "-", *flags, stdin=text)

    def patch(self, kind: str, name: str, patch: dict[str, Any]) -> str:
        """A merge patch."""
        return self.run("patch", kind, name, "--type=merge", "-p", json.dumps(patch))


def condition(body: dict[str, Any] | None, type_: str) -> dict[str, Any]:
    """A condition of an object; {} if it has none of this type."""
    status: Sequence[dict[str, Any]] = ((body or {}).get("status") or {}).get("conditions") or ()
    return next((item for item in status if item["type"] == type_), {})
