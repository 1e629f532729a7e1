"""Wait until something holds, looked at again whenever somebody says that something changed.

A condition variable without a lock: everything happens on one event loop. Cancelling a wait loses nothing, because
nothing is handed over here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Signal:
    """Knows who waits."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Let everybody look again. On the event loop's thread only."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, holds: Callable[[], object]) -> None:
        """Return once ``holds()`` is true; at once, without yielding, if it is already."""
        while not holds():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
