"""What waits for one connection: a queue bounded by bytes, emptied in one write per loop tick.

Three states:

- ``live``: frames from the log's tail are queued and written as the transport takes them.
- ``catching_up``: the reader is behind, because it resumes or because it is slow, which is the same thing. Events from
  the tail are not queued; somebody (the hub) reads pages of the log from ``position`` and hands them over.
- ``closed``: nothing is taken any more.

Memory: at most ``limit`` bytes here (one frame may be larger, alone), and about as many in the transport; an outbox in
which nothing waits is its slots. On overflow the queued events are dropped, not the connection: the log has them. Order
and once-only: an event is queued only if its ``seq`` is past everything offered before, so that pages and tail can meet
anywhere without a seam.

Sans-I/O: it is handed a ``Link`` (the transport) and a way to be flushed at the end of the loop's tick.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from hub.wire import Chunk, Frame, Kind


class Link(Protocol):
    """The connection as the outbox and the hub see it. No call blocks."""

    writable: bool
    """Whether the transport takes more; when it does again, it calls ``Outbox.resume``."""

    def write(self, parts: Sequence[Frame | Chunk]) -> None:
        """Hand frames to the transport, in one write."""

    def pending(self) -> int:
        """Bytes that the transport holds and the peer's kernel has not taken."""

    def taken(self) -> int:
        """Bytes that the peer's kernel has taken so far."""

    def close(self, code: int, reason: str) -> None:
        """Say goodbye (RFC 6455, 7.1.2) and end; cut the connection if the peer does not follow."""

    def abort(self) -> None:
        """Cut the connection now, whatever is unsent."""

    def ping(self) -> bool:
        """Ask the peer whether it lives; False if nothing was heard of it since it was asked last."""


class State(Enum):
    """See the module's docstring."""

    LIVE = "live"
    CATCHING_UP = "catching_up"
    CLOSED = "closed"


_LIVE, _CATCHING_UP, _CLOSED = State


@dataclass(frozen=True, slots=True)
class Setup:
    """What all outboxes of a hub have in common.

    ``limit``: bytes that may wait in one. ``schedule`` calls ``flush`` of what it is given at the end of the tick.
    ``on_behind`` is told the ``owner`` of an outbox that overflowed.
    """

    limit: int
    schedule: Callable[[Outbox], None]
    on_behind: Callable[[Any], None]


