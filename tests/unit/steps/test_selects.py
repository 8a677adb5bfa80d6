"""What a user's SELECT may be, and what is refused before it is run."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tidemill.steps.engine import connect
from tidemill.steps.failures import StepError
from tidemill.steps.selects import check_select

COLUMNS = frozenset({"a", "b", "noon", "tags"})


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database as the steps use it."""
    with connect(Path(tmp_path_factory.mktemp("selects"))) as opened:
        yield opened


ALLOWED = {
    "everything": ("SELECT * FROM source", True),
    "the short form": ("FROM source", True),
    "cleaning": (
        "SELECT * REPLACE (trim(a) AS a) FROM source WHERE a NOT LIKE 'x%'",
        True,
    ),
    "deriving": (
        "SELECT a / nullif(b, 0) AS r, CASE WHEN b > 1 THEN 'x' END FROM source",
        True,
    ),
    "times": (
        "SELECT a, noon + INTERVAL 1 HOUR AS noon, extract(hour FROM noon) h FROM source",
        True,
    ),
    "casts": ("SELECT a::DOUBLE, try_cast(b AS INTEGER), coalesce(a, b) FROM source", True),
    "lists": ("SELECT list_transform(tags, x -> upper(x)), len(tags) FROM source", True),
    "lines from a list": ("SELECT a, unnest(string_split(b, ',')) AS tag FROM source", True),
    "a comment at its end": ("SELECT a FROM source -- all of them", True),
    "one semicolon": ("SELECT a FROM source;", True),
    "other rows, by a window": (
        "SELECT lag(b) OVER (PARTITION BY a ORDER BY noon) FROM source",
        False,
    ),
    "other rows, by a group": ("SELECT a, max(noon) AS noon FROM source GROUP BY a", False),
    "other rows, without a group": ("SELECT count(*) AS n FROM source", False),
    "the last of each": (
        "SELECT * FROM source QUALIFY row_number() OVER (PARTITION BY a ORDER BY noon DESC) = 1",
        False,
    ),
    "different ones": ("SELECT DISTINCT a, b FROM source", False),
    "some of them": ("SELECT a FROM source ORDER BY noon LIMIT 10", False),
    "with itself": (
        "WITH old AS (FROM source) SELECT * FROM source JOIN old USING (a)",
        False,
    ),
    "a query in a query": ("SELECT * FROM source WHERE b > (SELECT avg(b) FROM source)", False),
    "two halves": ("SELECT a FROM source UNION ALL SELECT b FROM source", False),
    "a list of names": ("SELECT * FROM source JOIN (VALUES (1, 'x')) v(a, name) USING (a)", False),
}


@pytest.mark.parametrize(("sql", "row_wise"), ALLOWED.values(), ids=ALLOWED)
def test_allowed(connection: duckdb.DuckDBPyConnection, sql: str, row_wise: bool) -> None:
    assert check_select(connection, sql, COLUMNS, "prepare.select").row_wise is row_wise


