"""A hub that stops sends its clients away politely: in batches, with 1012, and cuts off those who do not go.

In batches, so that they do not all come back to the next node, or to this one, in the same instant; the clients add
jitter of their own. Has to come before uvicorn's shutdown, which closes all sockets at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hub.hub import Hub

log = logging.getLogger("hub.drain")

_BATCHES = 20


async def drain(hub: Hub, seconds: float, *, cut_short: Callable[[], bool] = lambda: False) -> None:
    """Send every client away over at most half of ``seconds``, wait for them, then cut off the rest.

    ``cut_short`` is asked now and then; once it says so, there is no more waiting.
    """
    sessions = hub.begin_drain()
    if sessions:
        log.info("sending %d connections away", len(sessions))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    pause = min(seconds / 2 / _BATCHES, 0.1)
    size = len(sessions) // _BATCHES + 1
    for start in range(0, len(sessions), size):
        for session in sessions[start : start + size]:
            session.outbox.flush()
            hub.dismiss(session, "restarting")
        if not cut_short():
            await asyncio.sleep(pause)
    while loop.time() < deadline and not cut_short() and any(session.link.pending() for session in sessions):
        await asyncio.sleep(0.05)
    for session in sessions:
        if session.link.pending():
            session.link.abort()
