"""Durations: what the buckets say is within 1 % of the truth, also of several processes together."""

from __future__ import annotations

import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.bench.durations import Durations


def test_without_any_there_is_nothing_to_say() -> None:
    assert Durations().latency() is None


@given(st.lists(st.integers(10, 60_000_000), min_size=1, max_size=300))
def test_percentiles_are_those_of_the_sorted_list(several: list[int]) -> None:
    durations = Durations()
    for each in several:
        durations.add(each)
    latency = durations.latency()
    assert latency is not None
    ranked = sorted(several)
    for share, found in ((0.5, latency.p50), (0.9, latency.p90), (0.99, latency.p99), (1.0, latency.max)):
        at = next(index for index in range(len(ranked)) if index + 1 >= share * len(ranked))
        assert found == pytest.approx(ranked[at] / 1000, rel=0.01)
    assert latency.count == len(several)


def test_processes_add_up() -> None:
    one, other, both = Durations(), Durations(), Durations()
    one.extend(range(100, 2000, 7))
    other.extend(range(5000, 9000, 11))
    both.extend([*range(100, 2000, 7), *range(5000, 9000, 11)])
    one.merge(Durations(dict(json.loads(json.dumps(other.pairs())))))
    assert one.latency() == both.latency()
    found = both.latency()
    assert found is not None
    assert found.p50 == pytest.approx(
        statistics.median([*range(100, 2000, 7), *range(5000, 9000, 11)]) / 1000, rel=0.02
    )


def test_what_is_too_short_to_count_is_ten_microseconds() -> None:
    durations = Durations()
    durations.extend([-5, 0, 3])
    found = durations.latency()
    assert found is not None
    assert found.max == pytest.approx(0.01, rel=0.01)
