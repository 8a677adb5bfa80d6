"""`Telemetry` and `probes`: what the operator tells of itself."""

import json
import logging
import sys
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest

from tests.cluster.controlplane import free_ports
from tests.unit.shell.bodies import a_dataset, a_service
from tidemill.shell import probes
from tidemill.shell.queue import Queue
from tidemill.shell.store import Key, Store
from tidemill.shell.telemetry import CURRENT, JsonLines, Telemetry

TIDES = Key("Dataset", "sea", "tides")


def conditions(ready: str) -> dict[str, object]:
    return {"conditions": [{"type": "Ready", "status": ready}]}


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return telemetry.registry.get_sample_value(f"tidemill_operator_{name}", labels)


def test_conditions_are_counted_as_objects_come_change_and_go() -> None:
    telemetry, store = Telemetry(), Store()
    store.subscribe(telemetry.changed)

    def count(status: str) -> float | None:
        return value(telemetry, "conditions", kind="Dataset", type="Ready", status=status)

    store.put(a_dataset(version=1, status=conditions("False")))
    store.put(a_dataset("ebb", uid="2", version=2, status=conditions("False")))
    assert count("False") == 2.0
    store.put(a_dataset(version=3, status=conditions("True")))
    assert (count("False"), count("True")) == (1.0, 1.0)
    store.remove(a_dataset(version=4))
    assert (count("False"), count("True")) == (1.0, 0.0)
    assert value(telemetry, "objects", kind="Dataset") == 1.0


def test_children_have_no_conditions_of_ours() -> None:
    telemetry, store = Telemetry(), Store()
    store.subscribe(telemetry.changed)

    store.put({**a_service(uid="s", version=1), "status": conditions("True")})

    assert value(telemetry, "conditions", kind="Service", type="Ready", status="True") is None


def test_passes_and_requests_are_counted() -> None:
    telemetry = Telemetry()

    telemetry.passed(TIDES, "Idle", 0.01, 0.5)
    telemetry.requested("update", "Dataset", 409, 0.02)
    telemetry.requested("watch", "Dataset", 200, 100.0)

    assert value(telemetry, "passes_total", kind="Dataset", outcome="Idle") == 1.0
    labels = {"verb": "update", "kind": "Dataset", "code": "409"}
    assert value(telemetry, "api_requests_total", **labels) == 1.0
    assert value(telemetry, "api_request_seconds_count", verb="update") == 1.0
    assert value(telemetry, "api_request_seconds_count", verb="watch") is None


def test_the_queue_is_told_as_it_is() -> None:
    telemetry, queue = Telemetry(), Queue()
    telemetry.watch_queue(queue)

    queue.add(TIDES, urgent=True)

    assert value(telemetry, "queue_depth", lane="urgent") == 1.0
    assert value(telemetry, "queue_depth", lane="patient") == 0.0
    assert value(telemetry, "queue_delayed") == 0.0


def a_line(message: str, *arguments: object, trace: bool = False) -> dict[str, str]:
    record = logging.LogRecord("a.b", logging.WARNING, "", 1, message, arguments, None)
    if trace:
        try:
            raise ValueError("why")
        except ValueError:
            record.exc_info = sys.exc_info()
    line: dict[str, str] = json.loads(JsonLines().format(record))
    return line


def test_a_log_line_is_one_json_object() -> None:
    line = a_line("it is %s\nand more", "so")

    assert (line["level"], line["logger"], line["message"]) == (
        "WARNING",
        "a.b",
        "it is so\nand more",
    )
    assert "kind" not in line


def test_a_log_line_of_a_pass_names_its_object() -> None:
    token = CURRENT.set(TIDES)
    line = a_line("x", trace=True)
    CURRENT.reset(token)

    assert (line["kind"], line["namespace"], line["name"]) == ("Dataset", "sea", "tides")
    assert "ValueError: why" in line["trace"]


class Served:
    """The probes on a free port."""

    def __init__(self) -> None:
        self.telemetry = Telemetry()
        self.ready: Mapping[str, bool] = {"kopf": True}
        self.port = free_ports(1)[0]

    async def get(self, path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}{path}") as answer,
        ):
            return answer.status, await answer.text()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    one = Served()
    runner = await probes.serve(one.port, one.telemetry, lambda: one.ready)
    yield one
    await runner.cleanup()


async def test_ready_says_what_is_missing(served: Served) -> None:
    assert await served.get("/readyz") == (200, "ok")

    served.ready = {"pods": False, "kopf": True, "jobs": False}

    assert await served.get("/readyz") == (503, "not yet: jobs, pods")


async def test_a_loop_that_was_stuck_is_not_healthy(served: Served) -> None:
    assert await served.get("/healthz") == (200, "ok")

    served.telemetry.beat -= 11

    assert await served.get("/healthz") == (500, "the loop is 11 s late")


async def test_metrics_are_served(served: Served) -> None:
    status, text = await served.get("/metrics")

    assert status == 200
    assert "# TYPE tidemill_operator_passes_total counter" in text
