"""When API keys were last used: noted in memory at each use, and written down once a minute for all of them.

So it costs a request nothing, and is true to a minute. Lost with the process if that is killed: what was noted in the
last minute. Knows store, models, key_index and errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from sqlalchemy import update

from hub.errors import HubError
from hub.identity.key_index import KeyIndex
from hub.identity.models import ServiceKey
from hub.identity.store import Store

_log = logging.getLogger(__name__)

INTERVAL = 60.0
"""Seconds between writings."""


class KeyUsage:
    """Writes down when keys were used. ``start`` it, ``stop`` it."""

    def __init__(self, store: Store, index: KeyIndex, *, interval: float = INTERVAL) -> None:
        self._store = store
        self._index = index
        self._interval = interval
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, once the store is open."""
        self._task = asyncio.create_task(self._keep(), name="API keys' last use")

    async def stop(self) -> None:
        """Write what is left, and end. Safe to call twice."""
        if self._task is None:
            return
        task, self._task = self._task, None
        # Not cancelled: of a transaction that is cut off nobody knows whether it was committed.
        self._stopping.set()
        await task

    async def write(self) -> None:
        """Write what was noted; raises ``identity_unavailable``, and then it is not lost."""
        used, self._index.used = self._index.used, {}
        if not used:
            return
        try:
            async with self._store.write() as db:
                for key_id, time in used.items():
                    await db.execute(update(ServiceKey).where(ServiceKey.id == key_id).values(last_used_at=time))
        except BaseException:
            self._index.used = used | self._index.used
            raise

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._stopping.wait()
            try:
                await self.write()
            except HubError as error:
                _log.warning("when API keys were last used cannot be written (%s)", error.__cause__ or error)
