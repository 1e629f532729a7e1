"""The handshake of a WebSocket on uvicorn, and the way out of it: ``detach``.

The request goes through uvicorn and the app's route, with all that those know of hosts, headers and proxies. Then the
connection is taken from them: ASGI's ``send`` is a coroutine a frame, its ``close`` waits for a reader that may be
stuck, and uvicorn's own protocol keeps a task, a queue, two timers and a parser for a connection that only listens.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from hub.transports.connection import Connection, Surroundings

EXTENSION: Final = "hub.handshake"


class HubProtocol(WebSocketsSansIOProtocol):
    """One handshake."""

    def handle_connect(self, event: Request) -> None:
        """Offer the way out to the application, which starts in the loop's next turn."""
        super().handle_connect(event)
        if not self.handshake_complete:
            extensions: dict[str, object] = self.scope["extensions"]  # type: ignore[assignment]
            extensions[EXTENSION] = self

    def data_received(self, data: bytes) -> None:
        """Answer a handshake that cannot be read (too long a line, too many headers) instead of keeping silent."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated and not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def detach(self, around: Surroundings) -> tuple[Connection, bytes] | None:
        """The accepted connection, which is the caller's from now on, and what the peer sent already.

        To be called right after the accept, in the same turn of the loop. None: the peer is gone again.
        """
        if self.disconnected or self.transport.is_closing():
            return None
        self.stop_keepalive()
        self.connections.discard(self)
        # A client has to wait for our answer before it sends frames (RFC 6455, 4.1), so there is hardly ever anything.
        early = bytes(self.conn.reader.buffer)
        connection = Connection(self.transport, around)
        self.transport.set_protocol(connection)
        if self.read_paused:
            self.transport.resume_reading()
        # The application returns now, and uvicorn closes what it believes to be its transport.
        self.transport = _Gone()
        return connection, early


class _Gone(asyncio.Transport):
    """In the place of a transport that was given away."""

    def is_closing(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def write(self, data: Any) -> None:
        pass
