"""Where those who come in wait for their turn, so that a storm of them does not keep others from what they get.

After a restart thousands come back at once, each with a token to check and a piece of the log to be handed. Served as
they arrive, a turn of the loop would be as long as all of them together; here it is a fixed piece of each turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import perf_counter

log = logging.getLogger("hub.websocket")

_SHARE = 0.001
"""Seconds of a turn that go to handshakes, and one handshake more."""


class Lobby:
    """First come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, enter: Callable[[], None]) -> None:
        """Call ``enter`` soon."""
        self._waiting.append(enter)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        end = perf_counter() + _SHARE
        while self._waiting:
            enter = self._waiting.popleft()
            try:
                enter()
            except Exception:
                log.exception("a handshake failed")
            if perf_counter() >= end:
                break
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._serve)
        else:
            self._scheduled = False
