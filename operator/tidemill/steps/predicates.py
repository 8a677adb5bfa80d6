"""Slices and conditions: a closed subset of SQL predicates, read by a parser, written anew by us.

Allowed are columns, literals, = <> < <= > >=, IN, BETWEEN, IS NULL, AND, OR, NOT and parentheses;
in an expectation's condition also numbers made of columns and literals by + - * /, and the seconds
between two times (`arrived - departed`). Anything else is refused by name; nothing of what a user
wrote reaches the database but names and values, each quoted by us. A comparison with NULL is NULL,
and so is its NOT: a slice leaves such a row out, a condition lets it pass. Reckoning is done in
64-bit floats; a division by zero is NULL.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from tidemill.api.v1alpha1.datacolumns import Slice
from tidemill.steps.engine import quoted, text
from tidemill.steps.failures import StepError, listing
from tidemill.steps.schema import NUMERIC, ColumnType, Schema

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_FLIPPED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_RECKONINGS: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_TIMES = frozenset({ColumnType.TIMESTAMP, ColumnType.DATE})
_DEEPEST = 400
"""DuckDB takes expressions of depth 1000; one has no more depth than parentheses."""
_ALLOWED = "comparisons, IN, BETWEEN, IS NULL, AND, OR and NOT of columns and literals are allowed"


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition as SQL of ours; NULL where SQL says so."""

    name: str
    sql: str
    columns: frozenset[str]


class _RefusedError(Exception):
    """What is wrong, without the slice's name."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """What a predicate may speak of."""

    schema: Schema
    reckons: bool
    """Whether numbers may be made of columns."""
    used: set[str] = field(default_factory=set)
    """The columns it has named so far."""


def parse(wanted: Slice, schema: Schema) -> Predicate:
    """Read a slice against a schema. Raises StepError InvalidSlice naming slice and token."""
    try:
        return _read(wanted.name, wanted.where, _Scope(schema, reckons=False))
    except _RefusedError as refused:
        raise StepError("InvalidSlice", f"slice {wanted.name}: {refused}") from refused


def parse_condition(name: str, where: str, schema: Schema) -> Predicate:
    """Read the condition of an expectation. Raises StepError InvalidExpectation naming both."""
    try:
        found = _read(name, where, _Scope(schema, reckons=True))
        if not found.columns:
            raise _RefusedError("names no column")
        if found.sql.count("(") > _DEEPEST:
            raise _RefusedError(f"is nested too deep; {_ALLOWED}")
    except _RefusedError as refused:
        raise StepError("InvalidExpectation", f"expectation {name}: {refused}") from refused
    return found


def _read(name: str, where: str, scope: _Scope) -> Predicate:
    try:
        sql = _condition(_tree(where), scope)
    except RecursionError as error:
        raise _RefusedError(f"is nested too deep; {_ALLOWED}") from error
    return Predicate(name, sql, frozenset(scope.used))


def _tree(where: str) -> exp.Expr:
    if not where.strip():
        raise _RefusedError(f"is empty; {_ALLOWED}")
    try:
        trees = sqlglot.parse(f"SELECT 1 WHERE {where}\n", read="duckdb")
    except SqlglotError as error:
        found = getattr(error, "errors", None)
        token = found[0].get("highlight") if found else None
        at = f" at {token!r}" if token else ""
        raise _RefusedError(f"cannot be read{at}; {_ALLOWED}") from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Select):
        raise _RefusedError(f"is more than one condition; {_ALLOWED}")
    select = trees[0]
    extra = [
        key for key, value in select.args.items() if value and key not in ("expressions", "where")
    ]
    if extra:
        raise _RefusedError(f"has a clause {extra[0].upper()}; {_ALLOWED}")
    condition = select.args["where"].this
    if not isinstance(condition, exp.Expr):
        raise _RefusedError(f"cannot be read; {_ALLOWED}")
    return condition


def _shown(node: exp.Expr) -> str:
    return node.sql(dialect="duckdb")[:60]


def _condition(node: exp.Expr, scope: _Scope) -> str:
    """SQL of something that is true, false or NULL."""

    def inner(child: exp.Expr) -> str:
        return _condition(child, scope)

    if isinstance(node, exp.Paren):
        return inner(node.this)
    if isinstance(node, exp.And | exp.Or):
        word = "AND" if isinstance(node, exp.And) else "OR"
        return f"({inner(node.left)} {word} {inner(node.right)})"
    if isinstance(node, exp.Not):
        return f"(NOT {inner(node.this)})"
    if isinstance(node, exp.Column):
        name = _column(node, scope)
        kind = scope.schema[name]
        if kind is not ColumnType.BOOLEAN:
            raise _RefusedError(f"{name!r} is a {kind}, not a condition; compare it")
        return quoted(name)
    write = _TESTS.get(type(node))
    if write is not None:
        return write(node, scope)
    raise _RefusedError(f"does not allow {_shown(node)!r}; {_ALLOWED}")


def _comparison(node: exp.Expr, scope: _Scope) -> str:
    sign = _COMPARISONS[type(node)]
    left, right = node.args["this"], node.args["expression"]
    if scope.reckons and (_reckoned(left) or _reckoned(right)):
        return f"({_amount(left, scope)} {sign} {_amount(right, scope)})"
    if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
        left, right, sign = right, left, _FLIPPED[sign]
    name, schema = _column(left, scope), scope.schema
    if isinstance(right, exp.Column):
        other = _column(right, scope)
        kinds = {schema[name], schema[other]}
        if len(kinds) > 1 and not kinds <= NUMERIC and not kinds <= _TIMES:
            raise _RefusedError(
                f"compares {name}, a {schema[name]}, with {other}, a {schema[other]}"
            )
        return f"({quoted(name)} {sign} {quoted(other)})"
    return f"({quoted(name)} {sign} {_literal(right, name, schema)})"


def _bare(node: exp.Expr) -> exp.Expr:
    """What stands in parentheses."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _reckoned(node: exp.Expr) -> bool:
    """Whether a number is made here: of columns, or of a column and literals."""
    bare = _bare(node)
    if isinstance(bare, exp.Neg):
        return not isinstance(bare.this, exp.Literal)
    return type(bare) in _RECKONINGS


