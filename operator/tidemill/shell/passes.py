"""One pass over one object: gather, decide, then claim or carry out.

Children go first, the status last and once, Events after it: a crash in between repeats the same
decision, and the status never tells what was not done. A pass that changes nothing makes no
request.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError

from tidemill.adapters.apiserver import ApiServer
from tidemill.api.base import GROUP, Condition
from tidemill.core.conditions import condition, merge
from tidemill.core.identity import stable_hash
from tidemill.core.plan import Body, EngineCall, Event, Plan
from tidemill.errors import TerminalError, TransientError
from tidemill.ports import Pipelines, Sight
from tidemill.shell.children import Children, Tally, not_installed
from tidemill.shell.events import Storyteller
from tidemill.shell.kinds import Kind
from tidemill.shell.store import Key, Store

logger = logging.getLogger(__name__)

WAIT_SECONDS = 2.0
"""How soon to look again for a child that must first be gone."""
_STATUS_OF_TROUBLE = ("Ready", "Reconciling", "Stalled")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a pass."""

    kind: str
    """Gone, Idle, Wrote, Claimed, Stalled or Ended."""
    requeue_after: float | None = None


class Passes:
    """Runs passes for all kinds."""

    def __init__(
        self,
        *,
        api: ApiServer,
        store: Store,
        kinds: Mapping[str, Kind],
        children: Children,
        storyteller: Storyteller,
        sight: Callable[[], Sight],
        fence: Callable[[], None],
        pipelines: Pipelines | None = None,
        optional: Collection[str] = (),
        lineage: Callable[[Body], None] = lambda event: None,
    ) -> None:
        self._api = api
        self._store = store
        self._kinds = kinds
        self._children = children
        self._storyteller = storyteller
        self._sight = sight
        self._fence = fence
        self._pipelines = pipelines
        self._optional = optional
        self._lineage = lineage
        self._answered: dict[Key, tuple[str, str]] = {}

    async def run(self, key: Key) -> Outcome:
        """Make the world match one decision about one object.

        Raises TransientError when it is to be tried again.
        """
        body = self._store.get(*key)
        if body is None:
            self._answered.pop(key, None)
            return Outcome("Gone")
        sight = self._sight()
        try:
            kind = self._kinds[key.kind]
            plan = kind.plan(await kind.gather(body, sight))
            self._fence()
            return await self._carry_out(body, plan, sight.now)
        except ValidationError as error:
            return await self._stall(body, "InvalidObject", _said(error), sight.now)
        except TerminalError as error:
            if error.reason == "NamespaceTerminating":
                return Outcome("Ended")
            return await self._stall(body, error.reason, str(error), sight.now)

    async def _carry_out(self, body: Body, plan: Plan, now: datetime) -> Outcome:
        if plan.claim is not None:
            if _same(plan.claim, body.get("status")):
                raise TypeError(f"{_key(body)} claims what it has claimed already")
            await self._write_status(body, plan.claim)
            for event in plan.lineage:
                self._lineage(event)
            await self._tell(body, plan.events)
            return Outcome("Claimed")
        tally = Tally()
        await self._hold_children(body, plan, tally)
        await self._call_engine(body, plan, tally)
        held = await self._hold_finalizers(body, plan, tally)
        if held is None:
            return Outcome("Gone")
        plan = _told_of_conflicts(held, plan, tally, now)
        if plan.status is not None and not self._is_told(held, plan.status):
            await self._write_status(held, plan.status)
            tally.writes += 1
        if tally.writes:
            await self._tell(held, plan.events)
        again = plan.requeue_after
        if tally.waiting:
            again = min(again or WAIT_SECONDS, WAIT_SECONDS)
        return Outcome("Wrote" if tally.writes else "Idle", again)

    async def _hold_children(self, body: Body, plan: Plan, tally: Tally) -> None:
        going = "deletionTimestamp" in body["metadata"]
        for child in () if going else plan.apply:
            try:
                await self._children.apply(body, child, tally)
            except TerminalError as error:
                if error.reason == "NotFound" and child["kind"] in self._optional:
                    raise not_installed(child) from error
                raise
        for child in () if going else plan.create:
            await self._children.create(body, child, tally)
        for what in plan.delete:
            await self._children.delete(what, tally)

    async def _call_engine(self, body: Body, plan: Plan, tally: Tally) -> None:
        """Call the engine. Whatever fails ends the pass: the adapter remembers why, and the next
        look is told.
        """
        for call in plan.engine:
            self._fence()
            tally.writes += 1
            try:
                await self._call(body, call)
            except TerminalError as error:
                raise TransientError(f"{call.verb} of run {call.run_id}: {error}") from error

    async def _tell(self, body: Body, events: Iterable[Event]) -> None:
        for event in events:
            await self._storyteller.tell(body, event)

    async def _call(self, body: Body, call: EngineCall) -> None:
        if self._pipelines is None:
            raise TransientError("no Kubeflow Pipelines server is configured")
        if call.verb == "Create":
            namespace = body["metadata"]["namespace"]
            await self._pipelines.create(namespace, {**call.body, "run_id": call.run_id})
        else:
            await self._pipelines.terminate(call.run_id)

    async def _hold_finalizers(self, body: Body, plan: Plan, tally: Tally) -> Body | None:
        """The object with the wanted finalizers; None when it is gone with the last of them."""
        if plan.finalizers is None:
            return body
        held = list(body["metadata"].get("finalizers", ()))
        others = [item for item in held if not item.startswith(f"{GROUP}/")]
        wanted = [*others, *plan.finalizers]
        if set(wanted) == set(held):
            return body
        answer = await self._api.set_finalizers(body, wanted)
        tally.writes += 1
        if not wanted and "deletionTimestamp" in answer["metadata"]:
            self._store.remove(answer, gone=True)
            return None
        self._store.put(answer)
        return answer

    async def _stall(self, body: Body, reason: str, message: str, now: datetime) -> Outcome:
        """Say on the object why it cannot go on; it is looked at again on every resync."""
        current = self._store.get(*_key(body))
        if current is None or current["metadata"]["uid"] != body["metadata"]["uid"]:
            return Outcome("Gone")
        status = in_trouble(current, current.get("status") or {}, reason, message, now)
        if not self._is_told(current, status):
            logger.warning("%s stalled: %s: %s", _key(body), reason, message)
            await self._write_status(current, status)
            await self._storyteller.tell(
                current, Event(reason=reason, message=message, warning=True)
            )
        return Outcome("Stalled")

    async def _write_status(self, body: Body, status: Body) -> None:
        metadata = body["metadata"]
        answer = await self._api.replace(
            {
                "apiVersion": body["apiVersion"],
                "kind": body["kind"],
                "metadata": {
                    name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion")
                },
                "spec": body.get("spec", {}),
                "status": status,
            },
            "status",
        )
        key = _key(body)
        self._answered.pop(key, None)
        if not _same(status, answer.get("status")):
            logger.error("%s: the API server did not keep the whole status", key)
            self._answered[key] = (stable_hash(status), stable_hash(answer.get("status")))
        self._store.put(answer)

    def _is_told(self, body: Body, status: Body) -> bool:
        """Whether writing this status would change nothing."""
        held = body.get("status")
        if _same(status, held):
            return True
        answered = self._answered.get(_key(body))
        return answered == (stable_hash(status), stable_hash(held))


