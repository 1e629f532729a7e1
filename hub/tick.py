"""The end of a loop's turn: one callback for all who have something to do then, instead of one each."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Protocol

log = logging.getLogger("hub.tick")

_SLICE = 128
"""Flushes of one turn: so many of those that were just added, and so many of those that wait. Most are writes to a
socket, at some 5 µs each: a broadcast to 50,000 of them must not keep publishers, pings and other topics waiting for
more than a millisecond or two at a time."""


class Flushable(Protocol):
    """What has something to do at the end of a turn."""

    def flush(self) -> None:
        """Do it."""


class Tick:
    """Flushes what was added in a turn of the running loop once that is over, some at a time.

    What could not be done at once waits, and what is added meanwhile goes before it: the few who get an event of their
    own do not wait for the crowd that gets another one.
    """

    def __init__(self) -> None:
        self._fresh: deque[Flushable] = deque()
        self._waiting: deque[Flushable] = deque()
        self._scheduled = False

    def add(self, one: Flushable) -> None:
        """Flush it after this turn, or a few turns later. One that fails does not keep the others from it."""
        self._fresh.append(one)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        fresh, self._fresh = self._fresh, deque()
        self._flush(fresh)
        self._flush(self._waiting)
        self._waiting += fresh
        if self._waiting or self._fresh:
            asyncio.get_running_loop().call_soon(self._run)
        else:
            self._scheduled = False

    def _flush(self, some: deque[Flushable]) -> None:
        for _ in range(min(_SLICE, len(some))):
            one = some.popleft()
            try:
                one.flush()
            except Exception:
                log.exception("a flush failed")
