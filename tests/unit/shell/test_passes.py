"""`Passes`: what one pass asks of the API server, in which order, and what comes of it."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from tests.unit.shell.bodies import a_dataset, a_service
from tests.unit.shell.fake_api import FakeApi
from tidemill.api.v1alpha1 import Dataset
from tidemill.core.plan import Body, Delete, EngineCall, Event, Plan
from tidemill.errors import ConflictError, TerminalError, TransientError
from tidemill.ports import Sight
from tidemill.settings import Settings
from tidemill.shell.app import watched
from tidemill.shell.children import Children, Tally
from tidemill.shell.events import Storyteller
from tidemill.shell.kinds import Kind
from tidemill.shell.passes import Outcome, Passes
from tidemill.shell.store import Key, Store

TIDES = Key("Dataset", "sea", "tides")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATUS: Body = {"observedGeneration": 1, "conditions": []}
TOLD = Event(reason="Held", message="It is held.")


class FakeEngine:
    """Remembers what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None

    async def get(self, run_id: str) -> Body | None:
        return None

    async def create(self, namespace: str, body: Body) -> Body:
        self.asked.append(f"create {namespace} {body}")
        if self.error is not None:
            raise self.error
        return body

    async def terminate(self, run_id: str) -> None:
        self.asked.append(f"terminate {run_id}")

    def start_error(self, run_id: str) -> None:
        return None


@dataclass
class World:
    """One Dataset, a plan for it, and everything around."""

    plan: Plan | Exception = field(default_factory=Plan)
    api: FakeApi = field(default_factory=FakeApi)
    store: Store = field(default_factory=Store)
    engine: FakeEngine = field(default_factory=FakeEngine)
    leading: bool = True
    lineage: list[tuple[str, int]] = field(default_factory=list)
    """Each event, with how many requests had been made before it."""

    def __post_init__(self) -> None:
        self.store.put(self.api.put(a_dataset()))
        self.api.asked.clear()
        self.passes = Passes(
            api=self.api,
            store=self.store,
            kinds={"Dataset": Kind(self._gather, self._plan)},
            children=Children(self.api, self.store, watched),
            storyteller=Storyteller(self.api, "test"),
            sight=self._sight,
            fence=self._fence,
            pipelines=self.engine,
            optional={"HTTPRoute"},
            lineage=self._offer,
        )

    async def _gather(self, body: Body, sight: Sight) -> Body:
        return body

    def _plan(self, observed: Body) -> Plan:
        if isinstance(self.plan, Exception):
            raise self.plan
        return self.plan

    def _sight(self) -> Sight:
        return Sight(
            index=self.store, documents=None, metrics=None, pipelines=None,  # type: ignore[arg-type]
            settings=Settings(), cluster_uid="c", now=NOW,
        )  # fmt: skip

    def _offer(self, event: Body) -> None:
        self.lineage.append((event["eventType"], len(self.api.asked)))

    def _fence(self) -> None:
        if not self.leading:
            raise TransientError("this process does not lead")

    async def run(self, plan: Plan | Exception | None = None) -> Outcome:
        """One pass; `asked` then holds its requests alone."""
        self.plan = plan if plan is not None else self.plan
        self.api.asked.clear()
        return await self.passes.run(TIDES)

    @property
    def asked(self) -> list[str]:
        return self.api.asked

    @property
    def dataset(self) -> Body:
        return self.api.objects[TIDES]

    def condition(self, type_: str) -> Body:
        held = self.dataset["status"]["conditions"]
        return next((item for item in held if item["type"] == type_), {})


@pytest.fixture
def world() -> World:
    return World()


FULL = Plan(
    apply=(a_service("mill"), a_service("weir")),
    create=(
        {
            **a_service("first"),
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "data": {"a": 1},
        },
    ),
    engine=(EngineCall(verb="Create", run_id="r1", body={"display_name": "x"}),),
    status=STATUS,
    events=(TOLD,),
    requeue_after=30.0,
)


async def test_lineage_is_offered_once_the_claim_is_written(world: World) -> None:
    await world.run(Plan(claim=STATUS, lineage=({"eventType": "START"},)))

    assert world.lineage == [("START", 1)]


async def test_lineage_of_a_claim_that_is_refused_is_not(world: World) -> None:
    world.leading = False

    with pytest.raises(TransientError):
        await world.run(Plan(claim=STATUS, lineage=({"eventType": "START"},)))

    assert world.lineage == []


