"""Carries the plan out: starts the peers, hands jobs to load generators, keeps what they measured.

Everything it starts it ends, by process id; every measurement has a time-out, after which the next one follows.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import plan, process
from benchmarks.peers import PEERS, Peer
from benchmarks.peers.base import Missing
from benchmarks.plan import Workload

Runs = list[dict[str, Any]]
"""What the rounds of one workload measured at one peer; a run that failed has only an ``error``."""


class Runner:
    """One benchmark."""

    def __init__(
        self, directory: Path, *, short: bool, rounds: int, only: list[str], say: Callable[[str], None]
    ) -> None:
        """``only``: beginnings of the workloads' keys; none: all. ``say`` is told of the progress."""
        self._directory = directory
        self._short = short
        self._rounds = rounds
        self._only = only
        self._say = say
        self._peers: dict[str, Peer] = {}
        self._starts = 0
        self._done = 0
        self._total = 0
        self._began = time.monotonic()
        self.missing: dict[str, str] = {}
        """Peers that cannot be run here, and why."""
        self.results: dict[str, dict[str, Runs]] = {}
        """By workload and peer."""

    def run(self, workloads: list[Workload]) -> None:
        """Measure everything."""
        workloads = [each for each in workloads if self._wanted(each.key)]
        sizes = plan.log_sizes(short=self._short) if self._wanted("growth_log") else []
        self._total = len(sizes) + sum(len(each.peers) * self._rounds_of(each) for each in workloads)
        try:
            for workload in workloads:
                self._run_workload(workload)
            if sizes:
                self._grow_log(sizes)
        finally:
            for peer in self._peers.values():
                peer.stop()

    def _wanted(self, key: str) -> bool:
        return not self._only or any(key.startswith(start) for start in self._only)

    def _rounds_of(self, workload: Workload) -> int:
        return min(self._rounds, workload.rounds or self._rounds)

    def _run_workload(self, workload: Workload) -> None:
        for round_number in range(1, self._rounds_of(workload) + 1):
            for name in workload.peers:
                self._done += 1
                if name in self.missing:
                    continue
                job = dict(workload.job)
                if workload.half_of is not None:
                    job["rate"] = self._half_rate(workload.half_of, name)
                try:
                    with self._server(name, fresh=workload.fresh) as peer:
                        result = self._measure(peer, job, workload.timeout)
                except Missing as reason:
                    self.missing[name] = str(reason)
                    self._say(f"without {PEERS[name].title}: {reason}")
                    continue
                except RuntimeError as failure:
                    result = {"error": str(failure)}
                self._keep(workload.key, name, result, f"round {round_number}")

    def _grow_log(self, sizes: list[int]) -> None:
        with self._server("hub", fresh=True) as peer:
            held = 0
            for size in sizes:
                self._done += 1
                result = self._measure(peer, {"workload": "fill", "topics": size - held}, 300)
                held = size
                if "error" not in result:
                    result = self._measure(peer, plan.log_job(short=self._short), 90)
                    # Its own events, too, make the log longer.
                    held += round(result.get("events_per_second", 0) * (result.get("seconds", 0) + 0.7))
                self._keep(f"growth_log/{size}", "hub", result, "")

    def _half_rate(self, key: str, name: str) -> float:
        reached = [run["events_per_second"] for run in self.results[key][name] if "error" not in run]
        return max(1.0, statistics.median(reached) / 2) if reached else 100.0

    def _keep(self, key: str, name: str, result: dict[str, Any], note: str) -> None:
        self.results.setdefault(key, {}).setdefault(name, []).append(result)
        left = (time.monotonic() - self._began) / self._done * (self._total - self._done)
        self._say(
            f"[{self._done:3}/{self._total}, about {left / 60:.0f} min left] {key} {name} {note}: {headline(result)}"
        )

    @contextmanager
    def _server(self, name: str, *, fresh: bool) -> Iterator[Peer]:
        """A running peer: a new one for this measurement only, or the one that all others share."""
        peer = None if fresh else self._peers.get(name)
        if peer is None or not peer.running:
            peer = PEERS[name]()
            self._starts += 1
            peer.start(self._directory / f"{self._starts}-{name}")
            if not fresh:
                self._peers[name] = peer
        try:
            self._settle(peer)
            yield peer
        finally:
            if fresh:
                peer.stop()

    def _settle(self, peer: Peer) -> None:
        """Wait until it has nothing to do any more, such as forgetting the connections of the last measurement."""
        pids = peer.pids
        seen = process.cpu_seconds(pids)
        for _ in range(50):
            time.sleep(0.15)
            last, seen = seen, process.cpu_seconds(pids)
            if seen - last < 0.02:
                return

    def _measure(self, peer: Peer, job: dict[str, Any], timeout: float) -> dict[str, Any]:
        text = json.dumps(job | {"peer": peer.name, "port": peer.port, "pids": peer.pids})
        try:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.load"], input=text, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            return {"error": f"not done within {timeout:g} s"}
        if done.returncode:
            return {"error": done.stderr.strip()[-500:]}
        result: dict[str, Any] = json.loads(done.stdout)
        return result


def headline(result: dict[str, Any]) -> str:
    """The one figure of a measurement that its progress line shows."""
    if "error" in result:
        return str(result["error"])
    for name, form in (
        ("deliveries_per_second", "{:,.0f} deliveries/s"),
        ("cpu_per_million", "{:.1f} s of CPU a million deliveries"),
        ("events_per_second", "{:,.0f} events/s"),
        ("connections_per_second", "{:,.0f} connections/s"),
        ("bytes_per_connection", "{:,.0f} bytes a connection"),
    ):
        if name in result:
            return form.format(result[name])
    return "done"
