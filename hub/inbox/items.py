"""Events as one user sees them: whether they are shown, read, archived; under which topic; and what of that is counted.

Knows models and view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.inbox import tables
from hub.inbox.lanes import Kind
from hub.inbox.models import Entry, Event, Mark, ReadUp, Replaced
from hub.inbox.view import View, counted_unread, shared_above
from hub.model import Topic


@dataclass(frozen=True, slots=True)
class Item:
    """An event in somebody's inbox."""

    seq: int
    id: str
    type: str
    topics: tuple[Topic, ...]
    """Those of its topics that the inbox has, in the publisher's order."""
    current: bool
    """No newer one of its collapse key has taken its place."""
    kept: bool
    """It had been read when another took its place: then it stays."""
    read: bool
    archived: bool
    lane: int
    """The one that counts it; 0: it is shared."""
    mark: Any
    """The row of its mark, or None."""

    @property
    def shown(self) -> bool:
        """Whether the user sees it."""
        return self.current or self.kept

    def is_unread(self) -> bool:
        """Whether it is among those that the unread count counts."""
        return self.shown and not self.read and not self.archived


async def load(db: AsyncConnection, view: View, seqs: Sequence[int]) -> dict[int, Item]:
    """Those of these events that the inbox has."""
    items: dict[int, Item] = {}
    for some in tables.pieces(seqs):
        items.update(await _load(db, view, some))
    return items


async def _load(db: AsyncConnection, view: View, seqs: Sequence[int]) -> dict[int, Item]:
    lanes = [*view.lanes, *view.combined]
    entries = select(Entry.lane, Entry.seq, Entry.kind, Entry.rank).where(Entry.lane.in_(lanes), Entry.seq.in_(seqs))
    replaced = select(Replaced.lane, Replaced.seq, Replaced.kind, Replaced.rank, Replaced.by, Replaced.hidden).where(
        Replaced.lane.in_(lanes), Replaced.hidden.in_((False, True)), Replaced.seq.in_(seqs)
    )
    rows: dict[int, list[Any]] = {}
    statements: tuple[Any, ...] = (entries, replaced)
    for statement in statements:
        for row in await db.execute(statement):
            rows.setdefault(row.seq, []).append(row)
    found = list(rows)
    events = (await db.execute(select(Event.seq, Event.id, Event.type).where(Event.seq.in_(found)))).all()
    marked = await db.execute(select(tables.table(Mark)).where(Mark.owner == view.owner, Mark.seq.in_(found)))
    marks = {mark.seq: mark for mark in marked}
    return {event.seq: await _item(db, view, event, rows[event.seq], marks.get(event.seq)) for event in events}


async def _item(db: AsyncConnection, view: View, event: Any, rows: list[Any], mark: Any) -> Item:
    rows.sort(key=lambda row: row.rank)
    # The lane that counts an event for this user decides for it alone; of several that do not, one is enough.
    deciding = [row for row in rows if row.kind == Kind.COUNTED]
    lane = deciding[0].lane if deciding else 0
    decisive = deciding or rows
    by = [row.by for row in decisive if hasattr(row, "by") and not row.hidden]
    current = any(not hasattr(row, "by") for row in decisive)
    if mark is not None and by:
        kept = mark.kept
    else:
        kept = bool(by) and event.seq <= view.read_to and await _had_read(db, view, event.seq, max(by))
    return Item(
        seq=event.seq,
        id=event.id,
        type=event.type,
        topics=tuple(view.lanes[row.lane].topic for row in rows if row.lane in view.lanes),
        current=current,
        kept=kept,
        read=mark.read if mark is not None else event.seq <= view.read_to,
        archived=mark.archived if mark is not None else event.seq <= view.archived_to,
        lane=lane,
        mark=mark,
    )


async def _had_read(db: AsyncConnection, view: View, seq: int, by: int) -> bool:
    """Whether the user had read up to an event when ``by`` took its place."""
    first = select(ReadUp.at).where(ReadUp.owner == view.owner, ReadUp.read_to >= seq).order_by(ReadUp.read_to).limit(1)
    at = (await db.execute(first)).scalar()
    return at is not None and at < by


def shared_marks(owner: Topic) -> Select[Any]:
    """The events that a user has marked and that no lane counts."""
    return select(Mark.seq).where(Mark.owner == owner, Mark.lane == literal_column("0"))


async def unread(db: AsyncConnection, view: View) -> int:
    """How many events of the inbox are neither read nor archived: exact, and no scan but over what is shared."""
    total = await counted_unread(db, view) + await shared_above(db, view)
    if any(lane.shared for lane in view.lanes.values()):
        marked = (await db.execute(shared_marks(view.owner))).scalars().all()
        for item in (await load(db, view, marked)).values():
            if item.lane == 0:
                total += item.is_unread() - (item.current and item.seq > view.counted_from)
    return total
