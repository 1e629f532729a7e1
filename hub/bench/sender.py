"""A server on loopback that welcomes everybody and then sends frames as fast as they are taken: what the subscribers
can count at most. Where the hub comes near that, it is the client that is measured.
"""

from __future__ import annotations

import asyncio
import re
from types import TracebackType
from typing import Self, cast

from hub.bench import wire
from hub.bench.target import Target

_BLOCK = 800
"""Events in one write."""
_KEY = re.compile(rb"sec-websocket-key: *(\S+)", re.IGNORECASE)
_WELCOME = wire.text_frame(b'{"type":"welcome"}')


class Sender:
    """``async with Sender(mark)`` listens; ``flood`` lets it go. All connections are sent the same events."""

    def __init__(self, marked: bytes) -> None:
        self._marked = marked
        self._blocks: list[bytes] = []
        self._connections: list[_Connection] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.end()

    @property
    def target(self) -> Target:
        """How to reach it."""
        assert self._server is not None
        return Target("127.0.0.1", self._server.sockets[0].getsockname()[1], False, "", "127.0.0.1")

    def flood(self) -> None:
        """Begin to send, until the end."""
        for connection in self._connections:
            connection.resume_writing()

    def join(self, connection: _Connection) -> None:
        """One more to send to."""
        self._connections.append(connection)

    def block(self, number: int) -> bytes:
        """What every connection is sent as its ``number``-th piece."""
        if number == len(self._blocks):
            events = range(number * _BLOCK, (number + 1) * _BLOCK)
            self._blocks.append(b"".join([self._frame(each) for each in events]))
        return self._blocks[number]

    def _frame(self, number: int) -> bytes:
        # As long as the hub's own.
        return wire.text_frame(
            b'{"type":"event","topic":"bench:12345678:all","event":{"id":"%024x","type":"bench","source":"service:bench",'
            b'"time":"2026-01-01T00:00:00.000Z","data":%b}}'
            % (number, wire.data(self._marked, wire.token(0, number), 0))
        )


class _Connection(asyncio.Protocol):
    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._next = 0
        self._paused = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._head += data
        key = _KEY.search(self._head)
        if self._transport is None or key is None or not self._head.endswith(b"\r\n\r\n"):
            return
        accept = wire.accept_key(key[1].decode())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept.encode() + _WELCOME
        )
        self._head = b""
        self._sender.join(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()

    def _send(self) -> None:
        if self._transport is None or self._paused:
            return
        self._transport.write(self._sender.block(self._next))
        self._next += 1
        # One block at a time, so that all of them get their turn.
        asyncio.get_running_loop().call_soon(self._send)

    def end(self) -> None:
        """Cut it."""
        if self._transport is not None:
            self._transport.abort()
