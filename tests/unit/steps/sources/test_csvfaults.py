"""Files that come broken: each says what is wrong with it, and where."""

import gzip
import io
from collections.abc import Callable

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.unit.steps.small import Place, table
from tidemill.steps.failures import StepError
from tidemill.steps.sources.csvfaults import told


def lines() -> list[bytes]:
    """The table as csv, line by line."""
    written = io.BytesIO()
    pyarrow.csv.write_csv(table(), written)
    return written.getvalue().split(b"\n")


def replaced(at: int, line: bytes) -> bytes:
    """The csv with another line in the place of one."""
    return b"\n".join([*lines()[: at - 1], line, *lines()[at:]])


def parquet() -> bytes:
    """The table as parquet."""
    written = io.BytesIO()
    pq.write_table(table(), written)
    return written.getvalue()


BROKEN: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "a field too many in the middle": (
        "a.csv",
        lambda: replaced(601, lines()[600] + b",1,2,3"),
        "cannot be read as csv: line 601 has 10 fields, and the first line 7; mend it",
    ),
    "fields too few in the last line": (
        "a.csv",
        lambda: replaced(1201, b"r1,2"),
        "cannot be read as csv: line 1201 has 2 fields, and the first line 7; mend it",
    ),
    "a line of another file": (
        "a.csv.gz",
        lambda: gzip.compress(replaced(5, b"a;b;c")),
        "cannot be read as csv: line 5 has 1 fields, and the first line 7; mend it",
    ),
    "a quote that is never closed": (
        "a.csv",
        lambda: replaced(1200, b'"rx,2026'),
        "cannot be read as csv: a quote is wrong in what begins on line 1200; mend it",
    ),
    "not UTF-8": (
        "a.csv",
        lambda: replaced(3, "r0,2026-01-01 00:00:00,1,nörth,1,n,true".encode("latin-1")),
        "Invalid unicode (byte sequence mismatch) detected. This file is not utf-8 encoded.; mend",
    ),
    "a csv.gz cut short": (
        "a.csv.gz",
        lambda: gzip.compress(b"\n".join(lines()))[:-100],
        "Unexpected end of GZIP stream",
    ),
    "lines of JSON that are not UTF-8": (
        "a.jsonl",
        lambda: b'{"id": "\xf6"}\n',
        "invalid UTF-8 encoding in string",
    ),
    "lines of JSON cut short": (
        "a.jsonl",
        lambda: b'{"id": 1}\n{"id": ',
        "unexpected end of data",
    ),
    "half a parquet": (
        "a.parquet",
        lambda: parquet()[: len(parquet()) // 2],
        "cannot be read as parquet: Invalid Input Error: No magic bytes found at end of file",
    ),
    "an empty parquet": (
        "a.parquet",
        lambda: b"",
        "too small to be a Parquet file",
    ),
}


@pytest.mark.parametrize(("name", "content", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_says_what_is_wrong(
    place: Place, name: str, content: Callable[[], bytes], said: str
) -> None:
    (place.source / name).write_bytes(content())

    with pytest.raises(StepError) as raised:
        place.refresh()

    assert (raised.value.reason, raised.value.transient) == ("UnreadableObject", False)
    assert said in str(raised.value)
    assert str(place.root / "scratch") not in str(raised.value)
    assert not (place.root / "store").exists()


def test_a_file_of_one_column_is_no_fault(place: Place) -> None:
    (place.source / "a.csv").write_bytes(b"id\n1\n2\n")

    with pytest.raises(StepError) as raised:
        place.refresh()

    assert raised.value.reason == "MissingColumn"


def test_values_of_the_file_are_not_told() -> None:
    said = (
        "Conversion Error: CSV Error on Line: 3\nOriginal Line: patient 17,positive\n"
        'Error when converting column "age". Could not convert string "positive" to INTEGER'
    )

    assert told(said) == "Conversion Error: CSV Error on Line: 3"
