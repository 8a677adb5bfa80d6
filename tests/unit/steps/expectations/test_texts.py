"""AllowedValues, Pattern and MixedTypes, kept and broken."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.steps.expectations.asked import Case, asked, expect
from tidemill.steps.expectations.texts import KINDS, WORDS
from tidemill.steps.failures import StepError
from tidemill.steps.schema import ColumnType

CASES: dict[str, Case] = {
    "values that are allowed": (
        {"type": "AllowedValues", "column": "carrier", "values": ["UA", "B6", "??", "XX"]},
        None,
    ),
    "values that are not": (
        {"type": "AllowedValues", "column": "carrier", "values": ["UA", "B6"]},
        (
            "UnknownValues",
            "carrier: expected 2 values, the listed ones, others in at most 0 % of rows, observed"
            " others; broken by 3 of 8 rows (37.5 %), such as '??', 'XX'",
        ),
    ),
    "a share of others that is allowed": (
        {
            "type": "AllowedValues",
            "column": "carrier",
            "values": ["UA", "B6"],
            "maxShareUnknown": "0.375",
        },
        None,
    ),
    "numbers that are allowed": (
        {"type": "AllowedValues", "column": "temp", "values": ["1", "2.5", "4", "5", "6", "7"]},
        None,
    ),
    "numbers that are not": (
        {"type": "AllowedValues", "column": "hour", "values": ["5", "6", "7", "noon"]},
        (
            "UnknownValues",
            "hour: expected 4 values, the listed ones, others in at most 0 % of rows, observed"
            " others; broken by 3 of 8 rows (37.5 %), such as '-1', '24', '25'",
        ),
    ),
    "booleans": ({"type": "AllowedValues", "column": "flag", "values": ["true", "false"]}, None),
    "values of a first version": (
        {"type": "AllowedValues", "column": "carrier", "from": "FirstVersion"},
        (
            "UnknownValues",
            "carrier: expected 3 values, those of the first version, others in at most 0 % of rows,"
            " observed others; broken by 2 of 8 rows (25 %), such as '??'",
        ),
    ),
    "no first version yet": (
        {"type": "AllowedValues", "column": "hour", "from": "FirstVersion"},
        None,
    ),
    "a pattern that is kept": (
        {"type": "Pattern", "column": "carrier", "pattern": r"[A-Z0-9]{2}|\?\?"},
        None,
    ),
    "a pattern matches whole values only": (
        {"type": "Pattern", "column": "carrier", "pattern": "[A-Z]"},
        (
            "PatternMismatch",
            "carrier: expected texts that match [A-Z], observed others; broken by 7 of 8 rows"
            " (87.5 %), such as '??', 'B6', 'UA', 'XX'",
        ),
    ),
    "a pattern that some rows may break": (
        {"type": "Pattern", "column": "carrier", "pattern": "[A-Z0-9]+", "maxShare": "0.25"},
        None,
    ),
    "a pattern of numbers": (
        {"type": "Pattern", "column": "hour", "pattern": "[0-9]+"},
        ("PatternMismatch", "hour: expected texts that match [0-9]+, observed a Integer"),
    ),
    "one kind": ({"type": "MixedTypes", "column": "carrier"}, None),
    "numbers are of one type": ({"type": "MixedTypes", "column": "hour"}, None),
    "mixed types": (
        {"type": "MixedTypes", "column": "code"},
        (
            "MixedTypes",
            "code: expected values of one kind, observed 3 numbers, 1 times, 1 truth values, 1"
            " words; broken by 3 of 8 rows (37.5 %), such as '2013-06-30', 'four', 'true'",
        ),
    ),
    "mixed types that may be": (
        {"type": "MixedTypes", "column": "code", "maxShare": "0.375"},
        None,
    ),
}


@pytest.mark.parametrize(("body", "wanted"), CASES.values(), ids=CASES)
def test_texts(tmp_path: Path, body: dict[str, object], wanted: tuple[str, str] | None) -> None:
    expect(tmp_path, body, wanted, first={"carrier": frozenset({"UA", "B6", "XX"})})


def test_mixed_words_show_what_is_no_word(tmp_path: Path) -> None:
    rows = pa.table({"code": ["a", "b", "7"]})

    (found,) = asked(
        tmp_path,
        {"type": "MixedTypes", "column": "code"},
        rows=rows,
        schema={"code": ColumnType.STRING},
    )

    assert (found.examples, found.observed, found.check) == (
        ("7",),
        "2 words, 1 numbers",
        "data_type_check",
    )


UNREADABLE = {
    "a bracket without end": "[a",
    "two halves of which each would be wrong": "a)|(b",
    "what RE2 has not": r"(?=a)b",
    "more than RE2 takes": "((a{1000}){1000}){1000}",
}


@pytest.mark.parametrize("pattern", UNREADABLE.values(), ids=UNREADABLE)
def test_a_pattern_that_cannot_be_read(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(StepError) as raised:
        asked(tmp_path, {"type": "Pattern", "column": "carrier", "pattern": pattern})

    assert raised.value.reason == "InvalidExpectation"
    assert str(raised.value).startswith("expectation r0: pattern cannot be read: ")


SAID = {
    "numbers": ["0", "-3", "+3", " 4 ", "1.5", ".5", "5.", "1e9", "-2.5E-3"],
    "times": [
        "2013-06-30",
        "2013-06-30T12:00",
        "2013-06-30 12:00:01.5",
        "2013-06-30T12:00:00Z",
        "2013-06-30T12:00:00+02:00",
    ],
    "truth values": ["true", "FALSE"],
    WORDS: ["", "n/a", "1,000", "30.06.2013", "yes", "1e", "0x1F", "N1234", "-"],
}


def test_no_text_is_of_two_kinds() -> None:
    for kind, texts in SAID.items():
        for text in texts:
            # RE2 and Python read these alike, but for the end of a text.
            told = [
                name for name, form in KINDS.items() if re.search(form.replace(r"\z", r"\Z"), text)
            ]
            assert told == ([] if kind == WORDS else [kind]), text
