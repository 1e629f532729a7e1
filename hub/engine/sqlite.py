"""The embedded engine: one SQLite file, one writer thread, group commit, the tail in this process.

Appends that arrive while a commit is being written to disk share the next one: the price of an fsync is paid once for
all of them. ``synchronous=FULL`` in WAL mode makes a commit durable before it returns (sqlite.org/pragma.html), so the
2xx that follows survives kill -9 and, as far as the disk is honest, a power cut. Readers have their own connections
and never wait for the writer.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hub.engine import sqlite_log
from hub.engine.base import Sink
from hub.engine.sqlite_log import Extent, Group
from hub.errors import HubError
from hub.model import Draft, Entry, Page, PresenceChange, Receipt, Topic

log = logging.getLogger("hub.engine")

_GROUP = 2000
"""Drafts in one commit, so that one commit stays short."""
_TRIM_INTERVAL = 1.0
_PROBE_TIMEOUT = 2.0


@dataclass(slots=True)
class _Append:
    drafts: Sequence[Draft]
    done: asyncio.Future[list[Receipt]]


@dataclass(slots=True)
class _Probe:
    done: asyncio.Future[None]


_Work = _Append | _Probe | None
_Outcome = tuple[asyncio.Future[Any], Any]


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
        self._retention_age = retention_age
        self._retention_bytes = retention_bytes
        self._dedupe_window = dedupe_window
        self._clock = clock
        # Replaced whole by the writer thread, so that the loop reads it without a lock.
        self._extent = Extent("", 0, 0, 0)
        self._next_trim = 0.0
        self._closing = False
        self._work: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._reader_local = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []
        self._sink: Sink | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._members: defaultdict[Topic, set[str]] = defaultdict(set)

    @property
    def epoch(self) -> str:
        """See ``Engine``."""
        return self._extent.epoch

    @property
    def head(self) -> int:
        """See ``Engine``."""
        return self._extent.head

    @property
    def floor(self) -> int:
        """See ``Engine``."""
        return self._extent.floor

    @property
    def stored_bytes(self) -> int:
        """Bytes of the events in the log."""
        return self._extent.size

    async def start(self, sink: Sink) -> None:
        """See ``Engine``."""
        self._loop = asyncio.get_running_loop()
        self._sink = sink
        try:
            connection, self._extent = await asyncio.to_thread(sqlite_log.open_writer, self._path)
        except sqlite3.Error as error:
            raise OSError(
                f"the log {self._path} cannot be opened ({error}); restore it from a backup, or move it and the files "
                "beside it that begin with its name away to begin an empty one"
            ) from error
        self._readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="log-reader")
        self._writer = threading.Thread(target=self._write_loop, args=(connection,), name="log-writer")
        self._writer.start()

    async def stop(self) -> None:
        """See ``Engine``."""
        self._closing = True
        if self._writer is not None:
            self._work.put(None)
            await asyncio.to_thread(self._writer.join)
            self._writer = None
        if self._readers is not None:
            await asyncio.to_thread(self._readers.shutdown)
            self._readers = None
            for connection in self._reader_connections:
                connection.close()
            self._reader_connections.clear()

    async def append(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """See ``Engine``."""
        done: asyncio.Future[list[Receipt]] = self._running_loop().create_future()
        self._work.put(_Append(drafts, done))
        return await done

    async def probe(self) -> None:
        """See ``Engine``: a commit by the writer, answered the way entries are."""
        done: asyncio.Future[None] = self._running_loop().create_future()
        self._work.put(_Probe(done))
        try:
            await asyncio.wait_for(done, _PROBE_TIMEOUT)
        except TimeoutError:
            raise HubError("log_unavailable", f"The log did not answer within {_PROBE_TIMEOUT:g} s.") from None

    async def read(self, topics: Collection[Topic], after: int | None, limit: int) -> Page:
        """See ``Engine``."""
        loop, wanted = self._running_loop(), tuple(topics)
        try:
            return await loop.run_in_executor(self._readers, self._read, wanted, after, limit)
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

    # --- The writer thread

    def _write_loop(self, connection: sqlite3.Connection) -> None:
        stopping = False
        while not stopping:
            works: list[_Append | _Probe] = []
            drafts = 0
            try:
                work = self._work.get(timeout=_TRIM_INTERVAL)
                while True:
                    if work is None:
                        stopping = True
                        break
                    works.append(work)
                    drafts += len(work.drafts) if isinstance(work, _Append) else 0
                    if drafts >= _GROUP:
                        break
                    work = self._work.get_nowait()
            except queue.Empty:
                pass
            if works:
                self._commit(connection, works)
            if self._clock() >= self._next_trim or self._extent.size > self._retention_bytes:
                self._trim(connection)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, works: Sequence[_Append | _Probe]) -> None:
        entries: list[Entry] = []
        outcomes: list[_Outcome] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            group = Group(self._extent.head, self._clock() - self._dedupe_window)
            for work in works:
                if isinstance(work, _Probe):
                    outcomes.append((work.done, None))
                    continue
                try:
                    outcomes.append((work.done, group.add(connection, work.drafts)))
                except HubError as refusal:
                    outcomes.append((work.done, refusal))
            group.write(connection, self._extent.size)
            connection.execute("COMMIT")
            entries = group.entries
            extent = self._extent
            self._extent = replace(extent, head=extent.head + len(entries), size=extent.size + group.bytes)
        except Exception as error:  # A writer that dies would hang every publisher: whatever it is, they are told.
            log.error("the log cannot be written: %s", error, exc_info=not isinstance(error, sqlite3.Error))
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            entries = []
            failure = HubError("log_unavailable", f"The log cannot be written ({error}). Try again later.")
            outcomes = [(work.done, failure) for work in works]
        self._on_loop(entries, outcomes)

    def _on_loop(self, entries: Sequence[Entry], outcomes: Sequence[_Outcome]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._settle, entries, outcomes)
        except RuntimeError:  # The loop was closed under us; what was committed is in the log.
            log.warning("the event loop ended before the log did")

    def _settle(self, entries: Sequence[Entry], outcomes: Iterable[_Outcome]) -> None:
        assert self._sink is not None
        if entries:
            self._sink.deliver(entries)
        for done, outcome in outcomes:
            if done.done():
                continue  # The caller was cancelled; the entry stays, a retry finds the duplicate.
            if isinstance(outcome, BaseException):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

    def _trim(self, connection: sqlite3.Connection) -> None:
        now = self._clock()
        try:
            connection.execute("BEGIN IMMEDIATE")
            floor, size, more = sqlite_log.trim(
                connection,
                self._extent,
                now=now,
                age=self._retention_age,
                size=self._retention_bytes,
                dedupe_window=self._dedupe_window,
            )
            connection.execute("COMMIT")
            self._extent = replace(self._extent, floor=floor, size=size)
            if not more:
                connection.execute("PRAGMA incremental_vacuum(256)").fetchall()
            self._next_trim = now if more else now + _TRIM_INTERVAL
        except sqlite3.Error as error:
            log.error("retention failed, the next try is in a minute: %s", error)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._next_trim = now + 60

    # --- The reader threads

    def _read(self, topics: Sequence[Topic], after: int | None, limit: int) -> Page:
        connection: sqlite3.Connection | None = getattr(self._reader_local, "connection", None)
        if connection is None:
            connection = self._reader_local.connection = sqlite_log.connect(self._path)
            connection.execute("PRAGMA query_only=1")
            self._reader_connections.append(connection)
        connection.execute("BEGIN")
        try:
            return sqlite_log.read_page(connection, topics, after, limit, self._clock())
        finally:
            connection.execute("COMMIT")
