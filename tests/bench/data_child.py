"""What the data benchmark measures of ours, each in a process of its own.

`python -m tests.bench.data_child ours|raw CURRENT BEFORE`: one JSON line with seconds, those of
CPU, and most memory. `BEFORE` is the profile of the version before, as it lies in the artifact
store.
"""
# ruff: noqa: S608 -- names in SQL are constants of this file

import json
import os
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tests.bench.rig import resident_mib
from tidemill.api.documents.profile import MAX_BINS, FeatureProfile, Profile, ValueType
from tidemill.api.v1alpha1.datacontract import Expectation
from tidemill.core.driftprofiles import Distance, Sample, measure
from tidemill.steps import expectations
from tidemill.steps.engine import connect
from tidemill.steps.profiles import Subject, profile, recount
from tidemill.steps.schema import ColumnType, Schema, type_of

MOMENT = "time_hour"
LABEL = "late"
HELD = 1 << 30
"""Bytes DuckDB may hold."""


def asked(before: Profile) -> list[Expectation]:
    """What a contract asks of every feature: as much as the peers are asked."""
    items: list[dict[str, object]] = [{"name": "rows", "type": "RowCount", "min": "1"}]
    for place, item in enumerate(before.features):
        common: dict[str, object] = {"column": item.name}
        items.append({**common, "name": f"complete-{place}", "type": "Complete", "minShare": "0.5"})
        if item.type is ValueType.NUMBER:
            bounds = {"type": "Range", "min": "-1000000000", "max": "1000000000"}
            items.append({**common, "name": f"range-{place}", **bounds})
        else:
            known = {"type": "AllowedValues", "values": [*item.categories, *item.rare]}
            items.append({**common, "name": f"known-{place}", **known})
    return [Expectation.model_validate(item) for item in items]


def ours(current: str, before: Profile, scratch: Path) -> int:
    """Schema, expectations, profile and drift; says how many answers there were."""
    table = f"read_parquet(['{current}'])"
    with connect(scratch, HELD) as connection:
        schema: Schema = {}
        for name, kind, *_ in connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall():
            schema[name] = type_of(kind) or ColumnType.STRING
        found = expectations.compare(connection, table, schema, dict(schema), "None", set(), 0)
        scene = expectations.Scene(schema=schema, anchor=schema, now=datetime(2014, 1, 1))
        broken = expectations.check(connection, table, asked(before), scene)
        names = [item.name for item in before.features]
        subjects = [Subject(name, schema[name]) for name in names]
        now = profile(connection, table, MOMENT, subjects)
        bins = {item.name: item for item in before.features}
        counts = recount(connection, table, MOMENT, subjects, bins, now)
    told = [_distance(bins[item.name], item, counts[item.name]) for item in now.features]
    return len(found) + len(broken) + len(now.features) + len(told)


def _distance(
    before: FeatureProfile, now: FeatureProfile, counted: tuple[tuple[int, ...], int]
) -> Distance:
    sample = Sample(
        counts=counted[0], unknown=counted[1], minimum=now.minimum, maximum=now.maximum,
        mean=now.mean, distinct=now.distinct,
    )  # fmt: skip
    return measure("default", before, sample, window_seconds=604800)


def raw(current: str, before: Profile, scratch: Path) -> int:
    """The same aggregates in one DuckDB scan, without what depends on the hour."""
    shares = [place / MAX_BINS for place in range(1, MAX_BINS)]
    wanted = ["count(*)", f"min({MOMENT})", f"max({MOMENT})"]
    for item in before.features:
        name = item.name
        wanted += [f"count({name})", f"approx_count_distinct({name})"]
        if item.type is ValueType.CATEGORY:
            values = ", ".join(f"'{value}'" for value in (*item.categories, *item.rare))
            wanted += [f"histogram({name})", f"count(*) FILTER ({name} NOT IN ({values}))"]
            continue
        number = f"CAST({name} AS FLOAT)"
        wanted += [f"{fact}({number})" for fact in ("min", "max", "avg", "stddev_pop")]
        wanted += [
            f"approx_quantile({number}, {shares})",
            f"histogram({number}, {list(item.edges)}::FLOAT[])",
            f"count(*) FILTER ({number} < -1e9 OR {number} > 1e9)",
        ]
    with connect(scratch, HELD) as connection:
        query = f"SELECT {', '.join(wanted)} FROM read_parquet(['{current}'])"
        return len(connection.execute(query).fetchall()[0])


def main() -> None:
    """Do one of them and say what it took."""
    what, current, before = sys.argv[1:]
    held = Profile.model_validate_json(Path(before).read_bytes())
    with tempfile.TemporaryDirectory(dir=Path(current).parent) as scratch:
        link = Path(scratch) / "current.parquet"
        link.hardlink_to(current)
        began, cpu = time.perf_counter(), sum(os.times()[:4])
        did = {"ours": ours, "raw": raw}[what](str(link), held, Path(scratch))
        seconds, cpu = time.perf_counter() - began, sum(os.times()[:4]) - cpu
    most = resident_mib(os.getpid(), "VmHWM")
    sys.stdout.write(f"\n{json.dumps({'seconds': seconds, 'cpu': cpu, 'mib': most, 'did': did})}")


if __name__ == "__main__":
    main()
