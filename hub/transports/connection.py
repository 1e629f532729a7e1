"""A WebSocket connection after its handshake: the lean object that the transport, the outbox and the session share.

It takes the transport over from the HTTP protocol that read the handshake (``hub.transports.http_protocol``), so that
an idle connection is this object and its session, without a task, a queue, a timer or a parser. Frames that come in are
rare (a pong, now and then a request): the ``websockets`` library's sans-I/O protocol reads them, made when bytes arrive
and let go when they were whole frames.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.frames import Close, Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from hub import wire
from hub.errors import HubError
from hub.hub import Hub
from hub.limits import Rate
from hub.session import Session
from hub.transports.upgrade import inflater

log = logging.getLogger("hub.websocket")

GOODBYE = 5.0
"""Seconds for the peer to answer a close frame (RFC 6455, 7.1.1) before the connection is cut."""
_TURN = 16
"""Frames of one peer that are answered before others get a turn."""
_PIECE = 4096
"""Bytes that are parsed before what they held is counted: of the smallest frames, some 700."""
_DEBT = 2
"""Buckets of frames that a peer may owe. Over that it is no burst."""
_NEVER = math.inf
_PING = b"\x89\x00"
"""A ping without a payload, as a whole frame."""

Answer = Callable[[Session, str | None], Coroutine[Any, Any, wire.Frame | None]]
"""Carries out a client's frame (None: one that was not text) and says what to answer."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all connections of one server have in common.

    ``peers`` is the server's own set of connections, which it waits for and shuts down when it stops. ``max_size`` is
    the largest message of a client, in bytes. ``frame_rate``: frames of any kind that are read of one client.
    """

    hub: Hub
    answer: Answer
    peers: set[Any]
    max_size: int
    frame_rate: Rate


class Connection(asyncio.Protocol):
    """One WebSocket; it is the ``Link`` of its session."""

    __slots__ = (
        "_around",
        "_closing",
        "_cut_off",
        "_deflate",
        "_ended",
        "_fragments",
        "_frames_full_at",
        "_heard",
        "_inbox",
        "_lost",
        "_open_bytes",
        "_parser",
        "_reading",
        "_session",
        "_throttle",
        "_transport",
        "_worker",
        "_written",
        "writable",
    )

    def __init__(self, transport: asyncio.Transport, around: Surroundings, *, deflate: bool = False) -> None:
        """``deflate``: the handshake agreed on compression (RFC 7692) without context takeover."""
        self._transport = transport
        self._around = around
        self._deflate = deflate
        self._session: Session | None = None
        self._parser: Protocol | None = None
        # Bytes given to the parser that are not accounted for by whole frames yet.
        self._open_bytes = 0
        # The opcode of a message in pieces, and what came of it.
        self._fragments: bytearray | None = None
        self._inbox: deque[str | None] | None = None
        self._worker: asyncio.Task[None] | None = None
        self._cut_off: asyncio.TimerHandle | None = None
        # When the bucket of its frames is full again (see ``Rate``), and the end of a pause that it has to make.
        self._frames_full_at = 0.0
        self._throttle: asyncio.TimerHandle | None = None
        # How it ended, for the log.
        self._ended: str | None = None
        self._heard = True
        self.writable = True
        self._written = 0
        self._reading = True
        self._closing = False
        self._lost = False
        around.peers.add(self)

    def begin(self, session: Session, early: bytes = b"") -> None:
        """The session whose link this is, and what the peer sent behind its handshake without waiting for ours."""
        self._session = session
        if early:
            self.data_received(early)

    # --- hub.outbox.Link

    def write(self, parts: Sequence[wire.Frame | wire.Chunk]) -> None:
        """See ``Link``. After the connection ended or said goodbye, frames go nowhere."""
        if not self._closing:
            if self._deflate:
                data = b"".join([part.deflated for part in parts])
            elif len(parts) == 1:
                data = parts[0].websocket
            else:
                data = b"".join([part.websocket for part in parts])
            self._written += len(data)
            self._transport.write(data)

    def pending(self) -> int:
        """See ``Link``."""
        return 0 if self._lost else self._transport.get_write_buffer_size()

    def taken(self) -> int:
        """See ``Link``. Pings and the like are not counted as written, so it may be a few bytes short."""
        return self._written - self.pending()

    def close(self, code: int, reason: str) -> None:
        """See ``Link``."""
        if self._closing:
            return
        goodbye = Frame(Opcode.CLOSE, Close(code, reason).serialize()).serialize(mask=False)
        self._transport.write(goodbye)
        self._end(code, reason)
        # The peer's answer is waited for, so that it is not met by a reset that makes it forget ours (RFC 6455, 7.1.1).
        self._read(True)

    def abort(self) -> None:
        """See ``Link``."""
        self._closing = True
        self._ended = self._ended or "cut off"
        self._transport.abort()

    def ping(self) -> bool:
        """See ``Link``."""
        alive, self._heard = self._heard, False
        if not self._closing:
            self._transport.write(_PING)
        # While its request is carried out the peer is not read, so nothing can be heard of it.
        return alive or not self._reading

    # --- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Frames, or pieces of them, from the peer.

        One that sends too many is read later: a burst waits in its own buffers, and costs nobody else a thing. A flood,
        of frames so small that one read holds more than would be due in a long time, is the end.
        """
        self._heard = True
        if len(data) <= _PIECE:
            self._parse(data)
            return
        for start in range(0, len(data), _PIECE):
            if self._frames_full_at == _NEVER or self._transport.is_closing():
                return
            self._parse(data[start : start + _PIECE])

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            parser = self._parser = _Parser(SERVER, state=OPEN, max_size=self._around.max_size)
            if self._deflate:
                parser.extensions = [inflater()]
            self._open_bytes = 0
        self._open_bytes += len(data)
        parser.receive_data(data)
        frames = parser.events_received()
        self._count(len(frames))
        for frame in frames:
            assert isinstance(frame, Frame)
            self._open_bytes -= _wire_size(len(frame.data))
            self._take(frame)
        answer = b"".join(parser.data_to_send())
        if parser.state is not OPEN:
            # The peer said goodbye, which the parser answered, or broke the protocol, which it told it.
            if not self._closing:
                self._transport.write(answer)
                goodbye = parser.close_rcvd or parser.close_sent
                assert goodbye is not None, "a parser that is not open any more has read or written one"
                self._end(goodbye.code, goodbye.reason)
            self._transport.close()
        elif answer and not self._closing:
            self._transport.write(answer)
        # What was compressed does not tell how long it was on the wire: there, the parser stays.
        if self._open_bytes == 0 and self._fragments is None and not self._deflate:
            self._parser = None

    def eof_received(self) -> None:
        """The peer sends no more; the transport closes itself."""

    def pause_writing(self) -> None:
        """The transport is full: a peer that does not read is not read, or its pings alone would fill the memory."""
        self.writable = False
        self._read(False)
        if self._session is not None:
            self._around.hub.blocked(self._session)

    def resume_writing(self) -> None:
        """The transport takes more."""
        self.writable = True
        self._read(self._worker is None)
        if self._session is not None:
            self._around.hub.unblocked(self._session)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, in whatever way: everything that it held is let go."""
        self._closing = self._lost = True
        self._around.peers.discard(self)
        if self._cut_off is not None:
            self._cut_off.cancel()
        if self._throttle is not None:
            self._throttle.cancel()
        if self._worker is not None:
            self._worker.cancel()
        self._inbox = self._fragments = self._parser = None
        session, self._session = self._session, None
        if session is not None:
            self._around.hub.close(session)
            log.info("closed %s of %s: %s", session.id, session.principal.source, self._ended or "lost")

    def shutdown(self) -> None:
        """The server stops, and its drain has given everybody the time to hear of it."""
        self.close(1012, "restarting")
        self._transport.close()

    # --- Inside

    def _end(self, code: int, reason: str) -> None:
        self._closing = True
        self._ended = f"{int(code)} {reason!r}"  # Quoted: the reason may be the peer's.
        self._cut_off = asyncio.get_running_loop().call_later(GOODBYE, self._transport.abort)

    def _read(self, wanted: bool) -> None:
        if self._closing:
            wanted = wanted and self._frames_full_at != _NEVER
        else:
            wanted = wanted and self.writable and self._throttle is None
        if wanted is not self._reading and not self._transport.is_closing():
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _count(self, frames: int) -> None:
        rate = self._around.frame_rate
        if not rate or not frames or self._closing:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._frames_full_at = max(self._frames_full_at, now) + frames * rate.each
        owed = self._frames_full_at - now - rate.seconds
        if owed > _DEBT * rate.seconds:
            refusal = HubError("rate_limited", "Too many frames in too short a time.")
            self.close(refusal.kind.close, refusal.close_reason)
            # Not even its answer is read: before that comes what there is too much of.
            self._frames_full_at = _NEVER
            self._read(False)
        elif owed > 0:
            if self._throttle is not None:
                self._throttle.cancel()
            self._throttle = loop.call_later(owed, self._read_on)
            self._read(False)

    def _read_on(self) -> None:
        self._throttle = None
        self._read(self._worker is None)

    def _take(self, frame: Frame) -> None:
        if self._closing or frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.fin and frame.opcode is not Opcode.CONT:
            self._receive(frame.opcode, frame.data)
            return
        if frame.opcode is not Opcode.CONT:
            self._fragments = bytearray([frame.opcode])
        assert self._fragments is not None, "the parser refuses a continuation of nothing"
        # One buffer and not a list: its size is bounded by the parser, the number of empty pieces is not.
        self._fragments += frame.data
        if frame.fin:
            whole, self._fragments = self._fragments, None
            self._receive(Opcode(whole[0]), whole[1:])

    def _receive(self, opcode: Opcode, message: bytes | bytearray | memoryview) -> None:
        text = None
        if opcode is Opcode.TEXT:
            try:
                text = bytes(message).decode()
            except UnicodeDecodeError:
                self.close(1007, "frame_invalid: not UTF-8")  # RFC 6455, 8.1.
                return
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(text)
        if self._worker is None:
            self._read(False)
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        """Answer the peer's frames one by one; only then are more of them read.

        Before each, what waits in the outbox is handed to the transport. So answers cannot pile up there, and one that
        names a cursor stands behind everything up to it: an overflow cannot drop events that it claims were sent.
        """
        session = self._session
        handled = 0
        try:
            while session is not None and self._inbox and await session.until_writable():
                session.outbox.resume()
                if not self.writable:
                    continue
                answer = await self._around.answer(session, self._inbox.popleft())
                if answer is not None:
                    session.outbox.control(answer)
                handled += 1
                if handled % _TURN == 0:
                    await asyncio.sleep(0)
        except Exception:
            log.exception("a frame of %s failed", session.id if session else "nobody")
            self.close(1011, "internal")
        finally:
            self._worker = None
            self._inbox = None
            if not self._transport.is_closing():
                self._read(True)


class _Parser(Protocol):
    """The library's, which takes a goodbye in the middle of a message in pieces for a violation."""

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame that is whole."""
        if frame.opcode is Opcode.CLOSE:
            # It may stand between the pieces of a message, like every control frame (RFC 6455, 5.4 and 5.5).
            self.current_size = None
        super().recv_frame(frame)


def _wire_size(length: int) -> int:
    """Bytes of a client's frame with so long a payload: header, mask, payload (RFC 6455, 5.2)."""
    return length + (6 if length < 126 else 8 if length < 65536 else 14)
