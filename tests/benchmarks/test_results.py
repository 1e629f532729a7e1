"""The figures, the verdicts on them, and the page: it is what the kept results say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.budgets import verdicts
from benchmarks.figures import median, ratio, series, spread

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def results(**workloads: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {"results": workloads}


def test_medians_and_spreads_leave_failures_out() -> None:
    found = results(flat={"hub": [{"rate": 3}, {"error": "x"}, {"rate": 1}, {"rate": 2, "latency": {"p99_ms": 5}}]})
    assert median(found, "flat", "hub", "rate") == 2
    assert spread(found, "flat", "hub", "rate") == (1, 3)
    assert median(found, "flat", "hub", "latency.p99_ms") == 5
    assert median(found, "flat", "nobody", "rate") is None
    assert spread(found, "nothing", "hub", "rate") is None


def test_a_ratio_is_taken_within_a_round() -> None:
    """A round in which the whole machine was slow says nothing about who is faster."""
    found = results(flat={"hub": [{"r": 10}, {"r": 1}, {"r": 12}], "bare": [{"r": 20}, {"r": 2}, {"error": "x"}]})
    assert ratio(found, "flat", "r", "hub", "bare") == 0.5
    assert ratio(found, "flat", "r", "hub", "nobody") is None


def test_a_series_is_in_order() -> None:
    found = results(**{f"grow/{size}": {"hub": [{"cpu": size * 2}]} for size in (1000, 1, 10)}, other={})
    assert series(found, "grow", "cpu") == [(1, 2), (10, 20), (1000, 2000)]


@pytest.mark.parametrize(
    ("ours", "theirs", "met", "tie"), [(100, 10, True, True), (200, 10, True, False), (50, 10, False, False)]
)
def test_a_comparison_within_the_noise_is_a_tie(ours: int, theirs: int, met: bool, tie: bool) -> None:
    found = results(flat_out={"hub": [{"deliveries_per_second": ours}], "nchan": [{"deliveries_per_second": theirs}]})
    [verdict] = [each for each in verdicts(found) if each.budget == "≥ 10 times nchan"]
    assert (verdict.met, verdict.tie) == (met, tie)


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert all(verdict.met is None for verdict in verdicts(results()))


def test_the_page_is_what_the_kept_results_say() -> None:
    """`python -m benchmarks --render` writes it anew."""
    kept = json.loads((RESULTS / "results.json").read_text())
    assert (RESULTS / "results.md").read_text() == report.render(kept, report.PLOTS)


def test_every_plot_is_there_as_both_kinds() -> None:
    for name in report.PLOTS:
        for suffix in (".png", ".svg"):
            assert (RESULTS / name).with_suffix(suffix).exists()
