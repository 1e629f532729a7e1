"""The crowd counts bytes, on real sockets: every event once, wherever the reads end, and as old as it is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import crowd as crowd_module
from benchmarks.crowd import ConnectionFailed, Crowd, Door
from benchmarks.frames import NEEDLE, accept_key, frame, payload, stamp, upgrade
from benchmarks.histogram import Histogram, summary
from benchmarks.reactor import Reactor

DOOR = Door(upgrade("/"), b"", b"welcome")
SHAKEN = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + accept_key("x").encode() + b"\r\n\r\n"
WELCOME = frame(b'{"type":"welcome"}')


class Line:
    """One subscriber at the end of a socket pair; the other end is the server's."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.crowd = Crowd(self.reactor, port=0)
        self.server, ours = socket.socketpair()
        ours.setblocking(False)
        self.member = crowd_module._Member(self.crowd, ours, DOOR)
        self.crowd._members.append(self.member)

    def enter(self) -> None:
        """As after a handshake."""
        self.reactor.add(self.member.sock, self.member.take)

    def greet(self) -> None:
        """As before one."""
        self.crowd.opening = 1
        self.reactor.add(self.member.sock, self.member.greet)

    def say(self, data: bytes) -> None:
        """The server sends; the subscriber reads all of it."""
        self.server.sendall(data)
        self.reactor.turn(1)

    def close(self) -> None:
        self.crowd.close()
        self.server.close()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def test_frames_of_one_read_are_counted_each(line: Line) -> None:
    line.enter()
    data = b"".join(frame(payload(0)) for _ in range(100))
    line.say(data)
    assert (line.crowd.received, line.crowd.bytes) == (100, len(data))
    line.say(frame(b'{"type":"cursor"}'))
    assert line.crowd.received == 100


@pytest.mark.parametrize("cut", range(len(frame(payload(0))) + 1))
def test_an_event_cut_anywhere_is_counted_once(line: Line, cut: int) -> None:
    line.enter()
    data = frame(payload(0))
    for part in (data[:cut], data[cut:]):
        if part:
            line.say(part)
    assert (line.crowd.received, line.crowd.bytes) == (1, len(data))


def test_byte_by_byte(line: Line) -> None:
    line.enter()
    for byte in frame(payload(0)) * 2:
        line.say(bytes((byte,)))
    assert line.crowd.received == 2


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 600), max_size=20))
def test_any_pieces(sizes: list[int]) -> None:
    line = Line()
    try:
        line.enter()
        data, start = frame(payload(0)) * 20, 0
        for size in [*sizes, len(data)]:
            if data[start : start + size]:
                line.say(data[start : start + size])
            start += size
        assert line.crowd.received == 20
    finally:
        line.close()


def test_subscribers_do_not_share_what_a_read_left_over() -> None:
    reactor = Reactor()
    both = Crowd(reactor, port=0)
    servers = []
    for _ in range(2):
        server, ours = socket.socketpair()
        ours.setblocking(False)
        member = crowd_module._Member(both, ours, DOOR)
        both._members.append(member)
        reactor.add(ours, member.take)
        servers.append(server)
    for server, part in ((servers[0], NEEDLE[:4]), (servers[1], NEEDLE[4:]), (servers[0], NEEDLE[4:])):
        server.sendall(part)
        reactor.turn(1)
    assert both.received == 1
    both.close()
    for server in servers:
        server.close()


def test_ages(line: Line) -> None:
    line.enter()
    line.crowd.ages = ages = Histogram()
    line.say(frame(payload(stamp() - 3_000)) + frame(payload(stamp() - 50_000)))
    assert line.crowd.received == ages.count == 2
    found = summary(ages)
    assert 3 <= float(str(found["p50_ms"])) < 50 <= float(str(found["max_ms"])) < 1000


@pytest.mark.parametrize("into", range(len(NEEDLE) + 16))
def test_an_event_whose_time_is_cut_off_is_counted_without_an_age(line: Line, into: int) -> None:
    """A wrong age would be worse than none: half a timestamp is a time long ago."""
    line.enter()
    line.crowd.ages = ages = Histogram()
    data = frame(payload(stamp() - 1_000))
    cut = data.index(NEEDLE) + into
    line.say(data[:cut])
    line.say(data[cut:])
    assert line.crowd.received == 1
    # Cut before the needle is whole, it is found with the rest, time and all.
    assert ages.count == (1 if into < len(NEEDLE) else 0)
    assert ages.largest < 1_000_000


def test_events_right_behind_the_handshake_count(line: Line) -> None:
    line.greet()
    data = SHAKEN + WELCOME + frame(payload(0)) + frame(payload(0))
    cut = len(data) - 60
    line.say(data[:cut])
    assert line.crowd.opening == 0
    line.say(data[cut:])
    assert line.crowd.received == 2


@pytest.mark.parametrize("cut", range(1, len(SHAKEN + WELCOME)))
def test_a_handshake_cut_anywhere(line: Line, cut: int) -> None:
    line.greet()
    data = SHAKEN + WELCOME
    line.say(data[:cut])
    line.say(data[cut:])
    line.say(frame(payload(0)))
    assert (line.crowd.opening, line.crowd.received) == (0, 1)


def test_a_refusal(line: Line) -> None:
    line.greet()
    with pytest.raises(ConnectionFailed, match=r"refused: b'HTTP/1\.1 401"):
        line.say(b"HTTP/1.1 401 Unauthorized\r\n\r\n")


def test_an_end_during_the_handshake(line: Line) -> None:
    line.greet()
    line.server.close()
    with pytest.raises(ConnectionFailed, match="closed during the handshake"):
        line.reactor.turn(1)


def test_one_that_is_lost_is_told_and_disturbs_nobody(line: Line) -> None:
    line.enter()
    line.say(frame(payload(0)))
    line.server.close()
    line.reactor.turn(1)
    assert (line.crowd.lost, line.crowd.received) == (1, 1)
    line.reactor.turn(0)
    assert line.crowd.lost == 1


@contextmanager
def door_keeper(answer: Callable[[int], bytes]) -> Iterator[int]:
    """A server on a free port that answers the n-th handshake so, and then is silent."""
    listener = socket.create_server(("127.0.0.1", 0))
    kept = []

    def serve() -> None:
        for number in range(1_000_000):
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            kept.append(sock)
            sock.recv(65536)
            sock.sendall(answer(number))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for sock in kept:
            sock.close()


def test_many_come_in() -> None:
    with door_keeper(lambda _: SHAKEN + WELCOME + frame(payload(0))) as port:
        reactor = Reactor()
        crowd = Crowd(reactor, port)
        seconds = crowd.open(300, lambda _: DOOR, seconds=20)
        assert reactor.until(lambda: crowd.received == 300, 10)
        assert (len(crowd), crowd.opening) == (300, 0)
        assert 0 < seconds < 20
        crowd.close()


def test_who_is_not_let_in_in_time_is_a_failure() -> None:
    with door_keeper(lambda number: SHAKEN + WELCOME if number < 2 else SHAKEN) as port:
        crowd = Crowd(Reactor(), port)
        with pytest.raises(ConnectionFailed, match=r"2 came in within 0\.3 s"):
            crowd.open(3, lambda _: DOOR, seconds=0.3)
        crowd.close()
