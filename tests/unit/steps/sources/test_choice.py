"""Which source a spec opens, and whole reads through it."""

import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.unit.steps.small import HASH, NOW, Place, spec, table
from tests.unit.steps.sources.webserver import Page, web_server
from tidemill.api.documents.arguments import RefreshArguments
from tidemill.api.documents.results import Unchanged
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps.sources.choice import open_source, shape
from tidemill.steps.sources.git import Git
from tidemill.steps.sources.sql import Sql
from tidemill.steps.sources.storage import Storage
from tidemill.steps.sources.web import Web

KINDS: dict[str, tuple[dict[str, Any], type]] = {
    "a bucket": ({"objects": {"uri": "s3://tides/*.csv"}}, Storage),
    "a directory": ({"objects": {"uri": "file:///tides/*.csv"}}, Storage),
    "a web server": ({"objects": {"uri": "https://example.com/a.csv"}}, Web),
    "a database": ({"sql": {"secretRef": {"name": "harbour"}, "table": "flights"}}, Sql),
    "a repository": ({"git": {"url": "https://example.com/a.git", "path": "*.csv"}}, Git),
}


def arguments(wanted: DatasetSpec) -> RefreshArguments:
    """For a first read."""
    return RefreshArguments(
        dataset="small", spec=wanted, store="file:///x", contract_hash=HASH, now=NOW
    )


@pytest.mark.parametrize(("source", "kind"), KINDS.values(), ids=KINDS)
def test_open_source(source: dict[str, Any], kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_url", "postgresql://me:word@127.0.0.1/tides")

    assert type(open_source(arguments(spec("", source=source)))) is kind


def test_a_file_of_a_web_server_becomes_a_version(place: Place) -> None:
    written = io.BytesIO()
    pq.write_table(table(), written)
    with web_server() as server:
        server.pages["/a.parquet"] = Page(written.getvalue())
        wanted = spec(server.url("/a.parquet"))
        made = place.snapshot(wanted)
        again = place.refresh(wanted, fingerprint=made.fingerprint)
    place.put("a.parquet", table())

    assert made.objects == ("a.parquet",)
    assert made.source_changed is None, "it says nothing of its age"
    assert made.digest == place.snapshot().digest
    assert again == Unchanged(fingerprint=made.fingerprint), "told by its own sha256"


SHAPES: dict[str, tuple[dict[str, Any], bool]] = {
    "when it is read": ({"refresh": {"schedule": "0 5 * * *"}}, True),
    "what it must satisfy": ({"contract": {"owner": "me"}}, True),
    "another query": (
        {"source": {"sql": {"secretRef": {"name": "harbour"}, "query": "SELECT 1"}}},
        False,
    ),
    "another key": ({"columns": {"eventTime": "at", "label": {"name": "late"}}}, False),
    "other times left out": (
        {"window": {"lastSeconds": 86400}},
        False,
    ),
}


@pytest.mark.parametrize(("changes", "same"), SHAPES.values(), ids=SHAPES)
def test_what_rows_depend_on_is_the_shape(changes: dict[str, Any], same: bool) -> None:
    table_of = {"sql": {"secretRef": {"name": "harbour"}, "table": "flights"}}
    plain, other = spec("", source=table_of), spec("", **{"source": table_of, **changes})

    assert (shape(plain) == shape(other)) is same


def test_the_scratch_directory_holds_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x\n1\n")
    (tmp_path / "scratch").mkdir()
    source = open_source(arguments(spec(f"file://{tmp_path}/a.csv")))
    (file,) = source.read(tmp_path / "scratch").files

    assert file.path == tmp_path / "scratch" / "object-0.csv"
