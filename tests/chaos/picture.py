"""What a namespace looks like when all is done, without what differs from run to run.

Times of the run, uids, hashes of them in names, and digests of documents that hold any of these
are put as what they stand for; whatever else differs between two runs is a difference.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Body = dict[str, Any]
Picture = dict[str, Body]
"""`Kind name` -> object, both masked."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DROPPED = ("creationTimestamp", "managedFields", "resourceVersion", "uid")
_HASHES = ("tidemill.dev/applied", "tidemill.dev/spec-hash")
_ASSIGNED = ("clusterIP", "clusterIPs")
"""What the API server draws by lot."""


@dataclass(frozen=True, kw_only=True)
class Masks:
    """What to put for what."""

    namespace: str
    cluster: str
    """uid of the cluster."""
    root: str
    """Of the artifact store."""
    digests: Mapping[str, str]
    """Digest of a document -> where it lies."""
    since: datetime
    """Times from here on are the run's own."""

    def of(self, bodies: Iterable[Body]) -> Picture:
        """The picture of these objects."""
        bodies = list(bodies)
        words = self._words(bodies)
        shown: Picture = {}
        for body in bodies:
            masked = self._mask(body, words)
            key = f"{masked['kind']} {masked['metadata']['name']}"
            while key in shown:
                key += " again"
            shown[key] = masked
        return shown

    def text(self, text: str, bodies: Iterable[Body]) -> str:
        """One text, such as an Event's, masked with the names of these objects."""
        return self._masked(text, self._words(list(bodies)))

    def _words(self, bodies: list[Body]) -> list[tuple[str, str]]:
        words = {self.cluster: "<cluster>", self.root: "<artifacts>"}
        for body in bodies:
            metadata = body["metadata"]
            role = _role(body)
            words[metadata["uid"]] = f"<uid of {body['kind']} {role or metadata['name']}>"
            if role:
                words[metadata["name"]] = f"<{role}>"
        # The longest first: a Job's name begins with its execution's.
        return sorted(words.items(), key=lambda pair: -len(pair[0]))

    def _mask(self, body: Body, words: list[tuple[str, str]]) -> Body:
        metadata = {k: v for k, v in body["metadata"].items() if k not in _DROPPED}
        annotations = metadata.get("annotations") or {}
        hashes = {name: "<hash>" for name in _HASHES if name in annotations}
        metadata["annotations"] = {**annotations, **hashes}
        shown = {**body, "metadata": metadata}
        if body["kind"] == "Service":
            shown["spec"] = {k: v for k, v in body["spec"].items() if k not in _ASSIGNED}
        if body["kind"] == "HTTPRoute":  # two changes of it that follow at once may be one
            del metadata["generation"], shown["status"]
        if body["kind"] == "Job":  # a later attempt has what is left of the limit
            left = -(-body["spec"]["activeDeadlineSeconds"] // 100) * 100
            shown["spec"] = {**body["spec"], "activeDeadlineSeconds": left}
        masked: Body = json.loads(self._masked(json.dumps(shown, sort_keys=True), words))
        return masked

    def _masked(self, text: str, words: list[tuple[str, str]]) -> str:
        text = _DIGEST.sub(self._digest, text)
        for word, role in words:
            text = text.replace(word, role)
        text = re.sub(rf"\b{re.escape(self.namespace)}\b", "<namespace>", text)
        return _TIME.sub(self._time, text)

    def _digest(self, found: re.Match[str]) -> str:
        uri = self.digests.get(found[0])
        return found[0] if uri is None else f"<sha256 of {uri}>"

    def _time(self, found: re.Match[str]) -> str:
        moment = datetime.fromisoformat(found[0].replace("Z", "+00:00"))
        # Stored times have whole seconds.
        own = self.since - timedelta(seconds=2) <= moment <= datetime.now(UTC) + timedelta(hours=2)
        return "<now>" if own else found[0]


def differences(wanted: Picture, held: Picture) -> list[str]:
    """What is different in a picture, one line each."""
    found = [f"{key} is missing" for key in wanted.keys() - held.keys()]
    found += [f"{key} is there and should not be" for key in held.keys() - wanted.keys()]
    for key in wanted.keys() & held.keys():
        found += _compare(wanted[key], held[key], key)
    return sorted(found)


def _compare(wanted: Any, held: Any, path: str) -> list[str]:
    if isinstance(wanted, dict) and isinstance(held, dict):
        keys = sorted(wanted.keys() | held.keys())
        return [
            line
            for key in keys
            for line in _compare(wanted.get(key), held.get(key), f"{path}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(held, list) and len(wanted) == len(held):
        pairs = enumerate(zip(wanted, held, strict=True))
        return [line for at, pair in pairs for line in _compare(*pair, f"{path}[{at}]")]
    return [] if wanted == held else [f"{path}: {_short(held)} instead of {_short(wanted)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) < 300 else f"{text[:300]}..."


def _role(body: Body) -> str:
    """What an object with a hash in its name is for; empty if its name is always the same."""
    match body["kind"]:
        case "PipelineExecution":
            return str(body["spec"]["pipeline"].get("builtin", ""))
        case "ModelVersion":
            return "model"
        case "Pod":
            labels = body["metadata"].get("labels") or {}
            return f"pod of {labels.get('tidemill.dev/execution', '')}"
    return ""
