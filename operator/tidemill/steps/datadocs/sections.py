"""The parts of a docs page that are not about single columns' distributions."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from tidemill.api.documents.arguments import RefreshArguments
from tidemill.api.documents.results import Snapshot
from tidemill.api.v1alpha1.datacontract import Contract, Expectation
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import SchemaColumn, Violation
from tidemill.core.acceptance import FAIL
from tidemill.steps.datadocs import charts, wording
from tidemill.steps.datadocs.cards import Seen
from tidemill.steps.datadocs.markup import Child, clean, el
from tidemill.steps.datadocs.timeline import Timeline
from tidemill.steps.objects import plain

MOST_ROWS = 1000
"""As many columns are listed in the schema."""
_MOST_OBJECTS = 100
_SPLIT = (
    ("fit", "now", "fitted"),
    ("validation", "validation", "validation"),
    ("test", "test", "test"),
    ("waiting", "waiting", "no final label yet"),
)


def tiles(arguments: RefreshArguments, found: Snapshot, timeline: Timeline) -> Element:
    """The numbers one asks for first."""
    previous, window = arguments.previous, found.window
    grown = "the first version" if previous is None else wording.change(found.rows, previous.rows)
    positive = found.positive_rows / found.labelled_rows if found.labelled_rows else None
    label = arguments.spec.columns.label.name
    return el(
        "div",
        _tile("Rows", wording.count(found.rows), grown),
        _tile(
            "With a final label",
            wording.count(found.labelled_rows),
            f"{wording.share(found.labelled_rows / found.rows if found.rows else 0)} of all rows",
        ),
        _tile(
            "Positive labels",
            "none" if positive is None else wording.share(positive),
            f"{wording.count(found.positive_rows)} rows of label {label}",
        ),
        _tile(
            "Events from",
            wording.moment(window.start)[:10],
            f"to {wording.moment(window.end)} UTC, {wording.stretch(window.start, window.end)}",
        ),
        _tile("Columns", wording.count(len(found.columns)), _roles(found.columns)),
        _tile(
            "Source changed",
            "unknown"
            if found.source_changed is None
            else wording.moment(found.source_changed)[:10],
            f"read {wording.moment(arguments.now)} UTC",
        ),
        class_="tiles",
    )


def _tile(name: str, value: str, note: str) -> Element:
    return el(
        "div",
        el("span", name, class_="soft small"),
        el("b", value),
        el("span", note, class_="soft small"),
        class_="box tile",
    )


def _roles(columns: Sequence[SchemaColumn]) -> str:
    features = sum(1 for item in columns if item.role == "Feature")
    return f"{features} of them features"


def violations(found: Sequence[Violation]) -> list[Element]:
    """What is broken; nothing if nothing is."""
    if not found:
        return []
    ranked = sorted(found, key=lambda item: item.severity != FAIL)
    rows: list[list[Child]] = [
        [_severity(item.severity), item.name, item.column or "–", item.reason, _rows_of(item),
         _found(item)]
        for item in ranked
    ]  # fmt: skip
    heads = ("Severity", "Expectation", "Column", "Kind", "Rows", "What was found")
    return [el("h2", f"Violations ({len(found)})"), _table(heads, rows, numbers=(4,), wide=5)]


def _rows_of(item: Violation) -> str:
    """How many rows break it, where that was counted."""
    if item.count is None:
        return "–"
    part = f" ({wording.share(float(item.share))})" if item.share else ""
    return f"{wording.count(item.count)}{part}"


def _found(item: Violation) -> Element:
    """What was asked and found, with example values; a record of an earlier release has a sentence
    alone.
    """
    if not item.expected and not item.observed:
        return el("div", item.message)
    shown = [el("code", clean(value, 64), class_="chip") for value in item.examples]
    return el(
        "div",
        el("div", el("span", "expected ", class_="soft"), item.expected),
        el("div", el("span", "observed ", class_="soft"), item.observed),
        el("div", el("span", "such as ", class_="soft"), *shown) if shown else None,
    )


def _severity(severity: str) -> Element:
    """Told by word and sign, not by colour alone."""
    if severity == FAIL:
        return el("span", "✕ Fail", class_="tag bad")
    return el("span", f"! {severity}", class_="tag warn")


def over_time(timeline: Timeline, spec: DatasetSpec) -> list[Element]:
    """Rows and label balance over event time."""
    buckets = timeline.buckets
    if not buckets:
        return []
    ends = [wording.tick(item.start, timeline.unit) for item in (buckets[0], buckets[-1])]
    axis = [el("span", end) for end in dict.fromkeys(ends)]
    most = max(item.rows for item in buckets)
    shares = [item.positive / item.labelled for item in buckets if item.labelled]
    top = min(1.0, 1.15 * max(shares, default=0.0)) or 1.0
    rows = el(
        "div",
        el("h3", f"Rows per {timeline.unit}, by split"),
        charts.split_over_time(timeline, f"Rows per {timeline.unit} from {ends[0]} to {ends[1]}"),
        el("div", *axis, class_="axis"),
        el("p", f"Tallest bar: {wording.count(most)} rows", class_="soft small"),
        _split_legend(timeline),
        class_="box",
    )
    said = f"Share of positive labels per {timeline.unit}, from 0 to {wording.share(top)}"
    balance = el(
        "div",
        el("h3", f"Share of positive labels per {timeline.unit}"),
        charts.positives_over_time(timeline, said, top),
        el("div", *[el("span", end) for end in dict.fromkeys(ends)], class_="axis"),
        el("p", _range_of(shares, top), class_="soft small"),
        class_="box",
    )
    return [
        el("h2", f"Label {spec.columns.label.name} and split by {spec.split.by.lower()}"),
        el("div", rows, balance, class_="charts"),
    ]


def _range_of(shares: Sequence[float], top: float) -> str:
    if not shares:
        return "No row has a final label yet."
    low, high = wording.share(min(shares)), wording.share(max(shares))
    return f"From {low} to {high}; the picture's height is {wording.share(top)}."


def _split_legend(timeline: Timeline) -> Element:
    items = []
    for part, colour, name in _SPLIT:
        rows = sum(int(getattr(item, part)) for item in timeline.buckets)
        if rows:
            said = f"{name} {wording.count(rows)}"
            items.append(el("li", el("i", class_=f"k-{colour}"), said))
    return el("ul", *items, class_="legend")


def slices(spec: DatasetSpec, found: Snapshot) -> list[Element]:
    """Named parts of the data, with their rows and the balance of their labels."""
    if not spec.slices:
        return []
    reports = {item.name: item for item in found.slices}
    listed: list[list[Child]] = []
    for item in spec.slices:
        seen = reports.get(item.name)
        row: list[Child] = [item.name, el("code", clean(item.where, 400))]
        if seen is None:
            row += ["–", "–", "–"]
        else:
            part = wording.share(seen.rows / found.rows if found.rows else 0.0)
            labelled = seen.labelled_rows
            balance = wording.share(seen.positive_rows / labelled) if labelled else "–"
            row += [f"{wording.count(seen.rows)} ({part})", wording.count(labelled), balance]
        listed.append(row)
    heads = ("Slice", "Rows where", "Rows", "With a final label", "Positive")
    return [el("h2", "Slices"), _table(heads, listed, numbers=(2, 3, 4))]


def contract(found: Contract, broken: Sequence[Violation]) -> list[Element]:
    """What the version had to satisfy, and whether it does."""
    by_name = {item.name: item for item in broken}
    rows: list[list[Child]] = [
        [
            item.name,
            item.type,
            item.column or "–",
            _wanted(item),
            str(item.severity),
            _severity(by_name[item.name].severity)
            if item.name in by_name
            else el("span", "✓ kept", class_="tag good"),
        ]
        for item in found.expectations
    ]
    heads = ("Expectation", "Type", "Column", "Asks for", "Severity", "Here")
    said = [
        _pair("Owner", found.owner or "nobody is named"),
        _pair("About", found.description or "not described"),
        _pair("Schema", f"{found.schema_.policy}, evolution {found.schema_.evolution}"),
    ]
    pairs = [part for pair in said for part in pair]
    return [
        el("h2", "Contract"),
        el("div", el("dl", *pairs, class_="list"), class_="box"),
        *([el("p"), _table(heads, rows)] if rows else []),
    ]


def _wanted(item: Expectation) -> str:
    """What an expectation asks for: the fields it has, but for those that stand beside."""
    shown = {"name", "type", "column", "severity"}
    said = item.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return clean(", ".join(f"{k} {_flat(v)}" for k, v in said.items() if k not in shown), 300)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, list):
        more = f" and {len(value) - 12} more" if len(value) > 12 else ""
        return ", ".join(_flat(item) for item in value[:12]) + more
    return str(value)


def schema(
    columns: Sequence[SchemaColumn],
    now: Mapping[str, Seen],
    before: Mapping[str, Seen],
) -> list[Element]:
    """All columns, at most MOST_ROWS of them."""
    noted = any(item.description or item.owner for item in columns)
    rows: list[list[Child]] = []
    for item in columns[:MOST_ROWS]:
        seen = now.get(item.name)
        new = bool(before) and seen is not None and item.name not in before
        name = el("span", item.name, el("span", " new", class_="soft small") if new else None)
        row: list[Child] = [name, item.type, item.role]
        if noted:
            row.append(clean(" · ".join(x for x in (item.description, item.owner) if x), 200))
        distinct = None if seen is None else seen.column.distinct
        row.append("not shown" if seen is None else wording.share(seen.missing))
        row.append("–" if distinct is None else wording.count(distinct))
        rows.append(row)
    heads = ["Column", "Type", "Role", *(["What it is"] if noted else []), "Missing", "Distinct"]
    left = len(columns) - MOST_ROWS
    return [
        el("h2", "Schema"),
        _table(heads, rows, numbers=(len(heads) - 2, len(heads) - 1)),
        *([el("p", f"And {wording.count(left)} more.", class_="soft")] if left > 0 else []),
    ]


def lineage(arguments: RefreshArguments, found: Snapshot, image: str) -> list[Element]:
    """Where the version comes from."""
    source = arguments.spec.source.model_dump(mode="json", by_alias=True, exclude_none=True)
    kind, place = _source(source)
    digest = found.digest.removeprefix("sha256:")
    steps = [
        _stop("Source", f"{kind}: {place}"),
        _stop("Refresh", arguments.execution or f"at {wording.moment(arguments.now)} UTC"),
        _stop("This version", f"{arguments.dataset} {digest[:12]}"),
    ]
    previous = arguments.previous
    pairs = [
        _pair("Content digest", el("code", found.digest)),
        _pair("Version before", "none" if previous is None else previous.name),
        _pair(
            "Schema's anchor",
            "this is the first" if arguments.anchor is None else arguments.anchor.name,
        ),
        _pair("Fingerprint", el("code", found.fingerprint)),
        _pair("Judged against", el("code", found.contract_hash)),
        _pair("Step image", el("code", image) if image else "see stepImage of the DatasetVersion"),
        _pair("Code revision", el("code", found.code_revision) if found.code_revision else "–"),
        _pair("Manifest", el("code", plain(found.manifest.uri))),
        _pair("Profile", el("code", plain(found.profile.uri))),
        *_read(found),
        _pair("Objects read", _objects(found.objects)),
    ]
    return [
        el("h2", "Lineage"),
        el("ol", *steps, class_="path"),
        el("div", el("dl", *[part for pair in pairs for part in pair], class_="list"),
           class_="box"),
    ]  # fmt: skip


def _read(found: Snapshot) -> list[tuple[Element, Element]]:
    """How far the source was read, as far as there is something to say."""
    pairs = []
    rows, source = found.read_rows, found.source_read
    if rows is not None:
        gone = [(rows.excluded, "excluded"), (rows.outside_window, "outside the window")]
        left_out = [f"{wording.count(many)} {why}" for many, why in gone if many]
        said = ", ".join([wording.count(rows.read), *left_out])
        pairs.append(_pair("Rows read", said))
    if source is not None and source.commit is not None:
        pairs.append(_pair("Git commit", el("code", source.commit)))
    if source is not None and source.watermark is not None:
        pairs.append(_pair("Watermark", source.watermark))
    return pairs


def _source(source: Mapping[str, Any]) -> tuple[str, str]:
    """The source's kind and where it is. Credentials are never in a spec; URLs lose theirs."""
    for kind, body in source.items():
        told = body if isinstance(body, dict) else {"": body}
        shown = {key: value for key, value in told.items() if not key.endswith("Ref")}
        place = next((shown[key] for key in ("uri", "url", "path", "query") if key in shown), None)
        return kind, plain(clean(_flat(place if place is not None else shown), 300))
    return "source", "–"