async def test_a_plan_is_carried_out_in_order_with_status_and_events_last(world: World) -> None:
    outcome = await world.run(FULL)

    assert outcome == Outcome("Wrote", 30.0)
    assert [line.split(".")[0] for line in world.asked] == [
        "get Service/mill",
        "apply Service/mill no force",
        "get Service/weir",
        "apply Service/weir no force",
        "create ControllerRevision/first",
        "update Dataset/tides status",
        "create Event/tides",
    ]
    assert world.engine.asked == ["create sea {'display_name': 'x', 'run_id': 'r1'}"]
    assert world.dataset["status"] == STATUS


async def test_a_pass_that_changes_nothing_makes_no_request(world: World) -> None:
    plan = replace(FULL, engine=())
    await world.run(plan)

    assert await world.run(plan) == Outcome("Idle", 30.0)
    assert world.asked == []


async def test_a_claim_is_written_alone_and_its_events_told(world: World) -> None:
    claim: Body = {**STATUS, "active": {"name": "run-1"}}

    outcome = await world.run(replace(FULL, claim=claim))

    assert outcome == Outcome("Claimed")
    assert [line.split(".")[0] for line in world.asked] == [
        "update Dataset/tides status",
        "create Event/tides",
    ]
    held = world.store.get(*TIDES)
    assert held is not None and held["status"] == claim


async def test_a_claim_on_an_outdated_object_conflicts_and_tells_nothing(world: World) -> None:
    world.api.put(world.dataset)

    with pytest.raises(ConflictError):
        await world.run(Plan(claim=STATUS, events=(TOLD,)))

    assert world.asked == ["update Dataset/tides status"]


async def test_a_claim_on_a_recreated_object_conflicts(world: World) -> None:
    world.api.put(a_dataset(uid="uid-other"))

    with pytest.raises(ConflictError):
        await world.run(Plan(claim=STATUS))


async def test_claiming_what_is_claimed_is_a_bug_not_a_loop(world: World) -> None:
    await world.run(Plan(claim=STATUS))

    with pytest.raises(TypeError, match="claims what it has claimed"):
        await world.run(Plan(claim=STATUS))


async def test_a_process_that_does_not_lead_writes_nothing(world: World) -> None:
    world.leading = False

    with pytest.raises(TransientError, match="does not lead"):
        await world.run(FULL)

    assert world.asked == []


async def test_an_object_that_is_gone_needs_nothing(world: World) -> None:
    world.store.remove(world.dataset, gone=True)

    assert await world.run(FULL) == Outcome("Gone")


