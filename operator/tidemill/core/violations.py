"""Violations: what is broken, in parts and in one sentence.

A read and a stored profile find the same things, so both build what they found here, in the same
words: `<column>: expected <what>, observed <what>; broken by <count> of <rows> rows (<share>), such
as <examples>`.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

from tidemill.api.scalars import decimal
from tidemill.api.v1alpha1.datacontract import Expectation, OutlierMethod, Severity
from tidemill.api.v1alpha1.datasetversion import Violation

SCHEMA = "Schema"
"""Name and rule of a violation of the frozen schema."""
EVENT_TIME = "EventTime"
"""Name and rule of a violation that a read finds by itself: rows without an event time."""
CHECKS: Mapping[str, str] = {
    "TypeChanged": "data_type_check",
    "MixedTypes": "data_type_check",
    "Incomplete": "completeness_check",
    "Drifted": "baseline_drift_check",
    "MissingColumn": "missing_column_check",
    "ExtraColumn": "extra_column_check",
    "UnknownValues": "categorical_values_check",
}
"""Reason -> what Amazon SageMaker Model Monitor calls it; the others are unknown to it."""
FACTORS = {OutlierMethod.DEVIATIONS: "3", OutlierMethod.QUARTILES: "1.5"}
"""How far is too far for Outliers that do not say."""
EXAMPLES = 5
"""How many example values a violation may have."""
EXAMPLE_LENGTH = 64
"""How long each of them may be."""
HIDDEN = "values that are not shown, as the column is sensitive"
"""What is observed in a sensitive column."""
_MOST = 100
_BYTES = 98304
"""Of the 256 KiB of a result."""
_MESSAGE = 1024
_TEXT = 256


def broken(
    expectation: Expectation,
    reason: str,
    *,
    expected: str,
    observed: str,
    count: int | None = None,
    rows: int = 0,
    examples: Sequence[str] = (),
    column: str | None = None,
) -> Violation:
    """An expectation is broken, by `count` of `rows` rows where that can be counted."""
    return violation(
        expectation.name,
        expectation.type,
        reason,
        severity=expectation.severity,
        column=(expectation.column or "") if column is None else column,
        expected=expected,
        observed=observed,
        count=count,
        rows=rows,
        examples=examples,
    )


def violation(
    name: str,
    rule: str,
    reason: str,
    *,
    severity: Severity,
    column: str,
    expected: str,
    observed: str,
    count: int | None = None,
    rows: int = 0,
    examples: Sequence[str] = (),
) -> Violation:
    """A violation with its sentence; what is too long is cut."""
    counted = "" if count is None else f"; broken by {counted_share(count, rows)}"
    about = f"{column}: " if column else ""
    found = Violation(
        name=name,
        rule=rule,
        reason=reason,
        severity=severity.value,
        column=column[:128],
        message=_cut(f"{about}expected {expected}, observed {observed}{counted}", _MESSAGE),
        expected=_cut(expected, _TEXT),
        observed=_cut(observed, _TEXT),
        count=count,
        share="" if count is None else ratio(count, rows),
        check=CHECKS.get(reason, ""),
    )
    return with_examples(found, examples)


def with_examples(found: Violation, examples: Sequence[str]) -> Violation:
    """A violation with values that break it, in its sentence too."""
    if not examples:
        return found
    shown = tuple(_cut(value, EXAMPLE_LENGTH) for value in examples[:EXAMPLES])
    said = f"{found.message}, such as {', '.join(repr(value) for value in shown)}"
    return found.model_copy(update={"examples": shown, "message": _cut(said, _MESSAGE)})


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def ratio(count: int, rows: int) -> str:
    """A share as a decimal string of at most nine places, such as "0.375"."""
    exact = Decimal(count) / rows if rows else Decimal(0)
    return f"{exact.quantize(Decimal('1e-9')).normalize():f}"


def counted_share(count: int, rows: int) -> str:
    """Such as "12 of 77,911 rows (0.015 %)"."""
    return f"{count:,} of {rows:,} rows ({100 * count / rows if rows else 0.0:.3g} %)"


def percent(share: str) -> str:
    """A Ratio as people say it: "0.05" is "5 %"."""
    return f"{(decimal(share) * 100).normalize():f} %"


def bounds(expectation: Expectation) -> str:
    """Such as "0 to 23", "at least 0" or "at most 23"."""
    if expectation.min is not None and expectation.max is not None:
        return f"{expectation.min} to {expectation.max}"
    if expectation.min is not None:
        return f"at least {expectation.min}"
    return f"at most {expectation.max}"


def tolerated(expectation: Expectation) -> str:
    """What follows an expectation's demand where some rows may break it."""
    if expectation.max_share is None or decimal(expectation.max_share) == 0:
        return ""
    return f", but for {percent(expectation.max_share)} of rows"


