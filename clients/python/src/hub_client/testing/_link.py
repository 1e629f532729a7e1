"""A way to a server on this machine that can be cut and held: what networks do, on demand."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Link:
    """Forwards TCP connections from a port of its own (``url``) to ``port``. Safe to use on any thread."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._refusing = False
        self._closed = False
        self._threads = [self._start(self._accept)]

    def __repr__(self) -> str:
        return f"<Link {self.port} to {self._target}, {len(self)} connections>"

    def __len__(self) -> int:
        """Connections through it."""
        return len(self._pairs)

    def drop(self) -> int:
        """Cut all connections, without a goodbye (TCP resets); how many there were. New ones are taken."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._cut(pair)
        return len(pairs)

    def refuse(self) -> None:
        """Cut all connections, and each new one at once, until ``accept``."""
        self._refusing = True
        self.drop()

    def accept(self) -> None:
        """Take connections again."""
        self._refusing = False

    def hold(self) -> None:
        """Forward nothing more, though connections stay: a network that swallows packets."""
        self._flowing.clear()

    def release(self) -> None:
        """Forward again, also what came meanwhile."""
        self._flowing.set()

    def close(self) -> None:
        """End it and its threads."""
        self._closed = True
        self._flowing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        self.drop()
        for thread in self._threads:
            thread.join()

    # --- Inside

    def _start(self, work: object, *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, name=f"hub-link-{self.port}", daemon=True)  # type: ignore[arg-type]
        thread.start()
        return thread

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # The server is away: so is this way to it.
                _reset(near)
                continue
            pair = (near, far)
            with self._lock:
                self._pairs.add(pair)
            if self._refusing:
                self._cut(pair)
                continue
            self._threads += [self._start(self._forward, pair, near, far), self._start(self._forward, pair, far, near)]

    def _forward(self, pair: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._flowing.wait()
                sink.sendall(data)
            self._flowing.wait()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._cut(pair)
            return
        if source is pair[1]:  # The server has said its last word.
            self._cut(pair, politely=True)

    def _cut(self, pair: tuple[socket.socket, socket.socket], *, politely: bool = False) -> None:
        with self._lock:
            if pair not in self._pairs:
                return
            self._pairs.discard(pair)
        for end in pair:
            if politely:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            else:
                _reset(end)


def _reset(end: socket.socket) -> None:
    # With no time to linger, closing sends a reset instead of a goodbye (socket(7), SO_LINGER). The shutdown wakes the
    # thread that waits in recv; a reset alone would leave it there.
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        end.shutdown(socket.SHUT_RD)
    end.close()
