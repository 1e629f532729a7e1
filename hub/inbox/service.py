"""The inbox as the rest of the hub is handed it: read a page, mark events, tell the user's other devices.

**Reads settle.** An answer has everything that was acknowledged before it was asked for: it waits until the projection
has passed the log's head of that moment, and removes what is past its time by then.

**Marks** are serialised in the database, with each other and with the projection, whatever device they come from, and
then told to all of the user's devices by an event ``hub.inbox`` on the user's own topic: one log and one cursor, so
that a device that was away learns them in order. The database comes first. If the hub ends between the two, the mark
holds and the devices that are connected are not told of it; every answer and every later event of that kind has the
unread count as it is then, so the next one tells them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from pydantic import JsonValue

from hub import policy
from hub.database.store import Store
from hub.errors import HubError
from hub.inbox import items, pages
from hub.inbox.lanes import is_own
from hub.inbox.marks import Action, mark, mark_up_to
from hub.inbox.models import WRITERS
from hub.inbox.pages import Wanted
from hub.inbox.projector import Projector
from hub.inbox.view import look
from hub.model import Cursor, Principal, Topic
from hub.publication import make_own

if TYPE_CHECKING:
    from hub.hub import Hub

_RUN = 8
"""Places that two events may be apart and still be read from the log together."""
_AT_ONCE = 4
_LOOK = 1000


@dataclass(frozen=True, slots=True)
class Shown:
    """An event of a page. ``body`` is its object as JSON."""

    seq: int
    topic: Topic
    body: bytes
    read: bool
    archived: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A page, true at ``cursor``. ``next``: where the following one begins; None: there is none."""

    items: Sequence[Shown]
    unread: int
    next: Cursor | None
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Marked:
    """How many events a mark changed (of a mark up to a place: by how many the unread count fell), and what is unread
    now."""

    changed: int
    unread: int
    cursor: Cursor


class Inbox:
    """Every user's. ``start`` it after the hub, ``stop`` it before."""

    def __init__(self, hub: Hub, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._hub = hub
        self._store = store
        self._clock = clock
        self._projector = Projector(hub.engine, store, clock)
        self._turns: WeakValueDictionary[Topic, asyncio.Lock] = WeakValueDictionary()

    async def start(self) -> None:
        """Begin to follow the log."""
        await self._projector.start()

    async def stop(self) -> None:
        """Stop following it."""
        await self._projector.stop()

    @property
    def lag(self) -> int:
        """Entries of the log that the inbox does not have yet."""
        return self._projector.lag

    async def read(self, reader: Principal, wanted: Wanted, *, after: str | None, limit: int) -> Page:
        """A page of the user's inbox, the newest first.

        Raises ``forbidden`` for a service and for a topic that the inbox does not have, ``cursor_invalid``,
        ``overloaded`` if the inbox is far behind, and what the log and the database raise.
        """
        owner, topics = _topics_of(reader)
        if wanted.topic is not None and wanted.topic not in topics:
            raise HubError("forbidden", "This is none of the topics of your inbox: your own, all, and your token's.")
        before = None if after is None else self._place(after)
        await self._settle()
        async with self._store.read() as session:
            db = await session.connection()
            view = await look(db, owner, topics)
            found, more = await pages.page(db, view, wanted, before=before, limit=limit)
            unread = await items.unread(db, view)
        bodies = await self._bodies([item.seq for item in found])
        shown = [
            Shown(item.seq, wanted.topic or item.topics[0], bodies[item.seq], item.read, item.archived)
            for item in found
            if item.seq in bodies
        ]
        return Page(
            shown, unread, None if more is None else Cursor(view.epoch, more), Cursor(view.epoch, view.position)
        )

    async def mark(
        self, reader: Principal, action: Action, *, ids: Sequence[str] | None = None, up_to: str | None = None
    ) -> Marked:
        """Say something of events: of those with these ids, or of all up to a cursor.

        Raises ``forbidden`` for a service, ``cursor_invalid``, ``rate_limited`` (a mark is an event in the log, and
        counts like one that the user publishes), and what the log and the database raise. If it is the log that fails,
        the mark holds; see the module.
        """
        owner, topics = _topics_of(reader)
        place = None if up_to is None else self._place(up_to)
        self._hub.intake.charge(reader, 1)
        # One after the other, so that the events come in the order of the marks.
        async with self._turns.setdefault(owner, asyncio.Lock()):
            await self._settle()
            now = self._clock()
            async with self._store.write_apart(WRITERS) as session:
                db = await session.connection()
                view = await look(db, owner, topics)
                changed_ids: list[str] | None = None
                if place is not None:
                    before = await items.unread(db, view)
                    view, is_news = await mark_up_to(db, view, action, min(place, view.position), now)
                    unread = await items.unread(db, view)
                    changed = before - unread
                else:
                    changed_ids = await mark(db, view, action, ids or (), now)
                    is_news, changed = bool(changed_ids), len(changed_ids)
                    unread = await items.unread(db, view)
            cursor = Cursor(view.epoch, view.position)
            if is_news:
                cursor = await self._tell(reader, owner, action, changed_ids, up_to, unread)
        return Marked(changed, unread, cursor)

    async def _tell(
        self, reader: Principal, owner: Topic, action: Action, ids: list[str] | None, up_to: str | None, unread: int
    ) -> Cursor:
        said: dict[str, JsonValue] = {
            "action": action.value,
            "ids": None if ids is None else list(ids),
            "up_to": up_to,
            "unread": unread,
        }
        draft = make_own("inbox", said, reader, owner, now=time.time())
        [receipt] = await self._hub.engine.append([draft])
        assert receipt.seq is not None
        return self._hub.cursor(receipt.seq)

    async def _settle(self) -> None:
        head = self._hub.engine.head
        while True:
            # Another node may have acknowledged what this one has yet to hear of: the log itself is asked.
            page = await self._hub.engine.scan(head, _LOOK)
            head = page.through
            if not page.more:
                break
        await self._projector.reach(head)
        await self._projector.settle()

    def _place(self, text: str) -> int:
        cursor = Cursor.parse(text)
        if cursor.epoch != self._hub.engine.epoch or cursor.seq > self._hub.engine.reach:
            raise HubError("cursor_invalid", "This cursor is of another log.")
        return cursor.seq

    async def _bodies(self, seqs: Sequence[int]) -> dict[int, bytes]:
        """The events' objects, from the log; without those that it no longer has. ``seqs``: the newest first."""
        runs: list[list[int]] = []
        for seq in reversed(seqs):
            if runs and seq - runs[-1][-1] <= _RUN:
                runs[-1].append(seq)
            else:
                runs.append([seq])
        places = asyncio.Semaphore(_AT_ONCE)
        wanted, found = set(seqs), {}

        async def read(run: list[int]) -> None:
            after = run[0] - 1
            while after < run[-1]:
                async with places:
                    page = await self._hub.engine.scan(after, run[-1] - after)
                found.update({entry.seq: entry.body for entry in page.entries if entry.seq in wanted})
                after = page.through

        await asyncio.gather(*map(read, runs))
        return found


def _topics_of(reader: Principal) -> tuple[Topic, tuple[Topic, ...]]:
    """A user's own topic, and all topics of the inbox."""
    if reader.kind != "user":
        raise HubError("forbidden", "A service has no inbox.")
    own, *others = policy.automatic_topics(reader)
    return own, (own, *(topic for topic in others if not is_own(topic)))
