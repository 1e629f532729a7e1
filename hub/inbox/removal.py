"""Rows leave: those of events past their time, and of those that the log no longer retains.

One call removes a bounded number, in one transaction. Knows models and tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, delete, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.inbox import tables
from hub.inbox.lanes import Kind
from hub.inbox.models import Combined, Entry, Event, Gap, Key, Lane, Mark, ReadUp, Replaced, Tally
from hub.inbox.tables import pieces, table

MOST = 1000
"""Events that one call removes."""


async def expire(db: AsyncConnection, now: float) -> int:
    """Remove what is past its time; how many events that were."""
    past = select(table(Event)).where(Event.expires_at <= now).order_by(Event.expires_at).limit(MOST)
    events = (await db.execute(past)).all()
    await _remove(db, events, retained=True)
    return len(events)


async def forget(db: AsyncConnection, floor: int) -> int:
    """Remove what the log no longer has; how many events and lanes that were."""
    old = select(table(Event)).where(Event.seq <= floor).order_by(Event.seq).limit(MOST)
    events = (await db.execute(old)).all()
    await _remove(db, events, retained=False)
    if len(events) == MOST:
        return MOST
    await db.execute(delete(table(ReadUp)).where(ReadUp.read_to <= floor))
    ended = (await db.execute(select(Lane.id).where(Lane.seq <= floor).limit(MOST))).scalars().all()
    for some in pieces(ended):
        for model in (Gap, Tally, Key):
            await db.execute(delete(table(model)).where(model.lane.in_(some)))
        await db.execute(delete(table(Combined)).where(or_(Combined.lane.in_(some), Combined.member.in_(some))))
        await db.execute(delete(table(Lane)).where(Lane.id.in_(some)))
    return len(events) + len(ended)


async def _remove(db: AsyncConnection, events: Sequence[Any], *, retained: bool) -> None:
    """``retained``: events before them still are, so that their ordinals become gaps."""
    if not events:
        return
    places = [(int(lane), event.seq) for event in events for lane in event.lanes.split(",")]
    counted: list[tuple[int, int]] = []
    for part in pieces(places):
        rows = await db.execute(
            select(Entry.lane, Entry.ordinal, Entry.kind).where(tuple_(Entry.lane, Entry.seq).in_(part))
        )
        # Where all goes up to somewhere, entries that are not counted tell that place as well.
        counted += [(lane, ordinal) for lane, ordinal, kind in rows if kind == Kind.COUNTED or not retained]
    if retained:
        await tables.add_gaps(db, counted)
    else:
        await _raise_floors(db, counted)
    keys = [{"_lane": lane, "_seq": seq} for lane, seq in places]
    await db.execute(tables.delete_by(Entry, "lane", "seq"), keys)
    await db.execute(
        tables.delete_by(Replaced, "lane", "hidden", "seq"),
        [key | {"_hidden": hidden} for key in keys for hidden in (False, True)],
    )
    ended = [
        {"_lane": int(lane), "_key": event.collapse_key, "_seq": event.seq}
        for event in events
        if event.collapse_key is not None
        for lane in event.lanes.split(",")
    ]
    if ended:
        await db.execute(tables.delete_by(Key, "lane", "key", "seq"), ended)
    for some in pieces([event.seq for event in events]):
        marks = await db.execute(select(Mark.owner, Mark.lane, Mark.delta).where(Mark.seq.in_(some)))
        sums: Counter[tuple[Any, ...]] = Counter()
        for owner, lane, delta in marks:
            sums[owner, lane] -= delta
        await tables.add_tallies(db, sums)
        await db.execute(delete(table(Mark)).where(Mark.seq.in_(some)))
        await db.execute(delete(table(Event)).where(Event.seq.in_(some)))


async def _raise_floors(db: AsyncConnection, gone: Sequence[tuple[int, int]]) -> None:
    floors: dict[int, int] = {}
    for lane, ordinal in gone:
        floors[lane] = max(ordinal, floors.get(lane, 0))
    if not floors:
        return
    raised = tables.parameter("floor")
    await db.execute(
        tables.update_by(Lane, "id").values(floor=case((Lane.floor < raised, raised), else_=Lane.floor)),
        [{"_id": lane, "_floor": floor} for lane, floor in floors.items()],
    )
    gaps = table(Gap)
    await db.execute(
        delete(gaps).where(
            gaps.c.lane == tables.parameter("lane"),
            gaps.c.level == tables.parameter("level"),
            gaps.c.block < tables.parameter("before"),
        ),
        [
            {"_lane": lane, "_level": level, "_before": before}
            for lane, floor in floors.items()
            for level, before in tables.below(floor)
        ],
    )
