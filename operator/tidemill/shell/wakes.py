"""Who is to be looked at when an object changes.

A change wakes the object itself if it is ours, its controller, whoever our labels name on it,
what it refers to and what refers to it. A record passes the nudge on to those that look at
records through what it refers to: a DatasetVersion to the TrainingJobs of its Dataset, a
ModelVersion to the ModelDeployments that follow its TrainingJob.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tidemill.adapters.resources import OWN
from tidemill.core.identity import (
    LABEL_DATASET,
    LABEL_EXECUTION,
    LABEL_MODELDEPLOYMENT,
    LABEL_TRAININGJOB,
)
from tidemill.core.plan import Body
from tidemill.shell.store import Change, Key, Record, Store

RECORDS = frozenset({"DatasetVersion", "ModelVersion"})
ANY = "*"
"""Stands in a reference for every object of the kind in the namespace."""
_LABELLED: Mapping[str, str] = {
    LABEL_DATASET: "Dataset",
    LABEL_EXECUTION: "PipelineExecution",
    LABEL_MODELDEPLOYMENT: "ModelDeployment",
    LABEL_TRAININGJOB: "TrainingJob",
}
_REFERENCES: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "TrainingJob": (
        ("Dataset", ("spec", "datasetRef", "name")),
        ("DatasetVersion", ("spec", "datasetRef", "version")),
    ),
    "ModelDeployment": (
        ("TrainingJob", ("spec", "model", "trainingJobRef", "name")),
        ("ModelVersion", ("spec", "model", "modelVersionRef", "name")),
        ("ModelVersion", ("status", "stable", "modelVersion")),
        ("ModelVersion", ("status", "candidate", "modelVersion")),
    ),
    "DatasetVersion": (("Dataset", ("spec", "datasetRef", "name")),),
    "ModelVersion": (
        ("TrainingJob", ("spec", "trainingJobRef", "name")),
        ("DatasetVersion", ("spec", "datasetVersion")),
    ),
}

Wake = Callable[[Key, bool], None]
"""Told of each key to look at, and whether a person waits for it."""


def references(body: Body) -> Iterator[Key]:
    """The objects that an object of ours refers to, all but a Gateway in its own namespace."""
    namespace = body["metadata"].get("namespace", "")
    for kind, path in _REFERENCES.get(body["kind"], ()):
        name = _at(body, path)
        if name:
            yield Key(kind, namespace, name)
    if body["kind"] == "ModelDeployment":
        spec = body.get("spec") or {}
        if (spec.get("model") or {}).get("bundle"):
            yield Key("ModelVersion", namespace, ANY)  # the record it becomes, or became already
        gateway = (spec.get("route") or {}).get("gatewayRef") or {}
        if gateway.get("name"):
            yield Key("Gateway", gateway.get("namespace") or namespace, gateway["name"])


class Wakes:
    """Turns changes of a store into keys to look at."""

    def __init__(self, store: Store, wake: Wake) -> None:
        self._store = store
        self._wake = wake
        self.live = False
        """False while the stores are filled: what is found then is not a person's change."""
        store.subscribe(self.changed)

    def changed(self, change: Change) -> None:
        """Wake everyone whom this change may concern."""
        if change.key.kind in OWN:
            self._wake(change.key, self.live and _by_person(change))
        for key in dict.fromkeys(self._concerned(change)):
            ours = key.kind in OWN  # a Gateway is referred to, and no pass of ours is about it
            if ours and key != change.key and self._store.record(key) is not None:
                self._wake(key, False)

    def _concerned(self, change: Change) -> Iterator[Key]:
        for record in (change.before, change.after):
            if record is None:
                continue
            owner = self._store.key_of(record.owner) if record.owner else None
            if owner is not None and owner.kind in OWN:
                yield owner
            for label, value in record.labels:
                if label in _LABELLED:
                    yield Key(_LABELLED[label], change.key.namespace, value)
            for target in record.references:
                yield target
                if change.key.kind in RECORDS:
                    yield from self._deciders(self._store.referrers(target))
        yield from self._referring(change)

    def _referring(self, change: Change) -> Iterator[Key]:
        keys = self._store.referrers(change.key)
        keys += self._store.referrers(change.key._replace(name=ANY))
        yield from self._deciders(keys)
        records = [key for key in keys if key.kind in RECORDS]
        if change.key.kind == "DatasetVersion":  # its models ask only whether it was revoked
            records = records if _revoked(change.before) != _revoked(change.after) else []
        elif _asked(change.before) == _asked(change.after):  # only status moved: newest will do
            records = self._newest(records)
        yield from records

    @staticmethod
    def _deciders(keys: Iterable[Key]) -> Iterator[Key]:
        return (key for key in keys if key.kind not in RECORDS)

    def _newest(self, keys: list[Key]) -> list[Key]:
        def age(key: Key) -> tuple[str, str]:
            record = self._store.record(key)
            return (record.created if record else "", key.name)

        return [max(keys, key=age)] if keys else []


def _by_person(change: Change) -> bool:
    return change.after is not None and _asked(change.before) != _asked(change.after)


def _revoked(record: Record | None) -> bool:
    return record is not None and ("Revoked", "True") in record.conditions


def _asked(record: Record | None) -> tuple[int, str] | None:
    """What a person has a say in: the spec's generation and the request annotation."""
    return None if record is None else (record.generation, record.request)


def _at(body: Any, path: tuple[str, ...]) -> str:
    for step in path:
        body = body.get(step) if isinstance(body, dict) else None
    return body if isinstance(body, str) else ""
