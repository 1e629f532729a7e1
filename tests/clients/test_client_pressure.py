"""``AsyncClient`` on real sockets: slow and busy applications, full buffers, and no deadlock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hub_client import (
    Event,
    State,
    Unavailable,
)

from .fake_hub import FakeHub, Socket, client_of, event

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]


async def test_a_callback_may_publish_while_the_buffer_is_full(hub: FakeHub) -> None:
    """The classic deadlock: the answer stands behind more events than fit."""
    flood = 300

    async def script(socket: Socket) -> None:
        await socket.welcome()
        for seq in range(1, flood + 1):
            await socket.send(event(seq, data="x" * 100))
        for _ in range(flood):
            frame = await socket.receive()
            receipt = {"id": frame["event"]["id"], "cursor": "e:1", "time": "t", "duplicate": False}
            await socket.send({"type": "ok", "ref": frame["ref"], "receipt": receipt})
        await socket.until_closed()

    hub.on_socket = script
    client = client_of(hub, buffer_bytes=10_000, timeout=30)
    count = 0
    done = asyncio.Event()

    async def echo(received: Event) -> None:
        nonlocal count
        await client.publish("echo", received.data, all=True)
        count += 1
        if count == flood:
            done.set()

    client.on("test", echo)
    async with client, asyncio.timeout(20):
        await done.wait()


async def test_what_was_not_sent_is_not_sent_by_the_next_connection(hub: FakeHub) -> None:
    """Frames that wait because the hub does not read are settled with their connection, and asked again."""
    frames: list[dict[str, Any]] = []

    async def script(socket: Socket) -> None:
        await socket.welcome()
        if socket.number == 1:
            while len(client._runtime._outgoing) < 2:
                await asyncio.sleep(0.01)
            await socket.close(1012)
            return
        while True:
            frame = await socket.receive()
            frames.append(frame)
            receipt = {"id": frame["event"]["id"], "cursor": "e:1", "time": "t", "duplicate": False}
            await socket.send({"type": "ok", "ref": frame["ref"], "receipt": receipt})

    hub.on_socket = script
    client = client_of(hub)
    async with client:
        large = "x" * 6_000_000
        await asyncio.gather(*(client.publish("x", large, all=True, id=str(number)) for number in range(5)))
        await client.publish("x", all=True, id="last")
    assert sorted(frame["event"]["id"] for frame in frames) == ["0", "1", "2", "3", "4", "last"]


async def test_closing_does_not_wait_for_what_nobody_reads(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        for seq in range(1, 1000):
            await socket.send(event(seq, data="x" * 5000))
        await socket.until_closed()

    hub.on_socket = script
    client = client_of(hub, buffer_bytes=10_000)
    async with client:
        await client._handover.changed.until(lambda: client._handover.size > 10_000)
        # The hub's close frame stands behind a lot that is not read.
        before = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - before < 1.5


async def test_memory_for_a_slow_reader_is_bounded(hub: FakeHub) -> None:
    total = 2000
    sent = 0

    async def script(socket: Socket) -> None:
        nonlocal sent
        await socket.welcome()
        for seq in range(1, total + 1):
            await socket.send(event(seq, data="x" * 5000))
            sent = seq
        await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub, buffer_bytes=50_000) as client:
        events = client.events()
        await anext(events)
        stalled = -1
        while stalled != sent:  # Until the hub's socket is full too, and it is held up.
            stalled = sent
            await asyncio.sleep(0.2)
        assert sent < total
        assert client._handover.size < 60_000
        # It goes on where it was, and misses nothing.
        assert [int(received.id[3:]) for received in [await anext(events) for _ in range(total - 1)]] == list(
            range(2, total + 1)
        )


async def test_state_is_told_while_a_callback_is_busy(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.send(event(1))
        await socket.receive()
        await socket.close(1013)

    hub.on_socket = script
    client = client_of(hub)
    waiting = asyncio.Event()
    client.on_state(lambda state: waiting.set() if state is State.WAITING else None)
    told = asyncio.Event()

    async def busy(_: Event) -> None:
        with pytest.raises(Unavailable):
            await client.publish("x", all=True, durable=False)
        await waiting.wait()
        told.set()

    client.on("*", busy)
    async with client:
        await told.wait()
