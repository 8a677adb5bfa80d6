"""`page`: what it tells, that data stay data, and that it stays small."""

from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.unit.steps.small import HASH, NOW, spec
from tidemill.api.documents.arguments import Known, RefreshArguments
from tidemill.api.documents.profile import FeatureProfile, Profile, ValueType
from tidemill.api.documents.results import Snapshot
from tidemill.api.v1alpha1.datasetversion import (
    DataWindow,
    ReadRows,
    SchemaColumn,
    SliceReport,
    SourceRead,
    StoredDocument,
    Violation,
)
from tidemill.steps.datadocs.comparison import Distance
from tidemill.steps.datadocs.page import MOST_CARDS, Facts, page
from tidemill.steps.datadocs.timeline import Bucket, Timeline

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
DIGEST = "sha256:" + "ab" * 32
MEGABYTE = 1_000_000
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Outline(HTMLParser):
    """The elements, attributes and text of a page; refuses one whose tags do not match."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.said: list[str] = []
        self.feed(page.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.said.append(data.strip())

    @property
    def text(self) -> str:
        """All text, in order."""
        return " ".join(part for part in self.said if part)


def stored(name: str) -> StoredDocument:
    return StoredDocument(uri=f"s3://tides/records/{name}", digest=DIGEST)


def number(name: str = "load", **changes: Any) -> FeatureProfile:
    body = {
        "name": name,
        "type": ValueType.NUMBER,
        "edges": tuple(float(place) for place in range(1, 24)),
        "counts": (50,) * 24,
        "minimum": 0.0,
        "maximum": 25.0,
        "mean": 12.5,
        "distinct": 900,
        **changes,
    }
    return FeatureProfile.model_validate(body)


def words(name: str, *values: str) -> FeatureProfile:
    counts = tuple(range(len(values), 0, -1))
    return FeatureProfile(
        name=name, type=ValueType.CATEGORY, categories=values, counts=counts, distinct=len(values)
    )


def profile(*features: FeatureProfile) -> Profile:
    return Profile(rows=1200, start="2026-01-01T00:00:00Z", end=NOW, features=features)


def column(name: str, type_: str = "Number", role: str = "Feature", **more: str) -> SchemaColumn:
    return SchemaColumn(name=name, type=type_, role=role, **more)


def asked() -> RefreshArguments:
    """What the refresh was asked: there is a version before it."""
    body = spec("s3://tides/source/*.parquet").to_wire()
    body["contract"] = {
        "owner": "the harbour",
        "description": "What the boats carry.",
        "expectations": [
            {"name": "load-is-sane", "type": "Range", "column": "load", "min": "0", "max": "99"}
        ],
    }
    known = Known(
        name="boats-12345678",
        digest=DIGEST,
        rows=1000,
        manifest=stored("manifest.json"),
        profile=stored("profile.json"),
    )
    return RefreshArguments.model_validate(
        {
            "dataset": "boats",
            "spec": body,
            "store": "s3://tides/records",
            "anchor": known,
            "previous": known,
            "contract_hash": HASH,
            "now": NOW,
            "execution": "boats-0a1b2c3d4e",
        }
    )


def found() -> Snapshot:
    """What it has found."""
    window = DataWindow(
        start="2026-01-01T00:00:00Z",
        end="2026-02-20T00:00:00Z",
        mature_until="2026-02-20T00:00:00Z",
        test_start="2026-02-07T12:00:00Z",
        validation_start="2026-01-31T00:00:00Z",
    )
    return Snapshot(
        digest=DIGEST,
        rows=1200,
        labelled_rows=1100,
        positive_rows=275,
        manifest=stored("manifest.json"),
        profile=stored("profile.json"),
        columns=(column("load"), column("place", "String"), column("late", "Boolean", "Label")),
        window=window,
        contract_hash=HASH,
        fingerprint="f" * 64,
        objects=("a.parquet", "b.parquet"),
        source_changed="2026-05-31T04:05:00Z",
        slices=(SliceReport(name="west", rows=240, labelled_rows=220, positive_rows=121),),
    )


def facts(**changes: Any) -> Facts:
    """A healthy version of one number and one text, with a version before it."""
    made = Facts(
        arguments=asked(),
        snapshot=found(),
        profile=profile(
            number(),
            words("place", "north", "south"),
            number("late", edges=(1.0,), counts=(900, 300), maximum=1.0, distinct=2),
        ),
        before=profile(number(), words("place", "north", "south")),
        timeline=Timeline(
            "month",
            (
                Bucket(datetime(2026, 1, 1), fit=600, validation=10, positive=150),
                Bucket(datetime(2026, 2, 1), validation=90, test=400, waiting=100, positive=125),
            ),
        ),
        distances={"load": Distance(0.25, 0.125), "place": Distance(0.01, 0.02, unknown=3)},
        image="tides/steps@sha256:0123",
    )
    return replace(made, **changes)


def with_snapshot(**changes: Any) -> Facts:
    """The healthy version with other facts in its snapshot."""
    made = facts()
    return replace(made, snapshot=made.snapshot.model_copy(update=changes))


BROKEN = Violation(
    name="load-is-sane",
    rule="Range",
    reason="OutOfRange",
    severity="Fail",
    column="load",
    message="load: expected 0 to 99, observed 0 to 250; outside are 3 of 1,200 rows (0.25 %)",
    expected="0 to 99",
    observed="0 to 250",
    count=3,
    share="0.0025",
    examples=("250", "101.5"),
)
WARNED = BROKEN.model_copy(update={"severity": "Warn"})

TOLD = {
    "the rows and how many more they are": "Rows 1,200 +20.0 % on the version before",
    "how many labels are final": "With a final label 1,100 91.7 % of all rows",
    "the balance of labels": "Positive labels 25.0 % 275 rows of label late",
    "the time that is covered": "Events from 2026-01-01 to 2026-02-20 00:00 UTC, 50 days",
    "that the contract is kept": "Accepted All of the contract is kept by 1,200 rows.",
    "what each part of the split has": "fitted 600 validation 100 test 400 no final label yet 100",
    "the range of the balance": "From 24.6 % to 25.5 %",
    "slices and their labels": "west place = 'west' 240 (20.0 %) 220 55.0 %",
    "which version the pictures compare with": "the version before, boats-12345678",
    "how far a column has moved": "distance 0.250 noise floor 0.125 beyond noise",
    "values that are new": "in new values 3",
    "who answers for the data": "Owner the harbour",
    "what is asked for": "load-is-sane Range load min 0, max 99 Fail ✓ kept",
    "the digest": f"Content digest {DIGEST}",
    "the source": "objects: s3://tides/source/*.parquet",
    "the execution": "boats-0a1b2c3d4e",
    "the image": "tides/steps@sha256:0123",
    "the fingerprint": "Fingerprint " + "f" * 64,
    "what was read": "2, the last b.parquet",
}


@pytest.mark.parametrize("said", TOLD.values(), ids=TOLD)
def test_the_page_tells(said: str) -> None:
    assert said in Outline(page(facts())).text


VERDICTS = {
    "a broken expectation": ((BROKEN, WARNED), "✕ Not accepted: 1 expectation broken"),
    "warnings alone": ((WARNED,), "! Accepted with 1 warning"),
}


@pytest.mark.parametrize(("found", "said"), VERDICTS.values(), ids=VERDICTS)
def test_violations_come_first(found: tuple[Violation, ...], said: str) -> None:
    text = Outline(page(with_snapshot(violations=found))).text

    assert said in text
    assert f"Violations ({len(found)})" in text
    assert "expected 0 to 99 observed 0 to 250 such as 250 101.5" in text
    assert "3 (0.2 %)" in text
    assert text.index("Violations") < text.index("Columns Features")


def test_a_violation_of_an_earlier_release_is_a_sentence() -> None:
    plain = BROKEN.model_copy(
        update={"expected": "", "observed": "", "count": None, "share": "", "examples": ()}
    )

    text = Outline(page(with_snapshot(violations=(plain,)))).text

    assert f"load-is-sane load OutOfRange – {BROKEN.message}" in text


def test_how_far_the_source_was_read_is_told() -> None:
    rows = ReadRows(read=1300, excluded=60, outside_window=40)
    source = SourceRead(kind="Git", commit="0123abcd", watermark="2026-01-01")

    text = Outline(page(with_snapshot(read_rows=rows, source_read=source))).text

    assert "Rows read 1,300, 60 excluded, 40 outside the window" in text
    assert "Git commit 0123abcd Watermark 2026-01-01" in text


def test_a_first_version_is_compared_with_nothing() -> None:
    made = facts(before=None, distances={})
    first = made.arguments.model_copy(update={"previous": None, "anchor": None})

    outline = Outline(page(replace(made, arguments=first)))

    assert "There is no earlier version to compare with." in outline.text
    assert "Rows 1,200 the first version" in outline.text
    assert ("path", "class", "before") not in outline.attributes


def test_a_version_before_that_cannot_be_read_is_named() -> None:
    text = Outline(page(facts(before=None, distances={}))).text

    assert "boats-12345678, the version before, could not be read for a comparison." in text


def test_nothing_is_loaded_and_nothing_runs() -> None:
    outline = Outline(page(facts()))

    assert not {"script", "link", "img", "iframe", "object"} & set(outline.tags)
    assert not [name for _, name, _ in outline.attributes if name in ("src", "href")]
    assert not [name for _, name, _ in outline.attributes if name.startswith("on")]


def hostile() -> Facts:
    """A version that tries to get markup into its page everywhere it can."""
    violation = Violation(
        name=HOSTILE,
        reason="OutOfRange",
        severity="Fail",
        column=HOSTILE,
        message=HOSTILE,
        expected=HOSTILE,
        observed=HOSTILE,
        examples=(HOSTILE,),
    )
    made = facts()
    body = made.arguments.spec.to_wire()
    body["contract"] |= {"owner": HOSTILE, "description": HOSTILE}
    body["slices"] = [{"name": "west", "where": f"place = '{HOSTILE}'"}]
    known = made.arguments.previous
    assert known is not None
    changed = {
        "spec": type(made.arguments.spec).model_validate(body),
        "previous": known.model_copy(update={"name": HOSTILE}),
    }
    snapshot = made.snapshot.model_copy(
        update={
            "columns": (
                column(HOSTILE, "String", description=HOSTILE, owner=HOSTILE),
                column("load", HOSTILE),
            ),
            "violations": (violation,),
            "fingerprint": HOSTILE,
            "objects": (HOSTILE,),
        }
    )
    return replace(
        made,
        arguments=made.arguments.model_copy(update=changed),
        snapshot=snapshot,
        profile=profile(words(HOSTILE, HOSTILE, "'\"><b>"), number()),
        before=profile(words(HOSTILE, HOSTILE)),
    )


def test_markup_in_data_is_shown_and_not_obeyed() -> None:
    written = page(hostile())

    outline = Outline(written)
    assert not {"script", "img"} & set(outline.tags)
    assert not [name for _, name, _ in outline.attributes if name.startswith("on")]
    assert outline.text.count("<script>alert(1)</script>") >= 10


def wide(columns: int) -> Facts:
    """A version of very many columns with very long names and values."""
    names = [f"{'w' * 120}{place:08d}" for place in range(columns)]
    texts = tuple(f"{'v' * 240}{place}" for place in range(23))
    made = with_snapshot(
        columns=tuple(column(name, "String") for name in names),
        violations=(BROKEN.model_copy(update={"message": "m" * 1024}),) * 100,
        objects=("o" * 256,) * 200,
    )
    features = tuple(words(name, *texts) for name in names)
    return replace(made, profile=profile(*features), before=profile(*features))


SIZES = {"as many as are drawn": MOST_CARDS, "ten thousand columns": 10_000}


@pytest.mark.parametrize("columns", SIZES.values(), ids=SIZES)
def test_the_page_stays_small(columns: int) -> None:
    written = page(wide(columns))

    outline = Outline(written)
    assert len(written) < MEGABYTE
    assert outline.tags.count("article") == MOST_CARDS
    assert ("And 9,000 more." in outline.text) is (columns > 1000)


def test_columns_that_are_not_profiled_are_listed_and_not_drawn() -> None:
    columns = (column("load"), column("faith", "String", "Sensitive"), column("id", role="Key"))
    made = with_snapshot(columns=columns)

    outline = Outline(page(replace(made, profile=profile(number(), number("id")))))

    assert outline.tags.count("article") == 1
    assert "faith String Sensitive not shown –" in outline.text


def test_credentials_in_a_url_are_left_out() -> None:
    made = facts()
    body = made.arguments.spec.to_wire()
    body["source"]["objects"]["uri"] = "https://me:hunter2@host/a.csv?token=hunter3"
    changed = made.arguments.model_copy(
        update={"spec": type(made.arguments.spec).model_validate(body)}
    )

    text = Outline(page(replace(made, arguments=changed))).text

    assert "hunter" not in text
    assert "https://host/a.csv" in text
