"""``python -m benchmarks``: measures the hub and its peers and writes ``benchmarks/results/``. See README.md."""

from __future__ import annotations

import argparse
import datetime
import json
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine, plan, plots, report, summary
from benchmarks.runner import Runner

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = RESULTS.parents[1] / "docs" / "performance.md"
"""Shows the figures of ``RESULTS``."""


def main() -> int:
    """Run; the exit code is 1 if a measurement of the hub failed (a missed budget is no failure, it is a result)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="small crowds and short runs: under three minutes")
    parser.add_argument("--rounds", type=int, help="rounds of each workload (5; short: 1)")
    parser.add_argument("--only", nargs="*", default=[], metavar="KEY", help="workloads whose key begins with this")
    parser.add_argument("--output", type=Path, help="where the results go (benchmarks/results; short: …/short)")
    parser.add_argument("--note", action="append", default=[], help="a remark for the results' header")
    parser.add_argument(
        "--render", type=Path, metavar="JSON", help="only write report and plots anew, from these results"
    )
    options = parser.parse_args()
    output: Path = options.output or (RESULTS / "short" if options.short else RESULTS)
    if options.render is not None:
        _write(output, json.loads(options.render.read_text()))
        return 0

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    rounds = options.rounds or (1 if options.short else 5)
    before, began = machine.load_average(), time.monotonic()
    results = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "short": options.short,
        "rounds": rounds,
        "machine": machine.facts(),
        "notes": list(options.note),
    }
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as directory:
        runner = Runner(
            Path(directory),
            short=options.short,
            rounds=rounds,
            only=options.only,
            say=lambda line: print(line, flush=True),
        )
        # Whoever ends the benchmark ends its peers with it.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        workloads = plan.plan(short=options.short, descriptors=files)
        try:
            runner.run(workloads)
        except KeyboardInterrupt:
            print("interrupted: what was measured so far is written", file=sys.stderr)
            results["notes"].append("The run was interrupted.")
    results |= {
        "minutes": (time.monotonic() - began) / 60,
        "load_average": [before, machine.load_average()],
        "missing": runner.missing,
        "titles": {workload.key: workload.title for workload in workloads},
        "results": runner.results,
    }
    _write(output, results)
    print(f"\nwritten to {output}: results.md, results.json and the plots")
    failed = [
        f"{key}: {run['error']}"
        for key, peers in runner.results.items()
        for run in peers.get("hub", [])
        if "error" in run
    ]
    print(*failed, sep="\n", file=sys.stderr)
    return 1 if failed else 0


def _write(output: Path, results: dict[str, object]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps(results, separators=(",", ":")) + "\n")
    (output / "results.md").write_text(report.render(results, plots.draw(results, output)))
    if output.resolve() == RESULTS:
        summary.write(results, PAGE)


if __name__ == "__main__":
    sys.exit(main())
