"""What waits for one connection: a queue bounded by bytes, emptied in one write per loop tick.

Three states:

- ``live``: frames from the log's tail are queued and written as the transport takes them.
- ``catching_up``: the reader is behind, because it resumes or because it is slow, which is the same thing. Events from
  the tail are not queued; somebody (the hub) reads pages of the log from ``position`` and hands them over.
- ``closed``: nothing is taken any more.

Memory: at most ``limit`` bytes here (one frame may be larger, alone), and about as many in the transport. On overflow
the queued events are dropped, not the connection: the log has them. Order and once-only: an event is queued only if its
``seq`` is past everything queued before, so that pages and tail can meet anywhere without a seam.

Sans-I/O: it is handed a ``Link`` (the transport) and a way to run something at the end of the loop's tick.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from hub.wire import Chunk, Frame


class Link(Protocol):
    """The connection as the outbox and the hub see it. No call blocks."""

    def write(self, parts: Sequence[Frame | Chunk]) -> None:
        """Hand frames to the transport, in one write."""

    def is_writable(self) -> bool:
        """Whether the transport takes more; when it does again, it calls ``Outbox.resume``."""

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


# What waits in the queue: durable events, by the first seq of their chunk, or one of these.
_CONTROL = 0
_EPHEMERAL = -1
_PRESENCE = -2


class Outbox:
    """The way out to one connection."""

    __slots__ = (
        "_flush_scheduled",
        "_limit",
        "_link",
        "_on_behind",
        "_queue",
        "_queued_bytes",
        "_queued_seq",
        "_schedule",
        "lost_presence",
        "position",
        "state",
    )

    def __init__(
        self,
        link: Link,
        *,
        position: int,
        limit: int,
        live: bool,
        schedule: Callable[[Callable[[], None]], object],
        on_behind: Callable[[], None],
    ) -> None:
        """``position``: the log's seq that the reader has already. ``on_behind`` is called when it falls behind."""
        self.state = State.LIVE if live else State.CATCHING_UP
        self.position = position
        """Everything of the reader's up to this seq was handed to the transport."""
        self.lost_presence = False
        """Presence frames were dropped: the reader needs the state anew."""
        self._queued_seq = position
        self._queue: deque[tuple[int, Frame | Chunk]] = deque()
        self._queued_bytes = 0
        self._flush_scheduled = False
        self._link = link
        self._limit = limit
        self._schedule = schedule
        self._on_behind = on_behind

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait here."""
        return self._queued_bytes

    def is_writable(self) -> bool:
        """Whether the transport takes more."""
        return self.state is not State.CLOSED and self._link.is_writable()

    def offer(self, chunk: Chunk) -> None:
        """Durable events from the tail of the log. What was seen before is left out; behind: ignored."""
        first, last = chunk.seqs[0], chunk.seqs[-1]
        if self.state is State.LIVE and last > self._queued_seq:
            if first <= self._queued_seq:
                chunk = chunk.after(self._queued_seq)
                first = chunk.seqs[0]
            self._push(first, chunk, last)

    def offer_ephemeral(self, chunk: Chunk) -> None:
        """Ephemeral events: dropped for a reader who is behind."""
        if self.state is State.LIVE:
            self._push(_EPHEMERAL, chunk)

    def offer_presence(self, frame: Frame) -> None:
        """A presence change: lost for a reader who is behind, who is owed the state instead (``lost_presence``)."""
        if self.state is State.LIVE:
            self._push(_PRESENCE, frame)
        else:
            self.lost_presence = True

    def control(self, frame: Frame) -> None:
        """A welcome, an answer, a reset: never dropped. Who makes answers bounds them: see ``Connection``."""
        if self.state is not State.CLOSED:
            self._push(_CONTROL, frame)

    def page(self, frames: Sequence[Frame], through: int) -> None:
        """A page of the log while catching up: everything of the reader's up to ``through``."""
        if self.state is State.CATCHING_UP:
            self._flush_now()
            if frames:
                self._link.write(frames)
            self.advance(through)

    def advance(self, seq: int) -> None:
        """There is nothing of the reader's up to ``seq`` that is retained and was not handed over."""
        self.position = self._queued_seq = max(self.position, self._queued_seq, seq)

    def go_live(self) -> None:
        """The reader has everything that the tail has handed out: queue from here on."""
        if self.state is State.CATCHING_UP:
            self.state = State.LIVE

    def resume(self) -> None:
        """The transport takes more."""
        if self._queue:
            self._flush_now()

    def flush(self) -> None:
        """The end of a tick: write what was queued in it, in one go."""
        self._flush_scheduled = False
        self._flush_now()

    def close(self) -> None:
        """Take nothing any more and let go of what waits."""
        self.state = State.CLOSED
        self._queue.clear()
        self._queued_bytes = 0

    def _push(self, kind: int, part: Frame | Chunk, last: int = 0) -> None:
        """``kind``: the first seq of a chunk of durable events, whose last is ``last``; or what cannot be resumed."""
        size = len(part)
        if self._queue and self._queued_bytes + size > self._limit and kind != _CONTROL:
            # A burst within one tick is no reason to call a reader slow: only one whose transport is full is.
            self._flush_now()
            if self._queue:
                self._overflow(kind)
                return
        # Not before the flush above, which takes what is queued by then as handed over.
        if last:
            self._queued_seq = last
        self._queue.append((kind, part))
        self._queued_bytes += size
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._schedule(self.flush)

    def _overflow(self, kind: int) -> None:
        if kind < 0:
            # What may be lost does not push out what may not: only the newcomer goes.
            self.lost_presence |= kind == _PRESENCE
            return
        # All of the reader's events before the first that still waits were handed over, however old the last one was.
        first_unsent = next((waiting for waiting, _ in self._queue if waiting > 0), kind)
        self.position = max(self.position, first_unsent - 1)
        self.lost_presence |= any(waiting == _PRESENCE for waiting, _ in self._queue)
        self._queue = deque(item for item in self._queue if item[0] == _CONTROL)
        self._queued_bytes = sum(len(part) for _, part in self._queue)
        self._queued_seq = self.position
        self.state = State.CATCHING_UP
        self._on_behind()

    def _flush_now(self) -> None:
        if self._queue and self.state is not State.CLOSED and self._link.is_writable():
            parts = [part for _, part in self._queue]
            self._queue.clear()
            self._queued_bytes = 0
            self.position = max(self.position, self._queued_seq)
            self._link.write(parts)
