"""Slices: a closed subset of SQL predicates, read by a parser and written anew by us.

Allowed are columns, literals, = <> < <= > >=, IN, BETWEEN, IS NULL, AND, OR, NOT and parentheses.
Anything else is refused by name; nothing of what a user wrote reaches the database but names and
values, each quoted by us. A comparison with NULL is false, and so is its NOT, as in SQL's WHERE.
"""

from collections.abc import Callable
from dataclasses import dataclass
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
_ALLOWED = "comparisons, IN, BETWEEN, IS NULL, AND, OR and NOT of columns and literals are allowed"


@dataclass(frozen=True, slots=True)
class Predicate:
    """A slice's condition as SQL of ours; NULL where SQL says so, to be read as false."""

    name: str
    sql: str
    columns: frozenset[str]


class _RefusedError(Exception):
    """What is wrong, without the slice's name."""


def parse(wanted: Slice, schema: Schema) -> Predicate:
    """Read a slice against a schema. Raises StepError InvalidSlice naming slice and token."""
    used: set[str] = set()
    try:
        sql = _condition(_tree(wanted.where), schema, used)
    except RecursionError as error:
        said = f"slice {wanted.name}: is nested too deep; {_ALLOWED}"
        raise StepError("InvalidSlice", said) from error
    except _RefusedError as refused:
        raise StepError("InvalidSlice", f"slice {wanted.name}: {refused}") from refused
    return Predicate(wanted.name, sql, frozenset(used))


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


def _condition(node: exp.Expr, schema: Schema, used: set[str]) -> str:
    """SQL of something that is true, false or NULL."""

    def inner(child: exp.Expr) -> str:
        return _condition(child, schema, used)

    if isinstance(node, exp.Paren):
        return inner(node.this)
    if isinstance(node, exp.And | exp.Or):
        word = "AND" if isinstance(node, exp.And) else "OR"
        return f"({inner(node.left)} {word} {inner(node.right)})"
    if isinstance(node, exp.Not):
        return f"(NOT {inner(node.this)})"
    if isinstance(node, exp.Column):
        name = _column(node, schema, used)
        if schema[name] is not ColumnType.BOOLEAN:
            raise _RefusedError(f"{name!r} is a {schema[name]}, not a condition; compare it")
        return quoted(name)
    write = _TESTS.get(type(node))
    if write is not None:
        return write(node, schema, used)
    raise _RefusedError(f"does not allow {_shown(node)!r}; {_ALLOWED}")


def _comparison(node: exp.Expr, schema: Schema, used: set[str]) -> str:
    sign = _COMPARISONS[type(node)]
    left, right = node.args["this"], node.args["expression"]
    if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
        left, right, sign = right, left, _FLIPPED[sign]
    name = _column(left, schema, used)
    if isinstance(right, exp.Column):
        other = _column(right, schema, used)
        if schema[name] is not schema[other] and not {schema[name], schema[other]} <= NUMERIC:
            raise _RefusedError(
                f"compares {name}, a {schema[name]}, with {other}, a {schema[other]}"
            )
        return f"({quoted(name)} {sign} {quoted(other)})"
    return f"({quoted(name)} {sign} {_literal(right, name, schema)})"


def _in(node: exp.Expr, schema: Schema, used: set[str]) -> str:
    values = node.args.get("expressions")
    if not values or any(node.args.get(key) for key in ("query", "unnest", "field")):
        raise _RefusedError(f"does not allow {_shown(node)!r}; IN takes a list of literals")
    name = _column(node.this, schema, used)
    listed = ", ".join(_literal(value, name, schema) for value in values)
    return f"({quoted(name)} IN ({listed}))"


def _between(node: exp.Expr, schema: Schema, used: set[str]) -> str:
    name = _column(node.this, schema, used)
    if node.args.get("symmetric"):
        raise _RefusedError("does not allow SYMMETRIC; write the lower bound first")
    low, high = (_literal(node.args[key], name, schema) for key in ("low", "high"))
    return f"({quoted(name)} BETWEEN {low} AND {high})"


def _is(node: exp.Expr, schema: Schema, used: set[str]) -> str:
    if not isinstance(node.args["expression"], exp.Null):
        raise _RefusedError(f"does not allow {_shown(node)!r}; IS is for NULL")
    return f"({quoted(_column(node.this, schema, used))} IS NULL)"


_TESTS: dict[type[exp.Expr], Callable[[exp.Expr, Schema, set[str]], str]] = {
    **dict.fromkeys(_COMPARISONS, _comparison),
    exp.In: _in,
    exp.Between: _between,
    exp.Is: _is,
}


def _column(node: exp.Expr, schema: Schema, used: set[str]) -> str:
    if not isinstance(node, exp.Column) or len(node.parts) != 1:
        raise _RefusedError(f"has {_shown(node)!r} where a column is expected; {_ALLOWED}")
    name = node.name
    if name not in schema:
        known = listing(list(schema))
        raise _RefusedError(f"names {name}, which the data do not have; they have {known}")
    used.add(name)
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
