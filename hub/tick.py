"""The end of a loop's tick: one callback for all who have something to do then, instead of one each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger("hub.tick")


class Tick:
    """Runs what was added in a tick of the running loop once that is over, in the order of adding."""

    def __init__(self) -> None:
        self._due: list[Callable[[], None]] = []

    def add(self, callback: Callable[[], None]) -> None:
        """Run the callback at the end of this tick. One that fails does not keep the others from it."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._run)
        self._due.append(callback)

    def _run(self) -> None:
        due, self._due = self._due, []
        for callback in due:
            try:
                callback()
            except Exception:
                log.exception("a callback of the tick failed")
