"""The limit: frames that are encoded already, one ``send()`` for each receiver and read, no more than that."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.crowd import Door
from benchmarks.frames import frame, post, upgrade
from benchmarks.peers.base import Peer


class Bare(Peer):
    """See ``bare_server``."""

    name = "bare"
    title = "bare `send()`s"
    checks_tokens = False
    batch = 100

    def command(self, directory: Path) -> list[str]:
        return [sys.executable, "-m", "benchmarks.peers.bare_server", str(self.port)]

    def door(self, number: int) -> Door:
        return Door(upgrade(f"/{number}"), b"", b"")

    def opening(self) -> list[tuple[bytes, bytes]]:
        return [(b"PUBLISH\r\n\r\n", b"OK")]

    def flood(self) -> bytes:
        """What a stream says instead, to have frames sent to everybody as fast as they are taken."""
        return b"FLOOD\r\n\r\n"

    def broadcast(self, payloads: list[bytes]) -> bytes:
        return b"".join([frame(payload) for payload in payloads])

    def unicast(self, users: list[int], payloads: list[bytes]) -> bytes:
        return post(f"/{users[0]}", payloads[0])
