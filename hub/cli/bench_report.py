"""The report of ``hub bench`` for people."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hub.cli.output import result, show_table, table

if TYPE_CHECKING:
    from hub.bench.durations import Latency
    from hub.bench.results import Measurement, Report


def show(report: Report) -> None:
    """Print it to stdout."""
    made = table("", "a second", "p50 ms", "p90 ms", "p99 ms", "client's CPU")
    for each in report.measurements:
        rate = f"{each.rate:,.0f} {each.unit}" if each.rate is not None else ""
        made.add_row(each.title, rate, *_times(each.delivery or each.answer), _busy(each))
        if each.delivery is not None and each.answer is not None:
            made.add_row("  and the answer, once it is on disk", "", *_times(each.answer), "")
    show_table(made)
    result("")
    for line in _conclusions(report):
        result(line)


def _times(latency: Latency | None) -> tuple[str, str, str]:
    if latency is None:
        return "", "", ""
    return f"{latency.p50:.1f}", f"{latency.p90:.1f}", f"{latency.p99:.1f}"


def _busy(each: Measurement) -> str:
    return f"{each.busy.publisher:.0%} + {each.busy.subscribers:.0%}"


def _conclusions(report: Report) -> list[str]:
    verdict = report.verdict
    lines = []
    if report.good:
        lines.append(f"Every event arrived exactly once and in order: {verdict.expected:,} deliveries.")
    else:
        lines.append(
            f"NOT every event arrived exactly once and in order: of {verdict.expected:,} deliveries "
            f"{verdict.missing:,} are missing, {verdict.repeated:,} came twice, {verdict.disordered:,} out of order."
        )
        lines += [f"  {each.title}: {_wrong(each)}" for each in report.measurements if not each.good]
    lines += _limits(report)
    if report.interrupted:
        lines.append("It was interrupted; this is what was measured until then.")
    if report.ceiling:
        lines.append(
            f"This client can count at least {report.ceiling:,.0f} deliveries a second. “Client's CPU” is that of its "
            "publishing process and of its busiest subscribing one, in shares of a core."
        )
    where = "this machine, whose cores the hub and this client share" if report.local else "this machine and network"
    lines.append(f"The figures are those of {where}.")
    average, cores = _load_average(), os.cpu_count() or 1
    if average > cores + 2:
        lines.append(
            f"The machine was busy (load {average:.0f}, {cores} cores): the hub, the client or both had to wait."
        )
    return lines


def _limits(report: Report) -> list[str]:
    from hub.bench.results import THE_HUB

    bounded: dict[str, list[str]] = {}
    for each in report.measurements:
        if each.limit:
            bounded.setdefault(each.limit, []).append(each.title)
    rest = "Everything else" if len(bounded) > 1 else "Everything"
    return [
        f"{rest if limit == THE_HUB else '; '.join(titles)}: limited by {limit}."
        for limit, titles in sorted(bounded.items(), key=lambda pair: pair[0] == THE_HUB)
    ]


def _wrong(each: Measurement) -> str:
    parts = []
    if each.lost:
        parts.append(f"{each.lost:,} connections ended ({each.lost_because.rstrip('.')})")
    if each.verdict is not None and not each.verdict.good:
        missing, repeated, disordered = each.verdict.missing, each.verdict.repeated, each.verdict.disordered
        parts.append(f"{missing:,} missing, {repeated:,} twice, {disordered:,} out of order")
        if missing and "ephemeral" in each.name:
            parts.append("ephemeral events are dropped for a subscriber that is behind")
    return "; ".join(parts)


def _load_average() -> float:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0