def outlier_factor(expectation: Expectation) -> Decimal:
    """How far is too far for Outliers."""
    return decimal(expectation.factor or FACTORS[expectation.method or OutlierMethod.DEVIATIONS])


def near(expectation: Expectation) -> str:
    """What Outliers expect."""
    factor = f"{outlier_factor(expectation):f}"
    if expectation.method is OutlierMethod.QUARTILES:
        return f"numbers within {factor} quartile distances of the quartiles"
    return f"numbers within {factor} standard deviations of the mean"


def fresh(expectation: Expectation) -> str:
    """What Freshness expects."""
    return f"a newest time at most {expectation.max_age_seconds} seconds before the read"


def matching(expectation: Expectation) -> str:
    """What Pattern expects."""
    return f"texts that match {expectation.pattern}{tolerated(expectation)}"


def listed(expectation: Expectation, count: int) -> str:
    """What AllowedValues expect."""
    source = "those of the first version" if expectation.from_ else "the listed ones"
    others = f"others in at most {percent(expectation.max_share_unknown)} of rows"
    return f"{count} values, {source}, {others}"


def too_many(expectation: Expectation, count: int, rows: int) -> bool:
    """Whether more rows break an expectation than its maxShare allows."""
    return Decimal(count) > decimal(expectation.max_share or "0") * rows


def bounded(found: Sequence[Violation]) -> tuple[Violation, ...]:
    """As many violations as a record and a result hold, in their order; what fails a version goes
    before what only warns.
    """
    places = sorted(
        range(len(found)), key=lambda place: (found[place].severity != Severity.FAIL, place)
    )
    kept, left = [], _BYTES
    for place in places[:_MOST]:
        left -= len(json.dumps(found[place].to_wire()))
        if left < 0:
            break
        kept.append(place)
    return tuple(found[place] for place in sorted(kept))


def missing_column(expectation: Expectation, column: str) -> Violation:
    """The column that an expectation is about is not there."""
    return broken(
        expectation,
        "MissingColumn",
        expected=f"a column for {expectation.name}",
        observed="no such column",
        column=column,
    )


def schema_differences(
    now: Mapping[str, str], then: Mapping[str, str], evolution: str
) -> tuple[Violation, ...]:
    """How a schema (column -> type) breaks the frozen one: columns that went, that changed type,
    and, where none may, that came.
    """
    found = [
        _of_schema("MissingColumn", name, expected=kind, observed="no such column")
        for name, kind in then.items()
        if name not in now
    ]
    found += [
        _of_schema("TypeChanged", name, expected=kind, observed=now[name])
        for name, kind in then.items()
        if name in now and now[name] != kind
    ]
    if evolution == "None":
        nothing = "no such column, as contract.schema.evolution is None"
        found += [
            _of_schema("ExtraColumn", name, expected=nothing, observed=kind)
            for name, kind in now.items()
            if name not in then
        ]
    return tuple(found)


def _of_schema(reason: str, column: str, *, expected: str, observed: str) -> Violation:
    return violation(
        SCHEMA,
        SCHEMA,
        reason,
        severity=Severity.FAIL,
        column=column,
        expected=expected,
        observed=observed,
    )
