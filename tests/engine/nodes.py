"""Nodes on a stream of the test's own, and what tests of them need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from hub.engine.nats import NatsEngine
from hub.engine.nats_link import Access
from hub.engine.nats_stream import StreamSettings
from hub.errors import HubError
from hub.model import Topic

from .recorder import Recorder

NEWS = Topic("news")
Node = tuple[NatsEngine, Recorder]
OpenNode = Callable[..., AbstractAsyncContextManager[Node]]


async def until(condition: Callable[[], Any], within: float = 15) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


async def refused(call: Awaitable[object]) -> HubError:
    with pytest.raises(HubError) as caught:
        await call
    return caught.value


def settings(name: str, **changes: Any) -> StreamSettings:
    values = {"replicas": 1, "storage": "file", "retention_age": 1e6, "retention_bytes": 1 << 26, "dedupe_window": 1000}
    return StreamSettings(name, **(values | changes))


@asynccontextmanager
async def opened(url: str, stream: StreamSettings) -> AsyncIterator[Node]:
    engine, sink = NatsEngine(Access(tuple(url.split(","))), stream), Recorder()
    await engine.start(sink)
    try:
        yield engine, sink
    finally:
        await engine.stop()
