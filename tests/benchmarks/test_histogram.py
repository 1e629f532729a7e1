"""The histogram's percentiles are those of the durations themselves, to its step of ten microseconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.histogram import CURVE, LONGEST_MS, Histogram, summary


def of(durations: list[int]) -> Histogram:
    histogram = Histogram()
    for each in durations:
        histogram.add(each)
    return histogram


@given(st.lists(st.integers(0, 1_999_999), min_size=1, max_size=50))
def test_percentiles(durations: list[int]) -> None:
    histogram = of(durations)
    ranked = sorted(durations)
    shares = (0.0, 0.5, 0.9, 0.99, 1.0)
    for share, found in zip(shares, histogram.quantiles(shares), strict=True):
        at = next(index for index in range(len(ranked)) if index + 1 >= share * len(ranked))
        assert found == pytest.approx(ranked[at] / 1000, abs=0.01)
    assert (histogram.count, histogram.largest) == (len(durations), ranked[-1])


def test_without_any() -> None:
    assert of([]).quantiles((0.5, 0.99)) == [0.0, 0.0]


def test_what_is_longer_than_it_can_tell_is_its_longest() -> None:
    histogram = of([5_000_000, 1_000])
    assert histogram.quantiles((1.0,))[0] == pytest.approx(LONGEST_MS, abs=0.01)
    assert histogram.largest == 5_000_000


def test_the_summary_is_what_the_plots_take() -> None:
    found = summary(of(list(range(0, 100_000, 10))))
    curve = found["curve_ms"]
    assert isinstance(curve, list)
    assert len(curve) == len(CURVE)
    assert curve == sorted(curve)
    assert found["p50_ms"] == pytest.approx(50, abs=0.02)
    assert found["p99_ms"] == pytest.approx(99, abs=0.02)
    assert found["max_ms"] == pytest.approx(99.99)
