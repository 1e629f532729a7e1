"""Storms at the door: handshakes of one address have a rate, and who says nothing is held for seconds only."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import selectors
import socket
import statistics
import time
from collections.abc import Callable, Iterator

import pytest

from tests.hub_process import HubProcess

from .gauges import eventually, open_files
from .raw import RawSocket, Refused, handshake, raise_file_limit

pytestmark = pytest.mark.anyio

HALF_OPEN = 10_000
HEAD_TIMEOUT = 6


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


def half_open(port: int) -> list[socket.socket]:
    """Ten thousand connections that began in each way there is, and say no more. Plain sockets, so that it is quick."""
    begun = [b"", b"GET /v1/ws HTTP/1.1\r\n", handshake(port, "/v1/ws")[:-4], b"GET /v1/sse HTTP/1.1\r\nHost: x\r\n",
             b"POST /v1/events HTTP/1.1\r\nHost: x\r\n"]  # fmt: skip
    made = []
    for number in range(HALF_OPEN):
        one = socket.create_connection(("127.0.0.1", port), timeout=10)
        one.sendall(begun[number % len(begun)])
        one.setblocking(False)
        made.append(one)
    return made


def seconds_until_cut(half: list[socket.socket]) -> list[float]:
    """When the hub ended each of them, from now on."""
    began = time.monotonic()
    ended: list[float] = []
    with selectors.DefaultSelector() as selector:
        for one in half:
            selector.register(one, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() - began < 30:
            for key, _ in selector.select(1):
                with contextlib.suppress(ConnectionError):
                    assert key.fileobj.recv(1000) == b""  # type: ignore[union-attr]
                selector.unregister(key.fileobj)
                ended.append(time.monotonic() - began)
    return ended


async def test_ten_thousand_half_open_ones_are_cut_within_seconds_while_others_are_served(
    start_hub: Callable[..., HubProcess],
) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < HALF_OPEN + 1000:
        pytest.skip(f"needs a limit on open files (ulimit -Hn) of {HALF_OPEN + 1000}")
    raise_file_limit()
    hub = await asyncio.to_thread(start_hub, head_timeout=HEAD_TIMEOUT)
    alice = hub.add_user("alice")
    known = await RawSocket.connect(hub.port, token=alice)
    await known.until("welcome")
    before = open_files(hub.pid)
    half = await asyncio.to_thread(half_open, hub.port)
    try:
        await eventually(lambda: open_files(hub.pid), lambda files: files >= before + HALF_OPEN, HEAD_TIMEOUT)
        cutting = asyncio.create_task(asyncio.to_thread(seconds_until_cut, half))
        # All the while, somebody who is in is served, and somebody new comes in.
        delays, entries = [], []
        while not cutting.done():
            asked = time.monotonic()
            await asyncio.to_thread(hub.publish, "t", 1, users=["alice"])
            await known.until("event")
            delays.append(time.monotonic() - asked)
            asked = time.monotonic()
            newcomer = await RawSocket.connect(hub.port, token=alice)
            await newcomer.until("welcome")
            entries.append(time.monotonic() - asked)
            newcomer.cut()
        ended = await cutting
    finally:
        for one in half:
            one.close()
    assert len(ended) == HALF_OPEN
    assert max(ended) < 1.5 * HEAD_TIMEOUT + 2
    assert len(delays) > 10
    assert statistics.median(delays) < 0.1
    # While some thousands are cut at once.
    assert max(*delays, *entries) < 2
    # The hub has a few files more of its own.
    await eventually(lambda: open_files(hub.pid), lambda files: files < before + 20)
    assert hub.stop() == 0
    assert "Traceback" not in hub.log()
    assert " ERROR " not in hub.log()


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
