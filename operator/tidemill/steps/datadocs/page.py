"""The docs page: what a person wants to know of a version, the most urgent first.

Bounded whatever the data hold: at most MOST_CARDS columns are drawn, MOST_ROWS are listed, and
every text has a longest length. `tests/unit/steps/datadocs` holds it to 1 MB.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from xml.etree.ElementTree import Element

from tidemill.api.documents.arguments import RefreshArguments
from tidemill.api.documents.profile import Profile
from tidemill.api.documents.results import Snapshot
from tidemill.api.v1alpha1.datasetversion import SchemaColumn, Violation
from tidemill.core.acceptance import FAIL, verdict
from tidemill.steps.datadocs import sections, wording
from tidemill.steps.datadocs.cards import Seen, card, legend
from tidemill.steps.datadocs.comparison import Distance
from tidemill.steps.datadocs.markup import document, el
from tidemill.steps.datadocs.timeline import Timeline

MOST_CARDS = 64
"""As many columns are drawn: the label, then those that have changed most."""

_RANK = {"Label": 0, "Feature": 1, "EventTime": 3, "Key": 4}
_NO_PICTURE = frozenset({"Key", "Sensitive"})
"""Roles that are listed and not drawn: every key is another, and sensitive values stay unseen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the page tells."""

    arguments: RefreshArguments
    """What the refresh was asked."""
    snapshot: Snapshot
    """What it has made."""
    profile: Profile
    timeline: Timeline
    before: Profile | None = None
    """The profile of the version before, if there is one that can be read."""
    image: str = ""
    """The image that runs the step, as far as it is told."""
    distances: Mapping[str, Distance] = field(default_factory=dict)
    """Column -> how far it is from the version before."""


def page(facts: Facts) -> bytes:
    """The page in UTF-8."""
    found = facts.snapshot
    name = facts.arguments.dataset
    main = el(
        "main",
        el("p", "Tidemill · data docs", class_="kicker"),
        el("h1", f"{name} · {found.digest.removeprefix('sha256:')[:8]}"),
        _verdict(found.violations, found.rows),
        sections.tiles(facts.arguments, found, facts.timeline),
        *sections.violations(found.violations),
        *sections.over_time(facts.timeline, facts.arguments.spec),
        *sections.slices(facts.arguments.spec, found),
        *_columns(facts),
        *sections.contract(facts.arguments.spec.contract, found.violations),
        *sections.schema(found.columns, _seen(facts.profile), _seen(facts.before)),
        *sections.lineage(facts.arguments, found, facts.image),
        el(
            "footer",
            f"Made by the refresh of {wording.moment(facts.arguments.now)} UTC. Whether the"
            " version is accepted now, after a change of the contract or a revocation, is said by"
            " kubectl get datasetversions.",
        ),
    )
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    return document(f"{name} · data docs", style, el("body", main))


def _verdict(violations: Sequence[Violation], rows: int) -> Element:
    accepted, reason, message = verdict(violations, rows)
    broken = sum(1 for item in violations if item.severity == FAIL)
    if not accepted:
        look, mark, said = "bad", "✕", f"Not accepted: {_things(broken, 'expectation')} broken"
    elif violations:
        look, mark = "warn", "!"
        said = f"Accepted with {_things(len(violations), 'warning')}"
    else:
        look, mark, said = "good", "✓", "Accepted"
    text = el("div", el("strong", said), el("p", message, class_="small"))
    return el("div", el("span", mark, class_="mark", aria_hidden="true"), text,
              class_=f"verdict {look}", title=reason)  # fmt: skip


def _things(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _seen(profile: Profile | None) -> dict[str, Seen]:
    if profile is None:
        return {}
    return {item.name: Seen(item, profile.rows) for item in profile.features}


def drawn(columns: Sequence[SchemaColumn], distances: Mapping[str, Distance]) -> list[SchemaColumn]:
    """The columns to draw, in order: the label, features by how much they have changed, others."""
    shown = [item for item in columns if item.role not in _NO_PICTURE]

    def rank(item: SchemaColumn) -> tuple[int, float]:
        distance = distances.get(item.name)
        return _RANK.get(item.role, 2), -(distance.distance if distance is not None else 0.0)

    return sorted(shown, key=rank)[:MOST_CARDS]


def _columns(facts: Facts) -> list[Element]:
    now, before = _seen(facts.profile), _seen(facts.before)
    chosen = [item for item in drawn(facts.snapshot.columns, facts.distances) if item.name in now]
    cards = [
        card(item, now[item.name], before.get(item.name), facts.distances.get(item.name))
        for item in chosen
    ]
    more = len(facts.snapshot.columns) - len(chosen)
    previous = facts.arguments.previous
    said = (
        "There is no earlier version to compare with."
        if previous is None
        else f"{previous.name}, the version before, could not be read for a comparison."
        if facts.before is None
        else "Features that have changed most come first. The distance is Jensen-Shannon's"
        " (natural logarithm, 0 to 0.83), counted in the bins of the version before; its noise"
        " floor is how far stretches of that version were from the whole of it."
    )
    left = f" {_things(more, 'more column')} in the schema below." if more else ""
    return [
        el("h2", "Columns"),
        el("p", f"{said}{left}", class_="soft small"),
        legend(None if facts.before is None or previous is None else previous.name),
        el("div", *cards, class_="cards"),
    ]
