"""HTML as a tree of elements: text that is put in is escaped when the tree is written."""

import re
from xml.etree.ElementTree import Element, tostring

Child = Element | str | None
"""What an element may hold; None is nothing."""

_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef￾￿]")
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def clean(text: str, most: int = 1024) -> str:
    """Text that may stand in HTML: without control characters and marks that turn the direction
    of writing, and no longer than `most`.
    """
    shown = _TURNING.sub("", _UNSPEAKABLE.sub("�", text[: most + 1]))
    return f"{shown[: most - 1]}…" if len(shown) > most else shown


def el(tag: str, *children: Child, **attributes: str | float | None) -> Element:
    """An element. `class_` is class, other underscores are hyphens; None leaves one out."""
    made = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            said = f"{value:g}" if isinstance(value, float) else str(value)
            made.set(name.rstrip("_").replace("_", "-"), clean(said, 4096))
    last: Element | None = None
    for child in children:
        if child is None:
            continue
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif last is None:
            made.text = (made.text or "") + clean(child, 4096)
        else:
            last.tail = (last.tail or "") + clean(child, 4096)
    return made


def document(title: str, style: str, body: Element) -> bytes:
    """A whole page in UTF-8. `style` is ours, not from data: it is not escaped."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("title", title),
    )
    sheet = Element("style")
    sheet.text = style
    head.append(sheet)
    root = el("html", head, body, lang="en")
    written: bytes = tostring(root, encoding="utf-8", method="html")
    return b"<!DOCTYPE html>\n" + written + b"\n"


_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Even if something got in, the browser would load and run nothing."""
