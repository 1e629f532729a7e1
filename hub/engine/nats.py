"""The distributed engine: the log is a JetStream stream, its tail what that republishes, all else goes by core NATS.

Any number of nodes work on one stream. JetStream orders what they append and has it on a majority of the replicas
before it says so; when it is on their disks is the servers' ``sync_interval`` (docs/scaling.md says what that means).
Each node gets the whole tail and picks what its connections follow. While NATS is away nothing is acknowledged,
connections stay, and delivery goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from nats.aio.msg import Msg

from hub.engine.base import Sink
from hub.engine.nats_eve import Eve
from hub.engine.nats_link import Access, Link
from hub.engine.nats_presence import NatsPresence
from hub.engine.nats_reader import Reader
from hub.engine.nats_record import decode_signal, encode_signal
from hub.engine.nats_stream import Stream, StreamSettings, StreamState
from hub.engine.nats_tail import MOST_WAITING, Tail
from hub.engine.nats_writer import Writer
from hub.errors import HubError
from hub.model import Draft, Page, PresenceChange, Receipt, Topic

log = logging.getLogger("hub.engine")

_LOOK = 1.0
"""Seconds between looks at how far the stream reaches."""
_SHORT = 10
"""Looks in a row at which the stream ends before what was acknowledged, until that is believed."""
_PROBE_TIMEOUT = 2.0
_BEYOND = 1_000_000
"""Entries that other nodes may have appended since this one heard of the newest: a minute's worth of a stream that is
as busy as it can be."""


class NatsEngine:
    """See ``hub.engine.base.Engine`` for what it promises."""

    def __init__(self, access: Access, settings: StreamSettings, *, clock: Callable[[], float] = time.time) -> None:
        self.node = secrets.token_hex(8)
        self._link = Link(access, f"hub {self.node}", self._returned)
        self._stream = Stream(self._link, settings)
        self._reader = Reader(self._link, self._stream, clock=clock, extent=lambda: self._extent)
        self._writer = Writer(
            self._link, self._stream.subjects, self._reader, replicated=settings.replicas > 1, clock=clock
        )
        self._tail = Tail(self._reader)
        self._eve = Eve(self._reader, clock)
        self._presence = NatsPresence(self._link, self._stream.subjects.node, self.node, self._presence_changed)
        self._known = StreamState("", 0, 0, 0)
        self._sink: Sink | None = None
        self._looking: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._look_now = asyncio.Event()
        self._replaced = False
        self._closing = False
        self._signals: set[asyncio.Task[None]] = set()

    @property
    def epoch(self) -> str:
        """See ``Engine``."""
        return self._known.epoch

    @property
    def head(self) -> int:
        """See ``Engine``."""
        return max(self._known.head, self._writer.head, self._tail.seen)

    @property
    def reach(self) -> int:
        """See ``Engine``."""
        return self.head + _BEYOND

    @property
    def floor(self) -> int:
        """See ``Engine``."""
        return self._known.floor

    @property
    def size(self) -> int:
        """See ``Engine``."""
        return self._known.size

    @property
    def inherited(self) -> Mapping[str, int]:
        """See ``Engine``. None: the servers make their own backups, and the hub is not told of a stream put back."""
        return {}

    @property
    def nodes(self) -> int:
        """See ``Engine``."""
        return self._presence.nodes

    @property
    def refilled(self) -> int:
        """See ``Engine``."""
        return self._tail.refilled

    async def start(self, sink: Sink) -> None:
        """See ``Engine``."""
        await self._link.open()
        try:
            await self._stream.open()
            subjects = self._stream.subjects
            self._sink = sink
            await self._link.listen(f"{subjects.tail}.>", self._tail.message, held=MOST_WAITING)
            await self._link.listen(f"{subjects.node}.signal", self._signalled)
            await self._presence.start()
            await self._link.settle()
            self._known = await self._stream.state()
        except BaseException:
            await self._link.close()
            raise
        self._looking = asyncio.create_task(self._look(), name="nats-look")
        self._loading = asyncio.create_task(self._eve.load(self._known.floor, self._known.head), name="nats-eve")
        # Whoever is delivered to has seen this head by then: the first delivery comes in a later turn of the loop.
        self._tail.begin(sink, self._known.head)

    async def stop(self) -> None:
        """See ``Engine``."""
        if self._closing:
            return
        self._closing = True
        await self._writer.finish()
        for task in (self._looking, self._loading):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._presence.stop()
        await self._tail.stop()
        await self._link.close()

    async def append(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """See ``Engine``."""
        self._check_open()
        return await self._writer.append(drafts)

    async def read(self, topics: Collection[Topic], after: int | None, limit: int) -> Page:
        """See ``Engine``."""
        self._check_open()
        if after is None:
            return await self._reader.newest(topics, limit)
        if self._eve.covers(after):
            return self._eve.page(topics, after, limit, self._extent)
        return await self._reader.page(topics, after, limit)

    async def scan(self, after: int, limit: int) -> Page:
        """See ``Engine``."""
        self._check_open()
        return await self._reader.scan(after, limit)

    async def probe(self) -> None:
        """See ``Engine``: the stream's leader refuses an event that expects what is never so, and the tail is there.

        A leader that has lost the other replicas steps down within ten seconds; then nobody answers.
        """
        self._check_open()
        await self._writer.probe(_PROBE_TIMEOUT)
        head = (await self._stream.state()).head
        deadline = time.monotonic() + _PROBE_TIMEOUT
        while self._tail.last < head:
            if time.monotonic() > deadline:
                raise HubError("log_unavailable", f"The tail is {head - self._tail.last} entries behind the log.")
            await asyncio.sleep(0.02)
        if self._tail.undelivered is not None:
            raise HubError("log_unavailable", "What was published last could not be delivered; the log says why.")

    def signal(self, draft: Draft) -> None:
        """See ``Engine``: here at once, and to all other nodes."""
        assert self._sink is not None, "not started"
        self._sink.signal(draft)
        task = asyncio.get_running_loop().create_task(self._send_signal(encode_signal(draft)))
        self._signals.add(task)
        task.add_done_callback(self._signals.discard)

    def touch(self, topic: Topic, user: str) -> None:
        """See ``Engine``."""
        self._presence.touch(topic, user)

    def leave(self, topic: Topic, user: str) -> None:
        """See ``Engine``."""
        self._presence.leave(topic, user)

    def members(self, topic: Topic) -> frozenset[str]:
        """See ``Engine``."""
        return self._presence.members(topic)

    # --- Inside

    @property
    def _extent(self) -> StreamState:
        return replace(self._known, head=self.head)

    def _check_open(self) -> None:
        if self._closing or self._sink is None:
            raise HubError("log_unavailable", "The log is closed.")
        if self._replaced:
            raise HubError("log_unavailable", "The stream was replaced by another one; restart the hub.")
        if not self._link.is_up:
            raise HubError("log_unavailable", "The hub has no connection to NATS. Try again later.")

    async def _send_signal(self, payload: bytes) -> None:
        try:
            await self._link.send(f"{self._stream.subjects.node}.signal", payload)
        except HubError:
            log.debug("an ephemeral event cannot be sent to other nodes now")

    def _signalled(self, message: Msg) -> None:
        if self._sink is not None:
            self._sink.signal(decode_signal(message.data))

    def _presence_changed(self, change: PresenceChange) -> None:
        if self._sink is not None:
            self._sink.presence_changed(change)

    def _returned(self) -> None:
        """The connection is there again: what came meanwhile did not come here."""
        self._look_now.set()

    async def _look(self) -> None:
        """See now and then how far the stream reaches: its floor, and what the tail has not got by then."""
        short = 0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), _LOOK)
            returned = self._look_now.is_set()
            self._look_now.clear()
            before, head = self._known, self.head
            try:
                known = await self._stream.state()
            except HubError:
                continue  # Publishers and the probe are told.
            # A leader that was elected a moment ago may not have gone through all that was acknowledged.
            short = short + 1 if known.head < head else 0
            if known.epoch != before.epoch or short > _SHORT:
                log.error("the stream was replaced by another one, or has lost its end: restart the hub")
                self._replaced = True
                return
            self._known = known
            # What was there at the last look should have come by now.
            self._tail.check(known.head if returned else before.head)
