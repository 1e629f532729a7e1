"""The server behind ``bare``: epoll and ``send()``. Run as ``python -m benchmarks.peers.bare_server PORT``.

A subscriber shakes hands (any ``GET``); a publisher says ``PUBLISH`` and then whole frames, whose bytes go out to all
subscribers as they come in, what one read brought in one ``send()``; a ``POST /<n>`` frames its body for subscriber n.
``FLOOD`` sends frames to everybody for ever: then the load generator is what is measured.
"""

from __future__ import annotations

import re
import select
import socket
import sys

from benchmarks.frames import accept_key, frame, payload

_KEY = re.compile(r"sec-websocket-key: *(\S+)", re.IGNORECASE)
_READ = 16 * 1024
"""Bytes of one read, and so of one send: about a hundred frames, as many as the hub is given at a time."""
_PIECE = frame(payload(0)) * 1900
"""A quarter of a megabyte: a send() that is cheap for each frame in it."""


class _Server:
    def __init__(self, port: int) -> None:
        self._epoll = select.epoll()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listener.setblocking(False)
        self._epoll.register(self._listener, select.EPOLLIN)
        self._sockets: dict[int, socket.socket] = {}
        self._said: dict[int, bytes] = {}
        self._by_number: dict[int, int] = {}
        self._subscribers: dict[int, socket.socket] = {}
        self._publishers: set[int] = set()
        self._unsent: dict[int, bytearray] = {}
        self._flooding = False

    def run(self) -> None:
        while True:
            for descriptor, events in self._epoll.poll():
                if descriptor == self._listener.fileno():
                    self._accept()
                elif events & ~select.EPOLLOUT:
                    self._read(descriptor)
                elif descriptor in self._subscribers:
                    self._write_unsent(descriptor)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[sock.fileno()] = sock
            self._epoll.register(sock, select.EPOLLIN)

    def _read(self, descriptor: int) -> None:
        sock = self._sockets[descriptor]
        try:
            data = sock.recv(_READ)
        except ConnectionError:
            data = b""
        if not data:
            self._forget(descriptor)
        elif descriptor in self._publishers:
            self._broadcast(data)
        elif descriptor not in self._subscribers:
            self._begin(descriptor, sock, self._said.pop(descriptor, b"") + data)

    def _begin(self, descriptor: int, sock: socket.socket, said: bytes) -> None:
        head, end, rest = said.partition(b"\r\n\r\n")
        if not end:
            self._said[descriptor] = said
        elif head == b"PUBLISH":
            self._publishers.add(descriptor)
            sock.send(b"OK")
        elif head == b"FLOOD":
            self._flooding = True
            for each in list(self._subscribers):
                self._write_unsent(each)
        elif head.startswith(b"POST"):
            receiver = self._subscribers.get(self._by_number.get(int(head[6 : head.index(b" ", 6)]), -1))
            if receiver is not None:
                self._send(receiver.fileno(), receiver, frame(rest))
            sock.send(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        else:
            text = head.decode()
            key = _KEY.search(text)
            assert key is not None, text
            sock.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_key(key[1]).encode()
            )
            self._subscribers[descriptor] = sock
            self._by_number[int(text[5 : text.index(" ", 5)])] = descriptor

    def _broadcast(self, data: bytes) -> None:
        for descriptor, sock in self._subscribers.items():
            self._send(descriptor, sock, data)

    def _send(self, descriptor: int, sock: socket.socket, data: bytes) -> None:
        waiting = self._unsent.get(descriptor)
        if waiting is not None:
            waiting += data
            return
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        except ConnectionError:
            return  # The next read says so, too.
        if sent < len(data):
            self._unsent[descriptor] = bytearray(data[sent:])
            self._epoll.modify(descriptor, select.EPOLLIN | select.EPOLLOUT)

    def _write_unsent(self, descriptor: int) -> None:
        waiting = self._unsent.pop(descriptor, None)
        if waiting is None and not self._flooding:
            self._epoll.modify(descriptor, select.EPOLLIN)
            return
        self._send(descriptor, self._subscribers[descriptor], bytes(waiting or b"") or _PIECE)
        if self._flooding and descriptor not in self._unsent:
            self._unsent[descriptor] = bytearray(_PIECE)
            self._epoll.modify(descriptor, select.EPOLLIN | select.EPOLLOUT)

    def _forget(self, descriptor: int) -> None:
        self._sockets.pop(descriptor).close()
        self._subscribers.pop(descriptor, None)
        self._unsent.pop(descriptor, None)
        self._publishers.discard(descriptor)
        self._flooding = self._flooding and bool(self._subscribers)


if __name__ == "__main__":
    _Server(int(sys.argv[1])).run()
