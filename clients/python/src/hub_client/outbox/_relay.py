"""``AsyncRelay`` and ``Relay``: publish what is in an outbox, for as long as they run."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from hub_client._errors import PublishFailed, Refused
from hub_client._publisher import AsyncPublisher
from hub_client._sync_publisher import Publisher
from hub_client.outbox._outbox import Outbox
from hub_client.outbox._round import Round
from hub_client.outbox._store import Store, what_a_database_raises

log = logging.getLogger("hub_client.outbox")

# Seconds: the longest wait after a failure; the first is a poll.
_MOST = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a round did: events acknowledged and parked, and the ``lag``: the age of the oldest that still waits, in
    seconds (0: none). ``error``: why it could not go on."""

    sent: int
    parked: int
    lag: float
    error: Exception | None = None


OnProgress = Callable[[Progress], object]


class AsyncRelay:
    """Publishes the events of an outbox, in rounds; for an ``AsyncEngine``.

    ``poll``: seconds between looks while there is nothing. ``limit``: events of one round, at most. ``on_progress`` is
    called after each round that did something or failed, and about every ``poll`` besides: for metrics, and alerts on
    ``lag``. On PostgreSQL a round is one transaction, which is open for as long as its requests take.

    Any number of relays may run, on any number of machines. A hub or a database that is away is waited for.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        outbox: Outbox,
        publisher: AsyncPublisher,
        *,
        poll: float = 0.5,
        limit: int = 1000,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._engine = engine
        self._store = Store(outbox, limit)
        self._publisher = publisher
        self._poll = poll
        self._on_progress = on_progress
        self._wake = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Relay until ``stop``, or until it is cancelled, which may happen at any time. Raises ``Rejected`` where the
        hub refuses the credentials."""
        failures = 0
        while not self._stopping:
            self._wake.clear()
            progress = await self._round()
            _tell(self._on_progress, progress)
            failures = failures + 1 if progress.error else 0
            if progress.error or not (progress.sent or progress.parked):
                try:
                    async with asyncio.timeout(_pause(self._poll, failures)):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    def wake(self) -> None:
        """Look now: something was committed. For the event loop that ``run`` is on."""
        self._wake.set()

    def stop(self) -> None:
        """End after the round that is under way."""
        self._stopping = True
        self._wake.set()

    async def drain(self) -> int:
        """Relay what there is, then return how many events were sent. Raises what keeps it from going on."""
        sent = 0
        while True:
            progress = await self._round()
            sent += progress.sent
            if progress.error is not None:
                raise progress.error
            if not (progress.sent or progress.parked):
                return sent

    async def _round(self) -> Progress:
        try:
            async with self._engine.connect() as connection:
                done = Round(await connection.run_sync(self._store.take))
                error = await self._publish(done)
                lag = await connection.run_sync(self._store.settle, done)
        except what_a_database_raises(self._engine.dialect) as broken:
            # What was sent is sent again, under the same ids.
            return Progress(0, 0, 0.0, broken)
        return Progress(len(done.sent), len(done.parked), lag, error)

    async def _publish(self, todo: Round) -> Exception | None:
        while (batch := todo.next()) is not None:
            try:
                await self._publisher._send(batch, batch.array)
            except PublishFailed as failed:
                return failed
            except Refused as refused:
                _refuse(todo, refused)
            else:
                todo.acknowledged()
        return None


class Relay:
    """``AsyncRelay`` without ``await``: for an ``Engine``, a ``Publisher``, and a thread or a process of its own."""

    def __init__(
        self,
        engine: Engine,
        outbox: Outbox,
        publisher: Publisher,
        *,
        poll: float = 0.5,
        limit: int = 1000,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._engine = engine
        self._store = Store(outbox, limit)
        self._publisher = publisher
        self._poll = poll
        self._on_progress = on_progress
        self._wake = threading.Event()
        self._stopping = False

    def run(self) -> None:
        """Relay until ``stop``. Raises ``Rejected`` where the hub refuses the credentials."""
        failures = 0
        while not self._stopping:
            self._wake.clear()
            progress = self._round()
            _tell(self._on_progress, progress)
            failures = failures + 1 if progress.error else 0
            if progress.error or not (progress.sent or progress.parked):
                self._wake.wait(_pause(self._poll, failures))

    def wake(self) -> None:
        """Look now: something was committed. May be called on any thread."""
        self._wake.set()

    def stop(self) -> None:
        """End after the round that is under way. May be called on any thread, and by a signal handler."""
        self._stopping = True
        self._wake.set()

    def drain(self) -> int:
        """Relay what there is, then return how many events were sent. Raises what keeps it from going on."""
        sent = 0
        while True:
            progress = self._round()
            sent += progress.sent
            if progress.error is not None:
                raise progress.error
            if not (progress.sent or progress.parked):
                return sent

    def _round(self) -> Progress:
        try:
            with self._engine.connect() as connection:
                done = Round(self._store.take(connection))
                error = self._publish(done)
                lag = self._store.settle(connection, done)
        except what_a_database_raises(self._engine.dialect) as broken:
            return Progress(0, 0, 0.0, broken)
        return Progress(len(done.sent), len(done.parked), lag, error)

    def _publish(self, todo: Round) -> Exception | None:
        while (batch := todo.next()) is not None:
            try:
                self._publisher._send(batch)
            except PublishFailed as failed:
                return failed
            except Refused as refused:
                _refuse(todo, refused)
            else:
                todo.acknowledged()
        return None


def _refuse(todo: Round, refused: Refused) -> None:
    if refused.status == 401:
        raise refused  # Of the credentials, not of the events.
    parked = len(todo.parked)
    todo.refused(refused)
    for row, _ in todo.parked[parked:]:
        log.error("The event %s was refused, and is parked: %s", row.event_id, refused)


def _pause(poll: float, failures: int) -> float:
    """Full jitter, so that relays which fail together do not come back together."""
    return random.uniform(poll / 2, min(_MOST, poll * 2 ** min(failures, 16))) if failures else poll  # noqa: S311


def _tell(on_progress: OnProgress | None, progress: Progress) -> None:
    if progress.error is not None:
        log.warning("The outbox waits: %s", progress.error)
    if on_progress is not None:
        try:
            on_progress(progress)
        except Exception:
            log.exception("on_progress failed")
