"""A crowd of subscribers, seen as bytes: how many events arrived, and how old they were."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.frames import NEEDLE, STAMP_DIGITS, stamp
from benchmarks.histogram import Histogram
from benchmarks.reactor import Reactor, connect

_BUFFER = 256 * 1024
_KEEP = len(NEEDLE) - 1
"""Bytes of a read that are looked at again with the next one: a needle may lie across both."""
_ROOM = 8
_IN_FLIGHT = 128
"""Handshakes at a time: well below every peer's backlog, or the kernel would drop connections for a second."""

buffer = bytearray(_BUFFER + _ROOM)
_views = [memoryview(buffer)[_ROOM:]]


class ConnectionFailed(Exception):
    """A peer refused a subscriber, or lost one."""


@dataclass(frozen=True, slots=True)
class Door:
    """How a subscriber comes in: the handshake, what it says then, and what it waits for (b"": only the 101)."""

    request: bytes
    greeting: bytes
    ready: bytes


class Crowd:
    """Subscribers of one peer."""

    def __init__(self, reactor: Reactor, port: int) -> None:
        self._reactor = reactor
        self._port = port
        self._members: list[_Member] = []
        self.received = 0
        """Events that arrived, over all subscribers."""
        self.bytes = 0
        self.ages: Histogram | None = None
        """Where ages of events are counted, if they are to be."""
        self.opening = 0
        """Subscribers whose handshake is under way."""
        self.lost = 0

    def __len__(self) -> int:
        return len(self._members)

    def open(self, count: int, door: Callable[[int], Door], *, seconds: float) -> float:
        """Bring in ``count`` more; returns once all are subscribed, with the seconds that took."""
        # Made beforehand: what the client computes for a handshake is not the server's cost.
        doors = [door(number) for number in range(len(self._members), len(self._members) + count)]
        began = time.monotonic()
        waiting = iter(doors)
        left = count
        while left or self.opening:
            while left and self.opening < _IN_FLIGHT:
                member = _Member(self, connect(self._port), next(waiting))
                self._members.append(member)
                self.opening += 1
                self._reactor.add(member.sock, member.greet)
                member.sock.send(member.door.request)
                left -= 1
            self._reactor.turn(0.1)
            if time.monotonic() - began > seconds:
                raise ConnectionFailed(f"{len(self._members) - self.opening} came in within {seconds:g} s")
        return time.monotonic() - began

    def close(self) -> None:
        """Cut all."""
        for member in self._members:
            if not member.gone:
                self._reactor.remove(member.sock)
                member.sock.close()
        self._members.clear()

    def drop(self, member: _Member) -> None:
        """A peer ended a connection."""
        member.gone = True
        self._reactor.remove(member.sock)
        member.sock.close()
        self.lost += 1

    def entered(self, member: _Member) -> None:
        """A subscriber's handshake is over."""
        self.opening -= 1
        self._reactor.hand_over(member.sock, member.take)


class _Member:
    __slots__ = ("answered", "crowd", "descriptor", "door", "gone", "said", "sock", "tail")

    def __init__(self, crowd: Crowd, sock: socket.socket, door: Door) -> None:
        self.crowd = crowd
        self.sock = sock
        self.descriptor = sock.fileno()
        self.door = door
        self.said = b""
        self.tail = b""
        self.answered = self.gone = False

    def greet(self, _: int) -> None:
        """During the handshake."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            raise ConnectionFailed(f"closed during the handshake, after {self.said[:200]!r}")
        self.said += data
        head = self.said.find(b"\r\n\r\n")
        if head < 0:
            return
        if not self.said.startswith(b"HTTP/1.1 101"):
            raise ConnectionFailed(f"refused: {self.said[:200]!r}")
        if not self.answered:
            self.answered = True
            if self.door.greeting:
                self.sock.send(self.door.greeting)
        rest = self.said[head + 4 :]
        if self.door.ready in rest:
            # Events may have come right behind.
            self.crowd.received += rest.count(NEEDLE)
            self.tail = rest[-_KEEP:]
            self.said = b""
            self.crowd.entered(self)

    def take(self, _: int) -> None:
        """Once subscribed: count, and take the age if asked to."""
        crowd, tail = self.crowd, self.tail
        try:
            size = os.readv(self.descriptor, _views)
        except BlockingIOError:
            return
        except ConnectionError:
            size = 0
        if not size:
            crowd.drop(self)
            return
        start = _ROOM - len(tail)
        buffer[start:_ROOM] = tail
        end = _ROOM + size
        crowd.bytes += size
        crowd.received += buffer.count(NEEDLE, start, end)
        if crowd.ages is not None:
            _count_ages(crowd.ages, start, end)
        self.tail = bytes(buffer[max(start, end - _KEEP) : end])


def _count_ages(ages: Histogram, start: int, end: int) -> None:
    now = stamp()
    at = buffer.find(NEEDLE, start, end)
    while at >= 0:
        first = at + len(NEEDLE)
        if first + STAMP_DIGITS > end:
            return  # Cut off by the end of this read: counted, but without an age.
        ages.add(now - int(buffer[first : first + STAMP_DIGITS]))
        at = buffer.find(NEEDLE, first, end)
