"""A connection through plain ASGI: what serves the live stream where another server than the hub's runs the app.

It costs a task and a queue, and it cannot abort: ASGI has no way to cut a connection, and its ``close`` may wait for a
peer that does not read. Pings are that server's. Otherwise it keeps the same promises as ``Connection``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from starlette.types import Message, Receive, Send
from starlette.websockets import WebSocketDisconnect

from hub import event_stream
from hub.session import Session
from hub.transports.connection import GOODBYE, Surroundings
from hub.transports.sse_connection import first_words
from hub.wire import Chunk, Frame

log = logging.getLogger("hub.websocket")

_HIGH_WATER = 64 * 1024
"""Bytes that may wait here before more is held back."""


class AsgiLink:
    """What a connection through ASGI is, whatever it speaks; it is the ``Link`` of its session."""

    _log = logging.getLogger("hub.websocket")

    def __init__(self, send: Send, receive: Receive, around: Surroundings) -> None:
        self.writable = True
        self._send = send
        self._receive = receive
        self._around = around
        self._session: Session | None = None
        self._waiting: deque[Frame | bytes] = deque()
        self._waiting_bytes = 0
        self._taken = 0
        self._news = asyncio.Event()
        self._goodbye: tuple[int, str] | None = None
        self._over = asyncio.Event()
        self._ended = "lost"

    # --- hub.outbox.Link

    def write(self, parts: Sequence[Frame | Chunk]) -> None:
        """See ``Link``."""
        if self._goodbye is None:
            for part in parts:
                for piece in self._pieces(part):
                    self._put(piece)
            if self.writable and self._waiting_bytes > _HIGH_WATER:
                self.writable = False
                if self._session is not None:
                    self._around.hub.blocked(self._session)

    def pending(self) -> int:
        """See ``Link``."""
        return self._waiting_bytes

    def taken(self) -> int:
        """See ``Link``: what the server has taken, which may hold some of it."""
        return self._taken

    def close(self, code: int, reason: str) -> None:
        """See ``Link``."""
        if self._goodbye is None:
            self._goodbye = (code, reason)
            self._ended = f"{code} {reason!r}"
            self._news.set()
            asyncio.get_running_loop().call_later(GOODBYE, self._over.set)

    def abort(self) -> None:
        """See ``Link``: as near as ASGI comes to it."""
        self._ended = "cut off"
        self._over.set()

    def ping(self) -> bool:
        """See ``Link``: the server asks, and ends what does not answer."""
        return True

    # --- The request

    async def run(self, session: Session | None) -> None:
        """Serve the connection until it ends; without a session, say goodbye."""
        self._session = session
        work = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]
        over = asyncio.create_task(self._over.wait())
        try:
            done, _ = await asyncio.wait((*work, over), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (failure := task.exception()) is not None:
                    self._log.error("a connection of %s failed", session.id if session else "nobody", exc_info=failure)
        finally:
            for task in (*work, over):
                task.cancel()
            if session is not None:
                self._around.hub.close(session)
                self._log.info("closed %s of %s: %s", session.id, session.principal.source, self._ended)

    def _put(self, piece: Frame | bytes) -> None:
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        self._news.set()

    async def _write(self) -> None:
        # A peer that is gone is told of by `receive`; servers differ in whether `send` raises, too.
        with contextlib.suppress(OSError, WebSocketDisconnect):
            await self._begin()
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    piece = self._waiting.popleft()
                    await self._send(self._message(piece))
                    self._waiting_bytes -= len(piece)
                    self._taken += len(piece)
                    if not self.writable and self._waiting_bytes <= _HIGH_WATER // 2:
                        self.writable = True
                        if self._session is not None:
                            self._around.hub.unblocked(self._session)
                if self._goodbye is not None:
                    await self._say_goodbye(*self._goodbye)
                    break
        await self._after_goodbye()

    # --- What depends on what is spoken

    def _pieces(self, part: Frame | Chunk) -> Sequence[Frame | bytes]:
        """What is handed to the server one by one."""
        raise NotImplementedError

    def _message(self, piece: Any) -> Message:
        """One of them, for the server."""
        raise NotImplementedError

    async def _begin(self) -> None:
        """Before the first one."""

    async def _say_goodbye(self, code: int, reason: str) -> None:
        raise NotImplementedError

    async def _after_goodbye(self) -> None:
        """Whatever is waited for when all was written."""

    async def _read(self) -> None:
        """Read the client until it is gone."""
        raise NotImplementedError


class AsgiSocket(AsgiLink):
    """A WebSocket."""

    _frames_full_at = 0.0

    def _pieces(self, part: Frame | Chunk) -> Sequence[Frame]:
        return part.frames

    def _message(self, piece: Frame) -> Message:
        return {"type": "websocket.send", "text": piece.json.decode()}

    async def _say_goodbye(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _after_goodbye(self) -> None:
        await self._over.wait()  # For the peer's answer, or until it is overdue.

    async def _read(self) -> None:
        while (message := await self._receive())["type"] == "websocket.receive":
            await self._pause()
            session = self._session
            if session is None or self._goodbye is not None or not await session.until_writable():
                continue
            text = message.get("text")
            size = len(text.encode()) if text is not None else len(message.get("bytes") or b"")
            if size > self._around.max_size:
                self.close(1009, f"over {self._around.max_size} bytes")
                continue
            # What waits goes first, as in `Connection`: an answer that names a cursor stands behind all up to it.
            session.outbox.resume()
            try:
                answer = await self._around.answer(session, text)
            except Exception:
                log.exception("a frame of %s failed", session.id)
                self.close(1011, "internal")
                continue
            if answer is not None:
                session.outbox.control(answer)
        if self._goodbye is None:
            self._ended = f"{message.get('code', 1005)} {message.get('reason') or ''!r}"

    async def _pause(self) -> None:
        """Count a frame, and wait until it is due: a client that sends too many is read later, as by ``Connection``.

        Control frames are the server's, and are not counted here.
        """
        rate = self._around.frame_rate
        now = asyncio.get_running_loop().time()
        self._frames_full_at = max(self._frames_full_at, now) + rate.each
        if rate and self._frames_full_at - now > rate.seconds:
            await asyncio.sleep(self._frames_full_at - now - rate.seconds)


class AsgiStream(AsgiLink):
    """Server-sent events, as the body of a response that has not begun."""

    _log = logging.getLogger("hub.sse")

    def ping(self) -> bool:
        """See ``Link``: nobody answers; it is for the server to find that nobody takes it."""
        if self._goodbye is None and not self._waiting:
            self._put(event_stream.HEARTBEAT)
        return True

    def _pieces(self, part: Frame | Chunk) -> Sequence[bytes]:
        return [part.sse]

    def _message(self, piece: bytes) -> Message:
        return {"type": "http.response.body", "body": piece, "more_body": True}

    async def _begin(self) -> None:
        headers = {"Content-Type": event_stream.MEDIA_TYPE, **event_stream.HEADERS}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})
        await self._send(self._message(first_words()))

    async def _say_goodbye(self, code: int, reason: str) -> None:
        await self._send({"type": "http.response.body", "body": event_stream.goodbye(code, reason)})

    async def _read(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
