"""Violations: their parts, their sentence, and what is cut."""

import json

import pytest

from tidemill.api.v1alpha1.datacontract import Expectation, Severity
from tidemill.core.violations import (
    CHECKS,
    bounded,
    bounds,
    broken,
    counted_share,
    missing_column,
    near,
    percent,
    ratio,
    schema_differences,
    tolerated,
    too_many,
    violation,
    with_examples,
)

SHARES = {
    (0, 0): ("0", "0 of 0 rows (0 %)"),
    (0, 8): ("0", "0 of 8 rows (0 %)"),
    (3, 8): ("0.375", "3 of 8 rows (37.5 %)"),
    (12, 77911): ("0.000154022", "12 of 77,911 rows (0.0154 %)"),
    (8, 8): ("1", "8 of 8 rows (100 %)"),
    (1, 10**12): ("0", "1 of 1,000,000,000,000 rows (1e-10 %)"),
}


@pytest.mark.parametrize(("counts", "told"), SHARES.items())
def test_shares(counts: tuple[int, int], told: tuple[str, str]) -> None:
    assert (ratio(*counts), counted_share(*counts)) == told


def rule(**body: object) -> Expectation:
    return Expectation.model_validate({"name": "hours", "type": "Range", "column": "hour", **body})


def test_words() -> None:
    assert bounds(rule(min="0", max="23")) == "0 to 23"
    assert bounds(rule(min="0")) == "at least 0"
    assert bounds(rule(max="23")) == "at most 23"
    assert percent("0.05") == "5 %"
    assert tolerated(rule()) == tolerated(rule(maxShare="0")) == ""
    assert tolerated(rule(maxShare="0.01")) == ", but for 1 % of rows"
    assert near(rule(type="Outliers", method="Quartiles")) == (
        "numbers within 1.5 quartile distances of the quartiles"
    )
    assert near(rule(type="Outliers", method="Deviations", factor="4")) == (
        "numbers within 4 standard deviations of the mean"
    )


def test_a_share_that_is_allowed_is_not_too_many() -> None:
    assert not too_many(rule(maxShare="0.1"), 1, 10)
    assert too_many(rule(maxShare="0.1"), 2, 10)
    assert not too_many(rule(), 0, 10)
    assert too_many(rule(), 1, 10)


def test_a_sentence_has_all_its_parts() -> None:
    found = broken(
        rule(severity="Warn"),
        "OutOfRange",
        expected="0 to 23",
        observed="-1 to 25",
        count=3,
        rows=8,
        examples=["-1", "24", "25"],
    )

    assert found.message == (
        "hour: expected 0 to 23, observed -1 to 25; broken by 3 of 8 rows (37.5 %), such as '-1',"
        " '24', '25'"
    )
    assert (found.rule, found.severity, found.share) == ("Range", "Warn", "0.375")


def test_five_examples_are_shown_and_long_ones_cut() -> None:
    found = with_examples(
        broken(rule(), "OutOfRange", expected="x", observed="y"), ["z" * 65, *"abcdefg"]
    )

    assert found.examples == ("z" * 63 + "…", "a", "b", "c", "d")


def test_everything_is_cut_to_what_a_record_holds() -> None:
    found = violation(
        "hours",
        "Range",
        "OutOfRange",
        severity=Severity.FAIL,
        column="c" * 200,
        expected="e" * 900,
        observed="o" * 900,
        examples=["x" * 64] * 5,
    )

    lengths = (len(found.column), len(found.expected), len(found.observed), len(found.message))
    assert lengths == (128, 256, 256, 1024)
    assert len(found.to_wire()["examples"]) == 5


def test_what_fails_goes_before_what_warns_where_not_all_can_be_kept() -> None:
    warned = broken(rule(severity="Warn"), "OutOfRange", expected="x", observed="y")
    failed = broken(rule(), "OutOfRange", expected="x", observed="y")

    assert bounded([warned, failed]) == (warned, failed)
    assert bounded([*[warned] * 150, failed]) == (*[warned] * 99, failed)


def test_what_is_kept_fits_a_result_whatever_the_script() -> None:
    long = broken(
        rule(), "OutOfRange", expected="漢" * 256, observed="漢" * 256, examples=["漢" * 64] * 5
    )

    kept = bounded([long] * 100)

    assert 1 <= len(kept) < 100
    assert len(json.dumps([item.to_wire() for item in kept])) < 100_000


def test_a_schema_without_differences() -> None:
    same = {"a": "Integer"}

    assert schema_differences(same, same, "None") == ()
    assert schema_differences({**same, "b": "String"}, same, "Additive") == ()


def test_sagemakers_six_names() -> None:
    assert set(CHECKS.values()) == {
        "data_type_check",
        "completeness_check",
        "baseline_drift_check",
        "missing_column_check",
        "extra_column_check",
        "categorical_values_check",
    }
    assert missing_column(rule(), "hour").check == "missing_column_check"
    assert broken(rule(), "OutOfRange", expected="x", observed="y").check == ""
