"""Formats by suffix, and globs."""

import pytest

from tidemill.steps.sources.formats import FORMATS, format_of, glob_pattern

GLOBS = {
    "a star stays in its folder": ("a/*.csv", ["a/x.csv"], ["a/b/x.csv", "x.csv", "a/x.csv.gz"]),
    "two stars cross folders": ("a/**/x.csv", ["a/x.csv", "a/b/c/x.csv"], ["b/x.csv"]),
    "two stars at the end": ("a/**", ["a/x.csv", "a/b/x.csv"], ["b/x.csv"]),
    "a question mark is one letter": ("201?.csv", ["2013.csv"], ["20133.csv", "201/.csv"]),
    "other signs are letters": ("a+b[1].csv", ["a+b[1].csv"], ["aab1.csv"]),
}


@pytest.mark.parametrize(("glob", "fitting", "others"), GLOBS.values(), ids=GLOBS)
def test_glob_pattern(glob: str, fitting: list[str], others: list[str]) -> None:
    pattern = glob_pattern(glob)

    assert [name for name in fitting + others if pattern.fullmatch(name)] == fitting


@pytest.mark.parametrize(("suffix", "kind"), FORMATS.items())
def test_formats_are_told_by_the_suffix(suffix: str, kind: str) -> None:
    assert format_of(f"May{suffix.upper()}") == kind
