"""The table of all peers that the documentation shows, written into it from the results. Pure but for ``write``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Results, median
from benchmarks.histogram import LONGEST_MS
from benchmarks.peers import PEERS

BEGIN, END = "<!-- figures: make bench writes what is between these lines -->", "<!-- end of figures -->"

_COLUMNS = (
    ("broadcast flat out, deliveries/s", "flat_out", "deliveries_per_second", "{:,.0f}"),
    ("one at a time, CPU µs a delivery", "trickle", "cpu_per_million", "{:.1f}"),
    ("one at a time, p99 ms", "trickle", "latency.p99_ms", "{:,.0f}"),
    ("a POST each, events/s", "unicast", "events_per_second", "{:,.0f}"),
    ("bytes a connection", "memory", "bytes_per_connection", "{:,.0f}"),
    ("connections accepted a second", "accept", "connections_per_second", "{:,.0f}"),
)


def render(results: Results) -> str:
    """The table, and what it was measured on."""
    return "\n".join(_lines(results))


def _lines(results: Results) -> Iterator[str]:
    machine = results["machine"]
    rounds = f"{results['rounds']} round{'s' if results['rounds'] > 1 else ''}"
    where = f"{machine['CPU']}, {machine['cores']} cores, code {machine['code']}"
    yield f"{where}, {results['date'][:10]}, medians of {rounds}."
    yield ""
    for note in results["notes"]:
        yield f"*{note}*"
        yield ""
    yield "| | " + " | ".join(title for title, *_ in _COLUMNS) + " |"
    yield "|---|" + "---|" * len(_COLUMNS)
    measured = {name for _, key, _, _ in _COLUMNS for name in results["results"].get(key, {})}
    for name, peer in PEERS.items():
        if name in measured:
            cells = [_cell(results, key, name, metric, form) for _, key, metric, form in _COLUMNS]
            title = f"**{peer.title}**" if name == "hub" else peer.title
            yield f"| {title} | " + " | ".join(cells) + " |"


def _cell(results: Results, key: str, name: str, metric: str, form: str) -> str:
    value = median(results, key, name, metric)
    if value is None:
        return "—"
    if metric.startswith("latency.") and value >= LONGEST_MS:
        return f"over {LONGEST_MS:,.0f}"
    return form.format(value)


def write(results: Results, page: Path) -> None:
    """Put the table where the page has its two comments."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{render(results)}\n\n{END}{after}")
