"""Catching up: pages to one connection, at the pace at which it takes them, until it meets the tail.

For a client that resumes and for one that was too slow alike. The newest entries are in memory (``hub.recent``), where
most of those who come back find all that they missed, at once; older pages are read from the log, one at a time, and
only when the transport takes more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from hub import wire
from hub.errors import HubError
from hub.model import Page
from hub.outbox import State
from hub.session import Session
from hub.wire import Chunk

if TYPE_CHECKING:
    from hub.hub import Hub

log = logging.getLogger("hub.catchup")

_PAGE = 256
_PAGE_BYTES = 256 * 1024
_PATIENCE = 5.0
"""Longest pause, in seconds, between tries to read a log that cannot be read."""


def from_memory(hub: Hub, session: Session) -> bool:
    """Hand over a page of the newest entries, if the session is that far; whether it is live now."""
    outbox = session.outbox
    if outbox.offered < hub.recent.floor or not outbox.is_writable():
        return False
    piece = hub.recent.read(session.topics, outbox.offered, names=session.names, now=time.time(), size=_PAGE_BYTES)
    outbox.page(piece.chunk, piece.through)
    if not piece.more:
        _finish(hub, session)
    return not piece.more


async def run(hub: Hub, session: Session) -> None:
    """Bring a session to the tail. Ends when it is live or closed; a log that fails is tried again."""
    pause = 0.1
    outbox = session.outbox
    while await session.until_writable() and outbox.state is State.CATCHING_UP:
        if outbox.offered >= hub.recent.floor:
            from_memory(hub, session)
            await asyncio.sleep(0)
            continue
        version = session.version
        try:
            page = await hub.engine.read(session.topics, outbox.offered, _PAGE)
        except HubError as error:
            log.warning("%s waits for the log: %s", session.id, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _PATIENCE)
            continue
        # A page that was read for other topics is stale. One whose reader got blocked meanwhile would overtake the
        # answers that wait: it is read anew when there is room.
        if session.version == version and outbox.is_writable():
            _hand_over(hub, session, page)


def _hand_over(hub: Hub, session: Session, page: Page) -> None:
    """Not a coroutine: nothing may come between the look at the tail and going live, or there would be a seam."""
    outbox = session.outbox
    if page.floor > outbox.offered:
        outbox.advance(page.floor)
        hub.tell_reset(session, "truncated", page.floor)
    items: list[wire.Item] = []
    for entry in page.entries:
        if not (entry.exclude and session.is_excluded(entry.exclude)):
            rank = next(rank for rank, name in enumerate(entry.topics) if name in session.topics)
            items.append((entry.seq, rank, wire.event_frame(hub.engine.epoch, entry.topics[rank], entry)))
    outbox.page(Chunk(items) if items else None, page.through)
    if not page.more and page.through >= hub.tail:
        _finish(hub, session)


def _finish(hub: Hub, session: Session) -> None:
    outbox = session.outbox
    outbox.go_live()
    outbox.control(wire.cursor_frame(hub.cursor(outbox.offered)))
    hub.send_owed_presence(session)
