"""A WebSocket client that does what it is told: to end a connection in every way there is, to be slow, to be rude.

`websockets` is the client for what a client sees; this one is for what a peer does. It never answers a ping and never
says goodbye unless a test asks it to, and 1,000 of them are cheap.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import resource
import socket
import struct
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

_T = TypeVar("_T")


def raise_file_limit() -> None:
    """Thousands of sockets in one process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """One masked frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    # The mask is zero, which is a mask too, and leaves the payload readable.
    return bytes([(0x80 if fin else 0) | opcode]) + length + bytes(4) + payload


def close_frame(code: int = 1000, reason: str = "") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


def handshake(port: int, target: str, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """The bytes of an opening handshake (RFC 6455, 4.1)."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Refused(Exception):
    """The handshake was answered with something else than 101."""

    def __init__(self, head: str) -> None:
        super().__init__(head)
        self.status = int(head.split()[1])


class RawSocket:
    """One connection after its handshake."""

    _all: ClassVar[set[RawSocket]] = set()

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._all.add(self)

    @classmethod
    def cut_all(cls) -> None:
        """Let go of those that are left."""
        while cls._all:
            with contextlib.suppress(RuntimeError):  # Its loop is closed: it was left by a test that failed.
                cls._all.pop().cut()

    @classmethod
    async def connect(
        cls, port: int, *, receive_buffer: int | None = None, headers: Sequence[tuple[str, str]] = (), **query: str
    ) -> RawSocket:
        """Open ``/v1/ws`` with this query. ``receive_buffer``: bytes the kernel takes for a reader that does not."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=receive_buffer or 65536)
        target = "/v1/ws" + (f"?{urlencode(query)}" if query else "")
        writer.write(handshake(port, target, headers))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if " 101 " not in head.partition("\r\n")[0]:
            writer.transport.abort()
            raise Refused(head)
        return cls(reader, writer)

    def send(self, opcode: int, payload: bytes = b"") -> None:
        self.writer.write(frame(opcode, payload))

    def say(self, **fields: Any) -> None:
        """A JSON frame."""
        self.send(TEXT, json.dumps(fields).encode())

    async def receive(self) -> tuple[int, bytes]:
        """The next frame, whatever it is."""
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        return first & 0x0F, await self.reader.readexactly(size)

    async def json(self) -> dict[str, Any]:
        """The next text frame."""
        while True:
            opcode, payload = await self.receive()
            if opcode == TEXT:
                said: dict[str, Any] = json.loads(payload)
                return said
            assert opcode != CLOSE, payload

    async def until(self, kind: str) -> dict[str, Any]:
        """The next frame of a type."""
        while (said := await self.json())["type"] != kind:
            pass
        return said

    async def end(self, *, answer: bool = False) -> tuple[int, str]:
        """Read until the connection ends: the close code and reason; 1006 without a close frame, also after a reset.

        ``answer``: say goodbye back, as a client should.
        """
        code, reason = 1006, ""
        try:
            while True:
                opcode, payload = await self.receive()
                if opcode == CLOSE:
                    code, reason = (int.from_bytes(payload[:2], "big") if payload else 1005), payload[2:].decode()
                    if answer:
                        self.send(CLOSE, payload)
        except (asyncio.IncompleteReadError, ConnectionError):
            return code, reason
        finally:
            self.cut()

    def finish(self) -> None:
        """FIN without a close frame, as when a process ends."""
        self.writer.write_eof()

    def reset(self) -> None:
        """RST: an unclean end, which loses what is under way."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def cut(self) -> None:
        """Let go of our end."""
        self.writer.transport.abort()


async def in_parallel(work: Iterable[Awaitable[_T]], at_once: int = 100) -> list[_T]:
    """All results in order, a bounded number under way."""
    turn = asyncio.Semaphore(at_once)

    async def one(item: Awaitable[_T]) -> _T:
        async with turn:
            return await item

    return list(await asyncio.gather(*(one(item) for item in work)))
