"""When API keys were last used: noted in memory at each use, and written down once a minute for all of them.

So it costs a request nothing, and is true to a minute. Lost with the process if that is killed: what was noted in the
last minute. Knows store, models, periodic, key_index and errors.
"""

from __future__ import annotations

import logging

from sqlalchemy import or_, update

from hub.database.store import Store
from hub.errors import HubError
from hub.identity.key_index import KeyIndex
from hub.identity.models import ServiceKey
from hub.identity.periodic import Periodic

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
        """Write what was noted; raises ``database_unavailable``, and then it is not lost."""
        used, self._index.used = self._index.used, {}
        if not used:
            return
        try:
            async with self._store.write_beside() as db:
                # In the order of ids: every node does this, and none may wait for one that waits for it.
                for key_id, time in sorted(used.items()):
                    older = or_(ServiceKey.last_used_at.is_(None), ServiceKey.last_used_at < time)
                    changed = update(ServiceKey).where(ServiceKey.id == key_id, older)
                    await db.execute(changed.values(last_used_at=time))
        except BaseException:
            self._index.used = used | self._index.used
            raise
