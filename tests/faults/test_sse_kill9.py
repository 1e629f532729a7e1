"""kill -9 and restarts while readers of server-sent events are connected: each comes back as a browser does, to the
same URL with ``Last-Event-ID``, and has each event once and in order."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

import pytest

from tests.hub_process import HubProcess
from tests.transports.stream import Stream

pytestmark = pytest.mark.anyio

ROUNDS = 3


class Reader:
    """An ``EventSource``: it knows its URL, and the last id that it was told."""

    def __init__(self, hub: HubProcess, token: str) -> None:
        self._hub = hub
        self._token = token
        self._last_id = ""
        self.numbers: list[int] = []
        self.connections = 0
        self.resets = 0

    async def run(self) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError, asyncio.IncompleteReadError):
                await self._read()
            await asyncio.sleep(random.uniform(0, 0.1))

    async def _read(self) -> None:
        headers = [f"Last-Event-ID: {self._last_id}"] if self._last_id else []
        stream = await Stream.open(self._hub, None, *headers, token=self._token, topics="orders:1", after="earliest")
        try:
            assert stream.status == 200, stream.body
            self.connections += 1
            while True:
                event = await stream.next()
                self._last_id = event.last_id
                self.resets += event.name == "reset"
                if event.name == "message":
                    self.numbers.append(event.json["event"]["data"])
        finally:
            stream.cut()


async def publish(hub: HubProcess, stopping: asyncio.Event) -> int:
    """Numbers, one after the other, each until it is acknowledged; how many."""
    number = 0
    while not stopping.is_set():
        body = {"id": f"n{number}", "type": "n", "data": number, "to": {"topics": ["orders:1"]}}
        with contextlib.suppress(Exception):  # Killed meanwhile. The id makes it safe to say again.
            await asyncio.to_thread(hub.call, "POST", "/v1/events", json=body)
            number += 1
    return number


async def test_each_event_once_and_in_order(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub(access_ttl=86400)
    token = hub.add_user("alice", subscribe=["orders:*"])
    hub.admin_headers()
    readers = [Reader(hub, token) for _ in range(10)]
    reading = [asyncio.create_task(reader.run()) for reader in readers]
    stopping = asyncio.Event()
    writing = asyncio.create_task(publish(hub, stopping))
    try:
        for number in range(ROUNDS):
            await asyncio.sleep(random.uniform(0.3, 1))
            await asyncio.to_thread(hub.kill if number % 2 == 0 else hub.stop)
            await asyncio.to_thread(hub.start)
        stopping.set()
        count = await writing
        async with asyncio.timeout(30):
            while any(len(reader.numbers) < count for reader in readers):
                assert not any(task.done() for task in reading)
                await asyncio.sleep(0.05)
    finally:
        for task in (*reading, writing):
            task.cancel()
        await asyncio.gather(*reading, writing, return_exceptions=True)
    assert count > 20
    for reader in readers:
        assert reader.numbers == list(range(count))
        assert reader.resets == 0
        assert reader.connections > ROUNDS
