"""The default profile is quiet where nothing has changed: real flights against their own quarter.

Each quarter of New York's departures of 2013 is profiled, and its own days and weeks of at least
500 rows are then judged as a monitor would: windows that follow one another, days that begin at
any hour and weeks that begin on any day. An hour of 500 departures there is not. An alarm of a
column is a distance above threshold and floor; an alarm of a window is more than a fifth of its
columns, the monitor's default. Without the floor more than half of the columns would alarm.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from tests.demo.flights import MONTHS, write_months
from tidemill.api.documents.profile import FeatureProfile, Profile, ValueType
from tidemill.core.driftprofiles import Sample, measure
from tidemill.steps.engine import connect
from tidemill.steps.profiles import LEAST_ROWS, Subject, profile
from tidemill.steps.schema import ColumnType

FEATURES = {
    "dep_hour": ColumnType.INTEGER,
    "weekday": ColumnType.INTEGER,
    "carrier": ColumnType.STRING,
    "origin": ColumnType.STRING,
    "dest": ColumnType.STRING,
    "distance": ColumnType.INTEGER,
    "temp": ColumnType.NUMBER,
    "dewp": ColumnType.NUMBER,
    "humid": ColumnType.NUMBER,
    "wind_speed": ColumnType.NUMBER,
    "precip": ColumnType.NUMBER,
    "visib": ColumnType.NUMBER,
    "pressure": ColumnType.NUMBER,
}
KINDS = {
    "days following one another": (24, 24),
    "weeks following one another": (168, 168),
    "days from any hour": (24, 1),
    "weeks from any day": (168, 24),
}
"""What windows are called -> how many hours they have, and after how many the next one begins."""
QUARTERS = {"winter": 0, "spring": 3, "summer": 6, "autumn": 9}
MOST_ALARMS = 0.01
MOST_FEATURES = 0.2


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of flights for each month."""
    directory = tmp_path_factory.mktemp("flights")
    write_months(directory)
    return directory


def quarter(directory: Path, first: int) -> tuple[Profile, pa.Table]:
    """The profile of three months, and their rows."""
    files = [str(directory / f"flights-{month}.parquet") for month in MONTHS[first : first + 3]]
    with connect(directory) as connection:
        table = f"read_parquet({files})"
        subjects = [Subject(name, kind) for name, kind in FEATURES.items()]
        made = profile(connection, table, "time_hour", subjects)
    columns = ["time_hour", *FEATURES]
    return made, pa.concat_tables(pq.read_table(file, columns=columns) for file in files)


def bins_of(feature: FeatureProfile, values: pa.ChunkedArray) -> NDArray[np.int64]:
    """The bin each value falls into, -1 for none; told apart from how profiles count."""
    if feature.type is ValueType.NUMBER:
        numbers = pc.cast(values, pa.float32()).to_numpy()
        found = np.searchsorted(np.array(feature.edges), numbers, side="right")
        return np.where(np.isnan(numbers), -1, found)
    places = {value: place for place, value in enumerate(feature.categories)}
    places |= dict.fromkeys(feature.rare, len(feature.categories))
    return np.array([places.get(value, -1) for value in values.to_pylist()])


def windows(
    counts: NDArray[np.int64], hours: int, step: int
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Where windows of so many hours begin, every `step` hours, and what falls into them."""
    before = np.vstack([np.zeros_like(counts[:1]), counts.cumsum(axis=0)])
    for begin in range(0, len(counts) - hours + 1, step):
        window = before[begin + hours] - before[begin]
        if window.sum() >= LEAST_ROWS:
            yield begin, tuple(window.tolist())


@pytest.mark.parametrize("first", QUARTERS.values(), ids=QUARTERS)
def test_a_quarter_does_not_drift_from_itself(
    flights: Path, first: int, capsys: pytest.CaptureFixture[str]
) -> None:
    made, rows = quarter(flights, first)
    since = pc.subtract(rows["time_hour"], pc.min(rows["time_hour"]))
    hours = since.cast(pa.int64()).to_numpy() // 3_600_000_000
    columns: dict[tuple[str, int], list[bool]] = {}
    without_floor = []
    for feature in made.features:
        places = bins_of(feature, rows[feature.name])
        counts = np.zeros((hours.max() + 1, len(feature.counts)), dtype=np.int64)
        np.add.at(counts, (hours[places >= 0], places[places >= 0]), 1)
        for kind, (length, step) in KINDS.items():
            for begin, window in windows(counts, length, step):
                now = Sample(counts=window)
                found = measure("default", feature, now, window_seconds=length * 3600)
                assert found.told
                columns.setdefault((kind, begin), []).append(found.drifted)
                without_floor.append((found.distance or 0.0) > 0.1)
    for kind in KINDS:
        judged = [alarms for (of, _), alarms in columns.items() if of == kind]
        by_column = np.mean([alarm for alarms in judged for alarm in alarms])
        by_window = np.mean([np.mean(alarms) > MOST_FEATURES for alarms in judged])
        with capsys.disabled():
            said = f"{by_column:.2%} of columns, {by_window:.2%} of {len(judged)} windows"
            print(f"\nalarms of {kind}: {said}", end="")
        assert by_window < MOST_ALARMS
        assert by_column == 0 or "following" not in kind
    assert np.mean([alarm for alarms in columns.values() for alarm in alarms]) < MOST_ALARMS
    assert np.mean(without_floor) > 0.4
