"""Which line of a csv file is at fault, where its reader only says that it cannot be read.

A single line with a field too many makes DuckDB take a file for one of a single column. That is
told by the name of that column, and the line is found by reading the file once more.
"""

import csv
import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path

_DELIMITERS = ",;\t|"
_LONGEST = 1 << 20
_TOLD = ("Invalid unicode", "Expected Number of Columns", "Value with unterminated quote")
"""Lines of DuckDB's that say what is wrong; others quote the file's values."""


def is_misread(types: Mapping[str, str]) -> bool:
    """Whether what was found is one column that is called like several."""
    (name,) = types if len(types) == 1 else ("",)
    return any(one in name for one in _DELIMITERS)


def fault(file: Path) -> str:
    """What is wrong with a csv file that is not of one shape."""
    opened = gzip.open if file.name.endswith(".gz") else open
    csv.field_size_limit(_LONGEST)
    try:
        with opened(file, "rt", encoding="utf-8", newline="") as lines:
            head = lines.readline(_LONGEST)
            delimiter = max(_DELIMITERS, key=head.count)
            fields = len(next(csv.reader([head], delimiter=delimiter)))
            rows, begun = csv.reader(lines, delimiter=delimiter, strict=True), 2
            for row in _or_fault(rows):
                if row is None:
                    return f"a quote is wrong in what begins on line {begun}"
                begun = rows.line_num + 2
                if row and len(row) != fields:
                    at = rows.line_num + 1
                    return f"line {at} has {len(row):,} fields, and the first line {fields:,}"
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except (csv.Error, StopIteration, OSError, EOFError):
        return "it is cut short, or no csv"
    return "its lines are not of one shape"


def _or_fault(rows: Iterator[list[str]]) -> Iterator[list[str] | None]:
    """The rows, and None at the end if that is not one of a csv file."""
    try:
        yield from rows
    except csv.Error:
        yield None


def told(error: str) -> str:
    """What DuckDB says of a file, in one line and without the file's own words."""
    lines = [line.strip() for line in error.strip().splitlines() if line.strip()]
    more = next((line for line in lines[1:] if line.startswith(_TOLD)), "")
    return f"{lines[0] if lines else 'no reason given'} {more}".strip()
