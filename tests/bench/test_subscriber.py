"""Subscribers against servers on real sockets: good ones, and such as lose, repeat, refuse and hang up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from hub.bench import subscriber, wire
from hub.bench.sender import Sender
from hub.bench.subscriber import Group
from hub.bench.target import BenchError, Target

from .servers import serving

pytestmark = pytest.mark.anyio

MARK = wire.mark("0a1b2c3d", 1)
WELCOME = wire.text_frame(b'{"type":"welcome","cursor":"e:1"}')


def event(number: int) -> bytes:
    return wire.text_frame(b'{"event":{"data":%b}}' % wire.data(MARK, wire.token(0, number), wire.stamp() - 5000))


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.005)


async def shake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Answer the handshake; the request."""
    request = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
    assert found is not None
    accept = wire.accept_key(found[1].decode()).encode()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return request


def group(target: Target, *, ages: bool = False) -> Group:
    made = Group(target, "bench:x:all")
    made.begin(MARK, ages=ages)
    return made


async def test_what_a_server_sends_is_counted_and_judged() -> None:
    async with Sender(MARK) as sender:
        group_ = group(sender.target)
        await group_.open(5, at_once=2)
        sender.flood()
        await until(lambda: group_.received > 50_000)
    await until(lambda: group_.lost == 5)
    outcome = group_.judge({0: 0})
    assert outcome["verdict"][2:] == [0, 0], "nothing twice, nothing out of order, wherever the reads ended"


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        (range(20), [20, 0, 0, 0]),
        ([*range(5), *range(6, 20)], [20, 1, 0, 0]),
        ([*range(5), 4, *range(5, 20)], [20, 0, 1, 0]),
        ([*range(5), 6, 5, *range(7, 20)], [20, 0, 0, 1]),
    ],
    ids=["good", "lost", "repeated", "disordered"],
)
async def test_what_a_server_does_wrong_is_found(numbers: list[int], verdict: list[int]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake(reader, writer)
        stream = WELCOME + b"".join(map(event, numbers))
        # In pieces that end anywhere.
        for start in range(0, len(stream), 333):
            writer.write(stream[start : start + 333])
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with serving(serve) as target:
        subscribers = group(target, ages=True)
        await subscribers.open(1, at_once=1)
        await until(lambda: subscribers.received == len(numbers))
        outcome = subscribers.judge({0: 20})
        assert outcome["verdict"] == verdict
        assert sum(count for _, count in outcome["ages"]) == len(numbers)
        await subscribers.close()


async def test_pings_are_answered_and_the_end_is_polite() -> None:
    heard = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake(reader, writer)
        writer.write(WELCOME + b"\x89\x02hi")
        pong = await reader.readexactly(8)
        heard.set_result(pong + await reader.read())

    async with serving(serve) as target:
        subscribers = group(target)
        await subscribers.open(1, at_once=1)
        await subscribers.close()
        assert await heard == b"\x8a\x82\0\0\0\0hi" + b"\x88\x82\0\0\0\0\x03\xe8"
        assert subscribers.lost == 0, "it was we who ended it"


async def test_a_hub_that_hangs_up_is_told_of() -> None:
    closing = (1008).to_bytes(2) + b"token_expired: It has expired."

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake(reader, writer)
        writer.write(WELCOME + event(0) + b"\x88" + bytes((len(closing),)) + closing)

    async with serving(serve) as target:
        subscribers = group(target)
        await subscribers.open(2, at_once=2)
        await until(lambda: subscribers.lost == 2)
        assert subscribers.received == 2
        assert "1008 (token_expired: It has expired.)" in subscribers.lost_because


PROBLEM = b'{"code":"overloaded","detail":"Too many connections."}'


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 503 x\r\nContent-Length: %d\r\n\r\n%b" % (len(PROBLEM), PROBLEM), "503 (overloaded: Too many conn"),
        (b"HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "refused with HTTP 404."),
        (b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "not a WebSocket server"),
        (b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP"),
        (b"", "without a close frame"),
    ],
    ids=["problem", "proxy", "no accept", "no http", "nothing"],
)
async def test_refusals(answer: bytes, said: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with serving(serve) as target:
        with pytest.raises(BenchError, match=re.escape(said)):
            await group(target).open(3, at_once=2)


async def test_a_close_instead_of_a_welcome_says_why() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake(reader, writer)
        writer.write(b"\x88\x0b" + (1008).to_bytes(2) + b"forbidden")

    async with serving(serve) as target:
        with pytest.raises(BenchError, match=r"1008 \(forbidden\)"):
            await group(target).open(1, at_once=1)


async def test_nobody_is_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "_PATIENCE", 0.05)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake(reader, writer)
        await reader.read()

    async with serving(serve) as target:
        with pytest.raises(BenchError, match="did not welcome a subscriber within"):
            await group(target).open(1, at_once=1)


async def test_coming_back_says_after_what() -> None:
    requests = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await shake(reader, writer))
        writer.write(WELCOME)
        await reader.read()

    async with serving(serve) as target:
        subscribers = group(target)
        await subscribers.open(1, at_once=1, after="e:17")
        await subscribers.close()
    assert b"/v1/ws?topics=bench:x:all&after=e:17 " in requests[0]
