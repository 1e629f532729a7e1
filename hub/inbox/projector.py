"""Keeps the inbox's tables up to the log, in the background, and at once for who waits for it.

It reads the log in its order and writes a piece in one transaction, together with the place it was read up to. So after
whatever end it goes on where it was; and of several nodes with one database, one writes a given piece: who finds
another place than the one it read from has been overtaken and goes on from there.

Publishers must hardly notice it: while they are at it, it takes a tenth of the time, and more only the further it is
behind, or if somebody waits. Knows the engine, the database and the other modules of this package.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.database.store import Store
from hub.engine.base import Engine
from hub.errors import HubError
from hub.inbox import models, removal
from hub.inbox.models import WRITERS, Event, Progress
from hub.inbox.projection import Known, project
from hub.inbox.tables import pieces, table
from hub.model import Entry

log = logging.getLogger("hub.inbox")

_PIECE = 4000
"""Entries of one transaction."""
_PIECE_BYTES = 2 << 20
"""Bytes of their events from which on there are no more of them: so much is in memory at a time, however large they
are."""
_SOME = 400
"""Entries that are looked at in one go: some milliseconds, in which nobody else has a turn."""
_LOOK = 0.2
"""Seconds between looks at the log's head, and so between transactions where little is published."""
_REST = 9.0
"""While events are published and nobody waits for them here, so many times as long as a piece took is waited before the
next one."""
_FAR = 100_000
"""Entries behind with which it rests hardly any more: who comes then is to wait for seconds only."""
_TIDY = 1.0
"""Seconds between looks for what is past its time."""
_PATIENCE = 10.0
"""Seconds that a reader waits at most."""
_SOON = 0.02
"""The same where somebody waits for what this node has yet to hear of."""
_GRACE = 5.0
"""Seconds that a transaction gets to end in when the hub stops."""
_PAUSE = 1.0
"""Seconds between tries where the log or the database cannot be had."""


