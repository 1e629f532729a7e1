"""The publishers' side: answers are understood wherever a read ends, and what is no success is not taken for one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from benchmarks import publishers
from benchmarks.frames import post, stamp
from benchmarks.histogram import Histogram
from benchmarks.publishers import PublishingFailed, Requests, Stream
from benchmarks.reactor import Reactor

REQUEST = post("/v1/events", b'{"type":"x"}')
ANSWER = b'HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: 15\r\nx-last: 1\r\n\r\n{"id":"\r\n\r\n"}\r\n'


class Line:
    """What ``connect`` gives are socket pairs; ``servers`` are the other ends, in the order of connecting."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.servers: list[socket.socket] = []
        self.greeting = b""

    def connect(self, _: int) -> socket.socket:
        theirs, ours = socket.socketpair()
        ours.setblocking(False)
        theirs.sendall(self.greeting)
        self.servers.append(theirs)
        return ours

    def requests(self, connections: int) -> Requests:
        pool = Requests(self.reactor, 0, connections)
        pool.keep = True
        return pool

    def say(self, data: bytes, server: int = 0) -> None:
        """A server sends; whoever it is for reads."""
        self.servers[server].sendall(data)
        self.reactor.turn(1)

    def hang_up(self, server: int = 0) -> None:
        self.servers[server].close()
        self.reactor.turn(1)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    made, ours = Line(), []

    def connect(port: int) -> socket.socket:
        ours.append(made.connect(port))
        return ours[-1]

    monkeypatch.setattr(publishers, "connect", connect)
    yield made
    for end in (*made.servers, *ours):
        end.close()


def test_the_answer_is_what_it_says() -> None:
    assert len(ANSWER.partition(b"\r\n\r\n")[2]) == 15


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_an_answer_split_at_any_byte(line: Line, cut: int) -> None:
    pool = line.requests(1)
    pool.send(REQUEST)
    assert pool.idle == []
    assert line.servers[0].recv(65536) == REQUEST
    line.say(ANSWER[:cut])
    assert (pool.answered, pool.idle) == (0, []), "half an answer is none"
    line.say(ANSWER[cut:])
    assert (pool.answered, pool.refused, len(pool.idle)) == (1, 0, 1)
    assert pool.last == ANSWER.partition(b"\r\n\r\n")[2]


def test_byte_by_byte_and_again(line: Line) -> None:
    pool = line.requests(1)
    for number in range(1, 3):
        pool.send(REQUEST)
        for byte in ANSWER:
            assert pool.answered == number - 1
            line.say(bytes((byte,)))
        assert pool.answered == number


def test_connections_answer_in_any_order(line: Line) -> None:
    pool = line.requests(3)
    for _ in range(3):
        pool.send(REQUEST)
    for server in (1, 2, 0):
        line.say(ANSWER, server)
    assert (pool.answered, len(pool.idle)) == (3, 3)


def test_a_204_has_no_length(line: Line) -> None:
    pool = line.requests(1)
    pool.send(REQUEST)
    line.say(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (pool.answered, pool.refused) == (1, 0)


def test_an_answer_that_cannot_be_measured(line: Line) -> None:
    line.requests(1).send(REQUEST)
    with pytest.raises(PublishingFailed, match="without a length"):
        line.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


def test_refusals_are_kept_apart(line: Line) -> None:
    pool = line.requests(1)
    for answer in (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", ANSWER):
        pool.send(REQUEST)
        line.say(answer)
    assert (pool.answered, pool.refused) == (2, 1)
    assert pool.refusal.endswith(b"no")


def test_times_count_from_when_a_request_was_due(line: Line) -> None:
    pool = line.requests(1)
    pool.times = Histogram()
    pool.send(REQUEST, since=stamp() - 70_000)
    line.say(ANSWER)
    assert pool.times.count == 1
    assert 70_000 <= pool.times.largest < 5_000_000


def test_an_idle_connection_that_is_ended_is_replaced(line: Line) -> None:
    pool = line.requests(2)
    line.hang_up(0)
    assert (len(line.servers), len(pool.idle), len(pool.all)) == (3, 2, 2)
    for _ in range(2):
        pool.send(REQUEST)
    for server in line.servers[1:]:
        assert server.recv(65536) == REQUEST


def test_one_that_is_ended_before_its_answer_is_a_failure(line: Line) -> None:
    line.requests(1).send(REQUEST)
    with pytest.raises(PublishingFailed, match="ended the publisher's connection"):
        line.hang_up()


def test_what_the_kernel_does_not_take_at_once_follows_in_order(line: Line) -> None:
    stream = Stream(line.reactor, 0, [])
    pieces = [bytes((number,)) * 100_000 for number in range(60)]
    for piece in pieces:
        stream.write(piece)
    assert stream.backlog > 0
    [server] = line.servers
    server.setblocking(False)
    taken = bytearray()
    while len(taken) < 6_000_000:
        try:
            taken += server.recv(1 << 20)
        except BlockingIOError:
            line.reactor.turn(1)
    assert stream.backlog == 0
    assert taken == b"".join(pieces)


def test_a_stream_waits_for_what_it_is_told_to(line: Line) -> None:
    line.greeting = b"+ready\r\n"
    Stream(line.reactor, 0, [(b"CONNECT {}\r\n", b"ready"), (b"last", b"")])
    assert line.servers[0].recv(100) == b"CONNECT {}\r\nlast"
