"""Processes as the kernel counts them: CPU time, memory, which core they may run on. Linux only, like the benchmark."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

SERVER_CORE = 0
LOAD_CORE = 1
_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def family(pid: int) -> list[int]:
    """A process and all that it started, as long as they run."""
    found = [pid]
    for each in found:
        for task in _PROC.glob(f"{each}/task/*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time that these processes have used, all threads, in seconds."""
    ticks = 0
    for pid in pids:
        # The name, in parentheses, may hold anything; utime and stime are fields 14 and 15 (proc(5)).
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def resident_bytes(pids: Iterable[int]) -> int:
    """Resident memory of these processes, without the pages of files and shared memory."""
    total = 0
    for pid in pids:
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1]) * 1024
    return total


def pin(core: int) -> None:
    """Bind this process to a core; with a single core there is nothing to choose."""
    if core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})
