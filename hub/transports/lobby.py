"""Where those who come in wait for their turn, so that a storm of them does not keep others from what they get.

After a restart thousands come back at once, each with a token to check and a piece of the log to be handed. Served as
they arrive, a turn of the loop would be as long as all of them together; here it is a fixed piece of each turn. How
many wait, and how many come from one address, is bounded: the others are told at once to come back later. Knows limits
and errors.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from time import perf_counter

from hub.errors import HubError
from hub.limits import Buckets, Rate, network

log = logging.getLogger("hub.websocket")

_SHARE = 0.001
"""Seconds of a turn that go to handshakes, and one handshake more."""


class Lobby:
    """First come, first served."""

    def __init__(self, most: int, rate: Rate, is_proxy: Callable[[str], bool]) -> None:
        """``most``: how many may wait, 0 for no bound. ``rate``: of one address; not of one where ``is_proxy``, since
        that may be anybody's."""
        self._most = most
        self._rate: Buckets[str] | None = Buckets(rate) if rate else None
        self._is_proxy = is_proxy
        self._waiting: deque[Callable[[], None]] = deque()
        self._scheduled = False
        self.limited = self.turned_away = 0
        """Handshakes that were refused, since their address had too many, or since too many waited."""

    def __len__(self) -> int:
        return len(self._waiting)

    def admit(self, address: str) -> None:
        """Count one who comes from there; raises ``overloaded`` and ``rate_limited``."""
        if self._most and len(self._waiting) >= self._most:
            self.turned_away += 1
            raise HubError("overloaded", "Too many come in at the moment.")
        if self._rate is not None and not self._is_proxy(address):
            wait = self._rate.take(network(address))
            if wait:
                self.limited += 1
                seconds = math.ceil(wait)
                raise HubError("rate_limited", f"Too many connect from {address}.", retry_after=seconds)

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
