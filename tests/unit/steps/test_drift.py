"""A snapshot is compared with an earlier version in that version's bins."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp, wasserstein_distance

from tests.unit.steps.small import START, Place, known, spec, table
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.core.buckets import Bucket, divergence
from tidemill.core.driftprofiles import Sample, measure
from tidemill.steps.engine import connect
from tidemill.steps.failures import StepError
from tidemill.steps.profiles import Subject, profile, recount
from tidemill.steps.schema import ColumnType


def wanted(place: Place, **drift: Any) -> DatasetSpec:
    """The small Dataset with a contract on drift."""
    return spec(place.uri, contract={"drift": drift})


def moved(rows: pa.Table, by: float = 10.0) -> pa.Table:
    """The same rows with more load."""
    at = rows.column_names.index("load")
    return rows.set_column(at, "load", pc.add(rows["load"], by))


def with_new_place(rows: pa.Table) -> pa.Table:
    """The same rows, every fifth of them in the east now."""
    at = rows.column_names.index("place")
    fifth = pa.array([number % 5 == 0 for number in range(len(rows))])
    return rows.set_column(at, "place", pc.if_else(fifth, "east", rows["place"]))


def told(place: Place, rows: pa.Table, rule: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    """Column and severity of what has drifted from the rows of `table`."""
    place.put("a.parquet", table())
    before = place.snapshot()
    place.put("a.parquet", rows)
    made = place.snapshot(
        wanted(place, **rule), drift_references=(known(before, "small-1"),), **more
    )
    assert all(item.reason == "Drifted" for item in made.violations)
    return [(item.column, item.severity) for item in made.violations]


MOVED = moved(table(seed=1))
CASES: dict[str, tuple[pa.Table, dict[str, Any], list[tuple[str, str]]]] = {
    "another sample of the same has not": (table(seed=1), {}, []),
    "a mean that moved has": (MOVED, {}, [("load", "Warn")]),
    "Fail is said": (MOVED, {"severity": "Fail"}, [("load", "Fail")]),
    "a threshold of yours": (MOVED, {"threshold": "0.5"}, []),
    "evidently": (MOVED, {"profile": "evidently"}, [("load", "Warn")]),
    "psi": (MOVED, {"profile": "psi"}, [("load", "Warn")]),
    "sagemaker": (MOVED, {"profile": "sagemaker"}, [("load", "Warn")]),
    "vertex does not see so little": (MOVED, {"profile": "vertex"}, []),
    "tfdv with a threshold": (MOVED, {"profile": "tfdv", "threshold": "0.05"}, [("load", "Warn")]),
    "only the columns asked for": (MOVED, {"columns": ["grade"]}, []),
    "a column that is no feature": (MOVED, {"columns": ["load", "note"]}, [("load", "Warn")]),
    "a new category is no drift by default": (with_new_place(table()), {}, []),
    "but is to others": (with_new_place(table()), {"profile": "sagemaker"}, [("place", "Warn")]),
    "too few rows say nothing": (MOVED[:499], {}, []),
    "a column that went is the schema's matter": (table().drop_columns(["grade"]), {}, []),
}


@pytest.mark.parametrize(("rows", "rule", "expected"), CASES.values(), ids=CASES)
def test_drifted(
    place: Place, rows: pa.Table, rule: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    if "grade" not in rows.column_names:
        with pytest.raises(StepError, match="columns.features names grade"):
            told(place, rows, rule)
        return

    assert told(place, rows, rule) == expected


def test_a_violation_says_distance_threshold_floor_and_samples(place: Place) -> None:
    place.put("a.parquet", table())
    before = place.snapshot()
    place.put("a.parquet", MOVED)

    made = place.snapshot(wanted(place), drift_references=(known(before, "small-0f"),))

    (violation,) = made.violations
    assert (violation.name, violation.rule) == ("Drift", "Drift")
    assert violation.check == "baseline_drift_check"
    assert violation.expected == "a Jensen-Shannon distance of at most 0.1 from small-0f"
    assert violation.observed == "0.234 of 1,176 values"
    assert violation.message == (
        "load: expected a Jensen-Shannon distance of at most 0.1 from small-0f,"
        " observed 0.234 of 1,176 values"
    )


def two_samples() -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Before and now, of ten thousand values each."""
    chance = np.random.default_rng(0)
    return {
        "a shift": (chance.normal(0, 1, 10000), chance.normal(0.3, 1, 10000)),
        "a wider spread": (chance.normal(0, 1, 10000), chance.normal(0, 1.3, 10000)),
        "a long end": (chance.lognormal(0, 1, 10000), chance.lognormal(0.1, 1.1, 10000)),
        "the same long end": (chance.lognormal(0, 1.5, 10000), chance.lognormal(0, 1.5, 10000)),
        "a square": (chance.uniform(0, 1, 10000), chance.uniform(0.1, 1, 10000)),
    }


