"""The end of a loop's turn: one callback for all who have something to do then, instead of one each."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Protocol

log = logging.getLogger("hub.tick")

_SLICE = 256
"""Flushes of one turn. Most are writes to a socket, at some 5 µs each: a broadcast to 50,000 of them must not keep
publishers, pings and other topics waiting for more than a millisecond or two at a time."""


class Flushable(Protocol):
    """What has something to do at the end of a turn."""

    def flush(self) -> None:
        """Do it."""


class Tick:
    """Flushes what was added in a turn of the running loop once is over: in the order of adding, some at a time."""

    def __init__(self) -> None:
        self._due: deque[Flushable] = deque()
        self._scheduled = False

    def add(self, one: Flushable) -> None:
        """Flush it after this turn, or a few turns later. One that fails does not keep the others from it."""
        self._due.append(one)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        due = self._due
        for _ in range(min(_SLICE, len(due))):
            one = due.popleft()
            try:
                one.flush()
            except Exception:
                log.exception("a flush failed")
        if due:
            asyncio.get_running_loop().call_soon(self._run)
        else:
            self._scheduled = False
