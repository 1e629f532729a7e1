"""A stream of server-sent events: the lean object that the transport, the outbox and the session share.

It takes the transport over from the HTTP protocol that read the request, as ``Connection`` does for a WebSocket, since
through ASGI a reader that is stuck cannot be cut off. The body has no length and no chunks: it ends with the connection
(RFC 9112, 6.3). So every reader is written the same bytes, clients and proxies of HTTP/1.0 (nginx's default)
included, and a body that ends early loses nothing: an event counts once its blank line is there.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Iterable, Sequence

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from hub import event_stream, wire
from hub.session import Session
from hub.transports.connection import GOODBYE, Surroundings
from hub.transports.middleware import API_HEADERS

log = logging.getLogger("hub.sse")

_RETRY = (500, 3000)
"""Milliseconds between which a client's pause before it reconnects is drawn, so that those of a hub that restarts are
spread."""
_MOST_HEARD = 32 * 1024
"""Bytes that a client may send behind its request. None of them is looked at: it was told ``Connection: close``."""

_HEADERS = {"Content-Type": event_stream.MEDIA_TYPE, **event_stream.HEADERS, "Connection": "close", **API_HEADERS}
_HEAD = STATUS_LINE[200] + b"".join([f"{name.lower()}: {value}\r\n".encode() for name, value in _HEADERS.items()])


def head(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The answer's head, with these headers besides its own."""
    return b"%b%b\r\n" % (_HEAD, b"".join([b"%b: %b\r\n" % header for header in headers]))


def first_words() -> bytes:
    """What stands before the first event."""
    return event_stream.retry(random.randint(*_RETRY))  # noqa: S311 (no secret)


class EventStream(asyncio.Protocol):
    """One stream; it is the ``Link`` of its session."""

    __slots__ = (
        "_around",
        "_closing",
        "_cut_off",
        "_ended",
        "_head",
        "_heard",
        "_lost",
        "_session",
        "_transport",
        "_written",
        "writable",
    )

    def __init__(self, transport: asyncio.Transport, around: Surroundings, head: bytes) -> None:
        """Nothing is written yet, so that there may still be another answer. ``head`` goes before all else."""
        self._transport = transport
        self._around = around
        self._head: bytes | None = head
        self._session: Session | None = None
        self._cut_off: asyncio.TimerHandle | None = None
        # How it ended, for the log.
        self._ended: str | None = None
        self._heard = 0
        self.writable = True
        self._written = 0
        self._closing = False
        self._lost = False

    def begin(self, session: Session, dead_after: float) -> None:
        """The session whose link this is; from now on it is the transport's protocol.

        Nobody answers a heartbeat, so it is the peer's kernel that has to: if it acknowledges nothing for
        ``dead_after`` seconds, ours ends the connection (RFC 5482), where the system can do that.
        """
        self._session = session
        self._around.peers.add(self)
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(dead_after * 1000))
        self._transport.set_protocol(self)

    # --- hub.outbox.Link

    def write(self, parts: Sequence[wire.Frame | wire.Chunk]) -> None:
        """See ``Link``. After the connection ended or said goodbye, events go nowhere."""
        if not self._closing:
            self._put(parts[0].sse if len(parts) == 1 else b"".join([part.sse for part in parts]))

    def pending(self) -> int:
        """See ``Link``."""
        return 0 if self._lost else self._transport.get_write_buffer_size()

    def taken(self) -> int:
        """See ``Link``."""
        return self._written - self.pending()

    def close(self, code: int, reason: str) -> None:
        """See ``Link``."""
        if self._closing:
            return
        self._put(event_stream.goodbye(code, reason))
        self._closing = True
        self._ended = f"{code} {reason!r}"
        self._cut_off = asyncio.get_running_loop().call_later(GOODBYE, self._transport.abort)
        self._transport.close()

    def abort(self) -> None:
        """See ``Link``."""
        self._closing = True
        self._ended = self._ended or "cut off"
        self._transport.abort()

    def ping(self) -> bool:
        """See ``Link``. Nobody answers, see ``begin``; but one for whom something waits has not been heard of."""
        if self.pending():
            return False
        if not self._closing:
            self._put(event_stream.HEARTBEAT)
        return True

    # --- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """A client has nothing more to say."""
        self._heard += len(data)
        if self._heard > _MOST_HEARD:
            self.abort()

    def eof_received(self) -> None:
        """The client is gone; the transport closes itself."""

    def pause_writing(self) -> None:
        """The transport is full."""
        self.writable = False
        if self._session is not None:
            self._around.hub.blocked(self._session)

    def resume_writing(self) -> None:
        """The transport takes more."""
        self.writable = True
        if self._session is not None:
            self._around.hub.unblocked(self._session)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, in whatever way: everything that it held is let go."""
        self._closing = self._lost = True
        self._around.peers.discard(self)
        if self._cut_off is not None:
            self._cut_off.cancel()
        session, self._session = self._session, None
        if session is not None:
            self._around.hub.close(session)
            log.info("closed %s of %s: %s", session.id, session.principal.source, self._ended or "lost")

    def shutdown(self) -> None:
        """The server stops, and its drain has given everybody the time to hear of it."""
        self.close(1012, "restarting")

    # --- Inside

    def _put(self, data: bytes) -> None:
        if self._head is not None:
            data, self._head = self._head + data, None
        self._written += len(data)
        self._transport.write(data)
