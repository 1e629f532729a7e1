"""What is due by time, for all connections in one task: ends of tokens, stalled and dead peers, young cursors."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import time
from typing import TYPE_CHECKING

from hub.session import Session

if TYPE_CHECKING:
    from hub.hub import Hub

log = logging.getLogger("hub.sweeper")

_TICK = 0.25
"""Seconds between sweeps: how late an expired token's connection may be closed."""
_SLICE = 500
"""Connections handled before others get a turn."""
_SPARE = 1000
"""Ends of tokens whose connections are gone that are kept, besides one for each connection."""


class Sweeper:
    """The clock of one hub."""

    def __init__(self, hub: Hub, *, stall_timeout: float, cursor_interval: float, ping_interval: float) -> None:
        self._hub = hub
        self._stall_timeout = stall_timeout
        self._cursor_interval = cursor_interval
        # A sweep asks the connections of one slot whether they live, the next one those of the next, so that all are
        # asked once in an interval. Ids, not sessions, here and below: what has ended is not to be kept alive.
        self._slots: list[list[str]] = [[] for _ in range(math.ceil(ping_interval / _TICK))]
        self._slot = 0
        self._expiries: list[tuple[float, str]] = []
        """(Unix time, session id), the earliest first."""
        self._watched: dict[Session, tuple[float, int]] = {}
        """Those for whom bytes wait: since when (monotonic) the peer has taken how many."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep, on the running loop."""
        self._task = asyncio.create_task(self._run(), name="hub-sweeper")

    async def stop(self) -> None:
        """Sweep no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def enter(self, session: Session) -> None:
        """A connection began: it is asked for the first time after a whole interval."""
        self._slots[self._slot].append(session.id)
        self.expect_expiry(session)

    def expect_expiry(self, session: Session) -> None:
        """Close the session when its principal's time is over, unless that was renewed by then."""
        heapq.heappush(self._expiries, (session.principal.expires_at, session.id))
        # Clients that come and go leave theirs behind, for as long as their tokens would have lived.
        if len(self._expiries) > 2 * len(self._hub.registry) + _SPARE:
            self._expiries = [(living.principal.expires_at, living.id) for living in self._hub.registry]
            heapq.heapify(self._expiries)

    def watch(self, session: Session) -> None:
        """Bytes wait in the session's transport: from now on it has to make progress."""
        self._watched[session] = (time.monotonic(), session.link.taken())

    def forget(self, session: Session) -> None:
        """The session's transport takes more again, or the session ended."""
        self._watched.pop(session, None)

    async def _run(self) -> None:
        next_cursors = time.monotonic() + self._cursor_interval
        while True:
            due = time.monotonic() + _TICK
            await asyncio.sleep(_TICK)
            self._hub.counters.loop_lag_seconds.observe(max(0.0, time.monotonic() - due))
            try:
                self._end_expired()
                self._evict_stalled()
                self._ping_next()
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
        for session, (since, taken) in list(self._watched.items()):
            if session.link.pending() == 0:
                del self._watched[session]
            elif session.link.taken() > taken:
                self._watched[session] = (now, session.link.taken())
            elif now - since > self._stall_timeout:
                log.warning(
                    "%s of %s evicted: it took none of %d bytes for %g s",
                    session.id,
                    session.principal.source,
                    session.link.pending(),
                    self._stall_timeout,
                )
                self._hub.counters.evicted += 1
                session.link.abort()
                self._hub.close(session)

    def _ping_next(self) -> None:
        """Ask the connections of the next slot; one that was silent since it was asked last is cut.

        So a dead peer is held for one to two intervals. While bytes wait before the question it is slow, not dead: then
        it has to make progress, also if it is so little that its transport is not full.
        """
        self._slot = (self._slot + 1) % len(self._slots)
        living = []
        for session_id in self._slots[self._slot]:
            session = self._hub.registry.get(session_id)
            if session is None:
                continue
            waiting = session.link.pending()
            if session.link.ping():
                living.append(session_id)
            elif waiting:
                living.append(session_id)
                if session not in self._watched:
                    self.watch(session)
            else:
                log.info("%s of %s is dead: no answer to a ping", session.id, session.principal.source)
                self._hub.counters.dead += 1
                session.link.abort()
                self._hub.close(session)
        self._slots[self._slot] = living

    async def _send_cursors(self) -> None:
        sessions = list(self._hub.registry)
        for start in range(0, len(sessions), _SLICE):
            for session in sessions[start : start + _SLICE]:
                self._hub.refresh_cursor(session)
            await asyncio.sleep(0)
