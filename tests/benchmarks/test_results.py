"""The figures, the verdicts on them, and the page: it is what the kept results say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report, summary
from benchmarks.budgets import verdicts
from benchmarks.figures import median, ratio, series, spread
from benchmarks.peers import PEERS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


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


def test_the_documentation_shows_the_kept_results() -> None:
    kept = json.loads((RESULTS / "results.json").read_text())
    page = (ROOT / "docs" / "performance.md").read_text()
    assert f"{summary.BEGIN}\n\n{summary.render(kept)}\n\n{summary.END}" in page
    # Whoever is faster stands there, too.
    for peer in kept["results"]["flat_out"]:
        assert PEERS[peer].title in page


def test_the_table_replaces_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{summary.BEGIN}\nold\n{summary.END}\nafter\n")
    found = results(flat_out={"hub": [{"deliveries_per_second": 12345}]}) | {
        "machine": {"CPU": "a CPU", "cores": 2, "code": "abc"}, "date": "2026-01-02T03:04", "rounds": 1, "notes": [],
    }  # fmt: skip
    for _ in range(2):
        summary.write(found, page)
    text = page.read_text()
    assert text.startswith(f"before\n{summary.BEGIN}\n\na CPU, 2 cores, code abc, 2026-01-02, medians of 1 round.")
    assert text.endswith(f"| **this hub** | 12,345 | — | — | — | — | — |\n\n{summary.END}\nafter\n")
    assert "old" not in text


@pytest.mark.parametrize("page", ["docs/performance.md", "benchmarks/README.md", "README.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / link).exists(), link


def test_every_plot_is_there_as_both_kinds() -> None:
    for name in report.PLOTS:
        for suffix in (".png", ".svg"):
            assert (RESULTS / name).with_suffix(suffix).exists()
