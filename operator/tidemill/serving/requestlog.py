"""Requests and answers kept as parquet in the object store, without ever holding up a request.

The event loop hands over whole batches through a bounded queue; one thread turns them into files
`date=YYYY-MM-DD/<pod>-<time>-<number>.parquet` (day of arrival, UTC) and, once a day, deletes the
days that are older than they may be kept. What does not fit the queue, or cannot be stored, is
dropped and counted.
"""

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any

import numpy as np
import obstore
import obstore.exceptions
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import ObjectStore

from tidemill.serving.batch import Layout
from tidemill.serving.logentry import Entry
from tidemill.serving.stores import first_line

_LOG = logging.getLogger(__name__)
_RETENTION_EVERY = timedelta(days=1)
_RETENTION_RETRY = timedelta(hours=1)
_TRIES = 3
_FIRST_WAIT = 0.5
_DAY = re.compile(r"(?:.*/)?date=(\d{4}-\d{2}-\d{2})/?")
_STAMP = pa.timestamp("us", tz="UTC")
_OWN = ("id", "event_time", "arrived_at", "revision", "probability", "decision")


def column_of(feature: str) -> str:
    """Return the log's column of a feature: its name, unless that is one of the log's own."""
    return f"feature_{feature}" if feature in _OWN else feature


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """How much is kept, for how long and how often it is stored."""

    pod: str
    revision: str
    keep_seconds: int
    rows: int
    seconds: float
    queue: int


class RequestLog:
    """A bounded queue and the thread that empties it."""

    def __init__(
        self,
        store: ObjectStore,
        layout: Layout,
        options: LogOptions,
        description: Mapping[str, str],
    ) -> None:
        """`description` goes into each file's metadata."""
        self._store = store
        self._layout = layout
        self._options = options
        self._schema = schema_of(layout, description)
        self._queue: deque[Entry] = deque()
        self._rows = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._deadline = float("inf")
        self._dropped = 0
        self._number = 0
        self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)

    @property
    def dropped(self) -> int:
        """Return how many rows were dropped."""
        return self._dropped

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, entry: Entry) -> None:
        """Keep one answered request, or drop it if the queue is full. Never waits for the store."""
        with self._lock:
            if self._rows + entry.batch.rows > self._options.queue:
                self._dropped += entry.batch.rows
                return
            self._queue.append(entry)
            self._rows += entry.batch.rows
            full = self._rows >= self._options.rows
        if full:
            self._wake.set()

    def close(self, seconds: float) -> None:
        """Store what is queued, for at most so long; what is left then is dropped."""
        self._deadline = time.monotonic() + seconds
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            _LOG.warning("the request log could not be stored before the end")

    def _work(self) -> None:
        clean_at = datetime.now(UTC)
        while True:
            self._wake.wait(self._options.seconds)
            self._wake.clear()
            closing = self._closing
            while entries := self._take():
                self._write(entries)
                if not (closing or self._rows >= self._options.rows):
                    break
            if closing:
                return
            now = datetime.now(UTC)
            if now >= clean_at:
                clean_at = now + (_RETENTION_EVERY if self._clean(now) else _RETENTION_RETRY)

    def _take(self) -> list[Entry]:
        """Take the entries of the next file off the queue: at least one, all of one day."""
        entries: list[Entry] = []
        rows = 0
        with self._lock:
            while self._queue and rows < self._options.rows:
                if entries and day_of(entries[0]) != day_of(self._queue[0]):
                    break
                entries.append(self._queue.popleft())
                rows += entries[-1].batch.rows
            self._rows -= rows
        return entries

    def _write(self, entries: Sequence[Entry]) -> None:
        """Store one file; after some tries its rows are dropped and counted."""
        path, rows = self._path(entries[0]), sum(entry.batch.rows for entry in entries)
        wait = _FIRST_WAIT
        for attempt in range(1, _TRIES + 1):
            try:
                data = file_of(entries, self._layout, self._options.revision, self._schema)
                obstore.put(self._store, path, data)
            except (obstore.exceptions.BaseError, OSError, pa.ArrowException, ValueError) as error:
                _LOG.warning("%s could not be stored: %s", path, first_line(error))
                if attempt == _TRIES or time.monotonic() + wait > self._deadline:
                    break
                time.sleep(wait)
                wait *= 4
            else:
                return
        with self._lock:
            self._dropped += rows

    def _path(self, entry: Entry) -> str:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        self._number += 1
        name = f"{self._options.pod}-{stamp}-{self._number}.parquet"
        return f"date={day_of(entry)}/{name}"

    def _clean(self, now: datetime) -> bool:
        """Delete the days past keeping; tell whether it worked."""
        try:
            for day in delete_expired(self._store, now, self._options.keep_seconds):
                _LOG.info("deleted the request log of %s", day)
        except (obstore.exceptions.BaseError, OSError) as error:
            _LOG.warning("old request logs could not be deleted: %s", first_line(error))
            return False
        return True


