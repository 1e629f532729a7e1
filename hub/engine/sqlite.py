"""The embedded engine: one SQLite file, one writer thread, group commit, the tail in this process.

Appends that arrive while a commit is being written to disk share the next one: the price of an fsync is paid once for
all of them. ``synchronous=FULL`` in WAL mode makes a commit durable before it returns (sqlite.org/pragma.html), so the
2xx that follows survives kill -9 and, as far as the disk is honest, a power cut. Readers have their own connections
and never wait for the writer.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hub.engine import sqlite_log
from hub.engine.base import Sink
from hub.engine.sqlite_writer import Append, Outcome, Probe, Retention, Writer
from hub.errors import HubError
from hub.histogram import Histogram
from hub.model import Draft, Entry, Page, PresenceChange, Receipt, Topic

log = logging.getLogger("hub.engine")

_PROBE_TIMEOUT = 2.0
_PATIENCE = 30.0
"""Seconds for which a publisher waits for the disk."""
_MAX_WAITING = 64 << 20
"""Bytes of events that may wait for the disk."""


class SqliteEngine:
    """See ``hub.engine.base.Engine`` for what it promises."""

    def __init__(
        self,
        path: Path,
        *,
        retention_age: float,
        retention_bytes: int,
        dedupe_window: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._clock = clock
        self._writer = Writer(path, Retention(retention_age, retention_bytes, dedupe_window), clock, self._from_writer)
        self._waiting: deque[tuple[float, asyncio.Future[list[Receipt]]]] = deque()
        """Appends under way, the oldest first, and until when their publishers wait."""
        self._waiting_bytes = 0
        self._watchdog: asyncio.TimerHandle | None = None
        self._undelivered: Exception | None = None
        self._closing = False
        self._readers: ThreadPoolExecutor | None = None
        self._reader_local = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []
        self._sink: Sink | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._members: defaultdict[Topic, set[str]] = defaultdict(set)

    @property
    def epoch(self) -> str:
        """See ``Engine``."""
        return self._writer.extent.epoch

    @property
    def head(self) -> int:
        """See ``Engine``."""
        return self._writer.extent.head

    @property
    def reach(self) -> int:
        """See ``Engine``: there is no other node."""
        return self.head

    @property
    def floor(self) -> int:
        """See ``Engine``."""
        return self._writer.extent.floor

    @property
    def size(self) -> int:
        """See ``Engine``."""
        return self._writer.extent.size

    @property
    def inherited(self) -> Mapping[str, int]:
        """See ``Engine``."""
        return self._writer.extent.inherited

    @property
    def commit_seconds(self) -> Histogram:
        """How long commits waited for the disk."""
        return self._writer.commit_seconds

    @property
    def nodes(self) -> int:
        """See ``Engine``."""
        return 1

    @property
    def refilled(self) -> int:
        """See ``Engine``: this tail loses nothing."""
        return 0

    async def start(self, sink: Sink) -> None:
        """See ``Engine``."""
        self._loop = asyncio.get_running_loop()
        self._sink = sink
        try:
            await asyncio.to_thread(self._writer.open)
        except sqlite3.Error as error:
            raise OSError(
                f"the log {self._path} cannot be opened ({error}); restore it from a backup, or move it and the files "
                "beside it that begin with its name away to begin an empty one"
            ) from error
        self._readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="log-reader")
        self._watchdog = self._loop.call_later(1, self._give_up_on_old)

    async def stop(self) -> None:
        """See ``Engine``."""
        self._closing = True
        await asyncio.to_thread(self._writer.close)
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._readers is not None:
            await asyncio.to_thread(self._readers.shutdown)
            self._readers = None
            for connection in self._reader_connections:
                connection.close()
            self._reader_connections.clear()

    async def append(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """See ``Engine``."""
        loop = self._running_loop()
        size = sum(len(draft.body) for draft in drafts)
        if self._waiting_bytes + size > _MAX_WAITING:
            raise HubError("overloaded", "More is published than the disk takes. Try again later.")
        done: asyncio.Future[list[Receipt]] = loop.create_future()
        self._waiting.append((loop.time() + _PATIENCE, done))
        self._waiting_bytes += size
        try:
            self._writer.put(Append(drafts, done))
            return await done
        finally:
            self._waiting_bytes -= size

    async def probe(self) -> None:
        """See ``Engine``: a commit by the writer, answered the way entries are."""
        done: asyncio.Future[None] = self._running_loop().create_future()
        self._writer.put(Probe(done))
        try:
            await asyncio.wait_for(done, _PROBE_TIMEOUT)
        except TimeoutError:
            raise HubError("log_unavailable", f"The log did not answer within {_PROBE_TIMEOUT:g} s.") from None
        if self._undelivered is not None:
            raise HubError("log_unavailable", "What was published last could not be delivered; the log says why.")

    async def read(self, topics: Collection[Topic], after: int | None, limit: int) -> Page:
        """See ``Engine``."""
        wanted = tuple(topics)
        return await self._page(lambda log: sqlite_log.read_page(log, wanted, after, limit, self._clock()))

    async def scan(self, after: int, limit: int) -> Page:
        """See ``Engine``."""
        return await self._page(lambda log: sqlite_log.scan_page(log, after, limit))

    async def _page(self, read: Callable[[sqlite3.Connection], Page]) -> Page:
        loop = self._running_loop()
        try:
            return await loop.run_in_executor(self._readers, self._read, read)
        except sqlite3.Error as error:
            log.error("the log cannot be read: %s", error)
            raise HubError("log_unavailable", "The log cannot be read.") from error

    def signal(self, draft: Draft) -> None:
        """See ``Engine``."""
        assert self._sink is not None, "not started"
        self._sink.signal(draft)

    def touch(self, topic: Topic, user: str) -> None:
        """See ``Engine``."""
        assert self._sink is not None, "not started"
        if user not in self._members[topic]:
            self._members[topic].add(user)
            self._sink.presence_changed(PresenceChange(topic, user, joined=True))

    def leave(self, topic: Topic, user: str) -> None:
        """See ``Engine``."""
        assert self._sink is not None, "not started"
        users = self._members.get(topic)
        if users and user in users:
            users.discard(user)
            if not users:
                del self._members[topic]
            self._sink.presence_changed(PresenceChange(topic, user, joined=False))

    def members(self, topic: Topic) -> frozenset[str]:
        """See ``Engine``."""
        return frozenset(self._members.get(topic, ()))

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._closing:
            raise HubError("log_unavailable", "The log is closed.")
        return self._loop

    # --- What the writer hands to the loop

    def _from_writer(self, entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._settle, entries, outcomes)
        except RuntimeError:  # The loop was closed under us; what was committed is in the log.
            log.warning("the event loop ended before the log did")

    def _settle(self, entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> None:
        assert self._sink is not None
        try:
            if entries:
                self._sink.deliver(entries)
                self._undelivered = None
        except Exception as error:
            # They are in the log, and their publishers are to hear of it; but this is no hub to send people to.
            log.exception("the tail could not be delivered")
            self._undelivered = error
        for done, outcome in outcomes:
            if done.done():
                continue  # The caller was cancelled; the entry stays, a retry finds the duplicate.
            if isinstance(outcome, BaseException):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

    def _give_up_on_old(self) -> None:
        """A disk that hangs fails nothing by itself: after a while, those who wait for it are told."""
        assert self._loop is not None
        now = self._loop.time()
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= now):
            _, done = self._waiting.popleft()
            if not done.done():
                done.set_exception(
                    HubError(
                        "log_unavailable",
                        f"The log did not answer within {_PATIENCE:g} s, so whether the event is in it is not known. "
                        "Repeat it with the same id.",
                    )
                )
        self._watchdog = self._loop.call_later(1, self._give_up_on_old)

    # --- The reader threads

    def _read(self, read: Callable[[sqlite3.Connection], Page]) -> Page:
        connection: sqlite3.Connection | None = getattr(self._reader_local, "connection", None)
        if connection is None:
            connection = sqlite_log.connect(self._path)
            self._reader_connections.append(connection)
            connection.execute("PRAGMA query_only=1")
            self._reader_local.connection = connection
        try:
            connection.execute("BEGIN")
            page = read(connection)
            connection.execute("COMMIT")
        except sqlite3.Error:
            # Whatever state it is in, the next read begins with a new one.
            self._reader_local.connection = None
            self._reader_connections.remove(connection)
            connection.close()
            raise
        return page
