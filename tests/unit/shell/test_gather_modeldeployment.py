"""Reading what a ModelDeployment depends on: what is asked of whom, and what is made of it."""

import asyncio
import copy
from typing import Any

import pytest

from tests.builders import NAMESPACE, make_model, sha, stamp
from tests.unit.world import NAME, PREFIX, World, spec
from tidemill.core.deploymentview import Observed
from tidemill.core.observed import Unreadable
from tidemill.core.verdicts import Verdict
from tidemill.errors import TerminalError, TransientError
from tidemill.shell.gather import modeldeployment as gathering

SPRING = "2013-06-30T23:00:00Z"


def slice_of(world: World, *endpoints: dict[str, Any]) -> Observed:
    """What is seen with these endpoints behind the stable revision's Service."""
    name = f"{world.status['stable']['revision']}-abcde"
    held = world.get("EndpointSlice", name)
    assert held is not None
    body = copy.deepcopy(held)
    body["endpoints"] = [{"addresses": ["10.0.0.1"], **item} for item in endpoints]
    world.put(body)
    return world.observe()


ENDPOINTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "a ready one counts by its pod": (
        {"conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": "p"}}, {"p"}
    ),
    "one of unknown readiness is ready": ({"targetRef": {"kind": "Pod", "name": "p"}}, {"p"}),
    "one that is not ready does not count": (
        {"conditions": {"ready": False}, "targetRef": {"kind": "Pod", "name": "p"}}, set()
    ),
    "nor one that is ending": (
        {"conditions": {"ready": False, "serving": True, "terminating": True}}, set()
    ),
    "one without a pod counts by its address": ({"conditions": {"ready": True}}, {"10.0.0.1"}),
}  # fmt: skip


@pytest.mark.parametrize(("endpoint", "pods"), ENDPOINTS.values(), ids=ENDPOINTS)
def test_endpoints(endpoint: dict[str, Any], pods: set[str]) -> None:
    world = World().serving()

    seen = slice_of(world, endpoint)

    assert seen.workloads[world.status["stable"]["revision"]].endpoints == pods


def test_a_deployment_of_somebody_else_is_not_a_workload() -> None:
    world = World().serving()
    name = world.status["stable"]["revision"]
    held = world.get("Deployment", name)
    assert held is not None
    body = copy.deepcopy(held)
    body["metadata"]["ownerReferences"][0]["uid"] = "uid-of-another"
    world.put(body)

    seen = world.observe()

    assert seen.workloads == {}
    assert [item.kind for item in seen.children] == ["Service"]


def test_a_route_of_somebody_else_is_not_ours() -> None:
    world = World().serving()
    held = world.get("HTTPRoute", NAME)
    assert held is not None
    body = copy.deepcopy(held)
    body["metadata"]["ownerReferences"] = []
    world.put(body)

    seen = world.observe()

    assert (seen.roads.view, seen.route_uid) == (None, "")


class Store:
    """An artifact store that answers one thing."""

    def __init__(self, answer: bytes | Exception | None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str | None]] = []

    async def read(self, uri: str, digest: str | None = None, limit: int = 262144) -> bytes | None:
        """The answer."""
        self.asked.append((uri, digest))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


