"""The results as a page of Markdown: what it ran on, the budgets, a table for each kind of work. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.budgets import Verdict, verdicts
from benchmarks.figures import Results, median, series, spread
from benchmarks.histogram import LONGEST_MS
from benchmarks.peers import PEERS

_NOISE = (
    "Machines like this one are noisy: 20 to 30 % from run to run is usual. The peers take turns within each round, "
    "comparisons are ratios within a round, figures are medians of the rounds with the least and the most beside "
    "them; a difference inside that spread is a tie. “Server's core” says how much of its core the server got: "
    "where it is far below 100 % in a flat-out run, something else used the machine, or the publisher was the limit."
)


PLOTS = {
    "throughput": "What a second brings: deliveries, single events, connections",
    "latency": "How late one event at a time arrives",
    "memory": "Memory over idle connections",
    "growth": "How the cost of a publish grows",
}
"""The plots and their captions; each is a ``.png`` and a ``.svg`` beside the page."""


def render(results: Results, plots: Iterable[str]) -> str:
    """The page; ``plots`` are those that were drawn."""
    parts = ["# Benchmark results", "", *_header(results), "", "## Budgets", "", *_budgets(verdicts(results)), ""]
    parts += ["## Broadcast", ""]
    flat = _flat_columns()
    parts += _table(results, "flat_out", "deliveries_per_second", flat, largest_first=True)
    parts += _table(results, "flat_out_durable", "deliveries_per_second", flat, largest_first=True)
    parts += _table(
        results,
        "trickle",
        "cpu_per_million",
        [
            ("CPU s a million deliveries", "cpu_per_million", "{:.1f}"),
            ("p50 ms", "latency.p50_ms", "{:.1f}"),
            ("p99 ms", "latency.p99_ms", "{:.1f}"),
        ],
    )
    parts += ["## To one user", ""]
    posts = [
        ("events/s", "events_per_second", "{:,.0f}"),
        ("CPU µs an event", "cpu_per_event_us", "{:.1f}"),
        ("p50 ms", "latency.p50_ms", "{:.1f}"),
        ("p99 ms", "latency.p99_ms", "{:.1f}"),
        _SHARE,
        _BUSY,
    ]
    for key in ("unicast", "unicast_batch", "durable", "durable_batch", "durable_half"):
        parts += _table(results, key, "events_per_second", posts, largest_first=True)
    parts += ["## Connections", ""]
    parts += _table(results, "memory", "bytes_per_connection", [("bytes each", "bytes_per_connection", "{:,.0f}")])
    accepts = [("connections/s", "connections_per_second", "{:,.0f}"), _SHARE, _BUSY]
    parts += _table(results, "accept", "connections_per_second", accepts, largest_first=True)
    parts += _table(results, "accept_ed25519", "connections_per_second", accepts)
    parts += ["## Resume", "", *_resume(results), "## Growth", "", *_growth(results), "## Plots", ""]
    parts += [f"![{PLOTS[name]}]({name}.png)\n" for name in plots]
    return "\n".join(parts)


_Column = tuple[str, str, str]
_SHARE: _Column = ("server's core", "@share", "{:.0%}")
_BUSY: _Column = ("load generator", "load_busy", "{:.0%}")


def _flat_columns() -> list[_Column]:
    return [
        ("deliveries/s", "deliveries_per_second", "{:,.0f}"),
        ("deliveries a second of server CPU", "@per_cpu", "{:,.0f}"),
        ("MB/s", "@megabytes", "{:,.0f}"),
        ("bytes a frame", "frame_bytes", "{:.0f}"),
        _SHARE,
        _BUSY,
    ]


def _header(results: Results) -> Iterable[str]:
    yield (
        f"Measured {results['date']}, {results['rounds']} round{'s' if results['rounds'] > 1 else ''}, "
        f"{results['minutes']:.0f} minutes, load average {results['load_average'][0]:.1f} before."
    )
    yield ""
    if results["short"]:
        yield "**The short form:** small crowds and short runs, to see that all of it works. Not figures to quote.\n"
    for note in results["notes"]:
        yield f"**{note}**\n"
    yield from _rows(["", ""], results["machine"].items())
    yield ""
    yield _NOISE
    yield ""
    yield (
        "The server has one core, the load generator another; a payload has 128 bytes of JSON; nobody compresses. "
        "The hub's frames are longer than the payload: they name the topic, the event's id, its source and its time."
    )
    ceiling = median(results, "ceiling", "bare", "deliveries_per_second")
    if ceiling:
        yield ""
        yield f"The load generator alone can count {ceiling:,.0f} deliveries/s: that is its ceiling."
    for name, reason in results["missing"].items():
        yield ""
        yield f"Without {PEERS[name].title}: {reason}."


def _budgets(found: Sequence[Verdict]) -> Iterable[str]:
    def outcome(verdict: Verdict) -> str:
        if verdict.met is None:
            return "not measured"
        return "tie" if verdict.tie else "met" if verdict.met else "**missed**"

    yield from _rows(
        ["work", "budget", "reached", ""],
        ((verdict.work, verdict.budget, verdict.reached, outcome(verdict)) for verdict in found),
    )


def _table(
    results: Results, key: str, order: str, columns: Sequence[_Column], *, largest_first: bool = False
) -> Iterable[str]:
    peers = results["results"].get(key)
    if not peers:
        return
    yield f"### {results['titles'][key][0].upper()}{results['titles'][key][1:]}"
    yield ""

    def place(peer: str) -> float:
        value = median(results, key, peer, order)
        return float("inf") if value is None else -value if largest_first else value

    rows = []
    for peer in sorted(peers, key=place):
        title = PEERS[peer].title + ("" if PEERS[peer].checks_tokens else " (no token)")
        failures = [run["error"] for run in peers[peer] if "error" in run]
        lost = sum(run.get("lost", 0) for run in peers[peer])
        remark = "; ".join(
            ([f"{len(failures)} of {len(peers[peer])} failed: {failures[0][:80]}"] if failures else [])
            + ([f"{lost:,} still under way after 10 s, or lost"] if lost else [])
        )
        cells = [
            _cell(results, key, peer, metric, form, first=not index) for index, (_, metric, form) in enumerate(columns)
        ]
        rows.append([f"**{title}**" if peer.startswith("hub") else title, *cells, remark])
    yield from _rows(["", *(name for name, _, _ in columns), ""], rows)
    yield ""


def _cell(results: Results, key: str, peer: str, metric: str, form: str, *, first: bool) -> str:
    if metric.startswith("@"):
        runs = [run for run in results["results"][key][peer] if run.get("server_cpu")]
        made = sorted(_made(metric, run) for run in runs)
        return form.format(made[len(made) // 2]) if made else "—"
    value = median(results, key, peer, metric)
    if value is None:
        return "—"
    if metric.startswith("latency.") and value >= LONGEST_MS:
        return f"over {LONGEST_MS:,.0f}"
    low, high = spread(results, key, peer, metric) or (value, value)
    both = f" ({form.format(low)} to {form.format(high)})" if first and low != high else ""
    return form.format(value) + both


def _made(metric: str, run: dict[str, Any]) -> float:
    """A figure that is made of two that were measured."""
    if metric == "@share":
        return float(run["server_cpu"] / run["seconds"])
    if metric == "@megabytes":
        return float(run["deliveries_per_second"] * run["frame_bytes"] / 1e6)
    return float(run["deliveries"] / run["server_cpu"])


def _resume(results: Results) -> Iterable[str]:
    rows = []
    for key in ("resume_shared", "resume_own"):
        if key not in results["results"]:
            continue

        def figure(metric: str, form: str, key: str = key) -> str:
            value = median(results, key, "hub", metric)
            return "—" if value is None else form.format(value)

        rows.append(
            [
                results["titles"][key],
                figure("events_per_second", "{:,.0f}"),
                figure("events_per_second_beyond_handshakes", "{:,.0f}"),
                figure("live_before.p99_ms", "{:.1f}"),
                figure("live_handshakes.p99_ms", "{:.1f}"),
                figure("live_resume.p99_ms", "{:.1f}"),
            ]
        )
    if rows:
        yield from _rows(
            ["", "events/s, handshakes included", "beyond the handshakes", "live p99 before, ms",
             "during as many handshakes", "during the resume"],
            rows,
        )  # fmt: skip
        yield ""
    before, during = (median(results, "fairness", "hub", f"live_{when}.p99_ms") for when in ("before", "broadcast"))
    if before is not None and during is not None:
        title = results["titles"]["fairness"]
        yield f"Fairness, {title}: their p99 is {before:.1f} ms alone, {during:.1f} ms meanwhile."
        yield ""


_SERIES = (
    ("growth_subscribers", "subscribers", "one event at a time"),
    ("growth_topics", "topics", "a subscriber each"),
    ("growth_log", "entries of the log", "durable, 8 publishers"),
    ("growth_publishers", "publishers", "durable"),
)


def _growth(results: Results) -> Iterable[str]:
    for prefix, what, how in _SERIES:
        cpu = dict(series(results, prefix, "cpu_per_event_us"))
        if not cpu:
            continue
        p50, p99 = dict(series(results, prefix, "latency.p50_ms")), dict(series(results, prefix, "latency.p99_ms"))
        rate = dict(series(results, prefix, "events_per_second"))
        spread_out = prefix == "growth_subscribers"
        yield from _rows(
            [f"{what} ({how})", "server CPU µs an event", "CPU µs a delivery" if spread_out else "events/s",
             "p50 ms", "p99 ms"],
            (
                [
                    f"{number:,}",
                    f"{value:,.0f}",
                    f"{value / number:.1f}" if spread_out else f"{rate.get(number, 0):,.0f}",
                    f"{p50[number]:.1f}",
                    f"{p99[number]:.1f}",
                ]
                for number, value in cpu.items()
            ),
        )  # fmt: skip
        yield ""


def _rows(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"
