"""The watched objects in memory, and who belongs to whom.

Everything that tells us of an object goes through `put` and `remove`: kopf's stream, our
informer, lists, and the answers to our own writes. Whatever is older than what is held or than
the deletion last heard of is refused, so it does not matter which stream brings it first.

Bodies are held packed and without managedFields; the few that are in use are kept decoded.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from sys import intern
from typing import NamedTuple, TypeVar

from tidemill.api.base import GROUP, REQUEST_ANNOTATION
from tidemill.core.identity import controller_uid
from tidemill.core.plan import Body
from tidemill.shell.packing import Packing

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

K = TypeVar("K")
V = TypeVar("V")


class Key(NamedTuple):
    """Which object: kind, namespace and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Record:
    """What is held of one object."""

    uid: str
    version: int
    generation: int
    created: str
    deleting: bool
    request: str
    """The request annotation."""
    owner: str
    """uid of the controller, or empty."""
    labels: tuple[tuple[str, str], ...]
    """Its tidemill.dev labels."""
    conditions: tuple[tuple[str, str], ...]
    """Type and status, for our own kinds."""
    references: tuple[Key, ...]
    payload: bytes
    """The body, packed."""


@dataclass(frozen=True, slots=True)
class Change:
    """An object is there, has changed, or is gone."""

    key: Key
    before: Record | None
    after: Record | None


References = Callable[[Body], Iterable[Key]]
"""The objects a body refers to."""