def _amount(node: exp.Expr, scope: _Scope) -> str:
    """SQL of a number made of columns and literals, as a 64-bit float."""
    bare = _bare(node)
    if isinstance(bare, exp.Literal) and not bare.is_string:
        return f"CAST({_number(bare.this)} AS DOUBLE)"
    if isinstance(bare, exp.Neg):
        return f"(- {_amount(bare.this, scope)})"
    if isinstance(bare, exp.Column):
        name = _column(bare, scope)
        kind = scope.schema[name]
        if kind not in NUMERIC - {ColumnType.BOOLEAN}:
            raise _RefusedError(f"reckons with {name}, a {kind}; only numbers can be reckoned with")
        return f"CAST({quoted(name)} AS DOUBLE)"
    sign = _RECKONINGS.get(type(bare))
    if sign is None:
        raise _RefusedError(f"has {_shown(bare)!r} where a number is expected; {_ALLOWED}")
    left, right = _bare(bare.args["this"]), _bare(bare.args["expression"])
    if isinstance(bare, exp.Sub) and _is_time(left, scope) and _is_time(right, scope):
        return f"({_seconds(left, scope)} - {_seconds(right, scope)})"
    divisor = _amount(right, scope)
    if sign == "/":
        divisor = f"NULLIF({divisor}, 0)"
    return f"({_amount(left, scope)} {sign} {divisor})"


def _is_time(node: exp.Expr, scope: _Scope) -> bool:
    return isinstance(node, exp.Column) and scope.schema.get(node.name) in _TIMES


