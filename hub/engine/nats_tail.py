"""The live tail: what the stream republishes, in the log's order, each entry once, whatever got lost on the way.

Republished messages are sent at most once: a connection that is lost, a leader that is elected, a node that is too slow
leave gaps. Each message says its seq, so a gap shows with the next message; the last ones lost show when the stream is
looked at (``check``). What is missing is read from the log, in order, while what comes meanwhile waits, bounded; what
does not fit is read from the log, too.
"""

from __future__ import annotations

import asyncio
import logging

from nats.aio.msg import Msg

from hub.engine.base import Sink
from hub.engine.nats_reader import Reader
from hub.engine.nats_record import decode
from hub.errors import HubError
from hub.model import Entry

log = logging.getLogger("hub.engine")

MOST_WAITING = 64 * 1024
"""Messages that have come and were not looked at yet. A node that falls further behind reads from the log."""
_PAGE = 1000
_MAX_HELD = 16 << 20
"""Bytes of events that wait while a gap is filled."""
_PATIENCE = 2.0
"""Longest pause, in seconds, between tries to read what is missing."""


class Tail:
    """Delivers to the sink, in batches of what came in one turn of the event loop."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sink: Sink | None = None
        self._ready: list[Entry] = []
        self._flush_scheduled = False
        self._held: dict[int, Entry] = {}
        self._held_bytes = 0
        self._refill: asyncio.Task[None] | None = None
        self.seen = 0
        """The newest seq that is known to be in the log."""
        self.last = 0
        """The newest entry that was handed over, or is to be at the end of this turn."""
        self.refilled = 0
        """Entries that had to be read from the log."""
        self.undelivered: Exception | None = None
        """Why the sink did not take what it was given last."""

    def begin(self, sink: Sink, head: int) -> None:
        """Deliver what follows ``head``, from the next turn of the event loop on."""
        self._sink = sink
        self.last, self.seen = head, max(head, self.seen)
        held, self._held, self._held_bytes = self._held, {}, 0
        for seq in sorted(held):
            self._take(held[seq])

    async def stop(self) -> None:
        """Deliver no more."""
        self._sink = None
        if self._refill is not None:
            self._refill.cancel()
            await asyncio.gather(self._refill, return_exceptions=True)

    def message(self, message: Msg) -> None:
        """A republished message."""
        assert message.headers is not None
        entry = decode(int(message.headers["Nats-Sequence"]), message.data).entry
        if self._sink is None or self._refill is not None:
            self._hold(entry)
        else:
            self._take(entry)

    def check(self, head: int) -> None:
        """The log reaches up to ``head``: read what has not come by now."""
        self.seen = max(self.seen, head)
        if self.seen > self.last:
            self._fill()

    # --- Inside

    def _take(self, entry: Entry) -> None:
        if entry.seq == self.last + 1 and self._refill is None:
            self.last = entry.seq
            self.seen = max(self.seen, entry.seq)
            self._ready.append(entry)
            if not self._flush_scheduled:
                self._flush_scheduled = True
                asyncio.get_running_loop().call_soon(self._flush)
        elif entry.seq > self.last:
            self._hold(entry)
            self._fill()

    def _hold(self, entry: Entry) -> None:
        self.seen = max(self.seen, entry.seq)
        if self._held_bytes + len(entry.body) <= _MAX_HELD:
            self._held[entry.seq] = entry
            self._held_bytes += len(entry.body)

    def _flush(self) -> None:
        self._flush_scheduled = False
        entries, self._ready = self._ready, []
        self._deliver(entries)

    def _deliver(self, entries: list[Entry]) -> None:
        if self._sink is None or not entries:
            return
        try:
            self._sink.deliver(entries)
            self.undelivered = None
        except Exception as error:
            # They are in the log, and their publishers were told so; but this is no hub to send people to.
            log.exception("the tail could not be delivered")
            self.undelivered = error

    def _fill(self) -> None:
        if self._refill is None and self._sink is not None:
            self._refill = asyncio.get_running_loop().create_task(self._filling(), name="tail-refill")

    async def _filling(self) -> None:
        pause = 0.02
        try:
            while self.last < self.seen:
                if self._next_held():
                    continue
                try:
                    page = await self._reader.scan(self.last, _PAGE)
                except HubError as error:
                    log.warning("the tail waits for the log: %s", error.detail)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _PATIENCE)
                    continue
                pause = 0.02
                self._flush()
                self.refilled += len(page.entries)
                # Expired ones are left out, and there are numbers that no entry has; both are passed over.
                self.last = page.through
                self._deliver(list(page.entries))
                for seq in [seq for seq in self._held if seq <= self.last]:
                    self._held_bytes -= len(self._held.pop(seq).body)
        finally:
            self._refill = None
            self._held.clear()
            self._held_bytes = 0

    def _next_held(self) -> bool:
        """Hand over what was held and follows now; whether there was any."""
        run: list[Entry] = []
        while (entry := self._held.pop(self.last + 1, None)) is not None:
            self._held_bytes -= len(entry.body)
            self.last = entry.seq
            run.append(entry)
        if run:
            self._flush()
            self._deliver(run)
        return bool(run)
