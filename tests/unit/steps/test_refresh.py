"""`refresh`: a source becomes a snapshot, or a failure that says what to do."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.unit.steps.small import (
    START,
    Place,
    expectations,
    files_below,
    known,
    path_of,
    spec,
    table,
)
from tidemill.api.documents.manifest import Manifest
from tidemill.api.documents.profile import Profile
from tidemill.api.documents.results import Unchanged
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps.failures import StepError
from tidemill.steps.objects import Found, Store, sha256_of_file
from tidemill.steps.sources.storage import Storage


def test_a_snapshot_says_what_it_holds(stocked: Place) -> None:
    made = stocked.snapshot()

    positive = pc.sum(table()["late"]).as_py()
    assert (made.rows, made.labelled_rows, made.positive_rows) == (1200, 1200, positive)
    assert {column.name: (column.type, column.role) for column in made.columns} == {
        "id": ("String", "Key"),
        "at": ("Timestamp", "EventTime"),
        "load": ("Number", "Feature"),
        "place": ("String", "Feature"),
        "grade": ("Integer", "Feature"),
        "note": ("String", "Context"),
        "late": ("Boolean", "Label"),
    }
    assert made.violations == ()
    assert made.objects == (str(stocked.source / "all.parquet").lstrip("/"),)
    window = made.window
    assert (window.start, window.end) == ("2026-01-01T00:00:00Z", "2026-02-19T23:00:00Z")
    assert window.mature_until == window.end
    # 1200 rows, one an hour: the newest 300 are the test, the 180 before choose.
    assert window.test_start == "2026-02-07T12:00:00Z"
    assert window.validation_start == "2026-01-31T00:00:00Z"


def test_documents_and_parts_are_what_their_digests_say(stocked: Place) -> None:
    made = stocked.snapshot()

    for document in (made.manifest, made.profile):
        assert sha256_of_file(path_of(document)) == document.digest
    manifest = Manifest.model_validate_json(path_of(made.manifest).read_bytes())
    assert (manifest.digest, manifest.rows) == (made.digest, 1200)
    (part,) = manifest.parts
    assert part.uri == f"{stocked.store}/parts/{part.digest.removeprefix('sha256:')}.parquet"
    assert sha256_of_file(path_of(part.uri)) == part.digest
    profile = Profile.model_validate_json(path_of(made.profile).read_bytes())
    assert {feature.name for feature in profile.features} == {c.name for c in made.columns}


def shuffled(rows: pa.Table) -> pa.Table:
    """The same rows in another order, their columns too."""
    order = np.random.default_rng(1).permutation(len(rows))
    return rows.take(order).select(list(reversed(rows.column_names)))


SAME: dict[str, list[tuple[str, pa.Table]]] = {
    "one file": [("a.parquet", table())],
    "rows and columns in another order": [("a.parquet", shuffled(table()))],
    "two files": [("a.parquet", table().slice(0, 500)), ("b.parquet", table().slice(500))],
    "files in another order": [("a.parquet", table().slice(500)), ("b.parquet", table()[:500])],
    "csv": [("a.csv", table())],
    "lines of JSON": [("a.jsonl", table())],
    "formats mixed": [("a.csv", table()[:300]), ("b.jsonl", table().slice(300))],
}


@pytest.mark.parametrize("objects", SAME.values(), ids=SAME)
def test_digest_is_that_of_the_content(
    place: Place, stocked: Place, objects: list[tuple[str, pa.Table]]
) -> None:
    for name, rows in objects:
        place.put(name, rows)

    assert place.snapshot().digest == stocked.snapshot().digest


def changed(rows: pa.Table, column: str, values: pa.Array) -> pa.Table:
    """A table with one column replaced."""
    return rows.set_column(rows.column_names.index(column), column, values)


OTHER = {
    "a row less": table()[:1199],
    "a row twice": pa.concat_tables([table(), table()[:1]]),
    "one value": changed(table(), "grade", pc.add(table()["grade"], 1)),
    "a null in the place of a text": changed(
        table(), "note", pc.if_else(pc.equal(table()["id"], "r5"), None, table()["note"])
    ),
    "another type": changed(table(), "grade", table()["grade"].cast(pa.float64())),
    "another name": table().rename_columns(
        ["id", "at", "load", "place", "grade", "remark", "late"]
    ),
}


@pytest.mark.parametrize("rows", OTHER.values(), ids=OTHER)
def test_digest_tells_other_content(place: Place, stocked: Place, rows: pa.Table) -> None:
    place.put("a.parquet", rows)
    body = spec(place.uri).to_wire()
    body["columns"].pop("context")

    found = place.snapshot(DatasetSpec.model_validate(body))

    assert found.digest != stocked.snapshot().digest


def test_an_unchanged_source_is_not_read_again(place: Place, monkeypatch: Any) -> None:
    place.put("a.parquet", table())
    made = place.snapshot()
    monkeypatch.setattr(Store, "download", None)

    again = place.refresh(fingerprint=made.fingerprint)

    assert again == Unchanged(fingerprint=made.fingerprint, source_changed=made.source_changed)


def test_versions_share_the_parts_they_have_in_common(place: Place) -> None:
    rows = table()
    for name, start in (("a", 0), ("b", 400), ("c", 800)):
        place.put(f"{name}.parquet", rows.slice(start, 400))
    body = {"source": {"objects": {"uri": place.uri, "newest": 2}}}
    (place.source / "c.parquet").rename(place.root / "c.parquet")
    first = place.snapshot(spec(place.uri, **body))
    (place.root / "c.parquet").rename(place.source / "c.parquet")

    second = place.snapshot(spec(place.uri, **body), anchor=known(first), previous=known(first))

    assert second.digest != first.digest
    assert len(files_below(path_of(place.store) / "parts")) == 3
    assert len(files_below(path_of(place.store) / "versions")) == 6


def test_a_second_run_writes_the_same_again(place: Place) -> None:
    place.put("a.parquet", table())
    made = place.snapshot()
    before = files_below(path_of(place.store))

    assert place.snapshot() == made
    assert files_below(path_of(place.store)) == before


def test_other_bytes_of_an_older_program_do_not_stand_in_the_way(place: Place) -> None:
    place.put("a.parquet", table())
    made = place.snapshot()
    path_of(made.profile).write_text("{}")

    again = place.snapshot()

    assert again.profile.uri == made.profile.uri.replace(
        "profile.json", f"profile-{made.profile.digest[7:19]}.json"
    )
    assert sha256_of_file(path_of(again.profile)) == made.profile.digest


def test_a_run_that_ends_half_way_leaves_no_version(place: Place, monkeypatch: Any) -> None:
    place.put("a.parquet", table())

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "publish", dies)
    with pytest.raises(KeyboardInterrupt):
        place.snapshot()

    assert [name for name in files_below(path_of(place.store)) if "versions" in name] == []


def test_young_rows_have_no_final_label(place: Place) -> None:
    place.put("a.parquet", table())
    columns = spec(place.uri).to_wire()["columns"]
    columns["label"]["matureAfterSeconds"] = 86400

    made = place.snapshot(spec(place.uri, columns=columns), now="2026-02-10T00:00:00Z")

    # 39 days and one hour of the 50 days are a day old.
    assert (made.rows, made.labelled_rows) == (1200, 39 * 24 + 1)
    assert made.window.mature_until == "2026-02-09T00:00:00Z"
    assert made.window.end == "2026-02-19T23:00:00Z"
    assert (made.window.test_start or "") < made.window.mature_until


def test_an_absent_label_is_dropped_or_counts_as_no(place: Place) -> None:
    late = pc.if_else(table()["late"], True, None)
    place.put("a.parquet", changed(table(), "late", late))
    columns = spec(place.uri).to_wire()["columns"]
    columns["label"]["absent"] = "Negative"
    positive = pc.sum(table()["late"]).as_py()

    dropped = place.snapshot()
    counted = place.snapshot(spec(place.uri, columns=columns))

    assert (dropped.labelled_rows, dropped.positive_rows) == (positive, positive)
    assert (counted.labelled_rows, counted.positive_rows) == (1200, positive)
    assert dropped.digest == counted.digest


def test_rows_without_an_event_time_are_told_of(place: Place) -> None:
    at = pc.if_else(pc.equal(table()["grade"], 3), None, table()["at"])
    place.put("a.parquet", changed(table(), "at", at))
    missing = at.null_count

    (violation,) = place.snapshot().violations

    assert (violation.name, violation.reason, violation.severity) == (
        "EventTime",
        "Incomplete",
        "Warn",
    )
    assert violation.message == (
        "at: expected an event time in every row, as others are never trained on, observed rows"
        f" without; broken by {missing} of 1,200 rows ({missing / 12:.3g} %)"
    )


def test_the_schema_is_frozen_by_the_anchor(place: Place) -> None:
    path = place.put("a.parquet", table())
    first = place.snapshot()
    path.unlink()
    rows = table().drop_columns(["grade"]).append_column("extra", pa.array([1.5] * 1200))
    place.put("b.parquet", changed(rows, "load", rows["load"].cast(pa.string())))

    def violations(evolution: str) -> list[tuple[str, str, str]]:
        contract = {"schema": {"evolution": evolution}}
        found = place.snapshot(spec(place.uri, contract=contract), anchor=known(first))
        return [(item.reason, item.column, item.message) for item in found.violations]

    broken = [
        ("MissingColumn", "grade", "grade: expected Integer, observed no such column"),
        ("TypeChanged", "load", "load: expected Number, observed String"),
    ]
    assert violations("Additive") == broken
    assert violations("None") == [
        *broken,
        (
            "ExtraColumn",
            "extra",
            "extra: expected no such column, as contract.schema.evolution is None, observed Number",
        ),
    ]


def test_the_first_version_says_which_values_are_known(place: Place) -> None:
    path = place.put("a.parquet", table())
    contract = expectations(
        {"name": "places", "type": "AllowedValues", "column": "place", "from": "FirstVersion"},
        {"name": "grades", "type": "AllowedValues", "column": "grade", "from": "FirstVersion"},
    )
    first = place.snapshot(spec(place.uri, contract=contract))
    path.unlink()
    moved = pc.if_else(pc.equal(table()["place"], "west"), "north-west", table()["place"])
    place.put("b.parquet", changed(table(), "place", moved))
    count = pc.sum(pc.equal(moved, "north-west")).as_py()

    found = place.snapshot(spec(place.uri, contract=contract), anchor=known(first))

    assert first.violations == ()
    assert [item.message for item in found.violations] == [
        "place: expected 3 values, those of the first version, others in at most 0 % of rows,"
        f" observed others; broken by {count} of 1,200 rows ({count / 12:.3g} %), such as"
        " 'north-west'"
    ]


def write(place: Place, name: str, content: str) -> None:
    """An object as it stands."""
    (place.source / name).write_text(content)


def of_columns(**columns: Any) -> dict[str, Any]:
    """The columns of a spec, with some replaced."""
    return {
        "key": ["id"],
        "eventTime": "at",
        "label": {"name": "late"},
        "features": ["load", "place"],
        **columns,
    }


def with_text_times(values: list[str]) -> pa.Table:
    """A table whose event times are text."""
    return changed(table()[: len(values)], "at", pa.array(values))


HAVE = "id, at, load, place, grade, note, late"
FAILURES: dict[str, tuple[Any, dict[str, Any], str, str]] = {
    "nothing is there": (
        lambda place: None,
        {},
        "NoObjects",
        "{uri} matches none of the 0 objects below {folder}/; check the pattern, or upload the"
        " data",
    ),
    "nothing that is data": (
        lambda place: write(place, "README.md", "hello"),
        {},
        "NoObjects",
        "{uri} matches 1 objects; none ends in .parquet, .csv, .csv.gz, .jsonl, .jsonl.gz,"
        " .ndjson, .ndjson.gz; check the pattern, or upload the data",
    ),
    "all that is there is excluded": (
        lambda place: place.put("a.parquet", table()),
        {"source": {"objects": {"uri": "{uri}", "exclude": ["a.parquet"]}}},
        "NoObjects",
        "{uri} matches 1 objects and all of them are excluded",
    ),
    "an object is not what its name says": (
        lambda place: write(place, "a.parquet", "this is no parquet, nor ever was"),
        {},
        "UnreadableObject",
        "{object} cannot be read as parquet: Invalid Input Error:",
    ),
    "no row at all": (
        lambda place: write(place, "a.csv", "id,at,load,place,grade,note,late\n"),
        {},
        "EmptyVersion",
        "the 1 objects read hold no rows; check the source, or exclude the empty ones",
    ),
    "the label is not there": (
        lambda place: place.put("a.parquet", table()),
        {"columns": of_columns(label={"name": "delayed"})},
        "MissingColumn",
        f"columns.label.name names delayed, which the data do not have; they have {HAVE}",
    ),
    "the event time is not there": (
        lambda place: place.put("a.parquet", table()),
        {"columns": of_columns(eventTime="when")},
        "MissingColumn",
        f"columns.eventTime names when, which the data do not have; they have {HAVE}",
    ),
    "a feature is not there": (
        lambda place: place.put("a.parquet", table()),
        {"columns": of_columns(features=["load", "speed"])},
        "MissingColumn",
        f"columns.features names speed, which the data do not have; they have {HAVE}",
    ),
    "an expectation's column is not there": (
        lambda place: place.put("a.parquet", table()),
        {
            "contract": expectations(
                {"name": "fast", "type": "Range", "column": "speed", "min": "0"}
            )
        },
        "MissingColumn",
        f"expectation fast names speed, which the data do not have; they have {HAVE}",
    ),
    "a feature is a time": (
        lambda place: place.put("a.parquet", table().append_column("due", table()["at"])),
        {"columns": of_columns(features=["load", "due"])},
        "TypeMismatch",
        "feature due is a Timestamp; derive numbers or text from it at the source, or leave it out"
        " of columns.features",
    ),
    "the event time is a number": (
        lambda place: place.put("a.parquet", table()),
        {"columns": of_columns(eventTime="grade")},
        "TypeMismatch",
        "event time grade is a Integer; make it a timestamp, or text such as 2013-06-30T12:00:00Z",
    ),
    "event times cannot be read": (
        lambda place: place.put("a.parquet", with_text_times(["2026-01-01", "soon", "soon"])),
        {},
        "TypeMismatch",
        "event time at: 2 values in {object} cannot be read as a time, such as 'soon'; write them"
        " as 2013-06-30T12:00:00Z",
    ),
    "objects contradict each other": (
        lambda place: (
            place.put("a.parquet", table()),
            place.put("b.parquet", changed(table(), "grade", table()["note"])),
        ),
        {},
        "TypeMismatch",
        "column grade is Integer in {object} and String in {folder}/b.parquet; all objects must"
        " have one schema",
    ),
    "the label has three values": (
        lambda place: place.put("a.parquet", table()),
        {"columns": of_columns(label={"name": "place"}, features=["load"])},
        "LabelNotBinary",
        "label place has more than two values ('north', 'south', 'west', ...); a classification"
        " into two classes needs a column with two",
    ),
    "a slice says more than it may": (
        lambda place: place.put("a.parquet", table()),
        {"slices": [{"name": "all", "where": "place = 'west'; DROP TABLE x"}]},
        "InvalidSlice",
        "slice all: is more than one condition; comparisons, IN, BETWEEN, IS NULL, AND, OR and NOT"
        " of columns and literals are allowed",
    ),
    "no row has an event time": (
        lambda place: place.put(
            "a.parquet", changed(table(), "at", pa.nulls(1200, pa.timestamp("us")))
        ),
        {},
        "EmptyVersion",
        "no row has a value in the event time column at",
    ),
    "nothing is left to be a feature": (
        lambda place: place.put("a.parquet", table().select(["id", "at", "late"])),
        {"columns": of_columns(features=[]), "slices": []},
        "MissingColumn",
        "no column is left to be a feature: the others have roles or types without use to a model;"
        " the data have id, at, late",
    ),
}


@pytest.mark.parametrize(
    ("arrange", "changes", "reason", "message"), FAILURES.values(), ids=FAILURES
)
def test_failures_say_what_to_do(
    place: Place, arrange: Any, changes: dict[str, Any], reason: str, message: str
) -> None:
    arrange(place)
    folder = f"file://{place.source}"
    text = {
        "{uri}": place.uri,
        "{object}": str(place.source / "a.parquet").lstrip("/"),
        "{folder}": folder,
    }
    if "matches" not in message:
        text["{folder}"] = str(place.source).lstrip("/")
    for mark, value in text.items():
        message = message.replace(mark, value)
    if "source" in changes:
        changes = {"source": {"objects": {**changes["source"]["objects"], "uri": place.uri}}}

    with pytest.raises(StepError) as raised:
        place.refresh(spec(place.uri, **changes))

    assert raised.value.reason == reason
    if message.endswith(":"):
        assert str(raised.value).startswith(message)
    else:
        assert str(raised.value) == message
    assert raised.value.transient is False
    assert not (place.root / "store").exists()


def test_a_source_that_cannot_be_reached_is_transient(place: Place, monkeypatch: Any) -> None:
    monkeypatch.setenv("SOURCE_AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SOURCE_AWS_ALLOW_HTTP", "true")

    with pytest.raises(StepError) as raised:
        place.refresh(spec("s3://tides/flights/*.parquet"))

    assert (raised.value.reason, raised.value.transient) == ("SourceUnavailable", True)
    assert str(raised.value).startswith("s3://tides/flights cannot be reached: ")


def test_an_object_written_meanwhile_is_read_once_more(place: Place, monkeypatch: Any) -> None:
    place.put("a.parquet", table()[:600])
    looks = iter([False, True])
    download = Store.download

    def written_after(store: Store, uri: str, target: Path) -> Found:
        found = download(store, uri, target)
        if "source" in uri and not next(looks, True):
            place.put("a.parquet", table())
        return found

    monkeypatch.setattr(Store, "download", written_after)
    made = place.snapshot()

    assert made.rows == 1200
    objects = spec(place.uri).source.objects
    assert objects is not None
    assert made.fingerprint == Storage(Store(), objects).look().fingerprint


def test_an_object_written_again_and_again_is_left_for_later(
    place: Place, monkeypatch: Any
) -> None:
    place.put("a.parquet", table())
    download = Store.download
    times = iter(range(100))

    def written_after(store: Store, uri: str, target: Path) -> Found:
        found = download(store, uri, target)
        place.put("a.parquet", table()[: 600 + next(times)])
        return found

    monkeypatch.setattr(Store, "download", written_after)
    with pytest.raises(StepError) as raised:
        place.snapshot()

    assert (raised.value.reason, raised.value.transient) == ("SourceChanged", True)


def test_text_times_are_read_with_their_zone(place: Place) -> None:
    rows = with_text_times(
        ["2026-01-01T02:00:00+02:00", "2026-01-01 01:00:00", "2026-01-01T02:00Z"]
    )
    place.put("a.parquet", rows)

    made = place.snapshot()

    hours = [START + timedelta(hours=2)]
    assert made.window.start == "2026-01-01T00:00:00Z"
    assert made.window.end == f"{hours[0].isoformat()}Z"


def test_values_of_a_sensitive_column_are_in_no_document(place: Place) -> None:
    place.put("a.parquet", table())
    body = spec(place.uri).to_wire()
    body["columns"] |= {"sensitive": ["place"], "features": ["load", "grade"]}

    made = place.snapshot(DatasetSpec.model_validate(body))

    assert {c.name: c.role for c in made.columns}["place"] == "Sensitive"
    profile = Profile.model_validate_json(path_of(made.profile).read_bytes())
    assert "place" not in {feature.name for feature in profile.features}
    for document in (made.profile, made.manifest):
        assert b"north" not in path_of(document).read_bytes()
    assert "north" not in made.model_dump_json()
