"""Keeps the audit log in the background: writes what was gathered when it is due, and lets go of what is old.

A log that cannot be written now (a full disk) is tried again; what waits meanwhile is bounded, and it is said once.
Knows store, models, periodic, audit, its log and its notes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import time

from sqlalchemy import select

from hub.database.store import Store
from hub.errors import HubError
from hub.identity.audit import append
from hub.identity.audit_log import AuditLog
from hub.identity.audit_notes import Note, Notes, without_unknown
from hub.identity.models import Account
from hub.identity.periodic import Periodic

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_PRUNE_SECONDS = 3600.0
_BATCH = 200
"""Lines of one transaction, and names of one look-up: nobody else writes meanwhile."""


class Keeper:
    """``start`` it, ``stop`` it. ``retention`` is in seconds, ``max_lines`` the most lines that are kept."""

    def __init__(
        self,
        store: Store,
        log: AuditLog,
        notes: Notes,
        *,
        retention: float,
        max_lines: int,
        clock: Callable[[], float] = time,
    ) -> None:
        self._store = store
        self._log = log
        self._notes = notes
        self._retention = retention
        self._max_lines = max_lines
        self._clock = clock
        self._next_prune = clock()
        self._periodic = Periodic(self._look, seconds=_LOOK_SECONDS, what="the audit log")

    def start(self) -> None:
        """Begin, once the store is open."""
        self._periodic.start()

    async def stop(self) -> None:
        """Write what is left, and end. Safe to call twice."""
        if not await self._periodic.stop():
            return
        try:
            await self.write(everything=True)
        except HubError as error:
            _log.error("the last %d notes for the audit log are lost (%s)", len(self._notes), error.__cause__ or error)

    async def write(self, *, everything: bool = False) -> None:
        """Write the notes that are due; with ``everything`` all of them. Raises ``database_unavailable``."""
        notes = self._notes.take(everything=everything)
        while notes:
            try:
                await self._write(notes[:_BATCH])
            except BaseException:
                self._notes.put_back(notes)
                raise
            del notes[:_BATCH]

    async def _write(self, notes: list[Note]) -> None:
        claimed = {note.claimed for note in notes}
        async with self._store.write() as db:
            known = (await db.scalars(select(Account.id).where(Account.id.in_(claimed)))).all()
            for note in without_unknown(notes, set(known)):
                await append(db, note.record(), now=note.first)

    async def _look(self) -> None:
        await self.write()
        if self._clock() >= self._next_prune:
            await self._log.prune(older_than=self._retention, keep=self._max_lines)
            self._next_prune = self._clock() + _PRUNE_SECONDS