class Store:
    """All watched objects. Fills ports.Index.

    `missed` is told of each kind that someone asks for and the API server does not have.
    """

    def __init__(
        self,
        references: References = lambda body: (),
        *,
        missed: Callable[[str], None] = lambda kind: None,
        decoded: int = 256,
        tombstones: int = 10_000,
    ) -> None:
        self._references = references
        self._missed = missed
        self._packing = Packing()
        self._records: dict[str, dict[tuple[str, str], Record]] = {}
        self._names: dict[tuple[str, str], set[str]] = {}
        self._labelled: dict[tuple[str, str, str], set[tuple[str, str]]] = {}
        self._children: dict[str, set[Key]] = {}
        self._referring: dict[Key, set[Key]] = {}
        self._uids: dict[str, Key] = {}
        self._unserved: set[str] = set()
        self._deleted: OrderedDict[Key, int] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._decoded: OrderedDict[Key, tuple[Record, Body]] = OrderedDict()
        self._limits = (decoded, tombstones)
        self._listeners: list[Callable[[Change], None]] = []

    def subscribe(self, listener: Callable[[Change], None]) -> None:
        """Have `listener` told of every change, at once."""
        self._listeners.append(listener)

    def get(self, kind: str, namespace: str, name: str) -> Body | None:
        """One object, or None."""
        record = self._records.get(kind, {}).get((namespace, name))
        return None if record is None else self._body(Key(kind, namespace, name), record)

    def select(self, kind: str, namespace: str, label: str = "", value: str = "") -> list[Body]:
        """All objects of a kind in a namespace ("" for all), by name; or those with the label."""
        if label.startswith(f"{GROUP}/"):
            places: Iterable[tuple[str, str]] = self._labelled.get((kind, label, value), ())
            if namespace:
                places = [place for place in places if place[0] == namespace]
        elif namespace:
            places = [(namespace, name) for name in self._names.get((kind, namespace), ())]
        else:
            places = self._records.get(kind, {})
        records = self._records.get(kind, {})
        found = [self._body(Key(kind, *place), records[place]) for place in sorted(places)]
        if label and not label.startswith(f"{GROUP}/"):
            return [item for item in found if _labels(item).get(label) == value]
        return found

    def owned(self, kind: str, uid: str) -> list[Body]:
        """All objects of a kind whose controller has this uid, by name."""
        keys = sorted(key for key in self._children.get(uid, ()) if key.kind == kind)
        return [self._body(key, self._records[kind][key[1:]]) for key in keys]

    def record(self, key: Key) -> Record | None:
        """What is held of an object, without decoding it."""
        return self._records.get(key.kind, {}).get(key[1:])

    def key_of(self, uid: str) -> Key | None:
        """The object with this uid."""
        return self._uids.get(uid)

    def referring(self, kind: str, namespace: str, name: str, by: str) -> list[Body]:
        """All objects of kind `by`, in any namespace, that refer to this object."""
        keys = [key for key in self.referrers(Key(kind, namespace, name)) if key.kind == by]
        return [self._body(key, self._records[by][key[1:]]) for key in keys]

    def referrers(self, key: Key) -> list[Key]:
        """The objects that refer to this one, which itself need not exist."""
        return sorted(self._referring.get(key, ()))

    def served(self, kind: str) -> bool:
        """Whether the API server has this kind, as of the last look; if not, it is missed."""
        if kind not in self._unserved:
            return True
        self._missed(kind)
        return False

    def set_served(self, kind: str, served: bool) -> bool:
        """Note whether the API server has a kind; returns whether that is news."""
        if served == (kind not in self._unserved):
            return False
        self._unserved ^= {kind}
        return True

    def keys(self, kind: str) -> Iterator[Key]:
        """All objects of a kind."""
        for namespace, name in list(self._records.get(kind, {})):
            yield Key(kind, namespace, name)

    def put(self, body: Body) -> Change | None:
        """Take in an object; None when it is nothing new or already known to be outdated."""
        metadata = body["metadata"]
        key = _key(body)
        uid, version = metadata["uid"], int(metadata["resourceVersion"])
        before = self.record(key)
        known = before.version if before is not None else self._deleted.get(key, -1)
        if version <= known or uid in self._gone:
            return None
        after = self._to_record(body)
        if before is not None:
            self._unlink(key, before)
        self._deleted.pop(key, None)
        self._link(key, after)
        return self._tell(Change(key, before, after))

    def remove(self, body: Body, *, gone: bool = False) -> Change | None:
        """Take out an object that was deleted, or has left what we select, at its version.

        With `gone` it was deleted for certain: whatever else is told of its uid is refused.
        """
        uid = body["metadata"]["uid"]
        if gone:
            self._gone[uid] = None
            _shorten(self._gone, self._limits[1])
        return self._remove(_key(body), uid, int(body["metadata"]["resourceVersion"]), gone)

    def retain(self, kind: str, namespace: str, seen: dict[Key, str], version: int) -> list[Change]:
        """Take out what a list at `version` no longer has: deletions nobody told us of.

        `seen` holds the uids by key. What is newer than the list stays.
        """
        missed = []
        for key in list(self.keys(kind)):
            record = self.record(key)
            if record is None or (namespace and key.namespace != namespace):
                continue
            if seen.get(key) != record.uid and record.version <= version:
                change = self._remove(key, record.uid, version)
                missed += [change] if change else []
        return missed

    def _remove(self, key: Key, uid: str, version: int, gone: bool = False) -> Change | None:
        """Versions are the whole store's: at `version` nobody of this name was there."""
        before = self.record(key)
        if before is not None:
            if version < before.version and not (gone and before.uid == uid):
                return None
            self._unlink(key, before)
            version = max(version, before.version)
        self._deleted[key] = max(version, self._deleted.pop(key, -1))
        _shorten(self._deleted, self._limits[1])
        return None if before is None else self._tell(Change(key, before, None))

    def _tell(self, change: Change) -> Change:
        for listener in self._listeners:
            listener(change)
        return change

    def _body(self, key: Key, record: Record) -> Body:
        held = self._decoded.get(key)
        if held is not None and held[0] is record:
            self._decoded.move_to_end(key)
            return held[1]
        body = self._packing.unpack(key.kind, record.payload)
        self._decoded[key] = (record, body)
        self._decoded.move_to_end(key)
        if len(self._decoded) > self._limits[0]:
            self._decoded.popitem(last=False)
        return body

    def _link(self, key: Key, record: Record) -> None:
        place = key[1:]
        self._records.setdefault(key.kind, {})[place] = record
        self._names.setdefault((key.kind, key.namespace), set()).add(key.name)
        self._uids[record.uid] = key
        for label, value in record.labels:
            self._labelled.setdefault((key.kind, label, value), set()).add(place)
        if record.owner:
            self._children.setdefault(record.owner, set()).add(key)
        for target in record.references:
            self._referring.setdefault(target, set()).add(key)

    def _unlink(self, key: Key, record: Record) -> None:
        del self._records[key.kind][key[1:]]
        self._decoded.pop(key, None)
        self._uids.pop(record.uid, None)
        _discard(self._names, (key.kind, key.namespace), key.name)
        for label, value in record.labels:
            _discard(self._labelled, (key.kind, label, value), key[1:])
        if record.owner:
            _discard(self._children, record.owner, key)
        for target in record.references:
            _discard(self._referring, target, key)

    def _to_record(self, body: Body) -> Record:
        metadata = body["metadata"]
        return Record(
            uid=intern(metadata["uid"]),
            version=int(metadata["resourceVersion"]),
            generation=metadata.get("generation", 0),
            created=intern(metadata.get("creationTimestamp", "")),
            deleting="deletionTimestamp" in metadata,
            request=(metadata.get("annotations") or {}).get(REQUEST_ANNOTATION, ""),
            owner=intern(controller_uid(body) or ""),
            labels=tuple(
                (intern(label), intern(value))
                for label, value in _labels(body).items()
                if label.startswith(f"{GROUP}/")
            ),
            conditions=_conditions(body),
            references=tuple(self._references(body)),
            payload=self._packing.pack(stripped(body)),
        )


def stripped(body: Body) -> Body:
    """The object without the bookkeeping that nothing here reads."""
    metadata = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
    annotations = metadata.get("annotations")
    if annotations and LAST_APPLIED in annotations:
        metadata["annotations"] = {k: v for k, v in annotations.items() if k != LAST_APPLIED}
    return {**body, "metadata": metadata}


def _key(body: Body) -> Key:
    metadata = body["metadata"]
    return Key(intern(body["kind"]), intern(metadata.get("namespace", "")), metadata["name"])


def _labels(body: Body) -> dict[str, str]:
    return body["metadata"].get("labels") or {}


def _conditions(body: Body) -> tuple[tuple[str, str], ...]:
    if not body["apiVersion"].startswith(f"{GROUP}/"):
        return ()
    held = (body.get("status") or {}).get("conditions") or ()
    return tuple((intern(item["type"]), intern(item["status"])) for item in held)


def _shorten(remembered: OrderedDict[K, V], limit: int) -> None:
    """Forget the oldest beyond so many."""
    while len(remembered) > limit:
        remembered.popitem(last=False)


def _discard(index: dict[K, set[V]], key: K, value: V) -> None:
    held = index.get(key)
    if held is not None:
        held.discard(value)
        if not held:
            del index[key]