def in_trouble(body: Body, base: Body, reason: str, message: str, now: datetime) -> Body:
    """A status that says: not Ready, Stalled, for this reason; the rest of `base` stays."""
    generation = body["metadata"].get("generation", 0)
    before = [Condition.model_validate(item) for item in _conditions(body.get("status") or {})]
    wanted = [
        condition("Ready", False, reason, message),
        condition("Stalled", True, reason, message),
    ]
    told = merge(before, wanted, generation=generation, now=now)
    kept = [item for item in _conditions(base) if item["type"] not in _STATUS_OF_TROUBLE]
    conditions = sorted(
        [*kept, *(item.to_wire() for item in told)],
        key=lambda item: (item["type"] != "Ready", item["type"]),
    )
    return {**base, "observedGeneration": generation, "conditions": conditions}


def _told_of_conflicts(body: Body, plan: Plan, tally: Tally, now: datetime) -> Plan:
    if not tally.conflicts:
        return plan
    message = " ".join(tally.conflicts)[:1024]
    base = plan.status if plan.status is not None else body.get("status") or {}
    event = Event(reason="NameConflict", message=message, warning=True)
    status = in_trouble(body, base, "NameConflict", message, now)
    return replace(plan, status=status, events=(*plan.events, event))


def _conditions(status: Body) -> list[Body]:
    held: list[Body] = status.get("conditions") or []
    return held


def _same(wanted: Body | None, held: Body | None) -> bool:
    return (wanted or {}) == (held or {})


def _key(body: Body) -> Key:
    return Key(body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"])


def _said(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"The stored object cannot be read: {where}: {first['msg']}."