STEADY = "it is unknown, or its answer does not follow from its arguments alone"
REFUSED = {
    "a file": ("SELECT * FROM read_csv('/etc/passwd')", "a table function"),
    "a text file": ("SELECT * FROM read_text('/etc/passwd')", "a table function"),
    "a file by its name": ("SELECT * FROM '/etc/passwd'", "names the table '/etc/passwd'"),
    "a file in a query": (
        "SELECT (SELECT max(content) FROM read_blob('/etc/shadow')) FROM source",
        "a table function",
    ),
    "a file behind WITH": (
        "WITH x AS (FROM read_parquet('/x.parquet')) SELECT * FROM x",
        "a table function",
    ),
    "a file in a union": (
        "SELECT a FROM source UNION ALL SELECT content FROM read_text('/etc/passwd')",
        "a table function",
    ),
    "a URL": ("SELECT * FROM 'https://example.com/x.parquet'", "names the table 'https://"),
    "a bucket": ("SELECT * FROM read_parquet('s3://b/x.parquet')", "a table function"),
    "a listing": ("SELECT * FROM glob('/*')", "a table function"),
    "a query in a text": ("SELECT * FROM query('SELECT 1')", "a table function"),
    "a bomb of numbers": ("SELECT * FROM source, range(1000000000000)", "a table function"),
    "settings": ("SELECT * FROM duckdb_settings()", "a table function"),
    "secrets": ("SELECT * FROM duckdb_secrets()", "a table function"),
    "the catalogue": ("SELECT * FROM information_schema.tables", "names the table 'tables'"),
    "another schema": ("SELECT * FROM main.source", "names the table 'source'"),
    "an environment variable": ("SELECT getenv('HOME') FROM source", f"getenv: {STEADY}"),
    "a setting": ("SELECT current_setting('temp_directory') FROM source", "current_setting"),
    "the version": ("SELECT version() FROM source", f"version: {STEADY}"),
    "the clock": ("SELECT now() FROM source", f"now: {STEADY}"),
    "the clock without parentheses": ("SELECT current_date FROM source", "current_date"),
    "who asks": ("SELECT user FROM source", "does not allow user"),
    "chance": ("SELECT random() FROM source", f"random: {STEADY}"),
    "chance in a list": ("SELECT list_transform(tags, x -> random()) FROM source", "random"),
    "a sample": ("SELECT * FROM source TABLESAMPLE 10%", "a sample"),
    "waiting": ("SELECT sleep_ms(100000) FROM source", "sleep_ms"),
    "the log": ("SELECT write_log('x') FROM source", "write_log"),
    "a variable": ("SELECT getvariable('x') FROM source", "getvariable"),
    "recursion": (
        "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t) SELECT * FROM t",
        "WITH RECURSIVE",
    ),
    "COPY": ("COPY source TO '/tmp/x'", "has to be one SELECT"),
    "ATTACH": ("ATTACH '/tmp/x.db'", "has to be one SELECT"),
    "INSTALL": ("INSTALL httpfs", "has to be one SELECT"),
    "LOAD": ("LOAD httpfs", "has to be one SELECT"),
    "PRAGMA": ("PRAGMA database_list", "has to be one SELECT"),
    "SET": ("SET memory_limit = '1TB'", "has to be one SELECT"),
    "CREATE": ("CREATE TABLE x AS SELECT 1", "has to be one SELECT"),
    "DROP": ("DROP VIEW source", "has to be one SELECT"),
    "two statements": ("SELECT a FROM source; SELECT 1", "one SELECT, not 2 statements"),
    "one after a SELECT": ("SELECT a FROM source; COPY source TO '/tmp/x'", "has to be one SELECT"),
    "an end that is none": ("SELECT a FROM source) TO '/tmp/x'; --", "has to be one SELECT"),
    "DESCRIBE": ("DESCRIBE source", "DESCRIBE, SHOW or SUMMARIZE"),
    "SUMMARIZE": ("SUMMARIZE source", "DESCRIBE, SHOW or SUMMARIZE"),
    "a parameter": ("SELECT $1 FROM source", "a parameter"),
    "nonsense": ("SELEC a", "has to be one SELECT"),
    "nothing": (" ", "has to be one SELECT"),
    "a function by its schema": ("SELECT main.upper(a) FROM source", "a schema before"),
}


@pytest.mark.parametrize(("sql", "said"), REFUSED.values(), ids=REFUSED)
def test_refused(connection: duckdb.DuckDBPyConnection, sql: str, said: str) -> None:
    with pytest.raises(StepError) as raised:
        check_select(connection, sql, COLUMNS, "prepare.select")

    assert raised.value.reason == "InvalidSelect"
    assert str(raised.value).startswith("prepare.select: ")
    assert said in str(raised.value)


def test_a_column_may_be_called_as_a_function_is(connection: duckdb.DuckDBPyConnection) -> None:
    assert check_select(connection, "SELECT user FROM source", frozenset({"user"}), "x").row_wise


def test_a_query_nested_too_deep_is_refused(connection: duckdb.DuckDBPyConnection) -> None:
    deep = "SELECT " + "(" * 5000 + "a" + ")" * 5000 + " FROM source"

    with pytest.raises(StepError, match="InvalidSelect|prepare.select"):
        check_select(connection, deep, COLUMNS, "prepare.select")
