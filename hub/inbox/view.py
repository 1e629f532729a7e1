"""One user's inbox at one moment: which lanes it has, where the watermarks are, and how many are unread.

The arithmetic is explained in ``hub.inbox``. Everything here reads; in one transaction it sees one state. Knows models.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, literal_column, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased
from sqlalchemy.sql.expression import CompoundSelect

from hub.inbox import tables
from hub.inbox.lanes import Kind
from hub.inbox.models import Combined, Entry, Gap, Lane, Progress, Reader, Replaced, Tally
from hub.model import Topic


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane of the inbox; see ``models.Lane``."""

    id: int
    topic: Topic
    ordinal: int
    floor: int
    gaps: int
    shared: int


@dataclass(frozen=True, slots=True)
class View:
    """``owner``: the user's own topic. ``position``: the place in the log that all of this is true at."""

    owner: Topic
    lanes: dict[int, LaneRow]
    combined: dict[int, LaneRow]
    """Those of combinations of topics, one of which at least is in the inbox: they count, and show nothing."""
    read_to: int
    archived_to: int
    known: bool
    """Whether there is a row of the watermarks."""
    epoch: str
    position: int

    @property
    def counted_from(self) -> int:
        """Above this place everything is unread, unless it is marked."""
        return max(self.read_to, self.archived_to)

    @property
    def own(self) -> int:
        """The number of the user's own lane; 0: it has no events."""
        return next((lane.id for lane in self.lanes.values() if lane.topic == self.owner), 0)


async def look(db: AsyncConnection, owner: Topic, topics: Collection[Topic]) -> View:
    """The inbox that consists of these topics."""
    progress = (await db.execute(select(Progress.epoch, Progress.seq))).one()
    reader = (await db.execute(select(Reader.read_to, Reader.archived_to).where(Reader.owner == owner))).first()
    lanes: dict[int, LaneRow] = {}
    columns = (Lane.id, Lane.topic, Lane.ordinal, Lane.floor, Lane.gaps, Lane.shared)
    for some in tables.pieces(list(topics)):
        for row in await db.execute(select(*columns).where(Lane.topic.in_(some))):
            lanes[row.id] = LaneRow(row.id, Topic(row.topic), row.ordinal, row.floor, row.gaps, row.shared)
    combined: dict[int, LaneRow] = {}
    for ids in tables.pieces([lane.id for lane in lanes.values() if lane.shared]):
        members = select(*columns).join(Combined, Combined.lane == Lane.id).where(Combined.member.in_(ids)).distinct()
        for row in await db.execute(members):
            combined[row.id] = LaneRow(row.id, Topic(row.topic), row.ordinal, row.floor, row.gaps, row.shared)
    read_to, archived_to = (reader.read_to, reader.archived_to) if reader else (0, 0)
    return View(owner, lanes, combined, read_to, archived_to, reader is not None, progress.epoch, progress.seq)


async def counted_unread(db: AsyncConnection, view: View) -> int:
    """How many are unread of those that are counted by ordinals: everything but the shared ones."""
    lanes = view.lanes | view.combined
    if not lanes:
        return 0
    starts = {lane.id: lane.floor for lane in lanes.values()}
    if view.counted_from:
        for some in tables.pieces(list(lanes), _BRANCHES):
            for lane, ordinal in await db.execute(ordinals_at(some, view.counted_from)):
                starts[lane] = max(starts[lane], ordinal)
    total = sum([lane.ordinal - starts[lane.id] for lane in lanes.values()])
    for some in tables.pieces([lane.id for lane in lanes.values() if lane.gaps], _BRANCHES):
        total -= int((await db.execute(gaps_after({lane: starts[lane] for lane in some}))).scalar_one())
    tallies = select(func.sum(Tally.n)).where(Tally.owner == view.owner, Tally.lane.in_(list(lanes)))
    return total + int((await db.execute(tallies)).scalar_one() or 0)


async def shared_above(db: AsyncConnection, view: View) -> int:
    """How many shared ones are above the watermarks, each counted once."""
    lanes = [lane.id for lane in view.lanes.values() if lane.shared]
    if not lanes:
        return 0
    return int((await db.execute(shared_after(lanes, view.own, view.counted_from))).scalar_one())


_BRANCHES = 50
"""Lanes in one compound statement."""


def ordinals_at(lanes: Sequence[int], place: int) -> CompoundSelect[Any]:
    """Of each lane, the ordinal of its newest entry up to a place in the log."""
    newest = [
        select(Entry.lane, Entry.ordinal)
        .where(Entry.lane == lane, Entry.seq <= place)
        .order_by(Entry.seq.desc())
        .limit(1)
        .subquery()
        for lane in lanes
    ]
    return union_all(*(select(one) for one in newest))


def gaps_after(starts: Mapping[int, int]) -> Select[Any]:
    """How many ordinals of some lanes, each after the one given, have no entry."""
    sums = [
        select(func.coalesce(func.sum(Gap.n), 0).label("n")).where(
            Gap.lane == lane, Gap.level == level, Gap.block > after, Gap.block < before
        )
        for lane, ordinal in starts.items()
        for level, after, before in tables.gap_blocks(ordinal)
    ]
    return select(func.sum(union_all(*sums).subquery().c.n))


def shared_after(lanes: Sequence[int], own: int, place: int) -> Select[Any]:
    """How many shared events these lanes have after a place; not those that the user's own lane has, or had."""
    mine, was_mine = aliased(Entry), aliased(Replaced)
    return select(func.count(Entry.seq.distinct())).where(
        Entry.lane.in_(lanes),
        # Not a parameter: the index of these alone is only used where it is sure that it has what is looked for.
        Entry.kind == literal_column(str(Kind.SHARED.value)),
        Entry.seq > place,
        ~select(mine.seq).where(mine.lane == own, mine.seq == Entry.seq).exists(),
        ~select(was_mine.seq)
        .where(
            was_mine.lane == own,
            or_(was_mine.hidden.is_(False), was_mine.hidden.is_(True)),
            was_mine.seq == Entry.seq,
        )
        .exists(),
    )
