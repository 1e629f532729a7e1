"""A publisher's lane against servers on real sockets: one request at a time, whatever happens in between."""

from __future__ import annotations

import asyncio
import re

import pytest

from hub.bench import publisher, wire
from hub.bench.publisher import Lane
from hub.bench.target import BenchError, Target

from .servers import serving

pytestmark = pytest.mark.anyio

PROBLEM = b'{"code":"forbidden","detail":"No no."}'


async def request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    return await reader.readexactly(int(length[1]))


def post(target: Target, body: bytes = b"{}") -> bytes:
    return wire.post(target, "/v1/events", body)


async def test_requests_follow_each_other_on_one_connection() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            body = await request(reader)
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body):
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0)

    async with serving(serve) as target:
        lane = Lane(target, None)
        assert [await lane.post(post(target, b"%d" % number)) for number in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
        lane.close()
    assert connections == 1


@pytest.mark.parametrize("header", [b"Connection: close\r\n", b""], ids=["announced", "just so"])
async def test_a_proxy_that_ends_the_connection_between_two_requests(header: bytes) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + header + b"Content-Length: 2\r\n\r\nok")
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with serving(serve) as target:
        lane = Lane(target, None)
        for _ in range(3):
            ended.clear()
            assert await lane.post(post(target)) == b"ok"
            await ended.wait()
            for _ in range(3):
                await asyncio.sleep(0)  # For the end to be heard of.
        lane.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            b"HTTP/1.1 403 x\r\nContent-Length: %d\r\n\r\n%b" % (len(PROBLEM), PROBLEM),
            "HTTP 403 (forbidden: No no).",
        ),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "refused with HTTP 502."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "without an answer"),
        (b"", "without an answer"),
        (b"+PONG\r\n", "does not speak HTTP"),
    ],
    ids=["problem", "proxy", "half", "nothing", "no http"],
)
async def test_what_is_no_2xx(answer: bytes, said: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer)

    async with serving(serve) as target:
        lane = Lane(target, None)
        with pytest.raises(BenchError, match=re.escape(said)):
            await lane.post(post(target))
        lane.close()


async def test_nobody_is_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "_PATIENCE", 0.05)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(serve) as target:
        lane = Lane(target, None)
        with pytest.raises(BenchError, match="did not answer a publisher within"):
            await lane.post(post(target))
        lane.close()


async def test_nobody_there() -> None:
    async with serving(lambda reader, writer: asyncio.sleep(0)) as target:
        pass
    with pytest.raises(BenchError, match="could not connect"):
        await Lane(target, None).post(post(target))
