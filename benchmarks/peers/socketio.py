"""Socket.IO on Node, over WebSocket only."""

from __future__ import annotations

from pathlib import Path

from benchmarks.crowd import Door
from benchmarks.frames import frame, post, upgrade
from benchmarks.peers.base import Peer, node_program, token

_PATH = "/socket.io/?EIO=4&transport=websocket"


class SocketIO(Peer):
    """See ``socketio.mjs``. Engine.IO packets: 40 connects, 42 is an event (its protocol, revision 4)."""

    name = "socketio"
    title = "Socket.IO (Node)"

    def command(self, directory: Path) -> list[str]:
        return node_program("socketio.mjs", "socket.io")

    def door(self, number: int) -> Door:
        connect = b'40{"token":"%b"}' % token(f"u{number}").encode()
        return Door(upgrade(_PATH), frame(connect, masked=True), b'40{"sid"')

    def opening(self) -> list[tuple[bytes, bytes]]:
        connect = b'40{"token":"%b"}' % token("publisher").encode()
        return [(upgrade(_PATH), b"\r\n\r\n"), (frame(connect, masked=True), b'40{"sid"')]

    def broadcast(self, payloads: list[bytes]) -> bytes:
        return b"".join([frame(b'42["publish",%b]' % payload, masked=True) for payload in payloads])

    def unicast(self, users: list[int], payloads: list[bytes]) -> bytes:
        return post(f"/users/u{users[0]}", payloads[0])
