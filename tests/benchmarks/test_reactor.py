"""The load generator's event loop."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks.reactor import READ, WRITE, Reactor, connect


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_what_is_readable_is_handled(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    reactor, heard = Reactor(), []
    reactor.add(ours, lambda events: heard.append((events, ours.recv(100))))
    reactor.turn(0)
    assert heard == []
    theirs.sendall(b"hi")
    reactor.turn(1)
    assert heard == [(READ, b"hi")]


def test_another_handler_and_other_events(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    reactor, heard = Reactor(), []
    reactor.add(ours, lambda _: heard.append("first"))
    reactor.hand_over(ours, lambda events: heard.append(events))
    reactor.change(ours, READ | WRITE)
    reactor.turn(1)
    theirs.sendall(b"hi")
    reactor.turn(1)
    reactor.change(ours, READ)
    reactor.turn(1)
    assert heard == [WRITE, READ | WRITE, READ]


def test_one_that_another_removed_in_the_same_turn_is_not_called() -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    reactor, heard = Reactor(), []

    def only_one(number: int) -> None:
        heard.append(number)
        reactor.remove(pairs[1 - number][0])

    for number, (ours, theirs) in enumerate(pairs):
        reactor.add(ours, lambda _, number=number: only_one(number))  # type: ignore[misc]
        theirs.sendall(b"x")
    reactor.turn(1)
    assert len(heard) == 1
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def test_running_takes_as_long_as_it_says_whatever_happens(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    reactor, turns = Reactor(), 0

    def handle(_: int) -> None:
        nonlocal turns
        turns += 1

    reactor.add(ours, handle)
    theirs.sendall(b"never read, so readable for ever")
    began = time.monotonic()
    reactor.run(0.05)
    assert 0.05 <= time.monotonic() - began < 5
    assert turns > 1


def test_until_something_is_so_or_time_is_up(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    reactor, heard = Reactor(), bytearray()
    reactor.add(ours, lambda _: heard.extend(ours.recv(100)))
    assert reactor.until(lambda: True, 0)
    assert not reactor.until(lambda: bool(heard), 0.01)
    timer = threading.Timer(0.05, theirs.sendall, [b"x"])
    timer.start()
    assert reactor.until(lambda: bool(heard), 10)
    timer.join()


def test_connections_do_not_wait_and_end_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = connect(listener.getsockname()[1])
        theirs, _ = listener.accept()
        with pytest.raises(BlockingIOError):
            ours.recv(1)
        ours.close()
        # A reset: no port is left waiting.
        with pytest.raises(ConnectionResetError):
            theirs.recv(1)
        theirs.close()
