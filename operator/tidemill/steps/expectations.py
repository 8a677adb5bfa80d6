"""What a contract expects of the data, found out in one scan through narwhals lazy frames."""
# ruff: noqa: S608 -- names and values in SQL are quoted by `engine`

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb
import narwhals as nw

from tidemill.api.v1alpha1.datacontract import Expectation
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.steps.engine import one, quoted, text
from tidemill.steps.schema import NUMERIC, ColumnType, Schema

_MESSAGE = 1024
_EXAMPLES = 3
_EXAMPLE_LENGTH = 40


@dataclass(frozen=True, slots=True)
class _Question:
    """What one expectation asks of the data, and how the answers are read."""

    asked: Mapping[str, nw.Expr]
    judge: Callable[[Mapping[str, Any], int], Violation | None]


def check(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    schema: Schema,
    expectations: Sequence[Expectation],
    first_values: Mapping[str, frozenset[str]],
) -> tuple[Violation, ...]:
    """The violations of a table (SQL), in the order of the expectations.

    `first_values` holds, as text, the values of the first version for the columns whose
    expectation takes them from there; a column that is not in it has no first version yet.
    """
    questions = []
    for item in expectations:
        if item.column is not None and item.column not in schema:
            said = f"{item.column}: expected by {item.name}, but the data do not have it"
            questions.append(_Question({}, _always(_violation(item, "MissingColumn", said))))
        else:
            questions.append(_ASKED[item.type](item, schema, first_values))
    asked = {
        f"{place} {name}": expression
        for place, question in enumerate(questions)
        for name, expression in question.asked.items()
    }
    lazy: nw.LazyFrame[Any] = nw.from_native(connection.sql(f"SELECT * FROM {table}"))
    frame = lazy.select(nw.len().alias("rows"), **asked).collect()
    answers = {name: frame.get_column(name).to_list()[0] for name in frame.columns}
    rows = int(answers["rows"])
    found = []
    for place, question in enumerate(questions):
        own = {name: answers[f"{place} {name}"] for name in question.asked}
        found.append(question.judge(own, rows))
    return tuple(
        _with_examples(connection, table, schema, violation, expectations, first_values)
        for violation in found
        if violation is not None
    )


def _always(violation: Violation) -> Callable[[Mapping[str, Any], int], Violation]:
    return lambda _answers, _rows: violation


def _violation(item: Expectation, reason: str, message: str) -> Violation:
    return Violation(
        name=item.name,
        reason=reason,
        severity=item.severity.value,
        column=item.column or "",
        message=message[:_MESSAGE],
    )


def _share(count: int, rows: int) -> str:
    """Such as "12 of 77,911 rows (0.015 %)"."""
    share = 100 * count / rows if rows else 0.0
    return f"{count:,} of {rows:,} rows ({share:.3g} %)"


def _bounds(item: Expectation) -> str:
    if item.min is not None and item.max is not None:
        return f"{item.min} to {item.max}"
    return f"at least {item.min}" if item.min is not None else f"at most {item.max}"


def _column_of(item: Expectation) -> nw.Expr:
    return nw.col(item.column or "")


def _range(item: Expectation, schema: Schema, _first: Mapping[str, frozenset[str]]) -> _Question:
    column = _column_of(item)
    if schema[item.column or ""] not in NUMERIC:
        kind = schema[item.column or ""]
        said = f"{item.column}: expected numbers, {_bounds(item)}, but it is a {kind}"
        return _Question({}, _always(_violation(item, "OutOfRange", said)))
    number = column.cast(nw.Float64)
    outside = nw.lit(False)
    if item.min is not None:
        outside = outside | (number < float(item.min))
    if item.max is not None:
        outside = outside | (number > float(item.max))

    def judge(answers: Mapping[str, Any], rows: int) -> Violation | None:
        count = int(answers["outside"] or 0)
        if count == 0:
            return None
        seen = f"{_plain(answers['least'])} to {_plain(answers['greatest'])}"
        said = f"{item.column}: expected {_bounds(item)}, observed {seen}; outside are"
        return _violation(item, "OutOfRange", f"{said} {_share(count, rows)}")

    asked = {
        "outside": outside.cast(nw.Int64).sum(),
        "least": number.min(),
        "greatest": number.max(),
    }
    return _Question(asked, judge)


def _plain(number: float) -> str:
    return f"{number:.9g}"


