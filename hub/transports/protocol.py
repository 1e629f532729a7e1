"""The hub's own uvicorn WebSocket protocol: whole frames straight to the socket, and ways to end a connection that
ASGI does not have.

Over ASGI a close waits until everything before it is flushed, so that a reader that is stuck cannot be evicted; and
every send is a coroutine and a frame of its own. This subclass hands the application a ``Link`` in
``scope["extensions"]["hub.link"]``. It also mends what uvicorn 0.54 leaves open: a dead peer with unsent bytes is held
until the kernel gives up, a handshake line that is too long gets no answer, invalid UTF-8 logs a traceback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame as WebSocketFrame
from websockets.http11 import Request

from hub.wire import Chunk, Frame

EXTENSION: Final = "hub.link"
_GOODBYE = 5.0
"""Seconds for the peer to answer a close frame (RFC 6455, 7.1.1) before the connection is cut."""


class HubProtocol(WebSocketsSansIOProtocol):
    """One WebSocket connection; it is the ``Link`` of its session."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.close_timeout = _GOODBYE
        self.on_writable: Callable[[bool], None] | None = None
        """Told when the transport is full (False) and when it takes more again (True)."""

    # --- hub.outbox.Link

    def write(self, parts: Sequence[Frame | Chunk]) -> None:
        """See ``Link``. After the connection ended or said goodbye, frames go nowhere."""
        if not (self.close_sent or self.disconnected or self.transport.is_closing()):
            self.transport.write(
                parts[0].websocket if len(parts) == 1 else b"".join([part.websocket for part in parts])
            )

    def is_writable(self) -> bool:
        """See ``Link``."""
        return self.writable.is_set()

    def pending(self) -> int:
        """See ``Link``."""
        return 0 if self.disconnected else self.transport.get_write_buffer_size()

    def close(self, code: int, reason: str) -> None:
        """See ``Link``."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        try:
            self.conn.send_close(code, reason)
        except InvalidState:  # The peer was first: its close frame is being answered.
            return
        self.stop_keepalive()
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._read_on()
        self._cut_off_later()

    def abort(self) -> None:
        """See ``Link``."""
        if not self.disconnected:
            self.transport.abort()

    # --- uvicorn's protocol

    def handle_connect(self, event: Request) -> None:
        """Offer the link to the application, which starts in the loop's next turn."""
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

    def send_receive_event_to_app(self) -> None:
        """Text that is not UTF-8 ends the connection with 1007 (RFC 6455, 8.1); that is the peer's fault, not news."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(1007, "frame_invalid: not UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    async def receive(self) -> Any:
        """The next message for the application; the one after it is read only if there is room for its answer."""
        message = await self.queue.get()
        self._read_on()
        return message

    def pause_writing(self) -> None:
        """The transport is full: a peer that does not read is not read, or its pings alone would fill the memory."""
        super().pause_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.read_paused = True
            self.transport.pause_reading()
        if self.on_writable is not None:
            self.on_writable(False)

    def resume_writing(self) -> None:
        """The transport takes more."""
        super().resume_writing()
        self._read_on()
        if self.on_writable is not None:
            self.on_writable(True)

    def _read_on(self) -> None:
        wanted = self.writable.is_set() and (self.close_sent or self.queue.empty())
        if self.read_paused and wanted and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    def handle_close(self, event: WebSocketFrame) -> None:
        """The peer said goodbye; one that does not take what is still to be sent to it is not waited for."""
        super().handle_close(event)
        self._cut_off_later()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done, so the connection is to end, by itself or not."""
        super().on_task_complete(task)
        self._cut_off_later()

    def _cut_off_later(self) -> None:
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(self.close_timeout, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for room goes on, and finds that it is over."""
        super().connection_lost(exc)
        if self.on_writable is not None:
            self.on_writable(True)
            # The application holds this link, as this holds the application.
            self.on_writable = None

    def keepalive_timeout(self) -> None:
        """No pong. While bytes wait before the ping, the peer is slow, not dead: the hub's stall clock judges that."""
        if self.transport.get_write_buffer_size() and self.ping_timeout is not None:
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        # A dead peer takes no goodbye either, and a closing transport waits for it.
        self.loop.call_later(1, self.abort)
