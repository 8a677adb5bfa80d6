"""Pictures of a docs page, as inline SVG without text: labels stand beside them in HTML, so that
they keep their size on a narrow screen. Colours are classes of `style.css`.
"""

from xml.etree.ElementTree import Element

from tidemill.steps.datadocs.markup import el
from tidemill.steps.datadocs.shapes import Shape
from tidemill.steps.datadocs.timeline import Bucket, Timeline

WIDTH, HEIGHT = 320.0, 84.0
_GAP = 0.14
_PARTS = ("fit", "validation", "test", "waiting")


def histogram(shape: Shape, said: str) -> Element:
    """A number's bars; the version before as an outline over them. `said` is for those who
    cannot see it.
    """
    top = max((*shape.shares, *(shape.before or ())), default=0.0) or 1.0
    step = WIDTH / len(shape.shares)
    pad = step * (_GAP if shape.values is None else 0.3) / 2
    bars = "".join(
        f"M{_n(place * step + pad)} {_n(HEIGHT)}v{_n(-HEIGHT * share / top)}"
        f"h{_n(step - 2 * pad)}V{_n(HEIGHT)}z"
        for place, share in enumerate(shape.shares)
        if share > 0
    )
    outline = None
    if shape.before is not None:
        steps = "".join(
            f"V{_n(HEIGHT * (1 - share / top))}H{_n((place + 1) * step)}"
            for place, share in enumerate(shape.before)
        )
        outline = el("path", d=f"M0 {_n(HEIGHT)}{steps}V{_n(HEIGHT)}", class_="before")
    return _picture(said, el("path", d=bars, class_="now"), outline)


def split_over_time(timeline: Timeline, said: str) -> Element:
    """Rows of each stretch of time, stacked by part of the split."""
    top = max((bucket.rows for bucket in timeline.buckets), default=0) or 1
    places = _places(timeline)
    width = WIDTH / (places[-1] + 1)
    pad = width * 0.08
    paths: dict[str, str] = dict.fromkeys(_PARTS, "")
    for place, bucket in zip(places, timeline.buckets, strict=True):
        bottom = HEIGHT
        for part in _PARTS:
            tall = HEIGHT * int(getattr(bucket, part)) / top
            if tall > 0:
                paths[part] += (
                    f"M{_n(place * width + pad)} {_n(bottom)}v{_n(-tall)}"
                    f"h{_n(width - 2 * pad)}v{_n(tall)}z"
                )
            bottom -= tall
    drawn = [el("path", d=path, class_=part) for part, path in paths.items() if path]
    return _picture(said, *drawn)


def positives_over_time(timeline: Timeline, said: str, top: float) -> Element:
    """The share of positive labels of each stretch of time, from 0 to `top`."""
    places = _places(timeline)
    width = WIDTH / (places[-1] + 1)
    runs: list[list[tuple[float, float]]] = []
    last = -2
    for place, bucket in zip(places, timeline.buckets, strict=True):
        if bucket.labelled:
            at = ((place + 0.5) * width, HEIGHT * (1 - bucket.positive / bucket.labelled / top))
            if place != last + 1:
                runs.append([])
            runs[-1].append(at)
            last = place
    line = "".join(
        "".join(f"{'L' if turn else 'M'}{_n(x)} {_n(y)}" for turn, (x, y) in enumerate(run))
        for run in runs
    )
    # A line of no length with round ends is a dot that keeps its shape when the picture is pulled.
    dots = "".join(f"M{_n(x)} {_n(y)}h0" for run in runs for x, y in run)
    return _picture(said, el("path", d=line, class_="line"), el("path", d=dots, class_="dots"))


def _picture(said: str, *drawn: Element | None) -> Element:
    return el(
        "svg",
        el("title", said),
        *drawn,
        class_="picture",
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        preserveAspectRatio="none",
        role="img",
    )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _places(timeline: Timeline) -> list[int]:
    """Where each bucket stands, counted from the first: time without rows is a gap."""
    first = timeline.buckets[0]
    return [_units_between(timeline.unit, first, item) for item in timeline.buckets]


_MONTHS: dict[str, int] = {
    "month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200,
}  # fmt: skip
_SECONDS: dict[str, int] = {"hour": 3600, "day": 86400, "week": 604800}


def _units_between(unit: str, first: Bucket, item: Bucket) -> int:
    if unit in _SECONDS:
        return round((item.start - first.start).total_seconds() / _SECONDS[unit])
    months = (item.start.year - first.start.year) * 12 + item.start.month - first.start.month
    return months // _MONTHS[unit]
