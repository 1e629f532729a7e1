"""Something that is written to the database again and again in the background, whatever fails in between.

Knows errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from hub.errors import HubError

_log = logging.getLogger(__name__)


class Periodic:
    """Does ``work`` every so many ``seconds``. ``start`` it, ``stop`` it. ``what`` is what cannot be written then."""

    def __init__(self, work: Callable[[], Awaitable[None]], *, seconds: float, what: str) -> None:
        self._work = work
        self._seconds = seconds
        self._what = what
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, once the store is open."""
        self._task = asyncio.create_task(self._run(), name=self._what)

    async def stop(self) -> bool:
        """End, once what is under way is done. Safe to call twice: whether it ran until now."""
        if self._task is None:
            return False
        task, self._task = self._task, None
        # Not cancelled: of a transaction that is cut off nobody knows whether it was committed.
        self._stopping.set()
        await task
        return True

    async def _run(self) -> None:
        healthy = True
        while not self._stopping.is_set():
            try:
                await self._work()
            except Exception as error:
                # Whatever it is, it must not be the end: nothing would be written any more. It is said once.
                if healthy:
                    _log.error(
                        "%s cannot be written (%s); trying again every %g s",
                        self._what,
                        error.__cause__ or error,
                        self._seconds,
                        exc_info=not isinstance(error, HubError),
                    )
                healthy = False
            else:
                healthy = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._stopping.wait()
