"""What a user's SELECT may be: one query of the table `source`, with functions of its values alone.

DuckDB itself parses the text and hands over its own tree, so that what is judged is what will run.
Everything in the tree has to be on a list of what is allowed: tables other than `source` and the
query's own WITH names, table functions (read_csv and all others that reach outside), recursion,
sampling, parameters, and functions whose answer is not a function of their arguments (now,
random, nextval, current_setting ...) are refused by name.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from tidemill.steps.engine import one, text
from tidemill.steps.failures import StepError

TABLE = "source"
"""What the rows to select from are called."""

_EXPRESSIONS = frozenset(
    [
        "BETWEEN",
        "CASE",
        "CAST",
        "COLLATE",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "FUNCTION",
        "LAMBDA",
        "LAMBDA_REF",
        "OPERATOR",
        "POSITIONAL_REFERENCE",
        "STAR",
        "SUBQUERY",
        "TYPE",
        "WINDOW",
    ]
)
_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "CTE_NODE"})
_TABLES = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "EXPRESSION_LIST", "EMPTY"})
_MODIFIERS = frozenset({"ORDER_MODIFIER", "LIMIT_MODIFIER", "DISTINCT_MODIFIER"})
_ORDERS = frozenset({"ORDER_DEFAULT", "ASCENDING", "DESCENDING"})
_KINDS = _NODES | _TABLES | _MODIFIERS | _ORDERS
_WORDS = {
    "TABLE_FUNCTION": "a table function",
    "SHOW_REF": "DESCRIBE, SHOW or SUMMARIZE",
    "RECURSIVE_CTE_NODE": "WITH RECURSIVE",
    "PARAMETER": "a parameter",
    "PIVOT": "PIVOT",
}
_MACROS = frozenset(
    [
        "nullif",
        "if",
        "split_part",
        "date_add",
        "fdiv",
        "fmod",
        "geomean",
        "geometric_mean",
        "days_in_month",
        "wavg",
        "weighted_avg",
        "json",
        "array_to_string",
        "md5_number_lower",
        "md5_number_upper",
        "unnest",
        "coalesce",
    ]
)
_MACRO_PREFIXES = ("list_", "array_")
_REFUSED = frozenset({"version", "json_deserialize_sql", "parse_duckdb_log_message"})
_REFUSED_PREFIXES = ("__internal", "pg_", "current_", "has_", "inet_")
_NILADIC = frozenset(
    [
        "current_catalog",
        "current_database",
        "current_date",
        "current_role",
        "current_schema",
        "current_time",
        "current_timestamp",
        "current_user",
        "localtime",
        "localtimestamp",
        "session_user",
        "user",
    ]
)
"""Names that are functions without parentheses where no column has them."""


@dataclass(frozen=True, slots=True)
class Select:
    """A query that may run."""

    sql: str
    row_wise: bool
    """Each row's answer depends on that row alone, and keeps its place."""


def check_select(
    connection: duckdb.DuckDBPyConnection, sql: str, columns: frozenset[str], where: str
) -> Select:
    """Judge a query of a table with these columns; `where` names it. Raises InvalidSelect."""
    try:
        node = _parsed(connection, sql)
        facts = _Facts(connection, columns)
        facts.check(node)
    except _RefusedError as refused:
        raise StepError("InvalidSelect", f"{where}: {refused}") from refused
    return Select(sql, _is_row_wise(node, facts))


class _RefusedError(Exception):
    """What is wrong, without the query's name."""


