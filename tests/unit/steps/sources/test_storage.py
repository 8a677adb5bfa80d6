"""Which objects a source has, and what a look at it says."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.steps.sources.webserver import Page, web_server
from tidemill.api.v1alpha1.datasource import ObjectsSource
from tidemill.steps.failures import StepError
from tidemill.steps.objects import SOURCE, Store
from tidemill.steps.sources.storage import Storage, sight


@pytest.fixture
def months(tmp_path: Path) -> Path:
    """Five objects; the first by name is the last that was written."""
    for age, name in enumerate(["d.csv", "c.csv", "b.csv", "a.csv"]):
        (tmp_path / name).write_text("x\n1\n")
        os.utime(tmp_path / name, (1_000_000 + age, 1_000_000 + age))
    (tmp_path / "_SUCCESS").touch()
    return tmp_path


CHOSEN = {
    "all": ({}, ["a.csv", "b.csv", "c.csv", "d.csv"]),
    "newest by name": ({"newest": 2}, ["c.csv", "d.csv"]),
    "newest by modification": ({"newest": 2, "newestBy": "Modification"}, ["a.csv", "b.csv"]),
    "without one": ({"exclude": ["c.csv"]}, ["a.csv", "b.csv", "d.csv"]),
    "excluded before the newest are taken": (
        {"newest": 2, "exclude": ["d.csv"]},
        ["b.csv", "c.csv"],
    ),
    "more than there are": ({"newest": 9}, ["a.csv", "b.csv", "c.csv", "d.csv"]),
}


@pytest.mark.parametrize(("changes", "names"), CHOSEN.values(), ids=CHOSEN)
def test_sight(months: Path, changes: dict[str, Any], names: list[str]) -> None:
    source = ObjectsSource.model_validate({"uri": f"file://{months}/*", **changes})

    assert [item.name for item in sight(Store(), source).objects] == names


def test_one_object(months: Path) -> None:
    found = sight(Store(), ObjectsSource(uri=f"file://{months}/b.csv"))

    assert [item.name for item in found.objects] == ["b.csv"]
    assert found.changed == "1970-01-12T13:46:42Z"


def test_one_object_must_tell_its_format(months: Path) -> None:
    with pytest.raises(StepError) as raised:
        sight(Store(), ObjectsSource(uri=f"file://{months}/_SUCCESS"))

    assert raised.value.reason == "UnreadableObject"
    assert str(raised.value) == (
        f"file://{months}/_SUCCESS tells no format: it ends in none of .parquet, .csv, .csv.gz,"
        " .jsonl, .jsonl.gz, .ndjson, .ndjson.gz"
    )


def test_the_fingerprint_follows_what_is_there(months: Path) -> None:
    source = ObjectsSource(uri=f"file://{months}/*.csv")
    first = sight(Store(), source).fingerprint

    assert sight(Store(), source).fingerprint == first
    (months / "b.csv").write_text("x\n2\n")
    written = sight(Store(), source).fingerprint
    (months / "b.csv").rename(months / "e.csv")
    renamed = sight(Store(), source).fingerprint
    (months / "e.csv").unlink()
    gone = sight(Store(), source).fingerprint

    assert len({first, written, renamed, gone}) == 4


LISTING = """<?xml version="1.0"?>
<ListBucketResult><Name>tides</Name><IsTruncated>false</IsTruncated><KeyCount>1</KeyCount>
<Contents><Key>a.csv</Key><LastModified>2026-10-21T07:28:00.000Z</LastModified>
<ETag>"1"</ETag><Size>4</Size></Contents></ListBucketResult>"""


def test_a_store_that_is_down_for_a_while_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 says 503 SlowDown where it means: later."""
    told = {"ETag": '"1"', "Last-Modified": "Wed, 21 Oct 2026 07:28:00 GMT"}
    with web_server() as server:
        server.pages["/tides"] = Page(LISTING.encode(), statuses=[503, 503, 200])
        server.pages["/tides/a.csv"] = Page(b"x\n1\n", told, statuses=[503, 200])
        monkeypatch.setenv("SOURCE_AWS_ENDPOINT_URL", server.address)
        monkeypatch.setenv("SOURCE_AWS_ALLOW_HTTP", "true")
        source = Storage(Store(SOURCE), ObjectsSource(uri="s3://tides/*.csv"))
        seen = source.look()
        made = source.read(tmp_path)

    assert made.fingerprint == seen.fingerprint
    assert [item.path.read_bytes() for item in made.files] == [b"x\n1\n"]
    assert server.methods() == ["GET"] * 5 + ["HEAD"]
