"""The hub's own uvicorn HTTP protocol: a request has a bounded head and a bounded time, an answer too.

uvicorn's waits without end for a request that does not go on, keeps a head of any length in memory, and holds an
answer for a client that does not read it: a few thousand such connections and nobody else gets in. Knows uvicorn and
how a problem is said, nothing of the hub.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from hub.errors import HubError
from hub.transports.problem import render

MAX_HEAD = 32 * 1024
"""Bytes of a request line and its headers. A token has at most 4 KiB."""
_PATIENCE = 20.0
_LAST_WORDS = 1.0
"""Seconds that a request has to become whole, and an answer to be read, once the server stops."""


class _TooLong(Exception):
    """The head is over its limit."""


class HubHttpProtocol(HttpToolsProtocol):
    """One HTTP connection, until it is closed or becomes a WebSocket.

    A request's head has as long to arrive as a silent WebSocket may take to answer a ping; its body, and the client's
    reading of the answer, have to make progress within that time. How long the application takes is its own affair.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self._patience = self.config.ws_ping_interval or _PATIENCE
        self._head = 0
        """Bytes of the head so far."""
        self._in_head = self._in_request = False
        self._too_long = False
        # None: nothing is waited for. A new connection is to say something, too.
        self._head_since: float | None = self.loop.time()
        self._heard = self._unsent_since = self.loop.time()
        self._unsent = 0
        self._watch = self.loop.call_later(self._patience / 2, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch no more."""
        self._watch.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """From here on it is another protocol's connection."""
        self._watch.cancel()
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        """The server stops: what the application still has to say is waited for, the client no longer."""
        super().shutdown()
        self._watch.cancel()
        self._watch = self.loop.call_later(_LAST_WORDS, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Take it if the request's head is not too long by now."""
        if self.cycle is None or not self.cycle.response_complete:
            self._heard = self.loop.time()
        super().data_received(data)
        if self._in_head:
            # The parser keeps a line until it is complete, so that only what came in can be counted.
            self._head += len(data)
            if self._head > MAX_HEAD and not self.transport.is_closing():
                self._too_long = True
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = self._in_request = True
        self._head = 0
        self._head_since = self._heard = self.loop.time()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._in_head, self._head_since = False, None
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            self._too_long = True
            raise _TooLong  # The parser stops, and uvicorn answers with send_400_response.
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """It is there as a whole."""
        self._in_request = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read with a problem (RFC 9457), and end the connection."""
        refusal = (
            HubError("head_too_large", f"A request's head may have {MAX_HEAD} bytes.")
            if self._too_long
            else HubError("http_invalid")
        )
        answer = render(refusal)
        head = [STATUS_LINE[answer.status_code], *(b"%b: %b\r\n" % h for h in self.server_state.default_headers)]
        head += [b"%b: %b\r\n" % header for header in answer.raw_headers]
        self.transport.write(b"".join(head) + b"connection: close\r\n\r\n" + bytes(answer.body))
        self.transport.close()

    def resume_writing(self) -> None:
        """The client has read much of what waited. Looking at what waits would not tell: the application adds to it."""
        super().resume_writing()
        self._unsent_since = self.loop.time()

    def _give_up(self) -> None:
        if self._in_request or self.transport.get_write_buffer_size():
            self.transport.abort()

    def _look(self) -> None:
        """Give up a connection that waits for a client who does nothing."""
        now = self.loop.time()
        size = self.transport.get_write_buffer_size()
        if size == 0 or size < self._unsent:
            self._unsent_since = now
        self._unsent = size
        head_late = self._head_since is not None and now - self._head_since > self._patience
        body_late = self._in_request and now - self._heard > self._patience
        answer_late = size > 0 and now - self._unsent_since > self._patience
        if head_late or body_late or answer_late:
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(self._patience / 2, self._look)