class Outbox:
    """The way out to one connection."""

    __slots__ = (
        "_flush_scheduled",
        "_link",
        "_queue",
        "_queued_bytes",
        "_queued_seq",
        "_setup",
        "lost_presence",
        "owner",
        "position",
        "state",
    )

    def __init__(self, link: Link, setup: Setup, *, position: int, live: bool) -> None:
        self.state = _LIVE if live else _CATCHING_UP
        self.position = position
        """Seq of the log up to which the reader was handed everything of its own."""
        self.lost_presence = False
        self.owner: Any = None
        """Who is told that the reader fell behind."""
        # Everything of the reader's up to here was offered.
        self._queued_seq = position
        self._queue: list[Frame | Chunk] | None = None
        self._queued_bytes = 0
        self._flush_scheduled = False
        self._link = link
        self._setup = setup

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait here."""
        return self._queued_bytes

    @property
    def offered(self) -> int:
        """Seq up to which the reader was offered everything of its own: handed over, or waiting here in order."""
        return self._queued_seq

    def is_writable(self) -> bool:
        """Whether the transport takes more."""
        return self.state is not _CLOSED and self._link.writable

    def offer(self, chunk: Chunk) -> None:
        """Durable events from the tail of the log. What was offered before is left out; behind: ignored."""
        seqs = chunk.seqs
        if self.state is _LIVE and seqs[-1] > self._queued_seq:
            if seqs[0] <= self._queued_seq:
                chunk = chunk.after(self._queued_seq)
            self._push(chunk, seqs[-1])

    def offer_ephemeral(self, chunk: Chunk) -> None:
        """Ephemeral events: dropped for a reader who is behind."""
        if self.state is _LIVE:
            self._push(chunk)

    def offer_presence(self, frame: Frame) -> None:
        """A presence change: lost for a reader who is behind, who is owed the state instead (``lost_presence``)."""
        if self.state is _LIVE:
            self._push(frame)
        else:
            self.lost_presence = True

    def control(self, frame: Frame) -> None:
        """A welcome, an answer, a reset: never dropped. Who makes answers bounds them: see ``Connection``."""
        if self.state is not _CLOSED:
            self._push(frame)

    def page(self, chunk: Chunk | None, through: int) -> None:
        """A page while catching up: everything of the reader's up to ``through``. To be called while writable."""
        if self.state is _CATCHING_UP:
            if chunk is not None:
                self._push(chunk)
            self._queued_seq = max(self._queued_seq, through)
            if self._queue is None:
                self.position = self._queued_seq

    def advance(self, seq: int) -> None:
        """There is nothing of the reader's up to ``seq`` that is retained and was not offered."""
        self._queued_seq = max(self._queued_seq, seq)
        if self._queue is None:
            self.position = self._queued_seq

    def go_live(self) -> None:
        """The reader was offered everything that the tail has handed out: queue from here on."""
        if self.state is _CATCHING_UP:
            self.state = _LIVE

    def flush(self) -> None:
        """The end of a tick: write what was queued in it, in one go."""
        self._flush_scheduled = False
        self.resume()

    def resume(self) -> None:
        """The transport takes more: write what waits."""
        queue = self._queue
        if queue is not None and self._link.writable:
            self._queue = None
            self._queued_bytes = 0
            if self._queued_seq > self.position:
                self.position = self._queued_seq
            self._link.write(queue)

    def close(self) -> None:
        """Take nothing any more and let go of what waits."""
        self.state = _CLOSED
        self._queue = None
        self._queued_bytes = 0

    def _push(self, part: Frame | Chunk, last: int = 0) -> None:
        """``last``: the last seq of durable events of the tail."""
        size = len(part.websocket)
        if self._queue is not None and self._queued_bytes + size > self._setup.limit and part.kind is not Kind.CONTROL:
            # A burst within one tick is no reason to call a reader slow: only one whose transport is full is.
            self.resume()
            if self._queue is not None:
                self._overflow(part)
                return
        if self._queue is None:
            self._queue = [part]
        else:
            self._queue.append(part)
        # Not before the write above, which takes what is queued by then as handed over.
        if last:
            self._queued_seq = last
        self._queued_bytes += size
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._setup.schedule(self)

    def _overflow(self, newcomer: Frame | Chunk) -> None:
        if newcomer.kind is not Kind.EVENTS:
            # What may be lost does not push out what may not: only the newcomer goes.
            self.lost_presence |= newcomer.kind is Kind.PRESENCE
            return
        queue = self._queue
        assert queue is not None, "an empty outbox takes anything"
        # What is never dropped may name a cursor (an answer, the end of a catch-up): what waits before it stays, too.
        kept = next((n for n in range(len(queue), 0, -1) if queue[n - 1].kind is Kind.CONTROL), 0)
        dropped = queue[kept:]
        # All of the reader's events before the first that is dropped were offered, however old the last one was.
        events = (part for part in (*dropped, newcomer) if isinstance(part, Chunk) and part.kind is Kind.EVENTS)
        first = next(events).seqs[0]
        self.lost_presence |= any(part.kind is Kind.PRESENCE for part in dropped)
        del queue[kept:]
        self._queued_bytes = sum([len(part.websocket) for part in queue])
        self._queued_seq = first - 1
        if not queue:
            self._queue, self.position = None, first - 1
        self.state = _CATCHING_UP
        self._setup.on_behind(self.owner)
