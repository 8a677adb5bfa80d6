"""The request log: what lands in the store, what is dropped, and what is deleted when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore

from tests.unit.serving.servers import wait_for
from tidemill.serving import requestlog
from tidemill.serving.batch import Batch, Layout
from tidemill.serving.logentry import Entry
from tidemill.serving.requestlog import LogOptions, RequestLog, delete_expired

LAYOUT = Layout(numbers=("temp", "id"), texts=("carrier",))
OPTIONS = LogOptions(
    pod="pod-1", revision="r1", keep_seconds=864000, rows=4, seconds=3600, queue=10
)
ARRIVED = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC).timestamp()
EVENT = datetime(2013, 1, 1, 10, tzinfo=UTC).timestamp()


def entry(name: str, rows: int = 1, arrived_at: float = ARRIVED) -> Entry:
    scores = np.full(rows, 0.75)
    batch = Batch(rows, np.full((2, rows), 40.1), (["UA"] * rows,))
    return Entry(name, EVENT, arrived_at, batch, scores, scores >= 0.5)


def make(store: MemoryStore, **changes: Any) -> RequestLog:
    options = replace(OPTIONS, **changes)
    return RequestLog(store, LAYOUT, options, {"tidemill.model": "delays"})


def paths(store: MemoryStore) -> list[str]:
    return sorted(item["path"] for page in obstore.list(store) for item in page)


def read(store: MemoryStore, path: str) -> pa.Table:
    return pq.read_table(BytesIO(bytes(obstore.get(store, path).bytes())))


def rows(store: MemoryStore) -> list[str]:
    return [row for path in paths(store) for row in read(store, path)["id"].to_pylist()]


def test_a_file_holds_rows_as_the_model_saw_them() -> None:
    store = MemoryStore()
    log = make(store)
    batch = Batch(2, np.array([[40.1, np.nan], [7.0, 8.0]]), (["UA", ""],))
    scores = np.array([0.75, np.nan])
    log.offer(Entry("a-1", EVENT, ARRIVED, batch, scores, scores >= 0.5))
    log.start()
    log.close(10)

    (path,) = paths(store)
    assert path.startswith("date=2026-11-21/pod-1-")
    assert path.endswith("-1.parquet")
    table = read(store, path)
    assert table.schema.names == [
        "id", "event_time", "arrived_at", "revision", "temp", "feature_id", "carrier",
        "probability", "decision",
    ]  # fmt: skip
    moments = {
        "event_time": datetime(2013, 1, 1, 10, tzinfo=UTC),
        "arrived_at": datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC),
        "revision": "r1",
    }
    assert table.to_pylist() == [
        {
            "id": "a-1/0", **moments, "temp": 40.1, "feature_id": 7.0, "carrier": "UA",
            "probability": 0.75, "decision": True,
        },
        {
            "id": "a-1/1", **moments, "temp": None, "feature_id": 8.0, "carrier": None,
            "probability": None, "decision": None,
        },
    ]  # fmt: skip
    assert table.schema.metadata[b"tidemill.model"] == b"delays"


def test_a_file_is_stored_once_it_has_its_rows_without_waiting_for_the_time() -> None:
    store = MemoryStore()
    log = make(store)
    log.start()
    for number in range(4):
        log.offer(entry(f"r{number}"))

    wait_for(lambda: rows(store) == ["r0/0", "r1/0", "r2/0", "r3/0"])
    log.close(10)
    assert len(paths(store)) == 1


def test_a_file_is_stored_once_its_time_has_come() -> None:
    store = MemoryStore()
    log = make(store, seconds=0.05)
    log.start()
    log.offer(entry("r1", 2))

    wait_for(lambda: rows(store) == ["r1/0", "r1/1"])
    log.close(10)


def test_a_file_holds_one_day() -> None:
    store = MemoryStore()
    log = make(store)
    log.offer(entry("late", arrived_at=datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC).timestamp()))
    log.offer(entry("early", arrived_at=datetime(2026, 11, 22, tzinfo=UTC).timestamp()))
    log.start()
    log.close(10)

    assert [path.split("/")[0] for path in paths(store)] == ["date=2026-11-21", "date=2026-11-22"]
    assert rows(store) == ["late/0", "early/0"]


def test_what_the_queue_does_not_hold_is_dropped_at_once_and_counted() -> None:
    store = MemoryStore()
    log = make(store)
    for number in range(4):
        log.offer(entry(f"r{number}", 3))

    assert log.dropped == 3
    log.start()
    log.close(10)
    assert {row.split("/")[0] for row in rows(store)} == {"r0", "r1", "r2"}


class Store:
    """`obstore.put` under the test's control."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, put: Callable[..., Any]) -> None:
        self.puts = 0
        self._put = put
        monkeypatch.setattr(requestlog, "_FIRST_WAIT", 0.001)
        monkeypatch.setattr("tidemill.serving.requestlog.obstore.put", self.put)

    def put(self, store: MemoryStore, path: str, data: bytes) -> None:
        self.puts += 1
        self._put(store, path, data, self.puts)


