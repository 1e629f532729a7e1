"""The one thread that writes the embedded log: group commit, retention, and going on after whatever fails.

A failure of the disk is told to those who wait and never ends the thread: if it cannot be rolled back, the file is
opened anew, and what turns out to be in it after all goes down the tail like everything else.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from asyncio import Future
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hub.engine import sqlite_log
from hub.engine.sqlite_log import Extent, Group
from hub.errors import HubError
from hub.histogram import Histogram
from hub.model import Draft, Entry, Receipt

log = logging.getLogger("hub.engine")

_GROUP = 5000
"""Rows (events and their targets) after which a commit takes no more appends, so that it stays short."""
_TRIM = 500
"""Entries that one pass of retention deletes at least; more while more than that is written."""
_PROBE_BYTES = 64 * 1024
_IDLE = 1.0
"""Seconds between looks at what is too old."""
_LULL = 0.02
"""Seconds without anything to write after which the newest entries are put into the index of topics."""
_INDEX = 4000
"""Entries that wait for that at most, since every reader has to look through them."""


@dataclass(slots=True)
class Append:
    """Drafts that wait to be appended, all or none."""

    drafts: Sequence[Draft]
    done: Future[list[Receipt]]


@dataclass(slots=True)
class Probe:
    """Wants to know that a commit works."""

    done: Future[None]


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept: seconds, bytes of events, seconds of publishers' ids."""

    age: float
    size: int
    dedupe_window: float


Outcome = tuple["Future[Any]", Any]
"""A future, and the result or the exception that it is to get."""


