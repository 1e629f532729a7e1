"""Catching up: pages of the log to one connection, at the pace at which it takes them, until it meets the tail.

For a client that resumes and for one that was too slow alike. It holds one page in memory (bounded in bytes by the
engine) and reads the next only when the transport takes more.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from hub import wire
from hub.errors import HubError
from hub.model import Page
from hub.outbox import State
from hub.session import Session

if TYPE_CHECKING:
    from hub.hub import Hub

log = logging.getLogger("hub.catchup")

_PAGE = 256
_PATIENCE = 5.0
"""Longest pause, in seconds, between tries to read a log that cannot be read."""


async def run(hub: Hub, session: Session) -> None:
    """Bring a session to the tail. Ends when it is live or closed; a log that fails is tried again."""
    pause = 0.1
    while await session.until_writable() and session.outbox.state is State.CATCHING_UP:
        version = session.version
        try:
            page = await hub.engine.read(frozenset(session.topics), session.outbox.position, _PAGE)
        except HubError as error:
            log.warning("%s waits for the log: %s", session.id, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _PATIENCE)
            continue
        # A page that was read for other topics is stale. One whose reader got blocked meanwhile would overtake the
        # answers that wait: it is read anew when there is room.
        if session.version == version and session.outbox.is_writable():
            _hand_over(hub, session, page)


def _hand_over(hub: Hub, session: Session, page: Page) -> None:
    """Not a coroutine: nothing may come between the look at the tail and going live, or there would be a seam."""
    outbox = session.outbox
    if page.floor > outbox.position:
        outbox.advance(page.floor)
        hub.tell_reset(session, "truncated")
    frames = []
    for entry in page.entries:
        if not (entry.exclude and session.is_excluded(entry.exclude)):
            topic = next(name for name in entry.topics if name in session.topics)
            frames.append(wire.event_frame(hub.cursor(entry.seq), topic, entry))
    outbox.page(frames, page.through)
    if not page.more and page.through >= hub.tail:
        outbox.go_live()
        outbox.control(wire.cursor_frame(hub.cursor(page.through)))
        hub.send_owed_presence(session)
