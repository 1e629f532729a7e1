"""HTTP connections that live long or read slowly. Those that send too much or too slowly are in test_protocol."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from tests.hub_process import HubProcess

from .gauges import eventually, open_files

pytestmark = pytest.mark.anyio

BUNDLE = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path_factory.mktemp("http"), ping_interval=1)
    try:
        yield hub.start()
        assert "Traceback" not in hub.log()
        assert " ERROR " not in hub.log()
    finally:
        hub.close()


async def dial(hub: HubProcess, receive_buffer: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", hub.port))
    return await asyncio.open_connection(sock=sock, limit=receive_buffer or 65536)


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One response with a Content-Length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length:"))
    return int(head.split()[1]), await reader.readexactly(length)


async def test_an_answer_that_nobody_reads_is_given_up(hub: HubProcess) -> None:
    await asyncio.to_thread(hub.metrics)
    before = open_files(hub.pid)
    stuck = [await dial(hub, 4096) for _ in range(20)]
    for _, writer in stuck:
        writer.write(BUNDLE + b"\r\n")
    await eventually(lambda: open_files(hub.pid), lambda files: files >= before + 20)
    # In twice the time that they have. (The hub may open a few files for itself meanwhile.)
    await eventually(lambda: open_files(hub.pid), lambda files: files < before + 5, 4)
    for _, writer in stuck:
        writer.transport.abort()


async def test_an_answer_that_is_read_slowly_arrives(hub: HubProcess) -> None:
    whole = (await asyncio.to_thread(hub.http.get, "/docs/assets/swagger-ui-bundle.js")).content
    reader, writer = await dial(hub, 4096)
    writer.write(BUNDLE + b"Connection: close\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    began, got = time.monotonic(), bytearray()
    while piece := await reader.read(16384):
        got += piece
        await asyncio.sleep(0.025)
    assert bytes(got) == whole
    assert time.monotonic() - began > 2, "slow for longer than a stuck one is held"
    writer.transport.abort()


async def test_a_connection_that_is_used_is_kept(hub: HubProcess) -> None:
    """Whatever was waited for between and during its requests."""
    reader, writer = await dial(hub)
    token = hub.admin_headers()["Authorization"]
    poll = f"GET /v1/events?wait=1.3&topics=nothing HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode()
    for request in (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", poll):
        writer.write(request)
        assert (await answer(reader))[0] == 200
        await asyncio.sleep(1.1)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await answer(reader))[0] == 200
    writer.transport.abort()


async def test_requests_that_come_together_are_answered_in_order(hub: HubProcess) -> None:
    reader, writer = await dial(hub)
    paths = ["/healthz", "/v1/me", "/nowhere", "/readyz"] * 5
    writer.write(b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths))
    assert [(await answer(reader))[0] for _ in paths] == [200, 401, 404, 200] * 5
    writer.transport.abort()