@pytest.mark.parametrize("name", two_samples())
def test_numbers_of_many_values_come_near_those_of_the_rows(tmp_path: Path, name: str) -> None:
    """The distances of evidently, sagemaker and vertex, from 24 bins and from all values."""
    before, now = two_samples()[name]
    with connect(tmp_path) as connection:
        profiles = []
        for values in (before, now):
            at = pa.array([START] * len(values), pa.timestamp("us"))
            connection.register("given", pa.table({"at": at, "x": values}))
            subjects = [Subject("x", ColumnType.NUMBER)]
            profiles.append(profile(connection, "given", "at", subjects))
        (base,), (new,) = (item.features for item in profiles)
        bins = {"x": base}
        counts, _ = recount(connection, "given", "at", subjects, bins, profiles[1])["x"]
    current = Sample(
        counts=counts, minimum=new.minimum, maximum=new.maximum, mean=new.mean,
        distinct=new.distinct,
    )  # fmt: skip

    def found(profile_name: str) -> float:
        return measure(profile_name, base, current).distance or 0.0

    assert found("evidently") == pytest.approx(
        wasserstein_distance(before, now) / np.std(before), abs=0.015
    )
    chance = 1.8 * np.sqrt(2 / 10000)
    exact = max(0.0, ks_2samp(before, now).statistic - chance)
    assert exact - 0.015 <= found("sagemaker") <= exact + 1e-9
    assert found("vertex") == pytest.approx(divergence(*map(of_rows, (before, now))), abs=0.025)


def of_rows(values: NDArray[np.float64]) -> list[Bucket]:
    """TFDV's standard histogram of values."""
    counts, edges = np.histogram(values, 10)
    bounds = edges.tolist()
    return [
        Bucket(low, high, count)
        for low, high, count in zip(bounds, bounds[1:], counts.tolist(), strict=False)
    ]


def test_content_is_not_compared_with_itself(place: Place) -> None:
    """The version read again is the last accepted one: the one before it is what counts."""
    place.put("a.parquet", table())
    first = known(place.snapshot(), "small-1")
    place.put("a.parquet", MOVED)
    second = known(place.snapshot(), "small-2")

    again = place.snapshot(wanted(place), drift_references=(second, first))
    alone = place.snapshot(wanted(place), drift_references=(second,))

    assert [item.column for item in again.violations] == ["load"]
    assert alone.violations == ()


def test_the_first_read_has_nothing_to_be_compared_with(place: Place) -> None:
    place.put("a.parquet", table())

    assert place.snapshot(wanted(place)).violations == ()


def test_a_pinned_version_that_is_not_there_is_said(place: Place) -> None:
    place.put("a.parquet", table())

    made = place.snapshot(wanted(place, against="Version", version="small-gone"))

    (violation,) = made.violations
    assert (violation.reason, violation.severity) == ("NoReference", "Warn")
    assert violation.message == (
        "expected DatasetVersion small-gone, which contract.drift.version names,"
        " observed that there is none"
    )


@pytest.mark.parametrize(
    ("column", "reason", "said"),
    [("speed", "MissingColumn", "columns names speed, which the data do not have")],
)
def test_columns_there_are_not(place: Place, column: str, reason: str, said: str) -> None:
    place.put("a.parquet", table())
    before = known(place.snapshot())
    place.put("a.parquet", MOVED)

    with pytest.raises(StepError, match=said) as caught:
        place.snapshot(wanted(place, columns=[column]), drift_references=(before,))

    assert caught.value.reason == reason


def test_a_sensitive_column_has_no_profile(place: Place) -> None:
    place.put("a.parquet", table())
    before = known(place.snapshot())
    place.put("a.parquet", MOVED)
    body = wanted(place, columns=["note"]).to_wire()
    body["columns"] |= {"context": [], "sensitive": ["note"]}

    with pytest.raises(StepError, match="names note, which is sensitive") as caught:
        place.snapshot(DatasetSpec.model_validate(body), drift_references=(before,))

    assert caught.value.reason == "InvalidSpec"