class Writer:
    """Owns the connection that writes. ``settle`` is called on this thread with what was committed, in order, and what
    to tell those who waited; everything else is called from the event loop."""

    def __init__(
        self,
        path: Path,
        retention: Retention,
        clock: Callable[[], float],
        settle: Callable[[Sequence[Entry], Sequence[Outcome]], None],
    ) -> None:
        self._path = path
        self._retention = retention
        self._clock = clock
        self._settle = settle
        self._work: queue.SimpleQueue[Append | Probe | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log-writer")
        self._connection: sqlite3.Connection | None = None
        self._failures = 0
        """Commits that failed since the last that did not."""
        self._next_trim = self._next_index = 0.0
        self._more_to_trim = False
        self.commit_seconds = Histogram()
        self.extent = Extent("", 0, 0, 0, 0)
        """How far the log reaches. Replaced whole by the thread, so that it is read without a lock."""

    def open(self) -> None:
        """Open or create the log and begin. Blocks; raises what ``sqlite_log.open_writer`` raises."""
        self._connection, self.extent = sqlite_log.open_writer(self._path)
        self._thread.start()

    def put(self, work: Append | Probe) -> None:
        """Hand in what is to be done."""
        self._work.put(work)

    def close(self) -> None:
        """Finish what was handed in, and end. Blocks."""
        if self._thread.is_alive():
            self._work.put(None)
            self._thread.join()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            works, stopping = self._next()
            written = self._commit(works) if works else 0
            waiting = self.extent.head - self.extent.indexed
            if waiting and (not works or waiting > _INDEX) and self._clock() >= self._next_index:
                self._index()
            if self._more_to_trim or self._clock() >= self._next_trim or self.extent.size > self._retention.size:
                self._trim(max(_TRIM, 2 * written))
        if self._connection is not None:
            self._connection.close()

    def _next(self) -> tuple[list[Append | Probe], bool]:
        """What waits now, up to a group; or what comes within a moment. And whether it is time to end."""
        works: list[Append | Probe] = []
        rows = 0
        try:
            unindexed = self.extent.head > self.extent.indexed and self._clock() >= self._next_index
            lull = _LULL if unindexed else _IDLE
            work = self._work.get(timeout=0 if self._more_to_trim else lull)
            while work is not None:
                works.append(work)
                if isinstance(work, Append):
                    rows += sum(1 + len(draft.topics) for draft in work.drafts)
                if rows >= _GROUP:
                    return works, False
                work = self._work.get_nowait()
        except queue.Empty:
            return works, False
        return works, True

    def _commit(self, works: Sequence[Append | Probe]) -> int:
        """Write a group; how many entries it had. Whatever goes wrong, those who wait are told."""
        try:
            group, outcomes = self._write(works)
        except Exception as error:
            if self._failures == 0:
                bug = not isinstance(error, sqlite3.Error | OSError)
                log.error("the log cannot be written: %s; publishers are told to come back", error, exc_info=bug)
            self._failures += 1
            self._recover()
            failure = HubError("log_unavailable", f"The log cannot be written ({error}). Try again later.")
            self._settle([], [(work.done, failure) for work in works])
            return 0
        if self._failures:
            log.warning("the log can be written again, after %d commits that failed", self._failures)
            self._failures = 0
        extent = self.extent
        self.extent = replace(extent, head=extent.head + len(group.entries), size=extent.size + group.bytes)
        self._settle(group.entries, outcomes)
        return len(group.entries)

    def _write(self, works: Sequence[Append | Probe]) -> tuple[Group, list[Outcome]]:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        group = Group(self.extent.head, self._clock() - self._retention.dedupe_window)
        outcomes: list[Outcome] = []
        for work in works:
            if isinstance(work, Probe):
                outcomes.append((work.done, None))
                continue
            try:
                outcomes.append((work.done, group.add(connection, work.drafts)))
            except HubError as refusal:
                outcomes.append((work.done, refusal))
        group.write(connection, self.extent.size)
        if any(isinstance(work, Probe) for work in works):
            # As much as a large event: a disk that is full may still take a page.
            sqlite_log.write_probe(connection, _PROBE_BYTES)
        begun = time.perf_counter()
        connection.execute("COMMIT")
        self.commit_seconds.observe(time.perf_counter() - begun)
        return group, outcomes

    def _index(self) -> None:
        """Put what is new into the index of topics. Readers do without what cannot be put there now."""
        try:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            indexed = sqlite_log.index(connection, self.extent)
            connection.execute("COMMIT")
            self.extent = replace(self.extent, indexed=indexed)
        except Exception as error:
            log.error(
                "new entries cannot be indexed, the next try is in a minute: %s",
                error,
                exc_info=not isinstance(error, sqlite3.Error | OSError),
            )
            self._recover()
            self._next_index = self._clock() + 60

    def _trim(self, limit: int) -> None:
        now = self._clock()
        try:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            floor, size, more = sqlite_log.trim(
                connection,
                self.extent,
                now=now,
                age=self._retention.age,
                size=self._retention.size,
                dedupe_window=self._retention.dedupe_window,
                limit=limit,
            )
            size, more_past = sqlite_log.sweep(connection, replace(self.extent, size=size), now=now, limit=limit)
            connection.execute("COMMIT")
            self.extent = replace(self.extent, floor=floor, size=size)
            more = more or more_past
            self._more_to_trim = more
            self._next_trim = now + _IDLE
            if not more:
                connection.execute("PRAGMA incremental_vacuum(256)").fetchall()
        except Exception as error:
            log.error(
                "retention failed, the next try is in a minute: %s",
                error,
                exc_info=not isinstance(error, sqlite3.Error | OSError),
            )
            self._recover()
            self._more_to_trim = False
            self._next_trim = now + 60

    def _opened(self) -> sqlite3.Connection:
        """The connection, opened anew if the last one had to be given up. Raises what opening raises."""
        if self._connection is None:
            connection, extent = sqlite_log.open_writer(self._path)
            try:
                # A commit that failed may be on disk all the same: those it was refused to will find their duplicates.
                missed = sqlite_log.entries_after(connection, self.extent.head)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection, self.extent = connection, extent
            log.warning("the log was opened anew; %d entries of a failed commit were in it", len(missed))
            self._settle(missed, [])
        return self._connection

    def _recover(self) -> None:
        """Leave the transaction that failed; if that is not to be had, give the connection up."""
        if self._connection is None:
            return
        try:
            # Without a transaction it is not known what became of it: a commit may fail after it was done.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
                return
        except sqlite3.Error as error:
            log.error("not even a rollback works: %s", error)
        connection, self._connection = self._connection, None
        try:
            connection.close()
        except sqlite3.Error as error:
            log.error("the old connection to the log cannot be closed: %s", error)
