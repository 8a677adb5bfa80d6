"""RowCount, Complete, Unique, Duplicates and Condition: what rows may be, and how many."""

from collections.abc import Sequence
from decimal import Decimal

from tidemill.api.v1alpha1.datacontract import Expectation
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.core.violations import (
    bounds,
    broken,
    missing_column,
    percent,
    ratio,
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
    rendered,
    settled,
    values_where,
)
from tidemill.steps.failures import StepError
from tidemill.steps.predicates import parse_condition

_SHOWN = 4
"""How many columns of a row are shown as an example of it."""


def row_count(item: Expectation, _scene: Scene) -> Question:
    """The number of rows lies between min and max."""

    def judge(_answers: Answers, rows: int) -> Violation | None:
        few = item.min is not None and rows < Decimal(item.min)
        many = item.max is not None and rows > Decimal(item.max)
        if not (few or many):
            return None
        return broken(
            item, "RowCount", expected=f"{bounds(item)} rows", observed=f"{rows:,} rows", column=""
        )

    return Question(judge=judge)


def complete(item: Expectation, scene: Scene) -> Question:
    """At least minShare of the values are present."""
    name, least = column_of(item), item.min_share or "0"

    def judge(answers: Answers, rows: int) -> Violation | None:
        missing = int(answers["missing"] or 0)
        if Decimal(rows - missing) >= Decimal(least) * rows:
            return None
        return broken(
            item,
            "Incomplete",
            expected=f"values in at least {percent(least)} of rows",
            observed=f"values in {percent(ratio(rows - missing, rows))}",
            count=missing,
            rows=rows,
        )

    return Question(asked={"missing": scene.column(name).null_count()}, judge=judge)


def unique(item: Expectation, scene: Scene) -> Question:
    """No value occurs twice."""
    name = column_of(item)
    column, value = scene.column(name), as_text(name, scene.schema[name])

    def judge(answers: Answers, rows: int) -> Violation | None:
        # n_unique counts null as one more value.
        different = int(answers["different"]) - (1 if answers["missing"] else 0)
        twice = rows - int(answers["missing"] or 0) - different
        if twice <= 0:
            return None
        return broken(
            item,
            "Duplicates",
            expected="every value once",
            observed="values seen before",
            count=twice,
            rows=rows,
        )

    def examples(_answers: Answers, table: str) -> str:
        return most_frequent(value, "TRUE", table, repeated=True)

    asked = {"different": column.n_unique(), "missing": column.null_count()}
    return Question(asked=asked, judge=judge, examples=examples)


def duplicates(item: Expectation, scene: Scene) -> Question:
    """No row, or no combination of some columns, occurs twice; missing values are alike."""
    names = tuple(item.columns or scene.schema)
    for name in names:
        if name not in scene.schema:
            return settled(missing_column(item, name))
    about = ", ".join(item.columns or ())
    expected = f"no two rows with the same {about}" if about else "no two rows alike"

    def judge(answers: Answers, rows: int) -> Violation | None:
        count = rows - int(answers["groups"])
        if not too_many(item, count, rows):
            return None
        return broken(
            item,
            "DuplicateRows",
            expected=f"{expected}{tolerated(item)}",
            observed="rows seen before",
            count=count,
            rows=rows,
            column=about,
        )

    def examples(_answers: Answers, table: str) -> str | None:
        shown = _visible(names, scene)
        if not shown:
            return None
        groups = ", ".join(quoted(name) for name in names)
        return (
            f"SELECT {rendered(shown, scene.schema)} AS value FROM {table} GROUP BY {groups}"  # noqa: S608
            " HAVING count(*) > 1 ORDER BY count(*) DESC, value"
        )

    return Question(groups=names, judge=judge, examples=examples)


def _visible(names: Sequence[str], scene: Scene) -> tuple[str, ...]:
    """As many columns as an example of a row shows."""
    return tuple(name for name in names if name not in scene.sensitive)[:_SHOWN]


def condition(item: Expectation, scene: Scene) -> Question:
    """A comparison of columns holds in every row. Raises InvalidExpectation."""
    where = item.where or ""
    expected = f"{where}{tolerated(item)}"
    known = {**scene.anchor, **scene.schema}
    try:
        found = parse_condition(item.name, where, known)
    except StepError as refused:
        if not _is_read(item, scene):
            raise
        said = str(refused).partition(": ")[2]
        return settled(broken(item, "ConditionBroken", expected=expected, observed=said))
    for name in sorted(found.columns):
        if name not in scene.schema:
            return settled(missing_column(item, name))
    breaks = f"NOT {found.sql}"
    used = tuple(name for name in scene.schema if name in found.columns)

    def judge(answers: Answers, rows: int) -> Violation | None:
        count = int(answers["breaks"] or 0)
        if not too_many(item, count, rows):
            return None
        seen = "others"
        return broken(
            item, "ConditionBroken", expected=expected, observed=seen, count=count, rows=rows
        )

    shown = _visible(used, scene)
    return Question(
        breaks=breaks,
        judge=judge,
        examples=values_where(rendered(shown, scene.schema), breaks) if shown else None,
    )


def _is_read(item: Expectation, scene: Scene) -> bool:
    """Whether a condition can be read by the frozen schema: then it is the data that err."""
    try:
        parse_condition(item.name, item.where or "", scene.anchor)
    except StepError:
        return False
    return True
