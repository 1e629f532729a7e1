"""What the hub is meant to reach, and whether it did. They are for the full form; a short one only shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures import Results, median, ratio, series


@dataclass(frozen=True, slots=True)
class Verdict:
    """One budget. ``met`` is None if it was not measured; ``tie`` if the figure is within the noise of it."""

    work: str
    budget: str
    reached: str
    met: bool | None
    tie: bool = False


NOISE = 0.1
"""Within a tenth of a budget that compares with another peer, the outcome is called a tie."""


def verdicts(results: Results) -> list[Verdict]:
    """All of them, in the order of the work."""
    return list(_verdicts(results))


def _verdicts(results: Results) -> Iterator[Verdict]:
    def least(work: str, key: str, metric: str, bound: float, form: str, peer: str = "hub") -> Verdict:
        value = median(results, key, peer, metric)
        met = None if value is None else value >= bound
        return Verdict(work, "≥ " + form.format(bound), "—" if value is None else form.format(value), met)

    def most(work: str, key: str, metric: str, bound: float, form: str, peer: str = "hub") -> Verdict:
        value = median(results, key, peer, metric)
        met = None if value is None else value <= bound
        return Verdict(work, "≤ " + form.format(bound), "—" if value is None else form.format(value), met)

    def times(work: str, key: str, metric: str, other: str, bound: float, *, above: bool) -> Verdict:
        value = ratio(results, key, metric, "hub", other)
        budget = f"{'≥' if above else '≤'} {bound:g} times {other}"
        if value is None:
            return Verdict(work, budget, "—", None)
        met = value >= bound if above else value <= bound
        return Verdict(work, budget, f"{value:.2f} times", met, abs(value / bound - 1) <= NOISE)

    rate = "deliveries_per_second"
    yield least("broadcast, flat out", "flat_out", rate, 1.3e6, "{:,.0f} deliveries/s")
    yield times("", "flat_out", rate, "bare", 0.65, above=True)
    yield times("", "flat_out", rate, "nchan", 10, above=True)
    yield times("", "flat_out", rate, "naive", 20, above=True)
    yield times("CPU a delivery, one event at a time", "trickle", "cpu_per_million", "nchan", 1, above=False)
    yield times("p99 of the same", "trickle", "latency.p99_ms", "nchan", 1, above=False)
    events = "events_per_second"
    yield least("a POST each, ephemeral", "unicast", events, 15_000, "{:,.0f} events/s")
    yield least("100 a POST, ephemeral", "unicast_batch", events, 150_000, "{:,.0f} events/s")
    yield least("a POST each, durable", "durable", events, 10_000, "{:,.0f} events/s")
    yield least("100 a POST, durable", "durable_batch", events, 50_000, "{:,.0f} events/s")
    yield most("p99 of durable at half load", "durable_half", "latency.p99_ms", 10, "{:.1f} ms")
    yield most("memory of a connection", "memory", "bytes_per_connection", 4096, "{:,.0f} bytes")
    yield least("connections accepted", "accept", "connections_per_second", 4500, "{:,.0f}/s")
    yield least("", "accept_ed25519", "connections_per_second", 4500, "{:,.0f}/s (Ed25519)", "hub_ed25519")
    for key, kind in (("resume_shared", "the same events"), ("resume_own", "each their own")):
        # 500,000 events/s behind handshakes of 4,500/s; the handshakes cannot be told from it, so both are allowed.
        allowed, taken = (
            "the time of 4,500 handshakes/s and 500,000 events/s",
            median(results, key, "hub", "share_of_allowed"),
        )
        reached = "—" if taken is None else f"{taken:.1f} times that"
        yield Verdict(f"resume, {kind}", allowed, reached, None if taken is None else taken <= 1)
        before, during = (median(results, key, "hub", f"{name}.p99_ms") for name in ("live_before", "live_resume"))
        if before and during:
            reached = f"{during / before:.1f} times ({before:.1f} → {during:.1f} ms)"
            yield Verdict("p99 of the others meanwhile", "≤ 2 times that before", reached, during <= 2 * before)
        else:
            yield Verdict("p99 of the others meanwhile", "≤ 2 times that before", "—", None)
    for prefix, what in (("growth_topics", "topics"), ("growth_log", "entries of the log")):
        points = series(results, prefix, "cpu_per_event_us")
        if len(points) > 1:
            (fewest, first), (largest, last) = points[0], points[-1]
            yield Verdict(
                f"a publish at {largest:,} {what}",
                f"as at {fewest:,} (± 25 %)",
                f"{last / first:.2f} times the CPU",
                last / first <= 1.25,
            )
