"""AllowedValues, Pattern and MixedTypes: what values, and texts above all, may be."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import narwhals as nw

from tidemill.api.v1alpha1.datacontract import Expectation
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.core.violations import broken, listed, matching, tolerated, too_many
from tidemill.steps.engine import quoted, text
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
from tidemill.steps.schema import ColumnType

KINDS: Mapping[str, str] = {
    "numbers": r"\A\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*\z",
    "times": r"\A\s*[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?\s?(Z|[+-][0-9]{2}:?[0-9]{2})?)?\s*\z",
    "truth values": r"(?i)\A\s*(true|false)\s*\z",
}
"""What a text may say besides words -> the regular expression (RE2) that tells. No text is of two
kinds.
"""
WORDS = "words"


def whole(pattern: str) -> str:
    r"""A regular expression that only whole values match."""
    return rf"\A(?:{pattern})\z"


def allowed_of(item: Expectation, scene: Scene) -> frozenset[str] | None:
    """The allowed values as text; None while there is no first version to take them from."""
    named = frozenset(item.values or ())
    if item.from_ is None:
        return named
    seen = scene.first.get(column_of(item))
    return None if seen is None else named | seen


def allowed_values(item: Expectation, scene: Scene) -> Question:
    """Values come from a list."""
    allowed = allowed_of(item, scene)
    if allowed is None:
        return settled(None)
    name = column_of(item)
    kind, column = scene.schema[name], scene.column(name)
    known = column.is_in(_typed(allowed, kind))

    def judge(answers: Answers, rows: int) -> Violation | None:
        count = int(answers["unknown"] or 0)
        if Decimal(count) <= Decimal(item.max_share_unknown) * rows:
            return None
        return broken(
            item,
            "UnknownValues",
            expected=listed(item, len(allowed)),
            observed="others",
            count=count,
            rows=rows,
        )

    value = as_text(name, kind)
    known_ones = ", ".join(text(one) for one in sorted(allowed))
    return Question(
        asked={"unknown": ((~known) & ~column.is_null()).cast(nw.Int64).sum()},
        judge=judge,
        examples=values_where(value, f"{value} NOT IN ({known_ones})" if known_ones else "TRUE"),
    )


def _typed(values: frozenset[str], kind: ColumnType) -> list[Any]:
    """Values as the column holds them; what cannot be one of its values is left out."""
    if kind in (ColumnType.INTEGER, ColumnType.NUMBER):
        numbers = []
        for value in values:
            try:
                numbers.append(int(value) if kind is ColumnType.INTEGER else float(value))
            except ValueError:
                continue
        return sorted(numbers)
    if kind is ColumnType.BOOLEAN:
        return [value == "true" for value in sorted(values) if value in ("true", "false")]
    return sorted(values)


def pattern(item: Expectation, scene: Scene) -> Question:
    """Texts match a regular expression."""
    name, wanted = column_of(item), item.pattern or ""
    kind, expected = scene.schema[name], matching(item)
    if kind is not ColumnType.STRING:
        found = broken(item, "PatternMismatch", expected=expected, observed=f"a {kind}")
        return settled(found)
    column = scene.column(name)
    other = (~column.str.contains(whole(wanted))) & ~column.is_null()

    def judge(answers: Answers, rows: int) -> Violation | None:
        count = int(answers["other"] or 0)
        if not too_many(item, count, rows):
            return None
        seen = "others"
        return broken(
            item, "PatternMismatch", expected=expected, observed=seen, count=count, rows=rows
        )

    unlike = f"NOT regexp_matches({quoted(name)}, {text(whole(wanted))})"
    return Question(
        asked={"other": other.cast(nw.Int64).sum()},
        judge=judge,
        examples=values_where(quoted(name), unlike),
    )


def mixed_types(item: Expectation, scene: Scene) -> Question:
    """Texts are all numbers, or all times, or all truth values, or all none of these.

    A missing value and an empty text are none of them; a column that is not text holds one type.
    """
    name = column_of(item)
    if scene.schema[name] is not ColumnType.STRING:
        return settled(None)
    column = scene.column(name)

    def counts(answers: Answers) -> dict[str, int]:
        found = {kind: int(answers[kind] or 0) for kind in KINDS}
        return {WORDS: int(answers["present"] or 0) - sum(found.values()), **found}

    def judge(answers: Answers, rows: int) -> Violation | None:
        found = counts(answers)
        count = sum(found.values()) - max(found.values())
        if not too_many(item, count, rows):
            return None
        ranked = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
        seen = ", ".join(f"{number:,} {kind}" for kind, number in ranked if number)
        expected = f"values of one kind{tolerated(item)}"
        return broken(item, "MixedTypes", expected=expected, observed=seen, count=count, rows=rows)

    def examples(answers: Answers, table: str) -> str:
        found = counts(answers)
        most = max(found, key=lambda kind: found[kind])
        value = quoted(name)
        tests = {kind: f"regexp_matches({value}, {text(KINDS[kind])})" for kind in KINDS}
        is_most = tests.get(most) or f"NOT ({' OR '.join(tests.values())})"
        return most_frequent(value, f"{value} <> '' AND NOT ({is_most})", table)

    asked = {kind: column.str.contains(told).cast(nw.Int64).sum() for kind, told in KINDS.items()}
    return Question(
        asked={**asked, "present": (column != "").cast(nw.Int64).sum()},
        judge=judge,
        examples=examples,
    )