def test_a_store_that_fails_once_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    original = obstore.put

    def put(store: MemoryStore, path: str, data: bytes, attempt: int) -> None:
        if attempt == 1:
            raise GenericError("the store is tired")
        original(store, path, data)

    store = MemoryStore()
    tried = Store(monkeypatch, put)
    log = make(store)
    log.offer(entry("r1"))
    log.start()
    log.close(10)

    assert (rows(store), log.dropped, tried.puts) == (["r1/0"], 0, 2)


def test_a_store_that_stays_away_costs_rows_and_no_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def put(*_: Any) -> None:
        raise GenericError("no route to https://me:hush@store\n\nDebug source: hush")

    tried = Store(monkeypatch, put)
    log = make(MemoryStore())
    log.offer(entry("r1", 3))
    log.start()
    log.close(10)

    assert (log.dropped, tried.puts) == (3, 3)
    assert "could not be stored: no route to https://store" in caplog.text
    assert "hush" not in caplog.text


def test_a_store_that_hangs_holds_up_neither_requests_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hanging = threading.Event()
    let_go = threading.Event()

    def put(*_: Any) -> None:
        hanging.set()
        let_go.wait(30)

    Store(monkeypatch, put)
    log = make(MemoryStore())
    log.start()
    log.offer(entry("r0", 4))
    assert hanging.wait(10)
    for number in range(20):
        log.offer(entry(f"r{number}"))
    assert log.dropped == 10
    log.close(0.05)
    let_go.set()


def test_days_are_deleted_when_their_last_moment_is_past_keeping() -> None:
    store = MemoryStore()
    kept = [
        "date=2026-11-20/a.parquet",
        "date=2026-11-21/a.parquet",
        "date=2026-99-99/a.parquet",
        "date=old/a.parquet",
        "elsewhere/date=2026-01-01/a.parquet",
    ]
    gone = ["date=2026-11-18/a.parquet", "date=2026-11-19/a.parquet", "date=2026-11-19/b.parquet"]
    for path in (*kept, *gone):
        obstore.put(store, path, b"rows")
    now = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)

    deleted = delete_expired(store, now, keep_seconds=2 * 86400)

    assert deleted == [date(2026, 11, 18), date(2026, 11, 19)]
    assert paths(store) == sorted(kept)
    assert delete_expired(store, now - timedelta(seconds=1), keep_seconds=2 * 86400) == []


def test_a_running_log_deletes_what_is_too_old() -> None:
    store = MemoryStore()
    obstore.put(store, "date=2020-01-01/a.parquet", b"rows")
    log = make(store, seconds=0.01)
    log.start()

    wait_for(lambda: paths(store) == [])
    log.close(10)