def _parsed(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    try:
        (written,) = one(connection, f"SELECT json_serialize_sql({text(sql)})")
    except duckdb.Error as error:
        said = str(error).strip().splitlines()[0][:200]
        raise _RefusedError(f"cannot be read: {said}") from error
    tree = json.loads(written)
    if tree.get("error"):
        said = str(tree.get("error_message", "")).splitlines()[0][:200]
        raise _RefusedError(f"has to be one SELECT: {said}")
    if len(tree["statements"]) != 1:
        raise _RefusedError(f"has to be one SELECT, not {len(tree['statements'])} statements")
    node: dict[str, Any] = tree["statements"][0]["node"]
    return node


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a tree, without recursion: a query may be nested deeper than Python goes."""
    open_ = [value]
    while open_:
        item = open_.pop()
        if isinstance(item, dict):
            yield item
            open_.extend(item.values())
        elif isinstance(item, list):
            open_.extend(item)


class _Facts:
    """What the check has found out about a query."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, columns: frozenset[str]) -> None:
        self._columns = {name.lower() for name in columns}
        self._functions = _functions(connection)
        self._tables = {TABLE}
        self.selects = 0
        self.beyond_rows = False
        """Aggregates, windows or subqueries: an answer that takes other rows."""

    def check(self, node: dict[str, Any]) -> None:
        """Refuse what is not allowed anywhere in a tree."""
        for item in _dicts(node):
            named = (item.get("cte_map") or {}).get("map") or []
            self._tables |= {str(entry["key"]).lower() for entry in named}
        for item in _dicts(node):
            if "class" in item:
                self._expression(item)
            elif isinstance(item.get("type"), str):
                self._part(item)

    def _expression(self, item: dict[str, Any]) -> None:
        kind = item["class"]
        if kind not in _EXPRESSIONS:
            raise _RefusedError(f"does not allow {_WORDS.get(kind, kind)}")
        if kind in ("SUBQUERY", "WINDOW"):
            self.beyond_rows = True
        if kind == "COLUMN_REF" and len(item["column_names"]) == 1:
            name = str(item["column_names"][0]).lower()
            if name in _NILADIC and name not in self._columns:
                raise _RefusedError(f"does not allow {name}: the same rows must give the same")
        if kind in ("FUNCTION", "WINDOW"):
            self._function(item)

    def _function(self, item: dict[str, Any]) -> None:
        name = str(item["function_name"]).lower()
        if item.get("schema") or item.get("catalog"):
            raise _RefusedError(f"does not allow a schema before the function {name}")
        if name not in self._functions:
            said = "it is unknown, or its answer does not follow from its arguments alone"
            raise _RefusedError(f"does not allow the function {name}: {said}")
        self.beyond_rows |= self._functions[name] == "aggregate"

    def _part(self, item: dict[str, Any]) -> None:
        kind = item["type"]
        if kind not in _KINDS:
            raise _RefusedError(f"does not allow {_WORDS.get(kind, kind)}; select from {TABLE}")
        if item.get("sample") is not None or item.get("at_clause") is not None:
            raise _RefusedError("does not allow a sample: the same rows must give the same")
        self.selects += kind in _NODES
        if kind == "BASE_TABLE":
            name = str(item["table_name"])
            known = name.lower() in self._tables
            if not known or item.get("schema_name") or item.get("catalog_name"):
                raise _RefusedError(f"names the table {name[:80]!r}; there is {TABLE} alone")


def _functions(connection: duckdb.DuckDBPyConnection) -> Mapping[str, str]:
    """Allowed function -> its type: those whose answer follows from their arguments alone."""
    query = (
        "SELECT function_name, min(function_type), bool_and(stability IS NOT DISTINCT FROM"
        " 'CONSISTENT') FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate',"
        " 'macro', 'window') GROUP BY function_name"
    )
    found = {}
    for name, kind, steady in connection.execute(query).fetchall():
        if name in _REFUSED or name.startswith(_REFUSED_PREFIXES):
            continue
        if steady or kind == "window" or name in _MACROS or name.startswith(_MACRO_PREFIXES):
            found[name] = kind
    return found | {"unnest": "scalar", "coalesce": "scalar"}


def _is_row_wise(node: dict[str, Any], facts: _Facts) -> bool:
    """Whether each row of the one table goes its own way."""
    return (
        facts.selects == 1
        and not facts.beyond_rows
        and node["type"] == "SELECT_NODE"
        and node["from_table"]["type"] == "BASE_TABLE"
        and not node.get("modifiers")
        and not node.get("group_expressions")
        and node.get("aggregate_handling") == "STANDARD_HANDLING"
        and node.get("having") is None
        and node.get("qualify") is None
    )
