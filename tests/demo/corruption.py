"""A month as it arrives when an upstream job went wrong: readable, plausible at a glance, bad."""

from pathlib import Path

import duckdb

CORRUPT = """
SELECT * REPLACE (
    dep_hour * 100 AS dep_hour,          -- 530 where 5 was meant: somebody joined the wrong column
    lower(carrier) AS carrier,
    CASE WHEN distance % 3 = 0 THEN NULL ELSE temp END AS temp,
    time_hour + INTERVAL 31 DAY AS time_hour
)
FROM read_parquet(?)
"""


def corrupted_month(good: Path, directory: Path) -> Path:
    """Write flights-2014-01.parquet, made of a good December."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "flights-2014-01.parquet"
    connection = duckdb.connect()
    connection.register("month", connection.sql(CORRUPT, params=[str(good)]).to_arrow_table())
    connection.execute(f"COPY month TO '{path}' (FORMAT parquet)")
    return path
