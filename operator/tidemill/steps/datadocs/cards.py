"""One column on a docs page: its distribution beside that of the version before, and its facts."""

from dataclasses import dataclass
from xml.etree.ElementTree import Element

from tidemill.api.documents.profile import FeatureProfile, ValueType
from tidemill.api.v1alpha1.datasetversion import SchemaColumn
from tidemill.steps.datadocs import wording
from tidemill.steps.datadocs.charts import histogram
from tidemill.steps.datadocs.comparison import Distance
from tidemill.steps.datadocs.markup import clean, el
from tidemill.steps.datadocs.shapes import Category, Shape, categories_of, shape_of

_LONGEST_VALUE = 80
_LONGEST_NOTE = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """A column as a version has it."""

    column: FeatureProfile
    rows: int
    """The version's rows."""

    @property
    def missing(self) -> float:
        """The share of rows without a value."""
        return self.column.missing / self.rows if self.rows else 0.0


def legend(before: str | None) -> Element:
    """What the marks of the pictures mean."""
    items = [el("li", el("i", class_="k-now"), "this version")]
    if before is not None:
        items.append(el("li", el("i", class_="k-before"), f"the version before, {before}"))
    return el("ul", *items, class_="legend")


def card(
    column: SchemaColumn,
    now: Seen,
    before: Seen | None,
    distance: Distance | None,
) -> Element:
    """One column."""
    is_text = now.column.type is ValueType.CATEGORY
    drawn = _bars(now, before) if is_text else _picture(column, now, before)
    note = clean(column.description, _LONGEST_NOTE) if column.description else None
    return el(
        "article",
        el(
            "div",
            el("h3", column.name),
            el("span", column.role, class_="tag role"),
            class_="head",
        ),
        None if note is None else el("p", note, class_="soft small"),
        drawn if drawn is not None else el("p", "no values", class_="soft small"),
        _facts(column, now, before, distance),
        class_="box card",
    )


def _picture(column: SchemaColumn, now: Seen, before: Seen | None) -> Element | None:
    compared = before is not None and column.role != "EventTime"
    shape = shape_of(now.column, before.column if before is not None and compared else None)
    if shape is None:
        return None
    low, high = (wording.number(value, column.type) for value in (shape.low, shape.high))
    said = f"Distribution of {column.name} from {low} to {high}"
    axis = el("div", el("span", low), *_middle(column, shape), el("span", high), class_="axis")
    return el("div", histogram(shape, said), axis)


def _middle(column: SchemaColumn, shape: Shape) -> list[Element]:
    if shape.below < 0.001 and shape.above < 0.001:
        return []
    tails = [
        f"{wording.share(tail)} {side}"
        for tail, side in ((shape.below, "lower"), (shape.above, "higher"))
        if tail >= 0.001
    ]
    return [el("span", f"({', '.join(tails)})")]


def _bars(now: Seen, before: Seen | None) -> Element | None:
    listed = categories_of(
        now.column,
        now.rows,
        None if before is None else before.column,
        0 if before is None else before.rows,
    )
    shares = [max(item.share, item.before or 0.0) for item in listed if not item.rest]
    most = max(shares, default=0.0)
    if not most:
        return None
    rows: list[Element] = []
    for item in listed:
        name = "other values" if item.rest else clean(item.name, _LONGEST_VALUE)
        shown = el("dt", name, title=_title(item, name), class_="soft" if item.rest else None)
        bar = mark = None
        if item.before is not None and not item.rest:
            mark = el("b", style=f"left:{100 * item.before / most:.1f}%")
        if item.share and not item.rest:
            bar = el("i", style=f"width:{100 * item.share / most:.1f}%")
        rows += [
            shown,
            el("dd", bar, mark, class_="bar"),
            el("dd", wording.share(item.share), class_="share"),
        ]
    return el("dl", *rows, class_="bars")


def _title(item: Category, name: str) -> str:
    said = f"{name}: {wording.share(item.share)}"
    return said if item.before is None else f"{said}, before {wording.share(item.before)}"


def _facts(
    column: SchemaColumn,
    now: Seen,
    before: Seen | None,
    distance: Distance | None,
) -> Element:
    facts, profile = [_missing(now, before)], now.column
    if profile.distinct is not None:
        facts.append(el("span", "distinct ", el("b", wording.count(profile.distinct))))
    if profile.mean is not None and column.type in ("Integer", "Number", "Boolean"):
        facts.append(el("span", "mean ", el("b", wording.number(profile.mean))))
    if distance is not None:
        facts.append(el("span", "distance ", el("b", f"{distance.distance:.3f}")))
        if distance.floor:
            facts.append(el("span", f"noise floor {distance.floor:.3f}"))
        if distance.unknown:
            facts.append(el("span", "in new values ", el("b", wording.count(distance.unknown))))
        if distance.beyond_noise and distance.floor:
            facts.append(el("span", "beyond noise", class_="tag warn"))
    return el("p", *facts, class_="facts")


def _missing(now: Seen, before: Seen | None) -> Element:
    said = wording.share(now.missing)
    if before is not None and (old := wording.share(before.missing)) != said:
        said = f"{said} (before {old})"
    return el("span", "missing ", el("b", said))
