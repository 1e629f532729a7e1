"""What is due by time. That it comes in time is seen on real sockets, in tests/transports; here, what it keeps."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from hub.hub import Hub
from hub.model import Principal
from hub.session import Session

from .fakes import FakeLink
from .test_seam import make_hub

pytestmark = pytest.mark.anyio


def connect(hub: Hub, *, lives: float = 3600) -> Session:
    principal = Principal("alice", "user", "s1", time.time() + lives)
    return hub.open(principal, FakeLink(), client="tab-00000001", address="test")


async def test_clients_that_come_and_go_leave_nothing_behind(tmp_path: Path) -> None:
    """Whatever the life of their tokens: one who reconnects for ever must not fill the memory."""
    hub = make_hub(str(tmp_path), ping_interval=0.5)
    await hub.start()
    try:
        staying = connect(hub, lives=0.6)
        for _ in range(5000):
            hub.close(connect(hub, lives=10 * 365 * 86400))
        assert len(hub._sweeper._expiries) < 2000
        async with asyncio.timeout(5):
            while staying in hub.registry or any(hub._sweeper._slots):
                await asyncio.sleep(0.02)
        # The one who stayed was not forgotten over the others.
        assert isinstance(staying.link, FakeLink)
        assert staying.link.closed is not None
        assert staying.link.closed[1].startswith("token_expired")
    finally:
        await hub.stop()