URI = f"{PREFIX}/in/bundle.json"
DOCUMENTS: dict[str, tuple[bytes | Exception | None, str, str]] = {
    "none": (None, "BundleNotFound", f"There is no bundle at {URI}."),
    "a store that does not answer": (
        TransientError("the artifact store did not answer"), "StoreUnavailable",
        "The artifact store did not answer.",
    ),
    "another digest": (
        TerminalError("DigestMismatch", "It is another."), "DigestMismatch", "It is another."
    ),
    "too large": (
        TerminalError("TooLarge", "It is too large."), "BundleInvalid", "It is too large."
    ),
    "no JSON": (
        b"no", "BundleInvalid",
        f"The bundle {URI} is not one: document: Invalid JSON: expected ident at line 1 column 2.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "reason", "said"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_bundle_to_import(answer: bytes | Exception | None, reason: str, said: str) -> None:
    world = World(spec(model={"bundle": {"uri": URI, "digest": sha("b")}}))
    store = Store(answer)
    world.objects = store  # type: ignore[assignment]

    seen = world.observe()

    assert seen.document == Unreadable(reason, said)
    assert store.asked == [(URI, sha("b"))]


def test_a_bundle_of_somebody_else_is_not_even_read() -> None:
    elsewhere = "s3://artifacts/tidemill/cluster/other/bundle.json"
    world = World(spec(model={"bundle": {"uri": elsewhere, "digest": sha("b")}}))

    assert world.observe().document is None
    assert world.objects.reads == []


def test_documents_are_read_until_the_revision_is_written_down() -> None:
    world = World()
    world.approve("delays-v1")
    world.step()
    assert isinstance(world.observe().bundle, object)
    read = len(world.objects.reads)
    world.settle()

    world.objects.reads.clear()
    world.observe()

    assert read
    assert world.objects.reads == []


def test_only_models_that_may_be_meant_are_looked_at() -> None:
    world = World().serving()
    world.record(make_model("other-v1", job="other"))

    assert [item.metadata.name for item in world.observe().versions] == ["delays-v1"]


def rolling() -> World:
    world = World().serving()
    world.approve("delays-v2", dataEnd=SPRING)
    world.settle()
    return world


def test_prometheus_is_asked_for_nothing_that_is_not_due() -> None:
    world = rolling()
    assert world.metrics is not None
    world.metrics.asked.clear()

    world.observe()

    assert world.metrics.asked == []


def test_a_measurement_that_fails_is_judged_an_error() -> None:
    world = rolling()
    assert world.metrics is not None
    world.now = world.now.replace(minute=1)
    world.metrics.down = True

    seen = world.observe()

    assert seen.analysed is not None
    assert seen.analysed.verdict is Verdict.ERROR


def test_an_answer_that_is_news_is_asked_for_until_it_is_written() -> None:
    world = rolling()
    assert world.metrics is not None
    world.now = world.now.replace(minute=1)
    world.metrics.asked.clear()

    first, second = world.observe(), world.observe()

    assert first.analysed == second.analysed
    assert first.analysed is not None
    assert len(world.metrics.asked) == 2
    assert {at for _, at in world.metrics.asked} == {first.analysed.at}


def test_what_is_remembered_is_bounded() -> None:
    memory = gathering._OldNews(most=2)
    for uid in ("a", "b", "c"):
        memory.remember(uid, "window", (uid,))

    assert not memory.is_known("a", "window", ("a",))
    assert memory.is_known("c", "window", ("c",))
    assert not memory.is_known("c", "window", ("another",))


def test_what_is_being_deleted_is_not_looked_into() -> None:
    world = rolling()
    assert world.metrics is not None
    body = copy.deepcopy(world.md)
    body["metadata"]["deletionTimestamp"] = stamp()
    world.put(body)
    world.metrics.asked.clear()
    world.objects.reads.clear()

    asyncio.run(gathering.gather(world.md, world.sight()))

    assert (world.metrics.asked, world.objects.reads) == ([], [])


def test_trouble_is_looked_for_where_pods_are_missing() -> None:
    world = World().serving()
    name = world.status["stable"]["revision"]
    world.broken.add(name)
    world.controllers()
    world.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{name}-0",
                "namespace": NAMESPACE,
                "labels": {"tidemill.dev/revision": name, "tidemill.dev/modeldeployment": NAME},
            },
            "status": {
                "containerStatuses": [
                    {
                        "name": "server",
                        "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                    }
                ]
            },
        }
    )

    trouble = world.observe().workloads[name].trouble

    assert trouble is not None
    assert trouble.reason == "OutOfMemory"
