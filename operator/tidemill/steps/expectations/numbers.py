"""Range and Outliers: what numbers may be."""

from datetime import date, datetime, time
from math import isfinite

import narwhals as nw

from tidemill.api.v1alpha1.datacontract import Expectation, OutlierMethod
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.core.violations import (
    bounds,
    broken,
    fresh,
    near,
    outlier_factor,
    tolerated,
    too_many,
)
from tidemill.steps.engine import quoted
from tidemill.steps.expectations.question import (
    Answers,
    Question,
    Scene,
    as_text,
    column_of,
    most_frequent,
    settled,
    values_where,
)
from tidemill.steps.schema import NUMERIC, ColumnType
from tidemill.steps.windows import rfc3339

TIMES = frozenset({ColumnType.TIMESTAMP, ColumnType.DATE})


def plain(number: float) -> str:
    """A number as people write it."""
    return f"{number:.9g}"


def _no_number(item: Expectation, reason: str, expected: str, scene: Scene) -> Question:
    kind = scene.schema[column_of(item)]
    return settled(broken(item, reason, expected=f"numbers, {expected}", observed=f"a {kind}"))


def value_range(item: Expectation, scene: Scene) -> Question:
    """Values lie between min and max."""
    name = column_of(item)
    if scene.schema[name] not in NUMERIC:
        return _no_number(item, "OutOfRange", bounds(item), scene)
    number, value = scene.column(name).cast(nw.Float64), f"CAST({quoted(name)} AS DOUBLE)"
    outside, beyond = nw.lit(False), ["FALSE"]
    if item.min is not None:
        outside = outside | (number < float(item.min))
        beyond.append(f"{value} < {float(item.min)!r}")
    if item.max is not None:
        outside = outside | (number > float(item.max))
        beyond.append(f"{value} > {float(item.max)!r}")

    def judge(answers: Answers, rows: int) -> Violation | None:
        count = int(answers["outside"] or 0)
        if not too_many(item, count, rows):
            return None
        seen = f"{plain(answers['least'])} to {plain(answers['greatest'])}"
        return broken(
            item,
            "OutOfRange",
            expected=f"{bounds(item)}{tolerated(item)}",
            observed=scene.shown(name, seen),
            count=count,
            rows=rows,
        )

    return Question(
        asked={
            "outside": outside.cast(nw.Int64).sum(),
            "least": number.min(),
            "greatest": number.max(),
        },
        judge=judge,
        examples=values_where(as_text(name, scene.schema[name]), " OR ".join(beyond)),
    )


def fences(item: Expectation, answers: Answers) -> tuple[float, float] | None:
    """From where to where numbers are no outliers; None where there are no numbers."""
    factor = float(outlier_factor(item))
    if item.method is not OutlierMethod.QUARTILES:
        mean, deviation = answers["mean"], answers["deviation"]
        if mean is None or deviation is None:
            return None
        found = mean - factor * deviation, mean + factor * deviation
    else:
        first, third = answers["first"], answers["third"]
        if first is None or third is None:
            return None
        found = first - factor * (third - first), third + factor * (third - first)
    return found if all(map(isfinite, found)) else None


def outliers(item: Expectation, scene: Scene) -> Question:
    """Numbers lie near the others."""
    name = column_of(item)
    if scene.schema[name] not in NUMERIC:
        return _no_number(item, "Outliers", near(item), scene)
    number = scene.column(name).cast(nw.Float64)

    def then(answers: Answers) -> dict[str, nw.Expr]:
        found = fences(item, answers)
        if found is None:
            return {}
        return {"outside": ((number < found[0]) | (number > found[1])).cast(nw.Int64).sum()}

    def judge(answers: Answers, rows: int) -> Violation | None:
        found, count = fences(item, answers), int(answers.get("outside") or 0)
        if found is None or not too_many(item, count, rows):
            return None
        inside = f"{plain(found[0])} to {plain(found[1])}"
        seen = f"{plain(answers['least'])} to {plain(answers['greatest'])}"
        return broken(
            item,
            "Outliers",
            expected=near(item)
            + ("" if name in scene.sensitive else f", {inside}")
            + tolerated(item),
            observed=scene.shown(name, seen),
            count=count,
            rows=rows,
        )

    def examples(answers: Answers, table: str) -> str | None:
        found = fences(item, answers)
        if found is None:
            return None
        value = f"CAST({quoted(name)} AS DOUBLE)"
        beyond = f"{value} < {found[0]!r} OR {value} > {found[1]!r}"
        return most_frequent(as_text(name, scene.schema[name]), beyond, table)

    asked = {"least": number.min(), "greatest": number.max()}
    by_quartiles = item.method is OutlierMethod.QUARTILES
    if not by_quartiles:
        asked |= {"mean": number.mean(), "deviation": number.std(ddof=0)}
    return Question(
        asked=asked,
        quartiles_of=name if by_quartiles else None,
        then=then,
        judge=judge,
        examples=examples,
    )


def freshness(item: Expectation, scene: Scene) -> Question:
    """The newest time is not too old when the source is read."""
    name, most = column_of(item), item.max_age_seconds or 0
    kind = scene.schema[name]
    expected = fresh(item)
    if kind not in TIMES:
        return settled(broken(item, "Stale", expected=expected, observed=f"a {kind}"))

    def judge(answers: Answers, _rows: int) -> Violation | None:
        newest = answers["newest"]
        if newest is None:
            return broken(item, "Stale", expected=expected, observed="no time at all")
        moment = _moment(newest)
        age = int((scene.now - moment).total_seconds())
        if age <= most:
            return None
        seen = scene.shown(name, f"{rfc3339(moment)}, which is {age} seconds before it")
        return broken(item, "Stale", expected=expected, observed=seen)

    return Question(asked={"newest": scene.column(name).max()}, judge=judge)


def _moment(value: date) -> datetime:
    return value if isinstance(value, datetime) else datetime.combine(value, time())
