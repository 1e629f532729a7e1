"""When API keys were last used: noted in memory at each use, and written down once a minute for all of them.

So it costs a request nothing, and is true to a minute. Lost with the process if that is killed: what was noted in the
last minute. Knows store, models, periodic, key_index and
errors.
"""

from __future__ import annotations

import logging

from sqlalchemy import update

from hub.errors import HubError
from hub.identity.key_index import KeyIndex
from hub.identity.models import ServiceKey
from hub.identity.periodic import Periodic
from hub.identity.store import Store

_log = logging.getLogger(__name__)

INTERVAL = 60.0
"""Seconds between writings."""


class KeyUsage:
    """Writes down when keys were used. ``start`` it, ``stop`` it."""

    def __init__(self, store: Store, index: KeyIndex, *, interval: float = INTERVAL) -> None:
        self._store = store
        self._index = index
        self._periodic = Periodic(self.write, seconds=interval, what="when API keys were last used")

    def start(self) -> None:
        """Begin, once the store is open."""
        self._periodic.start()

    async def stop(self) -> None:
        """Write what is left, and end. Safe to call twice."""
        if await self._periodic.stop():
            try:
                await self.write()
            except HubError as error:
                _log.warning("when API keys were last used cannot be written (%s)", error.__cause__ or error)

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
