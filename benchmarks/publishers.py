"""The publishing side of the load: one stream that takes many events, or HTTP connections with one request each."""

from __future__ import annotations

import contextlib
import re
import socket

from benchmarks.frames import stamp
from benchmarks.histogram import Histogram
from benchmarks.reactor import READ, WRITE, Reactor, connect

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class PublishingFailed(Exception):
    """A peer refused an event or cut the publisher off."""


class Writer:
    """A connection that is written to; what the kernel does not take at once waits here."""

    def __init__(self, reactor: Reactor, port: int) -> None:
        self._reactor = reactor
        self._port = port
        self.sock: socket.socket = connect(port)
        self._waiting = bytearray()
        reactor.add(self.sock, self._handle)

    @property
    def backlog(self) -> int:
        """Bytes that wait here."""
        return len(self._waiting)

    def write(self, data: bytes) -> None:
        """Send, now or when there is room."""
        if not self._waiting:
            with contextlib.suppress(BlockingIOError):
                data = data[self.sock.send(data) :]
            if data:
                self._reactor.change(self.sock, READ | WRITE)
        self._waiting += data

    def close(self) -> None:
        """End it."""
        self._reactor.remove(self.sock)
        self.sock.close()

    def _handle(self, events: int) -> None:
        if events & WRITE and self._waiting:
            try:
                del self._waiting[: self.sock.send(self._waiting)]
            except BlockingIOError:
                return
            if not self._waiting:
                self._reactor.change(self.sock, READ)
        if events & ~WRITE:
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                return
            except ConnectionError:
                data = b""
            if data:
                self._heard(data)
            else:
                self._ended()

    def _heard(self, data: bytes) -> None:
        """What the server says."""

    def _ended(self) -> None:
        """The server ended the connection."""
        raise PublishingFailed("the server ended the publisher's connection")


class Stream(Writer):
    """A publisher over a WebSocket or plain TCP; what the server answers is only waited for at the beginning."""

    def __init__(self, reactor: Reactor, port: int, opening: list[tuple[bytes, bytes]]) -> None:
        """``opening``: what to say, and what to wait for after it, in turn."""
        super().__init__(reactor, port)
        self._said = b""
        self._listening = True
        for say, ready in opening:
            self._said = b""
            self.write(say)
            if ready and not reactor.until(lambda ready=ready: ready in self._said, 10):  # type: ignore[misc]
                raise PublishingFailed(f"the server answered {self._said[:200]!r}")
        self._listening = False

    def _heard(self, data: bytes) -> None:
        if self._listening:
            self._said += data


class Requests:
    """HTTP connections that are kept; each has one request at a time."""

    def __init__(self, reactor: Reactor, port: int, connections: int) -> None:
        self.idle: list[_Request] = []
        self.answered = 0
        self.refused = 0
        self.refusal = b""
        """An answer that was not a 2xx."""
        self.last = b""
        """The last answer's body, if ``keep``."""
        self.keep = False
        self.times: Histogram | None = None
        """Where times to the answer are counted, if they are to be."""
        self.all = [_Request(self, reactor, port) for _ in range(connections)]
        self.idle = list(self.all)

    def send(self, request: bytes, since: int | None = None) -> None:
        """Send on an idle connection. ``since``: when it was due (``stamp``), if its time is to include a wait."""
        self.idle.pop().begin(request, since)

    def close(self) -> None:
        """End all."""
        for connection in self.all:
            connection.close()


class _Request(Writer):
    def __init__(self, pool: Requests, reactor: Reactor, port: int) -> None:
        super().__init__(reactor, port)
        self._pool = pool
        self._answer = b""
        self._since = 0

    def _ended(self) -> None:
        pool = self._pool
        if self not in pool.idle:
            super()._ended()
        # Servers do not keep idle connections for long; the next request has a new one.
        self.close()
        pool.idle.remove(self)
        pool.all.remove(self)
        fresh = _Request(pool, self._reactor, self._port)
        pool.all.append(fresh)
        pool.idle.append(fresh)

    def begin(self, request: bytes, since: int | None) -> None:
        self._since = stamp() if since is None else since
        self.write(request)

    def _heard(self, data: bytes) -> None:
        answer = self._answer = self._answer + data if self._answer else data
        head = answer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(answer, 0, head + 2)
        if length is None:
            if not answer.startswith(b"HTTP/1.1 204"):
                raise PublishingFailed(f"an answer without a length: {answer[:200]!r}")
        elif len(answer) < head + 4 + int(length[1]):
            return
        pool = self._pool
        if pool.times is not None:
            pool.times.add(stamp() - self._since)
        pool.answered += 1
        if not answer.startswith(b"HTTP/1.1 2"):
            pool.refused += 1
            pool.refusal = answer
        if pool.keep:
            pool.last = answer[head + 4 :]
        self._answer = b""
        pool.idle.append(self)
