"""What everybody writes first: ``for ws in connections: await ws.send_text(...)`` in FastAPI on uvicorn."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.crowd import Door
from benchmarks.frames import frame, post, upgrade
from benchmarks.peers.base import Peer, token


class Naive(Peer):
    """See ``naive_app``."""

    name = "naive"
    title = "naive FastAPI loop"

    def command(self, directory: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "uvicorn", "benchmarks.peers.naive_app:app"),
            *("--port", str(self.port), "--log-level", "warning", "--no-access-log"),
        ]

    def door(self, number: int) -> Door:
        return Door(upgrade(f"/ws?token={token(f'u{number}')}"), b"", b"")

    def opening(self) -> list[tuple[bytes, bytes]]:
        return [(upgrade("/publish"), b"\r\n\r\n")]

    def broadcast(self, payloads: list[bytes]) -> bytes:
        return b"".join([frame(payload, masked=True) for payload in payloads])

    def unicast(self, users: list[int], payloads: list[bytes]) -> bytes:
        return post(f"/users/u{users[0]}", payloads[0])
