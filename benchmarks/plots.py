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
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.figures import Results, median, series, spread
from benchmarks.histogram import CURVE, LONGEST_MS
from benchmarks.peers import PEERS
from benchmarks.report import PLOTS

_COLOURS = dict(
    zip(
        PEERS,
        ("#6b7280", "#d9480f", "#f08c00", "#1971c2", "#2f9e44", "#0c8599", "#7048e8", "#c2255c", "#846358"),
        strict=True,
    )
)
_PLAIN = FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")


def draw(results: Results, directory: Path) -> list[str]:
    """Draw all of ``report.PLOTS`` for which there are results; their names."""
    mpl.rcParams |= {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "svg.hashsalt": "benchmarks",
    }
    drawn = []
    plots: dict[str, Callable[[Results], Any]] = {
        "throughput": _throughput,
        "latency": _latency,
        "memory": _memory,
        "growth": _growth,
    }
    for name in PLOTS:
        figure = plots[name](results)
        if figure is None:
            continue
        figure.tight_layout()
        figure.savefig(directory / f"{name}.png", dpi=130)
        figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
        pyplot.close(figure)
        drawn.append(name)
    return drawn


def _throughput(results: Results) -> Any:
    panels = [
        (key, metric, [(value, peer) for value, peer in ranked if value])
        for key, metric in (
            ("flat_out", "deliveries_per_second"),
            ("unicast", "events_per_second"),
            ("accept", "connections_per_second"),
        )
        if (ranked := _ranked(results, key, metric))
    ]
    if not panels:
        return None
    heights = [len(ranked) + 1.6 for _, _, ranked in panels]
    figure, grid = pyplot.subplots(
        len(panels), 1, figsize=(8, 0.42 * sum(heights)), height_ratios=heights, squeeze=False
    )
    for axes, (key, metric, ranked) in zip(grid.flat, panels, strict=True):
        _bars(axes, results, key, metric, ranked)
    grid.flat[-1].set_xlabel("a second (logarithmic; bars are medians, lines the least and the most)")
    return figure


def _ranked(results: Results, key: str, metric: str) -> list[tuple[float, str]]:
    found = ((median(results, key, peer, metric), peer) for peer in results["results"].get(key, {}))
    return sorted((value, peer) for value, peer in found if value)


def _bars(axes: Axes, results: Results, key: str, metric: str, ranked: list[tuple[float, str]]) -> None:
    for place, (value, peer) in enumerate(ranked):
        low, high = spread(results, key, peer, metric) or (value, value)
        axes.barh(place, value, color=_COLOURS[peer], xerr=[[value - low], [high - value]], error_kw={"alpha": 0.5})
        axes.text(high * 1.08, place, f"{value:,.0f}", va="center", fontsize=9)
    axes.set_yticks(range(len(ranked)), [_label(peer) for _, peer in ranked])
    for tick, (_, peer) in zip(axes.get_yticklabels(), ranked, strict=True):
        tick.set_fontweight("bold" if peer.startswith("hub") else "normal")
    axes.set_xscale("log")
    axes.set_xlim(ranked[0][0] / 3, ranked[-1][0] * 6)
    axes.grid(visible=False, axis="y")
    axes.set_title(results["titles"][key], loc="left")


def _latency(results: Results) -> Any:
    key = "trickle"
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for peer, runs in results["results"].get(key, {}).items():
        curves = [run["latency"]["curve_ms"] for run in runs if "latency" in run]
        if not curves:
            continue
        middle = [statistics.median(values) for values in zip(*curves, strict=True)]
        # Distance from 1 on a logarithmic axis shows the tail. A curve ends where the histogram does.
        points = [
            (1 / (1 - share), value)
            for share, value in zip(CURVE, middle, strict=True)
            if 0 < share < 1 and value < LONGEST_MS
        ]
        if points:
            axes.plot(*zip(*points, strict=True), **_line(peer))
    if not axes.lines:
        pyplot.close(figure)
        return None
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([2, 10, 100, 1000], ["50 %", "90 %", "99 %", "99.9 %"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(_PLAIN)
    axes.set_xlabel("share of the deliveries")
    axes.set_ylabel(f"milliseconds at most (up to {LONGEST_MS:,.0f})")
    axes.set_title(results["titles"][key], loc="left")
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
            axes.plot(*zip(*points, strict=True), marker="o", ms=3, **_line(peer))
    if not axes.lines:
        pyplot.close(figure)
        return None
    axes.set_ylim(bottom=0)
    axes.set_xlabel("idle connections")
    axes.set_ylabel("resident memory, MiB")
    axes.set_title("memory over idle, subscribed connections", loc="left")
    axes.legend(fontsize=8)
    return figure


def _growth(results: Results) -> Any:
    panels = (
        ("growth_subscribers", "subscribers", "cpu_per_event_us", "server CPU, µs an event"),
        ("growth_topics", "topics", "cpu_per_event_us", "server CPU, µs an event"),
        ("growth_log", "entries of the log", "cpu_per_event_us", "server CPU, µs a durable event"),
        ("growth_publishers", "publishers", "events_per_second", "durable events a second"),
    )
    if not any(series(results, prefix, metric) for prefix, _, metric, _ in panels):
        return None
    figure, grid = pyplot.subplots(2, 2, figsize=(10, 7))
    for (prefix, what, metric, unit), axes in zip(panels, grid.flat, strict=True):
        points = series(results, prefix, metric)
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", color=_COLOURS["hub"])
            axes.set_xscale("log")
            axes.set_xticks([number for number, _ in points])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(_PLAIN)
            axes.yaxis.set_major_formatter(_PLAIN)
            axes.set_ylim(0, 1.25 * max(value for _, value in points))
        axes.set_xlabel(what)
        axes.set_ylabel(unit)
    if points := series(results, *panels[0][::2]):
        # It grows with the receivers, and is to: what matters is that it does not grow faster.
        _proportional(grid.flat[0], points)
    return figure


def _proportional(axes: Axes, points: list[tuple[int, float]]) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(_PLAIN)
    axes.set_ylim(min(value for _, value in points) / 3, max(value for _, value in points) * 3)
    (fewest, least), (most, _) = points[0], points[-1]
    axes.plot([fewest, most], [least, least * most / fewest], "--", color="#868e96", lw=1, label="in proportion")
    axes.legend(fontsize=8)


def _line(peer: str) -> dict[str, Any]:
    ours = peer.startswith("hub")
    return {"color": _COLOURS[peer], "label": _label(peer), "lw": 2.5 if ours else 1.2, "zorder": 3 if ours else 2}


def _label(peer: str) -> str:
    return PEERS[peer].title.replace("`", "")