class Projector:
    """``start`` it once the engine and the database are open."""

    def __init__(self, engine: Engine, store: Store, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._store = store
        self._clock = clock
        self._epoch = ""
        self._position = 0
        self._known = Known(0)
        self._floor = 0
        self._next_tidy = 0.0
        self._wanted: set[asyncio.Event] = set()
        self._goal = 0
        """The furthest place that somebody waited for: another node may know it before this one does."""
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Find the place, and begin."""
        async with self._store.read() as session:
            place = (await session.execute(select(Progress.seq))).scalar() or 0
        async with self._store.write_apart(WRITERS) as session:
            db = await session.connection()
            await self._locate(db, is_other=place > self._engine.reach)
        self._task = asyncio.create_task(self._run(), name="inbox-projector")

    async def stop(self) -> None:
        """End with the transaction that is under way; what is not done will be."""
        if self._task is not None:
            self._stopping = True
            self._wake.set()
            try:
                await asyncio.wait_for(self._task, _GRACE)
            except TimeoutError:
                log.warning("the database did not answer: the inbox was stopped in the middle")
            self._task = None

    @property
    def lag(self) -> int:
        """Entries of the log that are not in the tables yet."""
        return max(0, self._engine.head - self._position)

    async def reach(self, seq: int) -> None:
        """Wait until everything up to a place in the log is in the tables. Raises ``overloaded`` if that takes long."""
        if self._position >= seq and self._epoch == self._engine.epoch:
            return
        me = asyncio.Event()
        self._goal = max(self._goal, seq)
        self._wanted.add(me)
        self._wake.set()
        try:
            async with asyncio.timeout(_PATIENCE):
                while self._position < seq or self._epoch != self._engine.epoch:
                    me.clear()
                    await me.wait()
        except TimeoutError:
            raise HubError("overloaded", "The inbox is behind the log. Try again later.") from None
        finally:
            self._wanted.discard(me)

    async def settle(self) -> None:
        """Remove all that is past its time, or that the log no longer has, by now. Raises ``database_unavailable``."""
        now, floor = self._clock(), self._engine.floor
        while await self._is_past(now):
            async with self._turn, self._store.write_apart(WRITERS) as session:
                await removal.expire(await session.connection(), now)
        while floor > self._floor:
            async with self._turn:
                # Of what is still to come, the log gives what it has.
                floor = min(floor, self._position)
                async with self._store.write_apart(WRITERS) as session:
                    removed = await removal.forget(await session.connection(), floor)
                # Lanes may be among what went.
                self._known = Known(self._known.newest)
                if removed < removal.MOST:
                    self._floor = floor

    async def _is_past(self, now: float) -> bool:
        async with self._store.read() as session:
            past = select(Event.seq).where(Event.expires_at <= now).limit(1)
            return (await session.execute(past)).first() is not None

    async def _run(self) -> None:
        failing = False
        loop = asyncio.get_running_loop()
        while not self._stopping:
            began, head = loop.time(), self._engine.head
            pause = _LOOK
            try:
                worked = await self._step()
                if worked and self._behind():
                    is_idle = bool(self._wanted) or self._engine.head == head
                    rest = _REST * max(0.1, 1 - self.lag / _FAR)
                    pause = 0.0 if is_idle else (loop.time() - began) * rest
                elif self._wanted:
                    pause = _SOON
                if failing:
                    log.warning("the inbox goes on")
                    failing = False
            except HubError as error:
                pause = _PAUSE
                if not failing:
                    log.warning("the inbox waits: %s", error)
                    failing = True
            except Exception:
                pause = _PAUSE
                self._known = Known(0)
                if not failing:
                    log.exception("the inbox cannot be brought up to the log; it is tried again")
                    failing = True
            for waiting in self._wanted:
                waiting.set()
            if not self._stopping:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause)
                self._wake.clear()

    def _behind(self) -> bool:
        return self._position < max(self._engine.head, self._goal) or self._epoch != self._engine.epoch

    async def _step(self) -> bool:
        """A piece of the log, if there is one; now and then, what is old is removed. Whether a piece was written."""
        worked = False
        if self._behind():
            worked = await self._advance()
        if self._clock() >= self._next_tidy:
            await self.settle()
            self._next_tidy = self._clock() + _TIDY
        return worked

    async def _advance(self) -> bool:
        position, epoch = self._position, self._engine.epoch
        entries: list[Entry] = []
        through, size = position, 0
        while True:
            page = await self._engine.scan(through, _PIECE - len(entries))
            entries += page.entries
            size += sum([len(entry.body) for entry in page.entries])
            through = page.through
            if not page.more or len(entries) >= _PIECE or size >= _PIECE_BYTES:
                break
        if through == position and epoch == self._epoch:
            return False
        async with self._turn:
            known = self._known
            try:
                async with self._store.write_apart(WRITERS) as session:
                    db = await session.connection()
                    if not await self._locate(db):
                        return False
                    for some in pieces(entries, _SOME):
                        await project(db, some, known)
                    await db.execute(update(table(Progress)).values(seq=through, lanes=known.newest))
            except BaseException:
                self._known = Known(0)
                raise
            self._position, self._epoch = through, epoch
        return True

    async def _locate(self, db: AsyncConnection, *, is_other: bool = False) -> bool:
        """Read how far the tables are; where that is no place of this log, they begin anew. Whether it is the place
        that this node thought. ``is_other``: it is no place of this log, though the epoch is the same."""
        row = (await db.execute(select(Progress.epoch, Progress.seq, Progress.lanes))).first()
        epoch = self._engine.epoch
        if row is None or row.epoch != epoch or is_other:
            self._goal = 0
            if row is not None:
                log.warning("the log is another one: the inbox begins anew")
            for model in models.ALL:
                await db.execute(delete(table(model)))
            await db.execute(insert(table(Progress)), {"id": 1, "epoch": epoch, "seq": self._engine.floor, "lanes": 0})
            seq, lanes = self._engine.floor, 0
        else:
            seq, lanes = row.seq, row.lanes
        same = (self._epoch, self._position) == (epoch, seq)
        if not same or self._known.newest != lanes:
            self._known = Known(lanes)
        self._epoch, self._position = epoch, seq
        return same
