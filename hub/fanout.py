"""Fan-out: what the tail brings to every session that follows its topics, at a cost that the receivers share.

Events that come together (a group commit, a tick's worth of ephemeral ones) are encoded once, joined once for each
topic, or combination of topics, and offered to a session in one go. So a broadcast costs each receiver one queue
operation and one write for the whole group, however many events are in it.

A large crowd is offered its share in slices, a slice a turn of the loop, so that nobody else waits for all of it.
Meanwhile some sessions have what others have not yet; whoever relies on a session having been offered everything up to
the tail calls ``settle`` first. No I/O, no tasks.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from hub import wire
from hub.model import Draft, Entry, Topic
from hub.recent import Recent
from hub.registry import Registry
from hub.session import Session
from hub.tick import Flushable
from hub.wire import Chunk, Frame, Item, Kind

log = logging.getLogger("hub.fanout")

_CHUNK_BYTES = 32 * 1024
"""Bytes of events in one chunk: small beside an outbox, so that a slow reader's queue is bounded in steps of it."""
_SLICE = 2000
"""Sessions offered something in one turn, at about half a microsecond each."""
_MOST_SPREADS = 32
"""Spreads under way. If events come faster than a crowd can be offered them, the oldest is finished at once."""

_Event = TypeVar("_Event", Entry, Draft)


class _Spread:
    """The events of one run, on their way to the sessions that follow their topics."""

    __slots__ = ("_merged", "chunks", "excluded", "kind", "receivers")

    def __init__(self, items: dict[Topic, list[Item]], excluded: dict[str, set[int]], kind: Kind) -> None:
        self.chunks = {topic: Chunk(some, kind) for topic, some in items.items()}
        self.excluded = excluded
        self.kind = kind
        self.receivers: Iterator[Session] = iter(())
        # Sessions of the same combination of topics share what was joined for it.
        self._merged: dict[tuple[Chunk, Chunk], Chunk] = {}

    def share(self, session: Session) -> Chunk | None:
        """What the session is to get, by what it follows now; each event once."""
        chunks, topics = self.chunks, session.topics
        share: Chunk | None = None
        few, many = (chunks, topics) if len(chunks) < len(topics) else (topics, chunks)
        for topic in few:
            if topic in many:
                chunk = chunks[topic]
                share = chunk if share is None else self.merge(share, chunk)
        if share is not None and self.excluded and session.is_excluded(self.excluded):
            seqs = self.excluded.get(session.client, set()) | self.excluded.get(session.own_name, set())
            share = share.without(seqs)
        return share

    def merge(self, one: Chunk, other: Chunk) -> Chunk:
        """Both, joined once."""
        both = self._merged.get((one, other))
        if both is None:
            both = self._merged[one, other] = one.merge(other)
        return both


