"""What a user says of events: read, unread, archived, not archived; of single ones, or of all up to a place.

Each call is part of one transaction, and leaves the tallies as they have to be. Knows items and view.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.inbox import items as items_of
from hub.inbox import tables
from hub.inbox.items import Item
from hub.inbox.models import Entry, Event, Mark, Reader, ReadUp
from hub.inbox.tables import pieces, table
from hub.inbox.view import View


class Action(StrEnum):
    """What is said."""

    READ = "read"
    UNREAD = "unread"
    ARCHIVE = "archive"
    UNARCHIVE = "unarchive"

    def of(self, item: Item) -> tuple[bool, bool]:
        """Whether an event is read and archived after it."""
        if self in (Action.READ, Action.UNREAD):
            return self is Action.READ, item.archived
        return item.read, self is Action.ARCHIVE


async def mark(db: AsyncConnection, view: View, action: Action, ids: Sequence[str], now: float) -> list[str]:
    """Say it of the events with these ids; of which it was not so before. Other ids than those of the inbox are passed
    over."""
    seqs: list[int] = []
    for some in pieces(list(dict.fromkeys(ids))):
        seqs += (await db.execute(select(Event.seq).where(Event.id.in_(some)))).scalars()
    loaded = await items_of.load(db, view, sorted(seqs))
    changed = [item for item in loaded.values() if item.shown and action.of(item) != (item.read, item.archived)]
    sums: Counter[tuple[Any, ...]] = Counter()
    fresh, known = [], []
    for item in changed:
        read, archived = action.of(item)
        delta = 0
        if item.lane:
            delta = (not read and not archived) - (item.current and item.seq > view.counted_from)
            sums[view.owner, item.lane] += delta - (item.mark.delta if item.mark is not None else 0)
        row = {"read": read, "archived": archived, "kept": item.kept, "delta": delta, "time": now}
        if item.mark is None:
            fresh.append(row | {"owner": view.owner, "seq": item.seq, "lane": item.lane})
        else:
            known.append({f"_{name}": value for name, value in row.items()} | {"_owner": view.owner, "_seq": item.seq})
    if fresh:
        await db.execute(insert(table(Mark)), fresh)
    if known:
        values = {name: tables.parameter(name) for name in ("read", "archived", "kept", "delta", "time")}
        await db.execute(tables.update_by(Mark, "owner", "seq").values(values), known)
    await tables.add_tallies(db, sums)
    return list(dict.fromkeys(item.id for item in changed))


async def mark_up_to(db: AsyncConnection, view: View, action: Action, place: int, now: float) -> tuple[View, bool]:
    """Say it of everything up to a place, which is not past the view's; the inbox afterwards, and whether that changed
    anything. Only reading and archiving can be said so."""
    reading = action is Action.READ
    said = Mark.read if reading else Mark.archived
    mine = (Mark.owner == view.owner, Mark.seq <= place)
    deltas = select(Mark.lane, func.sum(Mark.delta)).where(*mine, Mark.lane != 0).group_by(Mark.lane)
    sums: Counter[tuple[Any, ...]] = Counter()
    for lane, total in await db.execute(deltas):
        sums[view.owner, lane] -= total
    await tables.add_tallies(db, sums)
    turned = (await db.execute(select(func.count()).select_from(Mark).where(*mine, said.is_(False)))).scalar_one()
    # Afterwards all of these are read, or archived: none counts, nor is any counted above the watermarks.
    await db.execute(update(table(Mark)).where(*mine).values({said.key: True, "delta": 0, "time": now}))
    before = view.read_to if reading else view.archived_to
    moved = place > before
    if moved:
        view = replace(view, read_to=place) if reading else replace(view, archived_to=place)
        await _move(db, view)
        if reading:
            await db.execute(
                insert(table(ReadUp)), {"owner": view.owner, "read_to": place, "at": view.position, "time": now}
            )
    # What the watermarks say as well need not be said. But of what has been replaced, it counts what was said before.
    current = select(Entry.seq).where(Entry.lane == Mark.lane, Entry.seq == Mark.seq).exists()
    other, other_to = (Mark.archived, view.archived_to) if reading else (Mark.read, view.read_to)
    for usual, stretch in ((True, Mark.seq <= other_to), (False, Mark.seq > other_to)):
        await db.execute(delete(table(Mark)).where(*mine, current, other.is_(usual), stretch))
    return view, moved or turned > 0


async def _move(db: AsyncConnection, view: View) -> None:
    values = {"read_to": view.read_to, "archived_to": view.archived_to}
    if view.known:
        await db.execute(update(table(Reader)).where(Reader.owner == view.owner).values(values))
    else:
        await db.execute(insert(table(Reader)), values | {"owner": view.owner})