async def test_a_changed_wish_is_applied_by_force_at_the_uid_and_version_seen(
    world: World,
) -> None:
    await world.run(Plan(apply=(a_service(),)))
    seen: list[Body] = []
    apply = world.api.apply

    async def spy(body: Body, *, force: bool) -> Body:
        seen.append(body)
        return await apply(body, force=force)

    world.api.apply = spy  # type: ignore[method-assign]
    live = world.api.objects[Key("Service", "sea", "mill")]

    await world.run(Plan(apply=(a_service(port=81),)))

    assert world.asked == ["apply Service/mill force"]
    assert seen[0]["metadata"]["uid"] == live["metadata"]["uid"]
    assert seen[0]["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]


async def test_a_field_someone_changed_is_put_right(world: World) -> None:
    await world.run(Plan(apply=(a_service(),)))
    live = world.api.objects[Key("Service", "sea", "mill")]
    world.store.put(world.api.put({**live, "spec": {"ports": [{"port": 99}]}}))

    await world.run(Plan(apply=(a_service(),)))

    assert world.asked == ["apply Service/mill force"]


async def test_an_answer_that_differs_for_good_is_not_written_again_and_again(
    world: World,
) -> None:
    apply = world.api.apply

    async def rounding(body: Body, *, force: bool) -> Body:
        return world.api.put({**await apply(body, force=force), "spec": {"ports": [{"port": 8}]}})

    world.api.apply = rounding  # type: ignore[method-assign]
    await world.run(Plan(apply=(a_service(),)))

    assert await world.run(Plan(apply=(a_service(),))) == Outcome("Idle")
    assert world.asked == []


async def test_a_strangers_object_is_never_touched(world: World) -> None:
    foreign = {**a_service(owner="someone"), "metadata": {"name": "mill", "namespace": "sea"}}
    world.api.put(foreign)

    outcome = await world.run(Plan(apply=(a_service(),), status=STATUS))

    message = (
        "Service mill exists and does not belong to this Dataset; delete or rename it, or give "
        "this Dataset another name."
    )
    assert outcome == Outcome("Wrote")
    assert [line.split(".")[0] for line in world.asked] == [
        "get Service/mill",
        "update Dataset/tides status",
        "create Event/tides",
    ]
    for type_, status in (("Ready", "False"), ("Stalled", "True")):
        told = world.condition(type_)
        assert (told["status"], told["reason"], told["message"]) == (
            status,
            "NameConflict",
            message,
        )


async def test_a_conflict_that_stays_is_written_once(world: World) -> None:
    world.api.put({**a_service(), "metadata": {"name": "mill", "namespace": "sea"}})
    plan = Plan(apply=(a_service(),), status=STATUS)
    await world.run(plan)

    assert await world.run(plan) == Outcome("Idle")
    assert world.asked == ["get Service/mill"]


async def test_a_conflict_that_is_gone_leaves_no_trace(world: World) -> None:
    stranger = world.api.put({**a_service(), "metadata": {"name": "mill", "namespace": "sea"}})
    plan = Plan(apply=(a_service(),), status=STATUS)
    await world.run(plan)
    del world.api.objects[Key("Service", "sea", stranger["metadata"]["name"])]

    await world.run(plan)

    assert world.dataset["status"] == STATUS


async def test_the_other_children_are_held_beside_a_conflict(world: World) -> None:
    world.api.put({**a_service(), "metadata": {"name": "mill", "namespace": "sea"}})

    await world.run(Plan(apply=(a_service("mill"), a_service("weir"))))

    assert "apply Service/weir no force" in world.asked


@pytest.mark.parametrize(
    "live",
    [
        a_service(uid="s", version=1, owner="uid-of-a-dead-parent"),
        a_service(uid="s", version=1, deletionTimestamp="2026-01-01T00:00:00Z"),
    ],
    ids=["owned by a dead uid", "being deleted"],
)
@pytest.mark.parametrize("how", ["apply", "create"])
async def test_a_child_that_must_first_be_gone_is_waited_for(
    world: World, live: Body, how: str
) -> None:
    world.api.put(live)
    plan = Plan(**{how: (a_service(),)}, requeue_after=60.0)  # type: ignore[arg-type]

    outcome = await world.run(plan)

    assert outcome == Outcome("Idle", 2.0)
    assert not [line for line in world.asked if line.startswith(("apply", "update"))]


async def test_creating_what_is_ours_already_is_fine(world: World) -> None:
    await world.run(Plan(create=(a_service(),)))
    world.store.remove(world.api.objects[Key("Service", "sea", "mill")])

    outcome = await world.run(Plan(create=(a_service(),)))

    assert outcome == Outcome("Idle")
    assert world.asked == ["create Service/mill", "get Service/mill"]


@pytest.mark.parametrize(
    "other", [a_service(port=81), a_service(owner="uid-living")], ids=["other spec", "other owner"]
)
async def test_creating_what_another_has_made_is_a_conflict(world: World, other: Body) -> None:
    world.store.put(world.api.put(a_dataset("living", uid="uid-living")))
    await world.passes._children.create(a_dataset(uid="uid-living"), other, Tally())

    await world.run(Plan(create=(a_service(),)))

    assert world.condition("Stalled")["reason"] == "NameConflict"


async def test_a_delete_carries_the_uid_and_is_done_once(world: World) -> None:
    live = world.api.put(a_service())
    world.store.put(live)
    what = Delete(
        api_version="v1", kind="Service", namespace="sea", name="mill",
        uid=live["metadata"]["uid"],
    )  # fmt: skip

    await world.run(Plan(delete=(what,)))
    assert world.asked == ["delete Service/mill"]
    assert await world.run(Plan(delete=(what,))) == Outcome("Idle")
    assert world.asked == []


async def test_a_delete_of_another_uid_touches_nothing(world: World) -> None:
    world.store.put(world.api.put(a_service()))
    what = Delete(api_version="v1", kind="Service", namespace="sea", name="mill", uid="old")

    assert await world.run(Plan(delete=(what,))) == Outcome("Idle")
    assert world.asked == []


async def test_an_object_that_is_being_deleted_gets_no_children(world: World) -> None:
    world.store.put(world.api.put(a_dataset(deletionTimestamp="2026-01-01T00:00:00Z")))

    await world.run(FULL)

    assert [line.split(".")[0] for line in world.asked] == [
        "update Dataset/tides status",
        "create Event/tides",
    ]
    assert len(world.engine.asked) == 1


async def test_an_engine_that_fails_ends_the_pass_before_the_status(world: World) -> None:
    for error in (TransientError("down"), TerminalError("Forbidden", "no")):
        world.engine.error = error
        with pytest.raises(TransientError):
            await world.run(replace(FULL, apply=(), create=()))
        assert world.asked == []


async def test_our_finalizers_are_held_and_others_left_alone(world: World) -> None:
    world.store.put(world.api.put(a_dataset(finalizers=["theirs/x"])))

    await world.run(Plan(finalizers=("tidemill.dev/execution",), status=STATUS))
    assert world.asked == [
        "patch Dataset/tides theirs/x,tidemill.dev/execution",
        "update Dataset/tides status",
    ]
    await world.run(Plan(finalizers=(), status=STATUS))
    assert world.asked == ["patch Dataset/tides theirs/x"]


async def test_the_last_finalizer_ends_the_object_and_the_pass(world: World) -> None:
    world.store.put(
        world.api.put(
            a_dataset(
                finalizers=["tidemill.dev/execution"], deletionTimestamp="2026-01-01T00:00:00Z"
            )
        )
    )

    assert await world.run(Plan(finalizers=(), status=STATUS)) == Outcome("Gone")
    assert world.asked == ["patch Dataset/tides"]
    assert world.store.get(*TIDES) is None


async def test_a_refused_child_stalls_the_object_and_keeps_the_rest_of_its_status(
    world: World,
) -> None:
    await world.run(Plan(status={**STATUS, "fingerprint": "f"}))
    world.api.failures.append(("apply", TerminalError("QuotaExceeded", "exceeded quota: small")))

    outcome = await world.run(Plan(apply=(a_service(),), status={**STATUS, "fingerprint": "g"}))

    assert outcome == Outcome("Stalled")
    assert world.dataset["status"]["fingerprint"] == "f"
    stalled = world.condition("Stalled")
    assert (stalled["reason"], stalled["message"]) == ("QuotaExceeded", "exceeded quota: small")
    assert world.condition("Ready")["status"] == "False"


async def test_a_kind_that_is_not_installed_is_named(world: World) -> None:
    route = {
        **a_service(), "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
    }  # fmt: skip
    world.api.failures.append(("apply", TerminalError("NotFound", "no such resource")))

    await world.run(Plan(apply=(route,)))

    assert world.condition("Stalled")["message"] == (
        "HTTPRoute (gateway.networking.k8s.io/v1) is not installed in this cluster; install its "
        "CRDs or remove what asks for it from the spec."
    )


async def test_a_stored_object_that_cannot_be_read_is_stalled(world: World) -> None:
    outcome = await world.run(_unreadable())

    assert outcome == Outcome("Stalled")
    assert world.condition("Stalled")["reason"] == "InvalidObject"
    assert world.condition("Stalled")["message"] == (
        "The stored object cannot be read: spec.source: Field required."
    )


async def test_a_terminating_namespace_ends_the_work(world: World) -> None:
    world.api.failures.append(("apply", TerminalError("NamespaceTerminating", "going")))

    assert await world.run(Plan(apply=(a_service(),), status=STATUS)) == Outcome("Ended")
    assert "update Dataset/tides status" not in world.asked


async def test_trouble_that_may_pass_is_left_to_the_queue(world: World) -> None:
    world.api.failures.append(("apply", TransientError("busy", 3.0)))

    with pytest.raises(TransientError):
        await world.run(Plan(apply=(a_service(),), status=STATUS))

    assert "status" not in world.dataset


async def test_a_status_the_server_prunes_is_not_written_again_and_again(world: World) -> None:
    replace_ = world.api.replace

    async def pruning(body: Body, subresource: str = "", *, fenced: bool = True) -> Body:
        kept = {**body, "status": {"observedGeneration": 1}}
        return await replace_(kept, subresource, fenced=fenced)

    world.api.replace = pruning  # type: ignore[method-assign]
    plan = Plan(status={"observedGeneration": 1, "unknown": True})
    await world.run(plan)

    assert await world.run(plan) == Outcome("Idle")


async def test_events_are_told_only_when_something_was_done(world: World) -> None:
    await world.run(Plan(status=STATUS))

    await world.run(Plan(status=STATUS, events=(TOLD,)))

    assert world.asked == []


async def test_a_child_that_no_watch_would_show_is_a_bug(world: World) -> None:
    bare = {**a_service(), "metadata": {**a_service()["metadata"], "labels": {}}}

    with pytest.raises(TypeError, match="Service mill is of a kind or with labels"):
        await world.run(Plan(apply=(bare,)))


def _unreadable() -> ValidationError:
    try:
        Dataset.parse(a_dataset() | {"spec": {"columns": {}}})
    except ValidationError as error:
        return error
    raise AssertionError("that was readable")