def _objects(names: Sequence[str]) -> Child:
    if not names:
        return "–"
    items = [el("li", el("code", plain(name))) for name in names[-_MOST_OBJECTS:]]
    left = len(names) - len(items)
    more = el("li", f"and {left} more", class_="soft") if left else None
    said = f"{len(names)}, the last {clean(plain(names[-1]), 120)}"
    return el("details", el("summary", said), el("ul", *items, more, class_="plain"))


def _stop(name: str, value: str) -> Element:
    return el("li", el("span", name, class_="soft small"), el("div", value), class_="box")


def _pair(name: str, value: Child) -> tuple[Element, Element]:
    return el("dt", name), el("dd", value)


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Child]],
    *,
    numbers: Sequence[int] = (),
    wide: int | None = None,
) -> Element:
    """A table that becomes a list of cards on a narrow screen."""

    def look(place: int) -> str | None:
        return "n" if place in numbers else "wide" if place == wide else None

    return el(
        "div",
        el(
            "table",
            el("thead", el("tr", *[el("th", h, class_=look(i)) for i, h in enumerate(heads)])),
            el(
                "tbody",
                *[
                    el(
                        "tr",
                        *[
                            el("td", cell, class_=look(place), data_label=heads[place])
                            for place, cell in enumerate(row)
                        ],
                    )
                    for row in rows
                ],
            ),
            class_="stack",
        ),
        class_="box table",
    )
