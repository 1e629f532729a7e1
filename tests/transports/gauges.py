"""What a hub holds: read from the kernel and from its own metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.hub_process import HubProcess

_T = TypeVar("_T")

MEBIBYTE = 1 << 20


def resident(pid: int) -> int:
    """Resident memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def open_files(pid: int) -> int:
    """Open file descriptors."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def fill_caches(hub: HubProcess) -> None:
    """Publish until the hub has grown to what it keeps anyway: caches of its databases, pages of the inbox's
    projection, and what Python does not give back. What it grows from then on is kept for somebody."""
    batch = [{"type": "n", "data": "x" * 4000, "to": {"topics": ["elsewhere"]}} for _ in range(100)]
    for _ in range(40):
        hub.call("POST", "/v1/events", json=batch)


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that is to come true; fails if it does not."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


async def eventually(look: Callable[[], _T], wanted: Callable[[_T], bool], seconds: float = 10) -> _T:
    """Look, in a thread, until what is seen is wanted; fails with what was seen last."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not wanted(seen := await asyncio.to_thread(look)):
        assert asyncio.get_running_loop().time() < deadline, f"after {seconds} s: {seen}"
        await asyncio.sleep(0.02)
    return seen
