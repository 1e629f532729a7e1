"""Newest first: a page of an inbox.

Each lane is a range of an index; what is wanted of all of them is merged, and nothing is sorted. Where the watermarks
say of a whole stretch that nothing of it is wanted (read events, where the unread are asked for), only the marks in it
are looked at. Knows items and view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, literal_column, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import CompoundSelect

from hub.inbox import items as items_of
from hub.inbox import tables
from hub.inbox.items import Item
from hub.inbox.models import Entry, Event, Mark, Replaced
from hub.inbox.view import View
from hub.model import Topic

_MOST = 2000
"""Events that are looked at for one page: where fewer of them are wanted than a page has, it ends there, and the next
one goes on."""
_BRANCHES = 50
_LAST = 2**62
_NOT_REPLACED, _REPLACED = (literal_column(number, Integer).label("branch") for number in "01")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page is to have; None: whatever. ``type`` may end in ``*``."""

    read: bool | None = None
    archived: bool | None = False
    type: str | None = None
    topic: Topic | None = None

    def has(self, item: Item) -> bool:
        """Whether an event is wanted."""
        return (
            item.shown
            and self.read in (None, item.read)
            and self.archived in (None, item.archived)
            and (self.topic is None or self.topic in item.topics)
            and self.is_type(item.type)
        )

    def may_have(self, *, read: bool, archived: bool) -> bool:
        """Whether events without marks that are so may be wanted."""
        return self.read in (None, read) and self.archived in (None, archived)

    def is_type(self, name: str) -> bool:
        """Whether events of a type are wanted."""
        if self.type is None:
            return True
        return name.startswith(self.type[:-1]) if self.type.endswith("*") else name == self.type


async def page(
    db: AsyncConnection, view: View, wanted: Wanted, *, before: int | None, limit: int
) -> tuple[list[Item], int | None]:
    """The newest ``limit`` wanted events before a place in the log, and where to go on; None: there are no more."""
    place = _LAST if before is None else before
    lanes = [lane.id for lane in view.lanes.values() if wanted.topic in (None, lane.topic)]
    found: list[Item] = []
    looked = 0
    if not lanes:
        return found, None
    low, high = sorted((view.read_to, view.archived_to))
    for floor in dict.fromkeys((high, low, 0)):
        usual = wanted.may_have(read=view.read_to > floor, archived=view.archived_to > floor)
        while place > floor + 1:
            size = max(50, limit + 1) if wanted.type is None else _MOST // 4
            if usual:
                seqs, through = await _of_lanes(db, lanes, place, floor, size)
            else:
                seqs, through = await _of_marks(db, view, wanted, place, floor, size)
            loaded = await items_of.load(db, view, seqs if wanted.type is None else await _of_type(db, wanted, seqs))
            for seq in seqs:
                item = loaded.get(seq)
                if item is not None and wanted.has(item):
                    if len(found) == limit:
                        return found, found[-1].seq
                    found.append(item)
            place = through
            looked += len(seqs)
            if looked >= _MOST and place > 1:
                return found, place
    return found, None


async def _of_type(db: AsyncConnection, wanted: Wanted, seqs: Sequence[int]) -> list[int]:
    """Those of the wanted type: of the others, no more is to be known."""
    found: list[int] = []
    for some in tables.pieces(seqs):
        rows = await db.execute(select(Event.seq, Event.type).where(Event.seq.in_(some)))
        found += [seq for seq, name in rows if wanted.is_type(name)]
    return found


async def _of_lanes(
    db: AsyncConnection, lanes: Sequence[int], before: int, after: int, size: int
) -> tuple[list[int], int]:
    """The newest events of lanes between two places, and down to which place (not included) that is all of them."""
    seqs: set[int] = set()
    through = after + 1
    for start in range(0, len(lanes), _BRANCHES):
        counts: dict[tuple[int, int], list[int]] = {}
        for branch, lane, seq in await db.execute(
            newest(lanes[start : start + _BRANCHES], before=before, after=after, size=size)
        ):
            counts.setdefault((branch, lane), []).append(seq)
        for branch_seqs in counts.values():
            seqs.update(branch_seqs)
            if len(branch_seqs) == size:  # It was cut there; below, others may have what this one has, too.
                through = max(through, min(branch_seqs))
    return sorted((seq for seq in seqs if seq >= through), reverse=True), through


def newest(lanes: Sequence[int], *, before: int, after: int, size: int) -> CompoundSelect[Any]:
    """Of each lane, the newest ``size`` events between two places, and the same of those that were replaced."""
    branches = [
        branch
        for lane in lanes
        for branch in (
            select(_NOT_REPLACED, Entry.lane, Entry.seq)
            .where(Entry.lane == lane, Entry.seq < before, Entry.seq > after)
            .order_by(Entry.seq.desc())
            .limit(size)
            .subquery(),
            select(_REPLACED, Replaced.lane, Replaced.seq)
            .where(Replaced.lane == lane, Replaced.hidden.is_(False), Replaced.seq < before, Replaced.seq > after)
            .order_by(Replaced.seq.desc())
            .limit(size)
            .subquery(),
        )
    ]
    return union_all(*(select(branch) for branch in branches))


async def _of_marks(
    db: AsyncConnection, view: View, wanted: Wanted, before: int, after: int, size: int
) -> tuple[list[int], int]:
    """The same of what is marked as it is wanted."""
    marks = select(Mark.seq).where(Mark.owner == view.owner, Mark.seq < before, Mark.seq > after)
    if wanted.read is not None:
        marks = marks.where(Mark.read.is_(wanted.read))
    if wanted.archived is not None:
        marks = marks.where(Mark.archived.is_(wanted.archived))
    found = list((await db.execute(marks.order_by(Mark.seq.desc()).limit(size))).scalars())
    return found, found[-1] if len(found) == size else after + 1
