"""The plots beside the results: throughput, latency, memory, growth; each as PNG and as SVG."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.figures import Results, median, series, spread
from benchmarks.histogram import CURVE
from benchmarks.peers import PEERS

_COLOURS = dict(
    zip(
        PEERS,
        ("#6b7280", "#d9480f", "#f08c00", "#1971c2", "#2f9e44", "#0c8599", "#7048e8", "#c2255c", "#846358"),
        strict=True,
    )
)


def draw(results: Results, directory: Path) -> list[tuple[str, str]]:
    """Draw all for which there are results; the PNG files' names and their captions."""
    mpl.rcParams |= {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "svg.hashsalt": "benchmarks",
    }
    drawn = []
    plots: tuple[tuple[str, str, Callable[[Results], Any]], ...] = (
        ("throughput", "Deliveries a second, broadcast flat out", _throughput),
        ("latency", "Latency of one event at a time", _latency),
        ("memory", "Memory over idle connections", _memory),
        ("growth", "Growth of the cost of a publish", _growth),
    )
    for name, caption, plot in plots:
        figure = plot(results)
        if figure is None:
            continue
        figure.tight_layout()
        figure.savefig(directory / f"{name}.png", dpi=130)
        figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
        pyplot.close(figure)
        drawn.append((f"{name}.png", caption))
    return drawn


def _throughput(results: Results) -> Any:
    key, metric = "flat_out", "deliveries_per_second"
    found = {peer: median(results, key, peer, metric) for peer in results["results"].get(key, {})}
    reached = sorted(((value, peer) for peer, value in found.items() if value), reverse=False)
    if not reached:
        return None
    figure, axes = pyplot.subplots(figsize=(8, 0.5 * len(reached) + 1.4))
    for place, (value, peer) in enumerate(reached):
        low, high = spread(results, key, peer, metric) or (value, value)
        axes.barh(place, value, color=_COLOURS[peer], xerr=[[value - low], [high - value]], error_kw={"alpha": 0.5})
        axes.text(high * 1.08, place, f"{value:,.0f}", va="center")
    axes.set_yticks(range(len(reached)), [PEERS[peer].title.replace("`", "") for _, peer in reached])
    axes.set_xscale("log")
    axes.set_xlim(right=reached[-1][0] * 6)
    axes.set_xlabel("deliveries a second (logarithmic; bars are medians, lines the least and the most)")
    axes.set_title(results["titles"][key])
    return figure


def _latency(results: Results) -> Any:
    key = "trickle"
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    shares = [share for share in CURVE if 0 < share < 1]
    for peer, runs in results["results"].get(key, {}).items():
        curves = [run["latency"]["curve_ms"] for run in runs if "latency" in run]
        if curves:
            middle = [statistics.median(values) for values in zip(*curves, strict=True)]
            kept = [value for share, value in zip(CURVE, middle, strict=True) if 0 < share < 1]
            # Distance from 1 on a logarithmic axis shows the tail.
            axes.plot([1 / (1 - share) for share in shares], kept, color=_COLOURS[peer], label=_label(peer))
    if not axes.lines:
        pyplot.close(figure)
        return None
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([2, 10, 100, 1000], ["50 %", "90 %", "99 %", "99.9 %"])
    axes.set_xlabel("share of the deliveries")
    axes.set_ylabel("milliseconds at most")
    axes.set_title(results["titles"][key])
    axes.legend(fontsize=8)
    return figure


def _memory(results: Results) -> Any:
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for peer, runs in results["results"].get("memory", {}).items():
        found = [run["points"] for run in runs if "points" in run]
        if found and peer != "bare":
            points = [
                (rows[0][0], statistics.median(row[1] for row in rows) / 2**20) for rows in zip(*found, strict=True)
            ]
            axes.plot(*zip(*points, strict=True), marker="o", ms=3, color=_COLOURS[peer], label=_label(peer))
    if not axes.lines:
        pyplot.close(figure)
        return None
    axes.set_ylim(bottom=0)
    axes.set_xlabel("idle connections")
    axes.set_ylabel("resident memory, MiB")
    axes.set_title("Memory over idle, subscribed connections")
    axes.legend(fontsize=8)
    return figure


def _growth(results: Results) -> Any:
    panels = (
        ("growth_subscribers", "subscribers", "latency.p50_ms", "delivery p50, ms"),
        ("growth_topics", "topics", "cpu_per_event_us", "server CPU, µs a publish"),
        ("growth_log", "entries of the log", "cpu_per_event_us", "server CPU, µs a durable publish"),
        ("growth_publishers", "publishers", "events_per_second", "durable events a second"),
    )
    if not any(series(results, prefix, metric) for prefix, _, metric, _ in panels):
        return None
    figure, grid = pyplot.subplots(2, 2, figsize=(10, 7))
    for (prefix, what, metric, unit), axes in zip(panels, grid.flat, strict=True):
        _panel(axes, series(results, prefix, metric), what, unit)
    return figure


def _panel(axes: Axes, points: list[tuple[int, float]], what: str, unit: str) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), marker="o", color=_COLOURS["hub"])
        axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(what)
    axes.set_ylabel(unit)


def _label(peer: str) -> str:
    return PEERS[peer].title.replace("`", "")
