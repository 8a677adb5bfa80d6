"""The judge's five words, and the numbers that come with them."""

import math

import pytest

from tidemill.core.verdicts import Judgement, Verdict, at_most, number, overall, sentence

AT_MOST = {
    "a value over its bound fails": (
        (0.034, "0.01", 612), Verdict.FAILED, "error-rate 0.034 > 0.01 (n=612)"
    ),
    "a value at its bound is within it": (
        (0.01, "0.01", 612), Verdict.SUCCESSFUL, "error-rate 0.01 <= 0.01 (n=612)"
    ),
    "a value under its bound is within it": (
        (0.0, "0.01", 500), Verdict.SUCCESSFUL, "error-rate 0 <= 0.01 (n=500)"
    ),
    "one sample too few is no data, however bad the value": (
        (1.0, "0.01", 499), Verdict.NO_DATA, "error-rate: 499 of 500 samples"
    ),
    "what cannot be computed from enough samples is an error": (
        (None, "0.01", 612), Verdict.ERROR, "error-rate cannot be computed (n=612)"
    ),
    "not a number is an error": (
        (math.nan, "0.01", 612), Verdict.ERROR, "error-rate cannot be computed (n=612)"
    ),
    "without a bound a value is reported": (
        (0.4, None, 612), Verdict.SUCCESSFUL, "error-rate 0.4 (n=612)"
    ),
    "without a bound too few samples hold nothing up": (
        (0.4, None, 3), Verdict.SUCCESSFUL, "error-rate: 3 of 500 samples"
    ),
    "without a bound nothing is an error": (
        (None, None, 612), Verdict.SUCCESSFUL, "error-rate cannot be computed (n=612)"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "verdict", "text"), AT_MOST.values(), ids=AT_MOST)
def test_at_most(given: tuple[float | None, str | None, int], verdict: Verdict, text: str) -> None:
    value, bound, samples = given

    judged = at_most("error-rate", value, bound, samples=samples, min_samples=500)

    assert (judged.verdict, judged.text) == (verdict, text)


def test_a_unit_stands_behind_both_numbers() -> None:
    judged = at_most("latency p99", 123.4, "100", samples=600, min_samples=500, unit=" ms")

    assert judged.text == "latency p99 123 ms > 100 ms (n=600)"


NUMBERS = {
    "zero": (0.0, "0"),
    "three digits": (0.03456, "0.0346"),
    "no exponent for the small": (0.0000121, "0.000012"),
    "nor for the large": (1234567.0, "1234567"),
    "hundreds are whole": (123.4, "123"),
    "tens keep a digit": (12.34, "12.3"),
    "not a number": (math.nan, "nan"),
}


@pytest.mark.parametrize(("value", "text"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    assert number(value) == text


def judged(*verdicts: Verdict) -> list[Judgement]:
    return [Judgement(metric=f"m{n}", verdict=v, text=f"m{n}") for n, v in enumerate(verdicts)]


OVERALL = {
    "nothing to judge": ((), Verdict.SUCCESSFUL),
    "all good": ((Verdict.SUCCESSFUL, Verdict.SUCCESSFUL), Verdict.SUCCESSFUL),
    "one failure is enough": ((Verdict.SUCCESSFUL, Verdict.FAILED), Verdict.FAILED),
    "what is bad is not excused by what is unknown": (
        (Verdict.ERROR, Verdict.NO_DATA, Verdict.FAILED), Verdict.FAILED
    ),
    "an error is told before missing data": ((Verdict.NO_DATA, Verdict.ERROR), Verdict.ERROR),
    "missing data is no success": ((Verdict.SUCCESSFUL, Verdict.NO_DATA), Verdict.NO_DATA),
    "nor is the inconclusive": (
        (Verdict.SUCCESSFUL, Verdict.INCONCLUSIVE), Verdict.INCONCLUSIVE
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "verdict"), OVERALL.values(), ids=OVERALL)
def test_overall(given: tuple[Verdict, ...], verdict: Verdict) -> None:
    assert overall(judged(*given)) is verdict


def test_the_worst_is_said_first() -> None:
    assert sentence(judged(Verdict.SUCCESSFUL, Verdict.NO_DATA, Verdict.FAILED)) == "m2; m1; m0"
