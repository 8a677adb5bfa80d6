"""Holding an object's children at what its plan says.

A child that exists and is not ours is never touched: it is reported as a conflict of names. One
that is being deleted, or that a dead parent of the same name has left, is waited for. What is
already as wanted costs no request.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from tidemill.adapters.apiserver import ApiServer
from tidemill.adapters.resources import type_of
from tidemill.api.base import GROUP
from tidemill.core.holds import differences
from tidemill.core.identity import (
    ANNOTATION_APPLIED,
    ANNOTATION_SPEC_HASH,
    controller_uid,
    stable_hash,
)
from tidemill.core.plan import Body, Delete
from tidemill.errors import ConflictError, TerminalError
from tidemill.shell.store import Store

_REMEMBERED = 10_000


@dataclass(slots=True)
class Tally:
    """What came of one plan's children."""

    writes: int = 0
    conflicts: list[str] = field(default_factory=list)
    """Objects of others that stand where a child should, each as a sentence."""
    waiting: list[str] = field(default_factory=list)
    """Children that must first be gone."""


class Children:
    """Applies, creates and deletes children of any parent."""

    def __init__(self, api: ApiServer, store: Store, watched: Callable[[Body], bool]) -> None:
        self._api = api
        self._store = store
        self._watched = watched
        self._residues: OrderedDict[str, tuple[str, frozenset[str]]] = OrderedDict()

    async def apply(self, parent: Body, desired: Body, tally: Tally) -> None:
        """Hold one child at its desired body by server-side apply."""
        self._check(desired)
        wanted = _annotated(desired, ANNOTATION_APPLIED, stable_hash(desired, 16))
        live = await self._find(wanted)
        if live is None:
            answer = await self._api.apply(wanted, force=False)
        elif not self._is_ours(parent, live, tally) or self._holds(wanted, live):
            return
        else:
            metadata = {
                **wanted["metadata"],
                "uid": live["metadata"]["uid"],
                "resourceVersion": live["metadata"]["resourceVersion"],
            }
            answer = await self._api.apply({**wanted, "metadata": metadata}, force=True)
        tally.writes += 1
        self._remember(wanted, answer)
        self._store.put(answer)

    async def create(self, parent: Body, desired: Body, tally: Tally) -> None:
        """Make a child once; found there already, it must be ours and made for the same.

        One of a kind that is not watched costs a request each time.
        """
        wanted = _with_spec_hash(desired)
        live = self._in_store(wanted)
        if live is None:
            answer = await self._api.create(wanted)
            if answer is not None:
                tally.writes += 1
                self._keep(answer)
                return
            live = await self._read(wanted)
            if live is None:
                raise ConflictError(f"{_called(wanted)} came and went")
            self._keep(live)
        self._is_same(parent, wanted, live, tally)

    async def delete(self, what: Delete, tally: Tally) -> None:
        """Delete a child, if it is still there and not already going."""
        live = self._store.get(what.kind, what.namespace, what.name)
        if live is None or live["metadata"]["uid"] != what.uid or _going(live):
            return
        answer = await self._api.delete(what)
        tally.writes += 1
        if answer is None:
            self._store.remove(live, gone=True)
        else:
            self._store.put(answer)

    def _check(self, desired: Body) -> None:
        if not self._watched(desired):
            raise TypeError(f"{_called(desired)} is of a kind or with labels that are not watched")

    def _in_store(self, body: Body) -> Body | None:
        metadata = body["metadata"]
        return self._store.get(body["kind"], metadata.get("namespace", ""), metadata["name"])

    def _keep(self, body: Body) -> None:
        if self._watched(body):
            self._store.put(body)

    async def _read(self, body: Body) -> Body | None:
        metadata = body["metadata"]
        return await self._api.get(type_of(body), metadata.get("namespace", ""), metadata["name"])

    async def _find(self, wanted: Body) -> Body | None:
        live = self._in_store(wanted)
        if live is None:
            live = await self._read(wanted)
            if live is not None:
                self._keep(live)
        return live

    def _is_ours(self, parent: Body, live: Body, tally: Tally) -> bool:
        """Whether the parent controls a live object that is here to stay; else tells why not."""
        if _going(live) or self._left_behind(parent, live):
            tally.waiting.append(f"Waiting for {_called(live)} of an earlier owner to be gone.")
            return False
        if controller_uid(live) != parent["metadata"]["uid"]:
            tally.conflicts.append(_conflict(parent, live))
            return False
        return True

    def _left_behind(self, parent: Body, live: Body) -> bool:
        for reference in live["metadata"].get("ownerReferences", ()):
            if reference.get("controller") and reference["apiVersion"].startswith(f"{GROUP}/"):
                uid = reference["uid"]
                return bool(uid != parent["metadata"]["uid"] and self._store.key_of(uid) is None)
        return False

    def _is_same(self, parent: Body, wanted: Body, live: Body, tally: Tally) -> None:
        controlled = controller_uid(wanted) is not None
        if _going(live) or (controlled and self._left_behind(parent, live)):
            tally.waiting.append(f"Waiting for {_called(live)} of an earlier owner to be gone.")
        elif controller_uid(wanted) != controller_uid(live) or _hash_of(wanted) != _hash_of(live):
            tally.conflicts.append(_conflict(parent, live))

    def _holds(self, wanted: Body, live: Body) -> bool:
        """Whether a write would change nothing: same hash, and every wanted field is there.

        Paths the API server answered differently the last time this very body was applied are
        its own business: writing again would give the same answer.
        """
        annotations = live["metadata"].get("annotations") or {}
        mark = wanted["metadata"]["annotations"][ANNOTATION_APPLIED]
        if annotations.get(ANNOTATION_APPLIED) != mark:
            return False
        missing = differences(wanted, live)
        if not missing:
            return True
        remembered = self._residues.get(live["metadata"]["uid"])
        return (
            remembered is not None and remembered[0] == mark and remembered[1].issuperset(missing)
        )

    def _remember(self, wanted: Body, answer: Body) -> None:
        missing = differences(wanted, answer)
        uid = answer["metadata"]["uid"]
        self._residues.pop(uid, None)
        if missing:
            mark = wanted["metadata"]["annotations"][ANNOTATION_APPLIED]
            self._residues[uid] = (mark, frozenset(missing))
            while len(self._residues) > _REMEMBERED:
                self._residues.popitem(last=False)


