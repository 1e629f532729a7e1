"""The load generator's event loop: epoll and non-blocking sockets, as little Python as possible between them.

Not asyncio, because the load generator must not be what is measured: an event costs one dictionary look-up, one
system call and a count of bytes.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT

Handler = Callable[[int], None]
"""Called with the events that happened."""


class Reactor:
    """Sockets and who handles what happens on them."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}

    def add(self, sock: socket.socket, handler: Handler, events: int = READ) -> None:
        """Call ``handler`` whenever the socket is readable (or what ``events`` says)."""
        self._handlers[sock.fileno()] = handler
        self._epoll.register(sock, events)

    def hand_over(self, sock: socket.socket, handler: Handler) -> None:
        """Let somebody else handle a socket from now on."""
        self._handlers[sock.fileno()] = handler

    def change(self, sock: socket.socket, events: int) -> None:
        """Wait for other events from now on."""
        self._epoll.modify(sock, events)

    def remove(self, sock: socket.socket) -> None:
        """Not this one any more; it is the caller's to close."""
        del self._handlers[sock.fileno()]
        self._epoll.unregister(sock)

    def turn(self, timeout: float) -> None:
        """Wait for something to happen, at most ``timeout`` seconds, and handle it."""
        handlers = self._handlers
        for descriptor, events in self._epoll.poll(timeout, 512):
            handler = handlers.get(descriptor)
            if handler is not None:  # Otherwise one handled before in this turn removed it.
                handler(events)

    def run(self, seconds: float) -> None:
        """Handle what happens for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.turn(left)

    def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Handle what happens until ``done``; False if that took longer than ``seconds``."""
        end = time.monotonic() + seconds
        while not done():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.turn(min(left, 0.1))
        return True


def connect(port: int) -> socket.socket:
    """A non-blocking TCP connection on loopback, where connecting does not wait for the server's accept."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Closed by a reset: thousands of connections would otherwise leave as many ports in TIME_WAIT.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.setblocking(False)
    return sock
