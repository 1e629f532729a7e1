"""Reading the log on request: history and the long poll. The same pages that catch-up reads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

from hub import tenancy
from hub.model import Cursor, Entry, Page, Topic

if TYPE_CHECKING:
    from hub.hub import Hub


async def read(hub: Hub, topics: Collection[Topic], *, after: str | None, limit: int, wait: float) -> bytes:
    """A page as the JSON of ``GET /v1/events``: ``events``, ``cursor`` to go on from, ``reset``, ``more``.

    Waits up to ``wait`` seconds for the first event if there is none yet; a hub that stops answers at once. Raises
    ``cursor_invalid`` and ``log_unavailable``. Who may read the topics is the caller's to check.
    """
    position, lost = (None, None) if after is None else hub.locate(after)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    # Listening begins before the first look, so that nothing comes between the two.
    with hub.pollers.listening(topics) as news:
        while True:
            news.clear()
            page = await hub.engine.read(topics, position, limit)
            left = deadline - loop.time()
            reset = lost is not None or (position is not None and page.floor > position)
            if page.entries or page.more or reset or left <= 0 or hub.draining:
                break
            position = page.through
            try:
                await asyncio.wait_for(news.wait(), left)
            except TimeoutError:
                break
    return _encode(hub, page, frozenset(topics), reset)


def _encode(hub: Hub, page: Page, topics: frozenset[Topic], reset: bool) -> bytes:
    events = b",".join(_event(hub.cursor(entry.seq), entry, topics) for entry in page.entries)
    flags = tuple(b"true" if flag else b"false" for flag in (reset, page.more))
    cursor = str(hub.cursor(page.through)).encode()
    return b'{"events":[%b],"cursor":"%b","reset":%b,"more":%b}' % (events, cursor, *flags)


def _event(cursor: Cursor, entry: Entry, topics: frozenset[Topic]) -> bytes:
    topic = next(name for name in entry.topics if name in topics)
    return b'{"cursor":"%b","topic":"%b","event":%b}' % (
        str(cursor).encode(),
        tenancy.local(topic).encode(),
        entry.body,
    )
