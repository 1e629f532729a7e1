"""Figures out of a benchmark's results: medians, spreads, ratios of the same round. Pure."""

from __future__ import annotations

import statistics
from typing import Any

Results = dict[str, Any]


def values(results: Results, key: str, peer: str, metric: str) -> list[float]:
    """One metric of every round that succeeded; ``latency.p99_ms`` looks into ``latency``."""
    found = []
    for run in results["results"].get(key, {}).get(peer, []):
        value: Any = run
        for name in metric.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            found.append(float(value))
    return found


def median(results: Results, key: str, peer: str, metric: str) -> float | None:
    """None if nothing was measured."""
    found = values(results, key, peer, metric)
    return statistics.median(found) if found else None


def spread(results: Results, key: str, peer: str, metric: str) -> tuple[float, float] | None:
    """The least and the most of the rounds."""
    found = values(results, key, peer, metric)
    return (min(found), max(found)) if found else None


def ratio(results: Results, key: str, metric: str, peer: str, other: str) -> float | None:
    """The median over the rounds of ``peer`` by ``other``: what disturbs a whole round does not count."""
    runs = results["results"].get(key, {})
    ratios = []
    for index in range(min(len(runs.get(peer, [])), len(runs.get(other, [])))):
        one = {"results": {key: {peer: [runs[peer][index]], other: [runs[other][index]]}}}
        ours, theirs = median(one, key, peer, metric), median(one, key, other, metric)
        if ours is not None and theirs:
            ratios.append(ours / theirs)
    return statistics.median(ratios) if ratios else None


def series(results: Results, prefix: str, metric: str) -> list[tuple[int, float]]:
    """The hub's medians of ``prefix/<number>``, by number."""
    points = []
    for key in results["results"]:
        start, _, number = key.partition("/")
        if start == prefix:
            value = median(results, key, "hub", metric)
            if value is not None:
                points.append((int(number), value))
    return sorted(points)
