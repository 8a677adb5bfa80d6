"""Histograms of unlike buckets have the divergences TensorFlow Data Validation says they have."""

from math import log2

import pytest

from tidemill.core.buckets import PIECES, Bucket, divergence, standard, tail

Histogram = list[Bucket]


def kl(*pairs: tuple[float, float]) -> float:
    """The sum of p log2(p / q)."""
    return sum(p * log2(p / q) for p, q in pairs)


# The histograms of TFDV's anomalies/metrics_test.cc, and the terms its comments write out.
CASES: dict[str, tuple[Histogram, Histogram, float | None]] = {
    "alike": ([Bucket(1, 2, 3), Bucket(2, 5, 1)], [Bucket(1, 2, 6), Bucket(2, 5, 2)], 0.0),
    "unlike bounds": (
        [Bucket(1, 2, 2), Bucket(2, 3, 2)],
        [Bucket(2, 4, 2), Bucket(4, 6, 2)],
        (kl((0.5, 0.25), (0.5, 0.375)) + kl((0.25, 0.375), (0.25, 0.125), (0.5, 0.25))) / 2,
    ),
    "no overlap": ([Bucket(0, 1, 2), Bucket(1, 2, 2)], [Bucket(3, 4, 2), Bucket(4, 6, 2)], 1.0),
    "one value and a range": ([Bucket(1, 1, 4)], [Bucket(2, 4, 2), Bucket(4, 6, 2)], 1.0),
    "two single values": ([Bucket(1, 1, 4)], [Bucket(2, 2, 4)], 1.0),
    "the same single value": ([Bucket(1, 1, 4)], [Bucket(1, 1, 9)], 0.0),
    "one value inside a range": (
        [Bucket(10, 10, 21)],
        [Bucket(0, 4, 150), Bucket(4, 12, 200), Bucket(12, 20, 20)],
        1.0,
    ),
    "nothing on one side": ([], [Bucket(0, 4, 10)], None),
    "counts of 0": ([Bucket(0, 4, 10)], [Bucket(0, 4, 0)], None),
}


@pytest.mark.parametrize(("p", "q", "expected"), CASES.values(), ids=CASES)
def test_divergence(p: Histogram, q: Histogram, expected: float | None) -> None:
    found = divergence(p, q)

    assert found == (None if expected is None else pytest.approx(expected, abs=1e-9))
    assert divergence(q, p) == (None if expected is None else pytest.approx(found, abs=1e-12))


def test_the_published_number() -> None:
    """0.65563906222, as metrics_test.cc has it."""
    p, q, _ = CASES["unlike bounds"]

    assert divergence(p, q) == pytest.approx(0.65563906222, abs=1e-9)


def test_standard_has_ten_equal_widths() -> None:
    found = standard([Bucket(0, 5, 50), Bucket(5, 10, 100), Bucket(10, 10, 7), Bucket(10, 20, 0)])

    assert [(item.low, item.high) for item in found] == [(n, n + 1) for n in range(10)]
    assert [item.count for item in found] == pytest.approx([10] * 5 + [20] * 4 + [27])


def test_standard_of_one_value_is_that_value() -> None:
    assert standard([Bucket(3, 3, 5), Bucket(3, 9, 0)]) == (Bucket(3, 3, 5),)
    assert standard([Bucket(3, 9, 0)]) == ()


ENDS = {
    "upwards": (Bucket(0, 1, 200), Bucket(1, 9, 100)),
    "downwards": (Bucket(8, 9, 200), Bucket(0, 8, 100)),
}


@pytest.mark.parametrize(("inner", "outer"), ENDS.values(), ids=ENDS)
def test_an_open_end_thins_out_as_fast_as_before(inner: Bucket, outer: Bucket) -> None:
    """A third of what is left goes on: past the first bucket, and past each one of its width."""
    found = tail(inner, outer)

    assert len(found) == PIECES
    assert (found[0].low, found[-1].high) == (outer.low, outer.high)
    assert all(one.high == two.low for one, two in zip(found, found[1:], strict=False))
    assert [item.count for item in found] == [100 / PIECES] * PIECES
    edge = inner.high if outer.low >= inner.high else inner.low
    beyond = sum(item.count for item in found if abs((item.low + item.high) / 2 - edge) > 1)
    assert beyond == pytest.approx(100 / 3, abs=100 / PIECES)


EVEN = {
    "nothing in it": (Bucket(0, 1, 5), Bucket(1, 2, 0)),
    "nothing before it": (Bucket(0, 1, 0), Bucket(1, 2, 5)),
    "no width": (Bucket(0, 1, 5), Bucket(1, 1, 5)),
}


@pytest.mark.parametrize(("inner", "outer"), EVEN.values(), ids=EVEN)
def test_an_end_of_which_nothing_is_known_stays_as_it_is(inner: Bucket, outer: Bucket) -> None:
    assert tail(inner, outer) == (outer,)
