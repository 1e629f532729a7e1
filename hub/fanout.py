"""Fan-out: what the tail brings to every session that follows its topics, at a cost that the receivers share.

Events that come together (a group commit, a tick's worth of ephemeral ones) are encoded once, joined once for each
topic, or combination of topics, and offered to a session in one go. So a broadcast costs each receiver one queue
operation and one write for the whole group, however many events are in it. No I/O, no tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from hub import wire
from hub.model import Cursor, Draft, Entry, Topic
from hub.registry import Registry
from hub.session import Session
from hub.wire import Chunk

log = logging.getLogger("hub.fanout")

_CHUNK_BYTES = 32 * 1024
"""Bytes of events in one chunk: small beside an outbox, so that a slow reader's queue is bounded in steps of it."""

_Item = tuple[int, int, wire.Frame]
_Event = TypeVar("_Event", Entry, Draft)


class Fanout:
    """The way from the tail to the outboxes of one node."""

    def __init__(
        self, registry: Registry, cursor: Callable[[int], Cursor], schedule: Callable[[Callable[[], None]], object]
    ) -> None:
        """``cursor`` makes the cursor of a seq; ``schedule`` runs something at the end of the loop's tick."""
        self._registry = registry
        self._cursor = cursor
        self._schedule = schedule
        self._signals: list[Draft] = []
        self.offered = 0
        """Events offered to sessions, times sessions."""

    def durable(self, entries: Sequence[Entry]) -> None:
        """Offer entries of the log, in their order."""
        for run in _runs(entries):
            frames: dict[Topic, list[_Item]] = {}
            excluded: dict[str, set[int]] = {}
            for entry in run:
                for rank, topic in enumerate(entry.topics):
                    if self._registry.subscribers(topic):
                        frame = wire.event_frame(self._cursor(entry.seq), topic, entry)
                        frames.setdefault(topic, []).append((entry.seq, rank, frame))
                for client in entry.exclude:
                    excluded.setdefault(client, set()).add(entry.seq)
            self._spread(frames, excluded, durable=True)

    def ephemeral(self, draft: Draft) -> None:
        """Offer an ephemeral event, together with the others of this tick."""
        self._signals.append(draft)
        if len(self._signals) == 1:
            self._schedule(self._spread_signals)

    def _spread_signals(self) -> None:
        signals, self._signals = self._signals, []
        for run in _runs(signals):
            frames: dict[Topic, list[_Item]] = {}
            excluded: dict[str, set[int]] = {}
            # Their number in the run stands in for the seq: it tells an event that comes by two topics.
            for number, draft in enumerate(run, 1):
                for rank, topic in enumerate(draft.topics):
                    if self._registry.subscribers(topic):
                        frame = wire.ephemeral_frame(topic, draft.body)
                        frames.setdefault(topic, []).append((number, rank, frame))
                for client in draft.exclude:
                    excluded.setdefault(client, set()).add(number)
            self._spread(frames, excluded, durable=False)

    def _spread(self, frames: dict[Topic, list[_Item]], excluded: dict[str, set[int]], *, durable: bool) -> None:
        for session, chunk in self._shares(frames):
            own = chunk
            if excluded and session.is_excluded(excluded):
                seqs = excluded.get(session.client, set()) | excluded.get(session.own_name, set())
                left = chunk.without(seqs)
                if left is None:
                    continue
                own = left
            try:
                if durable:
                    session.outbox.offer(own)
                else:
                    session.outbox.offer_ephemeral(own)
            except Exception:
                # A gap would be worse than an end: the client comes back and reads on from its cursor.
                log.exception("%s could not be offered its events", session.id)
                session.link.abort()
            self.offered += len(own.seqs)

    def _shares(self, frames: dict[Topic, list[_Item]]) -> Iterable[tuple[Session, Chunk]]:
        """Each session that follows one of the topics, and what it is to get: each event once."""
        chunks = {topic: Chunk(items) for topic, items in frames.items()}
        if len(chunks) == 1:  # Most of the time: no table of sessions is needed.
            [(topic, chunk)] = chunks.items()
            return ((session, chunk) for session in self._registry.subscribers(topic))
        shares: dict[Session, Chunk] = {}
        # Sessions of the same combination of topics share what was joined for it.
        merged: dict[tuple[Chunk, Chunk], Chunk] = {}
        for topic, chunk in chunks.items():
            for session in self._registry.subscribers(topic):
                before = shares.get(session)
                if before is None:
                    shares[session] = chunk
                    continue
                both = merged.get((before, chunk))
                if both is None:
                    both = merged[before, chunk] = before.merge(chunk)
                shares[session] = both
        return shares.items()


def _runs(events: Sequence[_Event]) -> Iterator[Sequence[_Event]]:
    """The events in pieces of about ``_CHUNK_BYTES``."""
    start = size = 0
    for index, event in enumerate(events):
        if size and size + len(event.body) > _CHUNK_BYTES:
            yield events[start:index]
            start, size = index, 0
        size += len(event.body)
    yield events[start:]
