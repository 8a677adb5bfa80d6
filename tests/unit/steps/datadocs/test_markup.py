"""`markup`: text that is put in stays text."""

from xml.etree.ElementTree import tostring

import pytest

from tidemill.steps.datadocs.markup import clean, document, el

HOSTILE = "<script>alert('1')</script>&\"'>"

CLEANED = {
    "plain text stays": ("späť 日本", "späť 日本"),
    "control characters show as a mark": ("a\x00b\x1bc", "a�b�c"),
    "half a character shows as a mark": ("a\ud800", "a�"),
    "marks that turn the writing are left out": ("abc\u202egpj.exe\u2066", "abcgpj.exe"),
    "long text ends in an ellipsis": ("x" * 2000, "x" * 1023 + "…"),
}


@pytest.mark.parametrize(("given", "shown"), CLEANED.values(), ids=CLEANED)
def test_text_is_made_fit_to_show(given: str, shown: str) -> None:
    assert clean(given) == shown


def test_text_and_attributes_are_escaped() -> None:
    made = el("p", HOSTILE, el("b", HOSTILE), HOSTILE, title=HOSTILE)

    written = tostring(made, encoding="unicode", method="html")

    assert written.count("&lt;script&gt;") == 3, "in text"
    assert "&amp;&quot;" in written, "a quote cannot end an attribute"
    assert written.count('"') == 2 + 3, "the attribute's own, and those in text"


def test_children_and_text_keep_their_order() -> None:
    made = el("p", "one ", el("b", "two"), " three", None, el("i", "four"))

    assert tostring(made, encoding="unicode") == "<p>one <b>two</b> three<i>four</i></p>"


def test_names_of_attributes_are_those_of_html() -> None:
    made = el("td", class_="n", data_label="Rows", title=None, width=1.5)

    assert made.attrib == {"class": "n", "data-label": "Rows", "width": "1.5"}


def test_a_document_forbids_all_loading() -> None:
    page = document("</title><script>", "p { color: red; }", el("body", el("p", "x"))).decode()

    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "p { color: red; }" in page