class Fanout:
    """The way from the tail to the outboxes of one node."""

    def __init__(
        self,
        registry: Registry,
        recent: Recent,
        epoch: Callable[[], str],
        schedule: Callable[[Flushable], None],
    ) -> None:
        """``epoch`` names the log; ``schedule`` calls ``flush`` of what it is given at the end of the loop's tick."""
        self._registry = registry
        self._recent = recent
        self._epoch = epoch
        self._schedule = schedule
        self._signals: list[Draft] = []
        self._spreads: deque[_Spread] = deque()
        self._flush_scheduled = False
        self.offered = 0
        """Events offered to sessions, times sessions."""

    def durable(self, entries: Sequence[Entry]) -> None:
        """Offer entries of the log, in their order, and keep them for those who will have missed them."""
        epoch, followed = self._epoch(), self._registry.follows
        for run in _runs(entries):
            items: dict[Topic, list[Item]] = {}
            frames: dict[tuple[int, int], Frame] = {}
            excluded: dict[str, set[int]] = {}
            for entry in run:
                for rank, topic in enumerate(entry.topics):
                    if followed(topic):
                        frame = frames[entry.seq, rank] = wire.event_frame(epoch, topic, entry)
                        items.setdefault(topic, []).append((entry.seq, rank, frame))
                if entry.exclude:
                    _exclude(excluded, entry.exclude, entry.seq)
            self._recent.add(run, frames)
            self._spread(items, excluded, Kind.EVENTS)

    def ephemeral(self, draft: Draft) -> None:
        """Offer an ephemeral event, together with the others of this tick."""
        self._signals.append(draft)
        self._wake()

    def settle(self, session: Session) -> None:
        """Offer a session now what spreads under way have for it: afterwards it has been offered all of the tail."""
        for spread in self._spreads:
            if spread.kind is Kind.EVENTS and (share := spread.share(session)) is not None:
                # The spread will come to the session, too; its outbox knows what was offered before.
                self._offer(session, share)

    def flush(self) -> None:
        """The end of a tick: the next slice, and the tick's ephemeral events."""
        self._flush_scheduled = False
        signals, self._signals = self._signals, []
        for run in _runs(signals) if signals else ():
            items: dict[Topic, list[Item]] = {}
            excluded: dict[str, set[int]] = {}
            # Their number in the run stands in for the seq: it tells an event that comes by two topics.
            for number, draft in enumerate(run, 1):
                for rank, topic in enumerate(draft.topics):
                    if self._registry.follows(topic):
                        items.setdefault(topic, []).append((number, rank, wire.ephemeral_frame(topic, draft.body)))
                if draft.exclude:
                    _exclude(excluded, draft.exclude, number)
            self._spread(items, excluded, Kind.EPHEMERAL)
        if self._spreads:
            self._advance(_SLICE)

    # --- Inside

    def _wake(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._schedule(self)

    def _spread(self, items: dict[Topic, list[Item]], excluded: dict[str, set[int]], kind: Kind) -> None:
        if not items:
            return
        spread = _Spread(items, excluded, kind)
        chunks, subscribers = spread.chunks, self._registry.subscribers
        if not excluded and not self._spreads:
            # Most of the time. The same as below, without what is not needed.
            if len(chunks) == 1:
                [(topic, chunk)] = chunks.items()
                sessions = subscribers(topic)
                if len(sessions) <= _SLICE:
                    for session in sessions:
                        self._offer(session, chunk)
                    return
            elif (shares := self._shares(spread)) is not None:
                for session, chunk in shares.items():
                    self._offer(session, chunk)
                return
        durable = kind is Kind.EVENTS
        receivers: Collection[Session]
        if len(chunks) == 1:
            [topic] = chunks
            receivers = subscribers(topic)
        else:
            receivers = dict.fromkeys(session for topic in chunks for session in subscribers(topic))
        ahead = self._spreads and (durable or any(not chunks.keys().isdisjoint(one.chunks) for one in self._spreads))
        if len(receivers) > _SLICE or (ahead and not durable):
            # A copy: who comes meanwhile has begun behind these events, who goes is passed over.
            spread.receivers = iter(list(receivers))
            self._spreads.append(spread)
            if len(self._spreads) > _MOST_SPREADS:
                self._advance(0)
            self._wake()
            return
        for session in receivers:
            if ahead:
                self.settle(session)
            if (share := spread.share(session)) is not None:
                self._offer(session, share)

    def _shares(self, spread: _Spread) -> dict[Session, Chunk] | None:
        """What each session is to get; None if they are so many that it has to be done in slices."""
        shares: dict[Session, Chunk] = {}
        for topic, chunk in spread.chunks.items():
            sessions = self._registry.subscribers(topic)
            if len(shares) + len(sessions) > _SLICE:
                return None
            for session in sessions:
                before = shares.setdefault(session, chunk)
                if before is not chunk:
                    shares[session] = spread.merge(before, chunk)
        return shares

    def _advance(self, count: int) -> None:
        """Offer the oldest spread to so many sessions more (0: to all that are left)."""
        spread = self._spreads[0]
        done = True
        for session in islice(spread.receivers, count or None):
            done = False
            if (share := spread.share(session)) is not None:
                self._offer(session, share)
        if done or not count:
            self._spreads.popleft()
        if self._spreads:
            self._wake()

    def _offer(self, session: Session, chunk: Chunk) -> None:
        try:
            if chunk.kind is Kind.EVENTS:
                session.outbox.offer(chunk)
            else:
                session.outbox.offer_ephemeral(chunk)
        except Exception:
            # A gap would be worse than an end: the client comes back and reads on from its cursor.
            log.exception("%s could not be offered its events", session.id)
            session.link.abort()
        self.offered += len(chunk.seqs)


def _exclude(excluded: dict[str, set[int]], names: Sequence[str], seq: int) -> None:
    for name in names:
        excluded.setdefault(name, set()).add(seq)


def _runs(events: Sequence[_Event]) -> Iterator[Sequence[_Event]]:
    """The events in pieces of about ``_CHUNK_BYTES``."""
    start = size = 0
    for index, event in enumerate(events):
        if size and size + len(event.body) > _CHUNK_BYTES:
            yield events[start:index]
            start, size = index, 0
        size += len(event.body)
    yield events[start:]
