"""An echo server for the Autobahn fuzzing client, made of the hub itself.

The server, its HTTP protocol, the handshake, ``Connection`` and the outbox are the hub's own. Only three things differ:
everybody is let in, a message is answered with itself instead of being carried out, and nothing that the hub says by
itself (``welcome``) is sent. Run as ``python -m tests.autobahn.echo PORT``; SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from websockets.frames import Opcode

from hub import wire
from hub.app import Application
from hub.model import Principal
from hub.session import Session
from hub.settings import Settings
from hub.transports import http_protocol
from hub.transports.connection import Connection
from hub.transports.door import Door, Handshake

MAX_MESSAGE = 32 << 20
"""Group 9 sends messages of 16 MiB; the hub itself takes 64 KiB."""


class Echo(wire.Frame):
    """A message on its way back."""

    def __init__(self, opcode: Opcode, message: bytes) -> None:
        super().__init__(message)
        self._opcode = opcode
        self.websocket = bytes([0x80 | opcode]) + self.websocket[1:]

    @property
    def deflated(self) -> bytes:
        whole = super().deflated
        return bytes([whole[0] & 0xF0 | self._opcode]) + whole[1:]


class EchoConnection(Connection):
    """The hub's, which keeps what binary messages said: the hub only needs to know that there was one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.binary: deque[bytes] = deque()

    def write(self, parts: Sequence[wire.Frame | wire.Chunk]) -> None:
        echoes = [part for part in parts if isinstance(part, Echo)]
        if echoes:
            super().write(echoes)

    def _receive(self, opcode: Opcode, message: bytes | bytearray | memoryview) -> None:
        if opcode is Opcode.BINARY:
            self.binary.append(bytes(message))
        super()._receive(opcode, message)


class OpenDoor(Door):
    """Lets everybody in."""

    def identify(self, handshake: Handshake) -> Principal:
        return Principal("fuzzer", "user", "fuzzing", expires_at=time.time() + 86400)


async def echo(session: Session, text: str | None) -> wire.Frame:
    assert isinstance(session.link, EchoConnection)
    if text is None:
        return Echo(Opcode.BINARY, session.link.binary.popleft())
    return Echo(Opcode.TEXT, text.encode())


async def serve(port: int, directory: Path) -> None:
    application = Application(Settings(data_dir=directory, compression=True, ping_interval=600, stall_timeout=600))
    direct = application.direct()
    direct = dataclasses.replace(
        direct,
        around=dataclasses.replace(direct.around, answer=echo, max_size=MAX_MESSAGE),
        door=OpenDoor(application.hub, application.identity.authenticate, application.identity.authenticate, ()),
    )
    http_protocol.Connection = EchoConnection
    config = uvicorn.Config(
        application.app,
        port=port,
        http=partial(http_protocol.HubHttpProtocol, direct=direct),
        ws="none",
        lifespan="off",
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.server_state.connections = application.connections
    async with application.running():
        await server.serve()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(serve(int(sys.argv[1]), Path(temporary)))
