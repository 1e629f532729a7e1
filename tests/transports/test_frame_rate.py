"""A client that sends many frames is read at the rate that is set; a flood of tiny ones is the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.hub_process import HubProcess

from .gauges import eventually
from .raw import CONT, PING, PONG, TEXT, RawSocket, frame

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    # 40 at once, then 40 a second.
    hub = HubProcess(tmp_path_factory.mktemp("frames"), frame_rate="40/1s", ping_interval=1)
    try:
        hub.start().add_user("alice")
        yield hub
        assert hub.stop() == 0
        assert "Traceback" not in hub.log()
        assert " ERROR " not in hub.log()
    finally:
        hub.close()


async def enter(hub: HubProcess) -> RawSocket:
    socket = await RawSocket.connect(hub.port, token=await asyncio.to_thread(hub.token, "alice"))
    await socket.until("welcome")
    return socket


def pings(first: int, count: int) -> bytes:
    return b"".join(frame(TEXT, b'{"type":"ping","ref":%d}' % ref) for ref in range(first, first + count))


async def test_a_burst_is_answered_at_once_and_what_follows_at_the_rate(hub: HubProcess) -> None:
    socket = await enter(hub)
    began = time.monotonic()
    socket.writer.write(pings(0, 40))
    assert [(await socket.until("ok"))["ref"] for _ in range(40)] == list(range(40))
    assert time.monotonic() - began < 0.9
    # One by one, as a client in a loop; it is not closed, however long it does so.
    for ref in range(120):
        socket.say(type="ping", ref=ref)
        assert (await socket.until("ok"))["ref"] == ref
    assert time.monotonic() - began > 2.5
    socket.cut()


async def test_a_burst_over_the_rate_waits_and_loses_nothing(hub: HubProcess) -> None:
    socket = await enter(hub)
    began = time.monotonic()
    socket.writer.write(pings(0, 100))
    socket.say(type="ping", ref="last")
    assert [(await socket.until("ok"))["ref"] for _ in range(101)] == [*range(100), "last"]
    # What was read at once is answered at once; the next one is read when those are paid for.
    began_next = time.monotonic()
    socket.say(type="ping", ref="next")
    assert (await socket.until("ok"))["ref"] == "next"
    assert time.monotonic() - began > 1.4, "100 frames of which 40 were free"
    assert time.monotonic() - began_next < 5
    socket.cut()


@pytest.mark.parametrize("flood", [frame(PING), frame(PONG), frame(TEXT, fin=False) + frame(CONT, fin=False) * 5000])
async def test_a_flood_of_tiny_frames_is_the_end(hub: HubProcess, flood: bytes) -> None:
    socket, other = await enter(hub), await enter(hub)
    socket.writer.write(flood * (30_000 // len(flood)) if len(flood) < 10_000 else flood)
    other.say(type="ping", ref=1)
    assert (await other.until("ok"))["ref"] == 1
    async with asyncio.timeout(4):
        code, reason = await goodbye(socket)
    assert (code, reason) == (1013, "rate_limited: Too many frames in too short a time.")
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 1)
    other.cut()
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 0)


async def goodbye(socket: RawSocket) -> tuple[int, str]:
    """The close frame, without waiting for what comes after it."""
    while True:
        opcode, payload = await socket.receive()
        if opcode == 8:
            return int.from_bytes(payload[:2], "big"), payload[2:].decode()


async def test_one_that_is_made_to_wait_is_not_dead_and_gets_its_events(hub: HubProcess) -> None:
    socket = await enter(hub)
    # Three seconds of pause, more than two intervals of pings.
    socket.writer.write(frame(PONG) * 110)
    await asyncio.to_thread(hub.publish, "t", 1, users=["alice"])
    assert (await socket.until("event"))["event"]["data"] == 1
    socket.say(type="ping", ref="after")
    assert (await socket.until("ok"))["ref"] == "after"
    socket.cut()
