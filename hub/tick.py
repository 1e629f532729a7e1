"""The end of a loop's turn: one callback for all who have something to do then, instead of one each."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

log = logging.getLogger("hub.tick")

_SLICE = 256
"""Callbacks of one turn. Most are writes to a socket, at some 5 µs each: a broadcast to 50,000 of them must not keep
publishers, pings and other topics waiting for more than a millisecond or two at a time."""


class Tick:
    """Runs what was added in a turn of the running loop once that is over, in the order of adding, some at a time."""

    def __init__(self) -> None:
        self._due: deque[Callable[[], None]] = deque()

    def add(self, callback: Callable[[], None]) -> None:
        """Run the callback after this turn, or a few turns later. One that fails does not keep the others from it."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._run)
        self._due.append(callback)

    def _run(self) -> None:
        for _ in range(min(_SLICE, len(self._due))):
            # Taken out only afterwards: while one is here, `add` knows that a run is due.
            try:
                self._due[0]()
            except Exception:
                log.exception("a callback failed")
            finally:
                self._due.popleft()
        if self._due:
            asyncio.get_running_loop().call_soon(self._run)