def day_of(entry: Entry) -> str:
    """Return the day a request arrived, in UTC, as YYYY-MM-DD."""
    return datetime.fromtimestamp(entry.arrived_at, UTC).strftime("%Y-%m-%d")


def schema_of(layout: Layout, description: Mapping[str, str]) -> pa.Schema:
    """Return the schema of the log's files."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("event_time", _STAMP, nullable=False),
            pa.field("arrived_at", _STAMP, nullable=False),
            pa.field("revision", pa.string(), nullable=False),
            *(pa.field(column_of(name), pa.float64()) for name in layout.numbers),
            *(pa.field(column_of(name), pa.string()) for name in layout.texts),
            pa.field("probability", pa.float64()),
            pa.field("decision", pa.bool_()),
        ],
        metadata=dict(description),
    )


def file_of(entries: Sequence[Entry], layout: Layout, revision: str, schema: pa.Schema) -> bytes:
    """Return a parquet file with one line per row, its id `<request id>/<row>`."""
    sizes = [entry.batch.rows for entry in entries]
    numbers = np.concatenate([entry.batch.numbers for entry in entries], axis=1)
    scores = np.concatenate([entry.probabilities for entry in entries])
    null = ~np.isfinite(scores)
    columns: list[Any] = [
        [f"{entry.id}/{row}" for entry in entries for row in range(entry.batch.rows)],
        _stamps([entry.event_time for entry in entries], sizes),
        _stamps([entry.arrived_at for entry in entries], sizes),
        [revision] * sum(sizes),
        *(pa.array(values, mask=np.isnan(values)) for values in numbers),
        *(
            [value or None for entry in entries for value in entry.batch.texts[place]]
            for place in range(len(layout.texts))
        ),
        pa.array(scores, mask=null),
        pa.array(np.concatenate([entry.decisions for entry in entries]), mask=null),
    ]
    out = BytesIO()
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, type=field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), out, compression="zstd")
    return out.getvalue()


def _stamps(seconds: Sequence[float], sizes: Sequence[int]) -> pa.Array:
    micros = np.round(np.repeat(np.array(seconds), sizes) * 1e6).astype(np.int64)
    return pa.array(micros).cast(_STAMP)


def delete_expired(store: ObjectStore, now: datetime, keep_seconds: int) -> list[date]:
    """Delete each whole day whose end is longer ago than that; return the days.

    Several servers of a deployment may do this at once: what is gone already is no error.
    """
    oldest = now - timedelta(seconds=keep_seconds)
    expired: list[date] = []
    for prefix in obstore.list_with_delimiter(store)["common_prefixes"]:
        found = _DAY.fullmatch(prefix)
        if found is None:
            continue
        try:
            day = date.fromisoformat(found[1])
        except ValueError:
            continue
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        if end <= oldest:
            _delete(store, f"date={day}/")
            expired.append(day)
    return expired


def _delete(store: ObjectStore, prefix: str) -> None:
    for page in obstore.list(store, prefix):
        for item in page:
            try:
                obstore.delete(store, item["path"])
            except FileNotFoundError:
                continue
