"""Labels that raters gave: the label made of them, how far they agree, and where they do not."""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from tidemill.api.v1alpha1.datacontract import Severity
from tidemill.api.v1alpha1.datalabels import Conflicts, Labelling
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import LabelReport, RaterReport, Violation
from tidemill.core.agreement import Agreement, Pattern, agreement, conflicts, ratings
from tidemill.core.violations import violation
from tidemill.steps.engine import one, quoted
from tidemill.steps.failures import StepError
from tidemill.steps.objects import Store
from tidemill.steps.parts import RawObject, copy_part, inspect, scan
from tidemill.steps.schema import Schema

NAME = "Labels"
"""Name and rule of a violation of labels.minAgreement."""
MOST_CONFLICTS = 1000
"""How many rows the list of conflicts has at most."""
_MOST_PATTERNS = 100_000


def label_raw(
    connection: duckdb.DuckDBPyConnection,
    raw: Sequence[RawObject],
    spec: DatasetSpec,
    scratch: Path,
) -> list[RawObject]:
    """Give raw objects the label that their raters make; without raters they stay as they are.

    Raises MissingColumn, InvalidSpec if the data have a column of the label's name already, and
    TypeMismatch if raters do not speak of the same kind of thing.
    """
    if spec.labels is None or not spec.labels.raters:
        return list(raw)
    name = spec.columns.label.name
    made = []
    for place, item in enumerate(raw):
        _check(item, spec.labels, name)
        query = f"SELECT *, {_resolved(spec.labels)} AS {quoted(name)} FROM {scan(item.file)}"
        target = scratch / f"labelled-{place}.parquet"
        try:
            copy_part(connection, query, target)
        except duckdb.Error as error:
            said = f"labels.raters: {', '.join(spec.labels.raters)} are of different types in"
            raise StepError("TypeMismatch", f"{said} {item.name}; bring them to one") from error
        item.file.unlink()
        made.append(inspect(connection, item.name, target, item.advice))
    return made


def _check(item: RawObject, labels: Labelling, name: str) -> None:
    wanted = [("labels.raters", rater) for rater in labels.raters]
    if labels.adjudication is not None:
        wanted.append(("labels.adjudication", labels.adjudication))
    for place, column in wanted:
        if column not in item.types:
            said = f"{place} names {column}, which {item.name} does not have"
            raise StepError("MissingColumn", said)
    if name in item.types:
        said = f"columns.label.name is {name}, which {item.name} has already; labels.raters makes"
        raise StepError("InvalidSpec", f"{said} the label, so give it a name of its own")


def _resolved(labels: Labelling) -> str:
    """SQL of the label: what all say, else what the policy makes of it; NULL if nobody said any."""
    said = f"list_filter([{', '.join(map(quoted, labels.raters))}], lambda x: x IS NOT NULL)"
    different = f"list_distinct({said})"
    if labels.conflicts is Conflicts.ADJUDICATE:
        otherwise = quoted(labels.adjudication or "")
    elif labels.conflicts is Conflicts.MAJORITY:
        counts = f"list_transform({different}, lambda y: len(list_filter({said}, lambda z: z = y)))"
        most = f"list_max({counts})"
        leaders = f"len(list_filter({counts}, lambda c: c = {most}))"
        leader = f"{different}[list_position({counts}, {most})]"
        otherwise = f"CASE WHEN {leaders} = 1 THEN {leader} END"
    else:
        otherwise = "NULL"
    agreed = f"WHEN len({different}) = 1 THEN {said}[1]"
    return f"CASE {agreed} WHEN len({different}) > 1 THEN {otherwise} END"


def report_labels(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    place: str,
    table: str,
    spec: DatasetSpec,
    schema: Schema,
) -> tuple[LabelReport | None, tuple[Violation, ...]]:
    """What is known of a table's (SQL) labels, and whether raters agree enough."""
    labels = spec.labels
    if labels is None:
        return None, ()
    label = quoted(spec.columns.label.name)
    rows, labelled = one(connection, f"SELECT count(*), count({label}) FROM {table}")
    coverage = _decimal(labelled / rows)
    if not labels.raters:
        cost = _cost(labels, labelled)
        return LabelReport(provenance=labels.provenance, coverage=coverage, cost=cost), ()
    gone = [name for name in labels.raters if name not in schema]
    if gone:
        raise StepError(
            "MissingColumn", f"labels.raters names {gone[0]}, which the data do not have"
        )
    patterns = _patterns(connection, table, labels.raters)
    found = agreement(patterns)
    seen = ratings(patterns, labels.raters)
    conflicting = conflicts(patterns)
    listed = _conflict_list(connection, table, spec, conflicting) if conflicting else None
    report = LabelReport(
        provenance=labels.provenance,
        coverage=coverage,
        cost=_cost(labels, sum(seen.values())),
        raters=tuple(RaterReport(name=name, ratings=count) for name, count in seen.items()),
        doubly_rated_rows=found.rows,
        conflicting_rows=conflicting,
        statistic=found.statistic,
        kappa=_decimal(found.kappa),
        kappa_low=_decimal(found.low),
        kappa_high=_decimal(found.high),
        conflicts=store.publish(place, "conflicts.json", listed) if listed else None,
    )
    return report, _judged(labels, found)


