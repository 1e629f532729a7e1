"""What is due by time, for all connections in one task: ends of tokens, stalled and dead peers, young cursors."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import time
from typing import TYPE_CHECKING

from hub import wire
from hub.outbox import State
from hub.session import Session

if TYPE_CHECKING:
    from hub.hub import Hub

log = logging.getLogger("hub.sweeper")

_TICK = 0.25
"""Seconds between sweeps: how late an expired token's connection may be closed."""
_SLICE = 500
"""Connections handled before others get a turn."""


class Sweeper:
    """The clock of one hub."""

    def __init__(self, hub: Hub, *, stall_timeout: float, cursor_interval: float, ping_interval: float) -> None:
        self._hub = hub
        self._stall_timeout = stall_timeout
        self._cursor_interval = cursor_interval
        self._ping_interval = ping_interval
        # Those who are still to be asked in this round, and how many a sweep asks so that a round takes an interval.
        self._to_ping: list[Session] = []
        self._pings = 1
        # (Unix time, session id). Ids, not sessions: one that ends early must not be kept alive until its token ends.
        self._expiries: list[tuple[float, str]] = []
        self._blocked: set[Session] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep, on the running loop."""
        self._task = asyncio.create_task(self._run(), name="hub-sweeper")

    async def stop(self) -> None:
        """Sweep no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def expect_expiry(self, session: Session) -> None:
        """Close the session when its principal's time is over, unless that was renewed by then."""
        heapq.heappush(self._expiries, (session.principal.expires_at, session.id))

    def watch(self, session: Session) -> None:
        """The session's transport is full: from now on it has to make progress."""
        session.stalled_since, session.stalled_bytes = time.monotonic(), session.link.pending()
        self._blocked.add(session)

    def forget(self, session: Session) -> None:
        """The session's transport takes more again, or it ended."""
        self._blocked.discard(session)

    async def _run(self) -> None:
        next_cursors = time.monotonic() + self._cursor_interval
        next_round = time.monotonic() + self._ping_interval
        while True:
            await asyncio.sleep(_TICK)
            try:
                self._end_expired()
                self._evict_stalled()
                self._ping()
                if time.monotonic() >= next_round:
                    next_round = time.monotonic() + self._ping_interval
                    self._begin_round()
                if time.monotonic() >= next_cursors:
                    next_cursors = time.monotonic() + self._cursor_interval
                    await self._send_cursors()
            except Exception:
                log.exception("a sweep failed; the next one is due")

    def _end_expired(self) -> None:
        now = time.time()
        while self._expiries and self._expiries[0][0] <= now:
            session = self._hub.registry.get(heapq.heappop(self._expiries)[1])
            if session is not None and session.principal.expires_at <= now:
                self._hub.dismiss(session, "token_expired")

    def _evict_stalled(self) -> None:
        now = time.monotonic()
        for session in list(self._blocked):
            pending = session.link.pending()
            if pending < session.stalled_bytes:
                session.stalled_since, session.stalled_bytes = now, pending
            elif now - session.stalled_since > self._stall_timeout:
                log.warning(
                    "%s of %s evicted: it took none of %d bytes for %g s",
                    session.id,
                    session.principal.source,
                    pending,
                    self._stall_timeout,
                )
                self._hub.counters.evicted += 1
                session.link.abort()
                self._hub.close(session)

    def _begin_round(self) -> None:
        """Ask every connection whether it lives, spread over the interval; one that is silent for a round is cut.

        So a dead peer is held for one to two intervals.
        """
        self._ping(len(self._to_ping))
        self._to_ping = list(self._hub.registry)
        self._pings = math.ceil(len(self._to_ping) * _TICK / self._ping_interval)

    def _ping(self, count: int | None = None) -> None:
        for _ in range(min(len(self._to_ping), self._pings if count is None else count)):
            session = self._to_ping.pop()
            if session in self._hub.registry and not session.link.ping():
                log.info("%s of %s is dead: no answer to a ping", session.id, session.principal.source)
                session.link.abort()
                self._hub.close(session)

    async def _send_cursors(self) -> None:
        sessions = list(self._hub.registry)
        for start in range(0, len(sessions), _SLICE):
            for session in sessions[start : start + _SLICE]:
                outbox = session.outbox
                if outbox.state is State.LIVE and not outbox.queued_bytes and outbox.position < self._hub.tail:
                    outbox.advance(self._hub.tail)
                    outbox.control(wire.cursor_frame(self._hub.cursor(self._hub.tail)))
            await asyncio.sleep(0)