def _allowed(item: Expectation, first: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    """The allowed values as text; None while there is no first version to take them from."""
    listed = frozenset(item.values or ())
    if item.from_ is None:
        return listed
    seen = first.get(item.column or "")
    return None if seen is None else listed | seen


def _as_text(name: str, kind: ColumnType) -> str:
    """SQL of a value as the text a user writes for it: 3, not 3.0, for a whole number."""
    column = quoted(name)
    if kind is ColumnType.NUMBER:
        whole = f"CAST(CAST({column} AS HUGEINT) AS VARCHAR)"
        exact = f"abs({column}) < 1e15 AND {column} = trunc({column})"
        return f"CASE WHEN {exact} THEN {whole} ELSE CAST({column} AS VARCHAR) END"
    return f"CAST({column} AS VARCHAR)"


def _allowed_values(
    item: Expectation, schema: Schema, first: Mapping[str, frozenset[str]]
) -> _Question:
    allowed = _allowed(item, first)
    if allowed is None:
        return _Question({}, lambda _answers, _rows: None)
    column = _column_of(item)
    kind = schema[item.column or ""]
    known = column.is_in(_typed(allowed, kind))

    def judge(answers: Mapping[str, Any], rows: int) -> Violation | None:
        count = int(answers["unknown"] or 0)
        if Decimal(count) <= Decimal(item.max_share_unknown) * rows:
            return None
        source = "those of the first version" if item.from_ else "the listed ones"
        said = f"{item.column}: expected {len(allowed)} values, {source}, others in at most"
        said = f"{said} {_percent(item.max_share_unknown)} of rows; others are in"
        return _violation(item, "UnknownValues", f"{said} {_share(count, rows)}")

    return _Question({"unknown": ((~known) & ~column.is_null()).cast(nw.Int64).sum()}, judge)


def _percent(ratio: str) -> str:
    return f"{(Decimal(ratio) * 100).normalize():f} %"


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


def _complete(
    item: Expectation, _schema: Schema, _first: Mapping[str, frozenset[str]]
) -> _Question:
    def judge(answers: Mapping[str, Any], rows: int) -> Violation | None:
        missing = int(answers["missing"] or 0)
        if Decimal(rows - missing) >= Decimal(item.min_share or "0") * rows:
            return None
        said = (
            f"{item.column}: expected values in at least {_percent(item.min_share or '0')} of rows;"
        )
        return _violation(item, "Incomplete", f"{said} missing in {_share(missing, rows)}")

    return _Question({"missing": _column_of(item).null_count()}, judge)


def _unique(item: Expectation, _schema: Schema, _first: Mapping[str, frozenset[str]]) -> _Question:
    column = _column_of(item)

    def judge(answers: Mapping[str, Any], rows: int) -> Violation | None:
        # n_unique counts null as one more value.
        different = int(answers["different"]) - (1 if answers["missing"] else 0)
        twice = rows - int(answers["missing"] or 0) - different
        if twice <= 0:
            return None
        said = f"{item.column}: expected every value once; values seen before are in"
        return _violation(item, "Duplicates", f"{said} {_share(twice, rows)}")

    return _Question({"different": column.n_unique(), "missing": column.null_count()}, judge)


def _row_count(
    item: Expectation, _schema: Schema, _first: Mapping[str, frozenset[str]]
) -> _Question:
    def judge(_answers: Mapping[str, Any], rows: int) -> Violation | None:
        few = item.min is not None and rows < Decimal(item.min)
        many = item.max is not None and rows > Decimal(item.max)
        if not (few or many):
            return None
        said = f"expected {_bounds(item)} rows, observed {rows:,}"
        return _violation(item, "RowCount", said)

    return _Question({}, judge)


_ASKED: dict[str, Callable[[Expectation, Schema, Mapping[str, frozenset[str]]], _Question]] = {
    "Range": _range,
    "AllowedValues": _allowed_values,
    "Complete": _complete,
    "Unique": _unique,
    "RowCount": _row_count,
}


def _with_examples(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    schema: Schema,
    violation: Violation,
    expectations: Sequence[Expectation],
    first: Mapping[str, frozenset[str]],
) -> Violation:
    """Name the most frequent unknown values: they tell a new carrier from a broken column."""
    if violation.reason != "UnknownValues":
        return violation
    item = next(item for item in expectations if item.name == violation.name)
    column = _as_text(violation.column, schema[violation.column])
    allowed = ", ".join(text(value) for value in sorted(_allowed(item, first) or ()))
    others = f"value NOT IN ({allowed})" if allowed else "TRUE"
    (examples,) = one(
        connection,
        f"SELECT list(left(value, {_EXAMPLE_LENGTH})) FROM (SELECT value FROM"
        f" (SELECT {column} AS value FROM {table}) WHERE value IS NOT NULL AND {others}"
        f" GROUP BY value ORDER BY count(*) DESC, value LIMIT {_EXAMPLES})",
    )
    shown = ", ".join(repr(value) for value in examples or ())
    return violation.model_copy(
        update={"message": f"{violation.message}, such as {shown}"[:_MESSAGE]}
    )


def values_of(
    connection: duckdb.DuckDBPyConnection, table: str, name: str, kind: ColumnType
) -> frozenset[str]:
    """All values of a column of a table (SQL), as text."""
    query = f"SELECT DISTINCT {_as_text(name, kind)} FROM {table} WHERE {quoted(name)} IS NOT NULL"
    return frozenset(row[0] for row in connection.execute(query).fetchall())