def _judged(labels: Labelling, found: Agreement) -> tuple[Violation, ...]:
    """LabelDisagreement if kappa is below the least; NoData if that cannot be said."""
    if labels.min_agreement is None:
        return ()
    expected = f"a {found.statistic} kappa of at least {labels.min_agreement}"
    if found.rows < labels.min_rows or found.kappa is None:
        expected = f"{expected} on at least {labels.min_rows:,} rows with two or more ratings"
        observed = f"{found.rows:,} such rows"
        if found.rows >= labels.min_rows:
            observed = f"{observed} in which everybody always says the same"
        severity, reason = Severity.WARN, "NoData"
    else:
        low, high = found.low or 0.0, found.high or 0.0
        if Decimal(repr(found.kappa)) >= Decimal(labels.min_agreement):
            return ()
        observed = f"{found.kappa:.3f} (95 % interval {low:.3f} to {high:.3f}) on {found.rows:,}"
        observed = f"{observed} rows with two or more ratings; look at the list of conflicts and"
        observed = f"{observed} at labels.instructions"
        severity, reason = Severity.FAIL, "LabelDisagreement"
    return (
        violation(
            NAME, NAME, reason, severity=severity, column="", expected=expected, observed=observed
        ),
    )


def _patterns(
    connection: duckdb.DuckDBPyConnection, table: str, raters: Sequence[str]
) -> dict[Pattern, int]:
    """What was said of rows, as text, and of how many. Raises LabelNotBinary for a free text."""
    columns = ", ".join(f"CAST({quoted(name)} AS VARCHAR) AS r{i}" for i, name in enumerate(raters))
    groups = ", ".join(f"r{place}" for place in range(len(raters)))
    query = f"SELECT {groups}, count(*) FROM (SELECT {columns} FROM {table}) GROUP BY {groups}"
    found = connection.execute(f"{query} LIMIT {_MOST_PATTERNS + 1}").fetchall()
    if len(found) > _MOST_PATTERNS:
        said = f"labels.raters: {', '.join(raters)} hold more than {_MOST_PATTERNS:,} combinations"
        raise StepError("LabelNotBinary", f"{said} of answers; a label has few")
    return {tuple(row[:-1]): int(row[-1]) for row in found}


def _conflict_list(
    connection: duckdb.DuckDBPyConnection, table: str, spec: DatasetSpec, total: int
) -> bytes:
    """The rows whose raters disagree, by key and time, the newest first; `total` of them."""
    labels = spec.labels or Labelling()
    moment, label = spec.columns.event_time, spec.columns.label.name
    said = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in labels.raters)
    disagree = f"len(list_distinct(list_filter([{said}], lambda x: x IS NOT NULL))) > 1"
    keys = list(dict.fromkeys((*spec.columns.key, moment)))
    names = [*keys, *labels.raters, label]
    shown = ", ".join(f"CAST({quoted(name)} AS VARCHAR) AS c{i}" for i, name in enumerate(names))
    order = ", ".join(f"c{place}" for place in range(len(names)))
    query = f"SELECT {shown}, {quoted(moment)} AS t FROM {table} WHERE {disagree}"
    query = f"SELECT * EXCLUDE (t) FROM ({query}) ORDER BY t DESC, {order} LIMIT {MOST_CONFLICTS}"
    rows = [_conflict(row, keys, labels) for row in connection.execute(query).fetchall()]
    document = {"version": 1, "conflictingRows": total, "rows": rows}
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _conflict(row: Sequence[str | None], keys: Sequence[str], labels: Labelling) -> dict[str, Any]:
    said = row[len(keys) : len(keys) + len(labels.raters)]
    return {
        "row": dict(zip(keys, row[: len(keys)], strict=True)),
        "ratings": dict(zip(labels.raters, said, strict=True)),
        "label": row[-1],
    }


def _cost(labels: Labelling, given: int) -> str | None:
    if labels.cost_per_label is None:
        return None
    return f"{Decimal(labels.cost_per_label) * given:.2f}"


def _decimal(value: float | None) -> str | None:
    """Six digits after the point."""
    return None if value is None else f"{value:.6f}"
