"""Clients that publish and do not read the answers, or do late, or do nothing: bounded, given up, or served in full."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator

import pytest

from tests.hub_process import HubProcess

from .conftest import well_behaved
from .gauges import MEBIBYTE, eventually, resident
from .http_client import Client, event, found, post
from .inside import Inside, until

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub for the module. In the end its log has no traceback, and no task is left."""
    unlimited = {"publish_events_user": 0, "publish_bytes_user": 0}
    with well_behaved(tmp_path_factory.mktemp("unread"), ping_interval=2, **unlimited) as hub:
        yield hub


async def flood(client: Client, request: bytes, most: int) -> int:
    """Write without reading until it does not go on for a second; the bytes that went."""
    written = 0
    with contextlib.suppress(TimeoutError, ConnectionError):
        while written < most:
            client.writer.write(request)
            written += len(request)
            async with asyncio.timeout(1):
                await client.writer.drain()
    return written


@pytest.mark.parametrize("kind", ["passing", "refused", "bad", "durable"])
async def test_one_who_does_not_read_is_not_read_and_in_the_end_given_up(
    hub: HubProcess, alice: str, kind: str
) -> None:
    client = await Client.connect(hub, receive_buffer=4096)
    token, body = (None if kind == "refused" else alice), (b"{" if kind == "bad" else event(durable=kind == "durable"))
    before = resident(hub.pid)
    most = 30 * MEBIBYTE
    assert await flood(client, post(token, body) * 50, most) < most
    assert resident(hub.pid) - before < 8 * MEBIBYTE
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        async with asyncio.timeout(10):
            while client.writer.transport.get_write_buffer_size():
                await asyncio.sleep(0.05)
    assert client.writer.transport.is_closing()


async def test_requests_that_wait_are_bounded(client: Client) -> None:
    """The last ones are not answered; their client, who is none that anybody knows, asks again."""
    client.writer.write(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n" * 2000)
    answers = 0
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while (await client.answer()).status == 200:
            answers += 1
    assert 500 < answers < 2000


@pytest.mark.parametrize("size", [0, 1500])
async def test_one_who_reads_late_gets_all_answers(hub: HubProcess, alice: str, size: int) -> None:
    """Wherever in a request the hub had stopped to read."""
    client = await Client.connect(hub, receive_buffer=4096)
    count = 8_000_000 // (1000 + size)
    requests = [post(alice, event(id=f"late-{n}", durable=False, data="x" * size)) for n in range(count)]

    async def send() -> None:
        for request in requests:
            client.writer.write(request)
            await client.writer.drain()

    sending = asyncio.create_task(send())
    # It cannot go on: answers wait.
    await eventually(lambda: client.writer.transport.get_write_buffer_size(), lambda waiting: waiting > 50_000)
    assert not sending.done()
    for n in range(count):
        assert found(await client.answer()) == (200, f"late-{n}")
    await sending


async def test_one_whose_body_waits_for_its_answers_is_read_on(inside: Inside) -> None:
    """The hub stopped to read it in the middle of a body; nothing but the reading of the answers makes it go on."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", inside.port))
    client = Client(*await asyncio.open_connection(sock=sock, limit=4096))
    await until(lambda: bool(inside.http()))
    [protocol] = inside.http()
    kernel = socket.socket(fileno=os.dup(protocol.transport.get_extra_info("socket").fileno()))
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    # All in one read: what is answered fills the transport, and the last one is not whole.
    count = 300
    request = post("good", event(durable=False))
    protocol.transport.pause_reading()
    client.writer.write(request * count + request[:-1])
    waiting = len(request) * (count + 1) - 1
    assert waiting < 256 * 1024
    with kernel:
        await client.writer.drain()
        await until(lambda: len(kernel.recv(waiting, socket.MSG_PEEK)) == waiting)
    protocol.transport.resume_reading()
    await until(lambda: protocol.flow.write_paused)
    assert protocol.cycle.more_body
    assert protocol.flow.read_paused
    answers = [(await client.answer()).status for _ in range(count)]
    assert [*answers, (await client.ask(request[-1:])).status] == [200] * (count + 1)


async def test_a_body_that_is_not_read_is_not_waited_for(client: Client, alice: str) -> None:
    """It stands behind a long poll, and is not late because of that."""
    poll = f"GET /v1/events?wait=3&topics=orders:none HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {alice}\r\n\r\n"
    request = post(alice, event(id="behind-a-poll"))
    assert (await client.ask(poll.encode() + request[:-1])).status == 200
    assert found(await client.ask(request[-1:])) == (200, "behind-a-poll")


async def test_who_is_idle_is_let_go(hub: HubProcess, alice: str) -> None:
    async def after(*requests: bytes) -> float:
        client = await Client.connect(hub)
        for request in requests:
            await client.ask(request)
        began = time.monotonic()
        assert await client.is_over(15)
        return time.monotonic() - began

    passing = post(alice, event(durable=False))
    lasted = await asyncio.gather(
        after(passing),
        after(post(alice, event())),
        after(post(None, event())),
        after(post(alice, b"{")),
        after(passing, b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n"),
        after(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n", passing),
    )
    assert all(4 < each < 9 for each in lasted), lasted