def _seconds(node: exp.Expr, scope: _Scope) -> str:
    return f"epoch(CAST({quoted(_column(node, scope))} AS TIMESTAMP))"


def _in(node: exp.Expr, scope: _Scope) -> str:
    values = node.args.get("expressions")
    if not values or any(node.args.get(key) for key in ("query", "unnest", "field")):
        raise _RefusedError(f"does not allow {_shown(node)!r}; IN takes a list of literals")
    name = _column(node.this, scope)
    listed = ", ".join(_literal(value, name, scope.schema) for value in values)
    return f"({quoted(name)} IN ({listed}))"


def _between(node: exp.Expr, scope: _Scope) -> str:
    if node.args.get("symmetric"):
        raise _RefusedError("does not allow SYMMETRIC; write the lower bound first")
    ends = node.args["low"], node.args["high"]
    columns = any(isinstance(_bare(end), exp.Column) or _reckoned(end) for end in ends)
    if scope.reckons and (columns or _reckoned(node.this)):
        low, high = (_amount(end, scope) for end in ends)
        return f"({_amount(node.this, scope)} BETWEEN {low} AND {high})"
    name = _column(node.this, scope)
    low, high = (_literal(end, name, scope.schema) for end in ends)
    return f"({quoted(name)} BETWEEN {low} AND {high})"


def _is(node: exp.Expr, scope: _Scope) -> str:
    if not isinstance(node.args["expression"], exp.Null):
        raise _RefusedError(f"does not allow {_shown(node)!r}; IS is for NULL")
    return f"({quoted(_column(node.this, scope))} IS NULL)"


_TESTS: dict[type[exp.Expr], Callable[[exp.Expr, _Scope], str]] = {
    **dict.fromkeys(_COMPARISONS, _comparison),
    exp.In: _in,
    exp.Between: _between,
    exp.Is: _is,
}


def _column(node: exp.Expr, scope: _Scope) -> str:
    if not isinstance(node, exp.Column) or len(node.parts) != 1:
        raise _RefusedError(f"has {_shown(node)!r} where a column is expected; {_ALLOWED}")
    name = node.name
    if name not in scope.schema:
        known = listing(list(scope.schema))
        raise _RefusedError(f"names {name}, which the data do not have; they have {known}")
    scope.used.add(name)
    return name


def _literal(node: exp.Expr, name: str, schema: Schema) -> str:
    """SQL of a literal that fits a column's type."""
    kind = schema[name]
    if isinstance(node, exp.Boolean) and kind is ColumnType.BOOLEAN:
        return "TRUE" if node.this else "FALSE"
    negative = isinstance(node, exp.Neg)
    bare = node.this if negative else node
    if isinstance(bare, exp.Literal):
        if not bare.is_string and kind in NUMERIC - {ColumnType.BOOLEAN}:
            return f"{'-' if negative else ''}{_number(bare.this)}"
        if bare.is_string and not negative:
            return _text_literal(bare.this, name, kind)
    raise _RefusedError(
        f"compares {name}, a {kind}, with {_shown(node)!r}; give it a literal of its type"
    )


def _number(digits: str) -> str:
    try:
        usable = isfinite(float(digits))
    except ValueError:
        usable = False
    if not usable:
        raise _RefusedError(f"has the number {digits[:40]!r}, which no column can hold")
    return digits


def _text_literal(value: str, name: str, kind: ColumnType) -> str:
    if kind is ColumnType.STRING:
        return text(value)
    if kind in (ColumnType.TIMESTAMP, ColumnType.DATE):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            said = f"compares {name}, a {kind}, with {value[:40]!r}"
            raise _RefusedError(f"{said}; write a time as 2013-06-30T12:00:00") from error
        if moment.tzinfo is not None:
            raise _RefusedError(
                f"has the time {value!r} with a zone; times are UTC and written without"
            )
        return f"CAST({text(moment.isoformat())} AS TIMESTAMP)"
    raise _RefusedError(f"compares {name}, a {kind}, with the text {value[:40]!r}")
