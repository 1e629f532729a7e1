"""What a load generator is told to do, and the account of the CPU that it and the server used meanwhile."""

from __future__ import annotations

import dataclasses
import time

from benchmarks import process


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What to do, to whom. ``pids`` are the server's processes, whose CPU time is counted."""

    workload: str
    peer: str
    port: int
    pids: tuple[int, ...]
    subscribers: int = 1000
    seconds: float = 3.0
    warmup: float = 0.7
    rate: float = 50.0
    """Events a second, where their rate is given; 0: as fast as they are taken."""
    window: int = 256
    """Events under way at most when publishing flat out."""
    in_flight: int = 64
    """HTTP requests under way at most."""
    batch: int = 1
    durable: bool = False
    steps: tuple[int, ...] = ()
    topics: int = 0
    behind: int = 50
    shared: bool = True


class Interval:
    """What was used of the CPUs since its beginning."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self._pids = pids
        self._server = process.cpu_seconds(pids)
        self._load = time.process_time()
        self._began = time.monotonic()

    def result(self) -> dict[str, float]:
        seconds = time.monotonic() - self._began
        return {
            "seconds": seconds,
            "server_cpu": process.cpu_seconds(self._pids) - self._server,
            "load_busy": (time.process_time() - self._load) / seconds,
        }
