"""Storms at the door: handshakes of one address have a rate, and who says nothing is held for seconds only."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from tests.hub_process import HubProcess

from .gauges import eventually, open_files
from .raw import RawSocket, Refused, handshake, in_parallel, raise_file_limit

pytestmark = pytest.mark.anyio

HALF_OPEN = 2000


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    raise_file_limit()
    hub = HubProcess(
        tmp_path_factory.mktemp("storm"),
        handshakes_address="5/1h",
        head_timeout=3,
        connections_user=0,
        login_successes=0,
    )
    try:
        hub.start().add_user("alice")
        yield hub
        assert "Traceback" not in hub.log()
        assert " ERROR " not in hub.log()
    finally:
        hub.close()


def from_address(address: str) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", address)]


async def enter(hub: HubProcess, address: str, token: str) -> RawSocket:
    return await RawSocket.connect(hub.port, token=token, headers=from_address(address))


async def test_an_address_that_comes_too_often_is_refused_before_the_upgrade(hub: HubProcess) -> None:
    alice = hub.token("alice")
    refused = hub.metrics()["hub_connections_refused_total"]
    # Good and bad ones count alike, and an IPv6 network is one address.
    for number, token in enumerate([alice, "nonsense", alice, "nonsense", alice]):
        await enter(hub, f"2001:db8::{number + 1}", token)
    with pytest.raises(Refused) as refusal:
        await enter(hub, "2001:db8::99", alice)
    assert refusal.value.status == 429
    head = str(refusal.value).lower()
    assert "retry-after: 7" in head
    assert "application/problem+json" in head
    assert hub.metrics()["hub_connections_refused_total"] == refused + 3
    await enter(hub, "2001:db8:0:1::1", alice)


async def test_a_trusted_proxy_may_be_anybody(hub: HubProcess) -> None:
    alice = hub.token("alice")
    for _ in range(20):
        await RawSocket.connect(hub.port, token=alice)


async def test_half_open_ones_are_cut_within_seconds_while_others_are_served(hub: HubProcess) -> None:
    alice = hub.token("alice")
    before = open_files(hub.pid)
    whole = handshake(hub.port, "/v1/ws")
    begun = [b"", b"GET /v1/ws HTTP/1.1\r\n", whole[:-4], b"POST /v1/events HTTP/1.1\r\nHost: x\r\n"]

    async def dial(number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(begun[number % len(begun)])
        return reader, writer

    began = time.monotonic()
    half = await in_parallel(dial(number) for number in range(HALF_OPEN))
    assert time.monotonic() - began < 3, "a machine that is too slow to tell"
    assert open_files(hub.pid) >= before + HALF_OPEN
    socket = await RawSocket.connect(hub.port, token=alice)
    await socket.until("welcome")
    asked = time.monotonic()
    await asyncio.to_thread(hub.publish, "t", 1, users=["alice"])
    assert (await socket.until("event"))["event"]["data"] == 1
    assert time.monotonic() - asked < 1
    async with asyncio.timeout(10):
        for reader, writer in half:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.transport.abort()
    # The hub has a few files more of its own, and this connection.
    await eventually(lambda: open_files(hub.pid), lambda files: files < before + 20)
    socket.say(type="ping", ref=1)
    assert (await socket.until("ok"))["ref"] == 1


@pytest.mark.parametrize("path", ["/v1/events", "/v1/auth/login"])
async def test_a_stranger_whose_body_trickles_in_is_cut(hub: HubProcess, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n".encode())
    end = asyncio.create_task(reader.read())
    async with asyncio.timeout(8):
        while not (await asyncio.wait({end}, timeout=0.2))[0]:
            writer.write(b" ")
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await end


async def test_a_storm_is_told_at_once_to_come_back_and_the_first_come_in(
    start_hub: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(start_hub, handshakes_waiting=5)
    alice = hub.add_user("alice")
    streams = [await asyncio.open_connection("127.0.0.1", hub.port) for _ in range(200)]
    for _, writer in streams:
        writer.write(handshake(hub.port, f"/v1/ws?token={alice}"))
    async with asyncio.timeout(10):
        heads = [(await reader.readuntil(b"\r\n\r\n")).decode().lower() for reader, _ in streams]
    for _, writer in streams:
        writer.transport.abort()
    statuses = [int(head.split()[1]) for head in heads]
    assert set(statuses) == {101, 503}
    assert all("retry-after: 1\r\n" in head for head, status in zip(heads, statuses, strict=True) if status == 503)
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 0)
    assert hub.metrics()["hub_connections_refused_total"] == statuses.count(503)
