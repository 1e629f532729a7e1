"""Catching up where it is easiest to get lost: the moment at which it ends. The rest is in test_seam and on sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hub.hub import Hub
from hub.model import Entry, Page, Topic
from hub.outbox import State

from .test_seam import Reader, forget, make_hub, publish

pytestmark = pytest.mark.anyio


async def resuming(hub: Hub) -> Reader:
    """A reader who was away for one event, and comes back."""
    reader = Reader(hub, ["a"])
    reader.connect()
    await asyncio.sleep(0)
    reader.disconnect(lose=False)
    await publish(hub, 1, ["a"])
    forget(hub)
    reader.connect()
    return reader


async def test_one_who_falls_behind_just_as_it_got_live_catches_up_again(tmp_path: Path) -> None:
    """The first catch-up is over, but its task is not forgotten yet: a second one has to begin all the same."""
    hub = make_hub(str(tmp_path), outbox_bytes=4096)
    await hub.start()
    try:
        reader = await resuming(hub)
        got_live = asyncio.Event()

        def burst() -> None:
            reader.set_room(0)
            for seq in range(2, 61):
                hub.deliver([Entry(seq, (Topic("a"),), b"x" * 1000)])
            got_live.set()

        # The last that a catch-up does; what it puts into the loop comes right after its end.
        hub.send_owed_presence = lambda _: asyncio.get_running_loop().call_soon(burst)  # type: ignore
        async with asyncio.timeout(10):
            await got_live.wait()
            del hub.send_owed_presence
            assert reader.session is not None
            assert reader.session.outbox.state is State.CATCHING_UP
            # What was delivered comes to be in the log, too.
            hub.deliver = lambda _: None  # type: ignore[method-assign]
            for number in range(2, 61):
                await publish(hub, number, ["a"])
            del hub.deliver
            reader.set_room(None)
            while reader.session.outbox.state is not State.LIVE:
                await asyncio.sleep(0.002)
        await asyncio.sleep(0)
        reader.take()
        assert reader.seen == list(range(1, 61))
    finally:
        await hub.stop()


async def test_a_catch_up_that_fails_ends_the_connection(tmp_path: Path) -> None:
    """Nothing may be left that is connected and gets nothing; the client comes back and tries again."""
    hub = make_hub(str(tmp_path))
    await hub.start()
    try:
        hub.engine.read = _broken  # type: ignore[method-assign]
        reader = await resuming(hub)
        assert reader.session is not None
        async with asyncio.timeout(10):
            while reader.session in hub.registry:
                await asyncio.sleep(0.002)
        assert reader.link.closed is not None
        assert reader.link.closed[0] == 1011
        assert not hub.catching_up
    finally:
        await hub.stop()


async def _broken(*_: Any) -> Page:
    raise RuntimeError("the page is torn")
