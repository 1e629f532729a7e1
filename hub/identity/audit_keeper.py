"""Keeps the audit log in the background: writes what was gathered when it is due, and lets go of what is old.

A log that cannot be written now (a full disk) is tried again; what waits meanwhile is bounded, and it is said once.
Knows store, models, audit, its log and its notes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from time import time

from sqlalchemy import select

from hub.errors import HubError
from hub.identity.audit import append
from hub.identity.audit_log import AuditLog
from hub.identity.audit_notes import Note, Notes, without_unknown
from hub.identity.models import Account
from hub.identity.store import Store

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
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, once the store is open."""
        self._task = asyncio.create_task(self._keep(), name="audit keeper")

    async def stop(self) -> None:
        """Write what is left, and end. Safe to call twice."""
        if self._task is None:
            return
        task, self._task = self._task, None
        # Not cancelled: of a transaction that is cut off nobody knows whether it was committed.
        self._stopping.set()
        await task
        try:
            await self.write(everything=True)
        except HubError as error:
            _log.error("the last %d notes for the audit log are lost (%s)", len(self._notes), error.__cause__ or error)

    async def write(self, *, everything: bool = False) -> None:
        """Write the notes that are due; with ``everything`` all of them. Raises ``identity_unavailable``."""
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

    async def _keep(self) -> None:
        next_prune = self._clock()
        healthy = True
        while not self._stopping.is_set():
            try:
                await self.write()
                if self._clock() >= next_prune:
                    await self._log.prune(older_than=self._retention, keep=self._max_lines)
                    next_prune = self._clock() + _PRUNE_SECONDS
            except Exception as error:
                # Whatever it is, it must not end the keeper: nothing would be told any more.
                if healthy:
                    _log.error(
                        "the audit log cannot be written (%s); trying again every %g s",
                        error.__cause__ or error,
                        _LOOK_SECONDS,
                        exc_info=not isinstance(error, HubError),
                    )
                healthy = False
            else:
                healthy = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._stopping.wait()
