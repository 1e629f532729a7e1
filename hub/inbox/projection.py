"""A piece of the log becomes rows: its events, their places in lanes, and whose place they take.

One call is part of a transaction and costs a few statements, whatever the number of events. Knows models and lanes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.inbox import tables
from hub.inbox.lanes import Kind, combination, is_own, kinds
from hub.inbox.models import Combined, Entry, Event, Key, Lane, Mark, Reader, Replaced
from hub.inbox.tables import pieces, table
from hub.model import Entry as LogEntry
from hub.model import Topic
from hub.publication import RESERVED, head_of


@dataclass(slots=True)
class LaneState:
    """A lane, as it is once what was taken so far is written."""

    id: int
    topic: Topic
    ordinal: int
    new: bool
    shared: int = 0
    """Shared entries since it was last written."""
    seq: int = 0


@dataclass(slots=True)
class Known:
    """What the last piece left, so that the next one need not read it: lanes by topic, and the newest one's number.

    To be thrown away when a transaction fails, or when another node has written.
    """

    newest: int
    lanes: dict[Topic, LaneState] = field(default_factory=dict)
    refused: set[Topic] = field(default_factory=set)
    """Combinations that get no lane."""


_MOST_KNOWN = 50_000
MOST_COMBINED = 32
"""Combinations that a topic may be part of: each is looked at to count an inbox. Events of further ones are shared."""


async def project(db: AsyncConnection, entries: Sequence[LogEntry], known: Known) -> None:
    """Write what a piece of the log brings. ``known`` is brought up to date."""
    if len(known.lanes) > _MOST_KNOWN:
        known.lanes.clear()
    if len(known.refused) > _MOST_KNOWN:
        known.refused.clear()
    piece = _Piece(known)
    taken = [(entry, head) for entry in entries if not (head := head_of(entry.body))["type"].startswith(RESERVED)]
    await piece.learn(db, taken)
    for entry, head in taken:
        piece.take(entry, head)
    await piece.write(db)


class _Piece:
    def __init__(self, known: Known) -> None:
        self._known = known
        self._events: list[dict[str, Any]] = []
        self._entries: dict[tuple[int, int], dict[str, Any]] = {}
        self._replaced: list[dict[str, Any]] = []
        self._gaps: list[tuple[int, int]] = []
        self._touched: dict[int, LaneState] = {}
        self._combined: list[dict[str, int]] = []
        self._keys: dict[tuple[int, str], int] = {}
        """The newest event of each key: as it was in the database, then as it is."""
        self._old_keys: set[tuple[int, str]] = set()
        self._overtaken: dict[tuple[int, int], int] = {}
        """Of the database: the entries whose place was taken, and by which event."""

    async def learn(self, db: AsyncConnection, taken: Sequence[tuple[LogEntry, dict[str, Any]]]) -> None:
        """Read the lanes and keys that the piece touches and that are not known."""
        lanes = self._known.lanes
        topics = {topic for entry, _ in taken for topic in entry.topics}
        combinations = {one for entry, head in taken if (one := _combination(entry, head))} - self._known.refused
        for some in pieces([name for name in topics | combinations if name not in lanes]):
            found = await db.execute(select(Lane.id, Lane.topic, Lane.ordinal).where(Lane.topic.in_(some)))
            for number, name, ordinal in found:
                lanes[Topic(name)] = LaneState(number, Topic(name), ordinal, new=False)
        for topic in topics:
            if topic not in lanes:
                self._begin(topic)
        await self._combine(db, [name for name in combinations if name not in lanes])
        pairs = [
            (lanes[topic].id, head["collapse_key"])
            for entry, head in taken
            if "collapse_key" in head
            for topic in entry.topics
            if not lanes[topic].new
        ]
        for part in pieces(list(dict.fromkeys(pairs))):
            rows = await db.execute(select(Key.lane, Key.key, Key.seq).where(tuple_(Key.lane, Key.key).in_(part)))
            for lane, key, seq in rows:
                self._keys[lane, key] = seq
                self._old_keys.add((lane, key))

    def _begin(self, topic: Topic) -> LaneState:
        self._known.newest += 1
        lane = self._known.lanes[topic] = LaneState(self._known.newest, topic, 0, new=True)
        return lane

    async def _combine(self, db: AsyncConnection, names: Sequence[Topic]) -> None:
        """Begin the lanes of combinations that have none, where none of their topics is in too many."""
        lanes = self._known.lanes
        members = {name: [lanes[Topic(topic)].id for topic in name.split("&")] for name in names}
        counts: Counter[int] = Counter()
        for some in pieces(list({member for ids in members.values() for member in ids})):
            counted = select(Combined.member, func.count()).where(Combined.member.in_(some)).group_by(Combined.member)
            for member, count in await db.execute(counted):
                counts[member] = count
        for name, ids in members.items():
            if max(counts[member] for member in ids) >= MOST_COMBINED:
                self._known.refused.add(name)
                continue
            counts.update(ids)
            lane = self._begin(name)
            self._combined += [{"member": member, "lane": lane.id} for member in ids]

    def take(self, entry: LogEntry, head: dict[str, Any]) -> None:
        """An event of the piece, in the log's order."""
        lanes = [self._known.lanes[topic] for topic in entry.topics]
        parts = kinds(entry.topics)
        combined = self._known.lanes.get(_combination(entry, head) or Topic(""))
        if combined is not None:
            parts = [Kind.SHADOW] * len(lanes) + [Kind.COUNTED]
            lanes.append(combined)
        key = head.get("collapse_key")
        self._events.append(
            {
                "seq": entry.seq,
                "id": head["id"],
                "type": head["type"],
                "expires_at": entry.expires_at,
                "collapse_key": key,
                "lanes": ",".join([str(lane.id) for lane in lanes]),
            }
        )
        for rank, (lane, kind) in enumerate(zip(lanes, parts, strict=True)):
            if key is not None:
                last = self._keys.get((lane.id, key))
                if last is not None:
                    self._overtake(lane, last, entry.seq)
                self._keys[lane.id, key] = entry.seq
            lane.ordinal += kind is Kind.COUNTED
            lane.shared += kind is Kind.SHARED or (combined is not None and lane is not combined)
            lane.seq = entry.seq
            self._touched[lane.id] = lane
            self._entries[lane.id, entry.seq] = {
                "lane": lane.id,
                "seq": entry.seq,
                "ordinal": lane.ordinal,
                "kind": kind.value,
                "rank": rank,
            }

    def _overtake(self, lane: LaneState, seq: int, by: int) -> None:
        row = self._entries.pop((lane.id, seq), None)
        if row is None:
            self._overtaken[lane.id, seq] = by
        else:
            # It came and went in one transaction: nobody saw it, unless by another lane.
            hidden = row["kind"] == Kind.COUNTED
            self._leave(row["lane"], seq, row["ordinal"], row["kind"], row["rank"], by=by, hidden=hidden)

    def _leave(self, lane: int, seq: int, ordinal: int, kind: int, rank: int, *, by: int, hidden: bool) -> None:
        if kind == Kind.COUNTED:
            self._gaps.append((lane, ordinal))
        self._replaced.append({"lane": lane, "seq": seq, "hidden": hidden, "by": by, "kind": kind, "rank": rank})

    async def write(self, db: AsyncConnection) -> None:
        """Write all of it."""
        new = [lane for lane in self._touched.values() if lane.new]
        if new:
            await db.execute(
                insert(table(Lane)),
                [
                    {
                        "id": lane.id,
                        "topic": lane.topic,
                        "ordinal": lane.ordinal,
                        "floor": 0,
                        "gaps": 0,
                        "shared": lane.shared,
                        "seq": lane.seq,
                    }
                    for lane in new
                ],
            )
        old = [lane for lane in self._touched.values() if not lane.new]
        if old:
            await db.execute(
                tables.update_by(Lane, "id").values(
                    ordinal=tables.parameter("ordinal"),
                    shared=Lane.shared + tables.parameter("more"),
                    seq=tables.parameter("seq"),
                ),
                [{"_id": lane.id, "_ordinal": lane.ordinal, "_more": lane.shared, "_seq": lane.seq} for lane in old],
            )
        for lane in self._touched.values():
            lane.new, lane.shared = False, 0
        if self._overtaken:
            await self._write_overtaken(db)
        for model, rows in (
            (Combined, self._combined),
            (Event, self._events),
            (Entry, list(self._entries.values())),
            (Replaced, self._replaced),
        ):
            if rows:
                await db.execute(insert(table(model)), rows)
        await tables.add_gaps(db, self._gaps)
        await self._write_keys(db)

    async def _write_keys(self, db: AsyncConnection) -> None:
        fresh = [key for key in self._keys if key not in self._old_keys]
        if fresh:
            rows = [{"lane": lane, "key": key, "seq": self._keys[lane, key]} for lane, key in fresh]
            await db.execute(insert(table(Key)), rows)
        if self._old_keys:
            await db.execute(
                tables.update_by(Key, "lane", "key").values(seq=tables.parameter("seq")),
                [{"_lane": lane, "_key": key, "_seq": self._keys[lane, key]} for lane, key in self._old_keys],
            )

    async def _write_overtaken(self, db: AsyncConnection) -> None:
        """Entries of the database leave their lanes; who had read them still sees them, and nobody counts them."""
        seqs = sorted({seq for _, seq in self._overtaken})
        marks: dict[tuple[str, int], bool] = {}
        sums: Counter[tuple[Any, ...]] = Counter()
        settled: list[dict[str, Any]] = []
        for some in pieces(seqs):
            for mark in await db.execute(select(table(Mark)).where(Mark.seq.in_(some))):
                # Another lane than the one that counts an event for this user says nothing; of a shared one, each does.
                gone = (mark.lane, mark.seq) in self._overtaken
                kept = mark.kept or (mark.read and (gone or mark.lane == 0))
                marks[mark.owner, mark.seq] = kept
                sums[mark.owner, mark.lane] -= mark.delta if gone else 0
                settled.append(
                    {"_owner": mark.owner, "_seq": mark.seq, "_kept": kept, "_delta": 0 if gone else mark.delta}
                )
        if settled:
            await db.execute(
                tables.update_by(Mark, "owner", "seq").values(
                    kept=tables.parameter("kept"), delta=tables.parameter("delta")
                ),
                settled,
            )
            await tables.add_tallies(db, sums)
        topics = {lane.id: lane.topic for lane in self._touched.values()}
        read_to: dict[str, int] = {}
        for owners in pieces([topics[lane] for lane in {lane for lane, _ in self._overtaken} if is_own(topics[lane])]):
            found = await db.execute(select(Reader.owner, Reader.read_to).where(Reader.owner.in_(owners)))
            read_to.update((owner, place) for owner, place in found)
        for part in pieces(list(self._overtaken)):
            rows = await db.execute(select(table(Entry)).where(tuple_(Entry.lane, Entry.seq).in_(part)))
            for row in rows:
                owner = topics[row.lane]
                hidden = (
                    is_own(owner)
                    and row.kind == Kind.COUNTED
                    and not marks.get((owner, row.seq), row.seq <= read_to.get(owner, 0))
                )
                by = self._overtaken[row.lane, row.seq]
                self._leave(row.lane, row.seq, row.ordinal, row.kind, row.rank, by=by, hidden=hidden)
        await db.execute(
            tables.delete_by(Entry, "lane", "seq"), [{"_lane": lane, "_seq": seq} for lane, seq in self._overtaken]
        )


def _combination(entry: LogEntry, head: dict[str, Any]) -> Topic | None:
    """The combination that counts an event. One with a collapse key is replaced in one topic and not in another."""
    return None if "collapse_key" in head else combination(entry.topics)