def spec_hash(body: Body) -> str:
    """The hash that tells an object made once from another of its name."""
    held = {k: v for k, v in body.items() if k not in ("metadata", "status")}
    return stable_hash(held, 16)


def _with_spec_hash(body: Body) -> Body:
    if _hash_of(body) is not None:
        return body
    return _annotated(body, ANNOTATION_SPEC_HASH, spec_hash(body))


def _annotated(body: Body, name: str, value: str) -> Body:
    metadata = body["metadata"]
    annotations = {**metadata.get("annotations", {}), name: value}
    return {**body, "metadata": {**metadata, "annotations": annotations}}


def _hash_of(body: Body) -> str | None:
    held: str | None = (body["metadata"].get("annotations") or {}).get(ANNOTATION_SPEC_HASH)
    return held


def _going(body: Body) -> bool:
    return "deletionTimestamp" in body["metadata"]


def _called(body: Body) -> str:
    return f"{body['kind']} {body['metadata']['name']}"


def _conflict(parent: Body, live: Body) -> str:
    return (
        f"{_called(live)} exists and does not belong to this {parent['kind']}; delete or rename "
        f"it, or give this {parent['kind']} another name."
    )


def not_installed(body: Body) -> TerminalError:
    """The error for a child whose kind the cluster does not know."""
    return TerminalError(
        "KindNotInstalled",
        f"{body['kind']} ({body['apiVersion']}) is not installed in this cluster; install its "
        "CRDs or remove what asks for it from the spec.",
    )
