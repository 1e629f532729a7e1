"""An HTTP client that does what it is told: bytes as they are given, in whatever pieces, read or not."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, ClassVar, NamedTuple

from tests.hub_process import HubProcess


def event(**fields: Any) -> dict[str, Any]:
    return {"type": "t", "data": 1, "to": {"topics": ["orders:1"]}} | fields


def post(
    token: str | None,
    body: Any,
    *headers: str,
    target: str = "/v1/events",
    version: str = "1.1",
    length: bool = True,
) -> bytes:
    """A publish as it goes over the wire. ``body``: bytes, or what becomes JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {target} HTTP/{version}", "Host: hub", "Content-Type: application/json", *headers]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if length:
        lines.append(f"Content-Length: {len(data)}")
    return "\r\n".join([*lines, "", ""]).encode() + data


class Answer(NamedTuple):
    status: int
    headers: list[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        found = [line.partition(": ")[2] for line in self.headers if line.lower().startswith(f"{name}:")]
        assert len(found) < 2
        return found[0] if found else None


class Client:
    """One HTTP connection that is written and read by hand."""

    open: ClassVar[list[Client]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.open.append(self)

    @classmethod
    async def connect(cls, hub: HubProcess, receive_buffer: int | None = None) -> Client:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", hub.port))
        except OSError:
            sock.close()
            raise
        return cls(*await asyncio.open_connection(sock=sock, limit=receive_buffer or 65536))

    async def answer(self) -> Answer:
        """The next answer."""
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
            length = next((int(line.split(":")[1]) for line in head if line.lower().startswith("content-length:")), 0)
            return Answer(int(head[0].split()[1]), head[1:], await self.reader.readexactly(length))

    async def ask(self, *pieces: bytes) -> Answer:
        for piece in pieces:
            self.writer.write(piece)
        return await self.answer()

    async def is_over(self, within: float = 5) -> bool:
        """Whether the hub ends the connection, with nothing more said."""
        try:
            async with asyncio.timeout(within):
                return await self.reader.read() == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        finally:
            self.cut()

    def cut(self) -> None:
        self.writer.transport.abort()


async def barrier(hub: HubProcess, other: Client) -> None:
    """What was sent before this was read by the hub: its one thread has been around its loop."""
    assert (await other.ask(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n")).status == 200


def found(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.json.get("id") if answer.body[:1] == b"{" else None
