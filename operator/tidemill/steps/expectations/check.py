"""`check`: every expectation of a contract, answered together."""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import narwhals as nw

from tidemill.api.v1alpha1.datacontract import Expectation
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.core.violations import missing_column, with_examples
from tidemill.steps.engine import one, quoted, single_threaded, text
from tidemill.steps.expectations.numbers import freshness, outliers, value_range
from tidemill.steps.expectations.question import (
    Answers,
    Question,
    Scene,
    as_text,
    examples_of,
    settled,
)
from tidemill.steps.expectations.rows import complete, condition, duplicates, row_count, unique
from tidemill.steps.expectations.texts import allowed_values, mixed_types, pattern, whole
from tidemill.steps.failures import StepError
from tidemill.steps.schema import ColumnType

_EXACT_ROWS = 1_000_000
"""Quartiles of more rows come from a sketch, whose memory does not grow with them."""
_ASKED: Mapping[str, Callable[[Expectation, Scene], Question]] = {
    "Range": value_range,
    "AllowedValues": allowed_values,
    "Complete": complete,
    "Unique": unique,
    "RowCount": row_count,
    "Pattern": pattern,
    "MixedTypes": mixed_types,
    "Duplicates": duplicates,
    "Outliers": outliers,
    "Freshness": freshness,
    "Condition": condition,
}


def check(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    expectations: Sequence[Expectation],
    scene: Scene,
) -> tuple[Violation, ...]:
    """The violations of a table (SQL), in the order of the expectations.

    Raises StepError InvalidExpectation where a pattern or a condition cannot be read.
    """
    if not expectations:
        return ()
    _check_patterns(connection, expectations)
    places = {name: f"c{place}" for place, name in enumerate(scene.schema)}
    scene = replace(scene, places=places)
    questions = [_question(item, scene) for item in expectations]
    lazy = _frame(connection, table, questions, expectations, scene)
    rows, answers = _first_scan(lazy, questions)
    _quartiles(connection, table, questions, answers, rows)
    _second_scan(lazy, questions, answers)
    _group(lazy, questions, answers, scene)
    found = []
    for item, question, own in zip(expectations, questions, answers, strict=True):
        broken = question.judge(own, rows)
        if broken is not None:
            open_ = item.column is None or item.column not in scene.sensitive
            values = _examples(connection, table, question, own) if open_ else []
            found.append(with_examples(broken, values))
    return tuple(found)


def _check_patterns(
    connection: duckdb.DuckDBPyConnection, expectations: Sequence[Expectation]
) -> None:
    for item in expectations:
        if item.pattern is None:
            continue
        try:
            for tried in (item.pattern, whole(item.pattern)):
                one(connection, f"SELECT regexp_matches('', {text(tried)})")
        except duckdb.Error as error:
            said = str(error).strip().splitlines()[0][:200]
            raise StepError(
                "InvalidExpectation", f"expectation {item.name}: pattern cannot be read: {said}"
            ) from error


def _question(item: Expectation, scene: Scene) -> Question:
    if item.column is not None and item.column not in scene.schema:
        return settled(missing_column(item, item.column))
    return _ASKED[item.type](item, scene)


def _frame(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    questions: Sequence[Question],
    expectations: Sequence[Expectation],
    scene: Scene,
) -> nw.LazyFrame[Any]:
    """What is asked about, under names of ours, so that no name in the data is in the way."""
    named = {item.column for item in expectations}
    named.update(name for question in questions for name in question.groups)
    columns = [
        f"{quoted(name)} AS {place}" for name, place in scene.places.items() if name in named
    ]
    columns += [
        f"{question.breaks} AS b{place}"
        for place, question in enumerate(questions)
        if question.breaks is not None
    ]
    chosen = ", ".join(columns) or "1 AS nothing"
    return nw.from_native(connection.sql(f"SELECT {chosen} FROM {table}"))


def _ask(
    lazy: nw.LazyFrame[Any], asked: Sequence[Mapping[str, nw.Expr]]
) -> tuple[int, list[dict[str, Any]]]:
    """The number of rows, and the answers to each question, in one scan."""
    named = {
        f"{place} {name}": expression
        for place, own in enumerate(asked)
        for name, expression in own.items()
    }
    frame = lazy.select(nw.len().alias("rows"), **named).collect()
    answers = {name: frame.get_column(name).to_list()[0] for name in frame.columns}
    return int(answers["rows"]), [
        {name: answers[f"{place} {name}"] for name in own} for place, own in enumerate(asked)
    ]


def _first_scan(
    lazy: nw.LazyFrame[Any], questions: Sequence[Question]
) -> tuple[int, list[dict[str, Any]]]:
    asked = []
    for place, question in enumerate(questions):
        own = dict(question.asked)
        if question.breaks is not None:
            own["breaks"] = nw.col(f"b{place}").cast(nw.Int64).sum()
        asked.append(own)
    return _ask(lazy, asked)


def _quartiles(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    questions: Sequence[Question],
    answers: Sequence[dict[str, Any]],
    rows: int,
) -> None:
    """Add quartiles to the answers: exact ones, or of many rows those of a sketch, on one thread
    so that they depend on the data alone.
    """
    names = list(dict.fromkeys(item.quartiles_of for item in questions if item.quartiles_of))
    if not names:
        return
    function = "quantile_cont" if rows <= _EXACT_ROWS else "approx_quantile"
    wanted = ", ".join(
        f"{function}(CAST({quoted(name)} AS DOUBLE), [0.25, 0.75])" for name in names
    )
    with single_threaded(connection):
        found = dict(zip(names, one(connection, f"SELECT {wanted} FROM {table}"), strict=True))
    for question, own in zip(questions, answers, strict=True):
        if question.quartiles_of is not None:
            own["first"], own["third"] = found[question.quartiles_of] or (None, None)


def _second_scan(
    lazy: nw.LazyFrame[Any], questions: Sequence[Question], answers: Sequence[dict[str, Any]]
) -> None:
    asked = [
        {} if question.then is None else question.then(own)
        for question, own in zip(questions, answers, strict=True)
    ]
    if any(asked):
        for own, more in zip(answers, _ask(lazy, asked)[1], strict=True):
            own.update(more)


def _group(
    lazy: nw.LazyFrame[Any],
    questions: Sequence[Question],
    answers: Sequence[dict[str, Any]],
    scene: Scene,
) -> None:
    for question, own in zip(questions, answers, strict=True):
        if question.groups:
            columns = [scene.places[name] for name in question.groups]
            # Not unique(), which numbers the rows of each group.
            groups = lazy.group_by(*columns).agg(nw.len().alias("rows"))
            different = groups.select(nw.len().alias("groups")).collect()
            own["groups"] = different.get_column("groups").to_list()[0]


def _examples(
    connection: duckdb.DuckDBPyConnection, table: str, question: Question, answers: Answers
) -> list[str]:
    """The most frequent values that break a rule: they tell a new carrier from a broken column."""
    query = None if question.examples is None else question.examples(answers, table)
    return [] if query is None else examples_of(connection, query)


def values_of(
    connection: duckdb.DuckDBPyConnection, table: str, name: str, kind: ColumnType
) -> frozenset[str]:
    """All values of a column of a table (SQL), as text."""
    query = f"SELECT DISTINCT {as_text(name, kind)} FROM {table} WHERE {quoted(name)} IS NOT NULL"
    return frozenset(row[0] for row in connection.execute(query).fetchall())
