"""Node's `ws`, the usual WebSocket library there: a loop over the clients, tokens checked in the upgrade."""

from __future__ import annotations

from pathlib import Path

from benchmarks.crowd import Door
from benchmarks.frames import frame, post, upgrade
from benchmarks.peers.base import Peer, node_program, token


class NodeWs(Peer):
    """See ``node_ws.mjs``."""

    name = "node_ws"
    title = "Node `ws`"

    def command(self, directory: Path) -> list[str]:
        return node_program("node_ws.mjs", "ws")

    def door(self, number: int) -> Door:
        return Door(upgrade(f"/ws?token={token(f'u{number}')}"), b"", b"")

    def opening(self) -> list[tuple[bytes, bytes]]:
        return [(upgrade("/publish"), b"\r\n\r\n")]

    def broadcast(self, payloads: list[bytes]) -> bytes:
        return b"".join([frame(payload, masked=True) for payload in payloads])

    def unicast(self, users: list[int], payloads: list[bytes]) -> bytes:
        return post(f"/users/u{users[0]}", payloads[0])
