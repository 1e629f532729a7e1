"""Stand-ins for the sans-I/O tests. Nothing here says anything about sockets; those tests use real ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from websockets.frames import Frame as ReferenceFrame
from websockets.protocol import CLIENT
from websockets.protocol import Protocol as ReferenceProtocol

from hub.wire import Chunk, Frame


class FakeLink:
    """A link whose transport the test fills and empties."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.writes = 0
        self.writable = True
        self.room: int | None = None
        """Bytes it takes before it is full; None: any number."""
        self.closed: tuple[int, str] | None = None
        self.aborted = False
        self.held = 0
        self.on_full: Callable[[], None] = lambda: None

    def write(self, parts: Sequence[Frame | Chunk]) -> None:
        self.writes += 1
        data = b"".join(part.websocket for part in parts)
        peer = ReferenceProtocol(CLIENT, max_size=None)
        peer.receive_data(data)
        self.written += [event.data for event in peer.events_received() if isinstance(event, ReferenceFrame)]
        if self.room is not None:
            self.room -= len(data)
            if self.room <= 0 and self.writable:
                self.writable = False
                self.on_full()

    def pending(self) -> int:
        return self.held

    def taken(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def abort(self) -> None:
        self.aborted = True

    def ping(self) -> bool:
        return True

    def texts(self) -> list[str]:
        """What was written, one text a frame."""
        return [text.decode() for text in self.written]

    def frames(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What was written, read as JSON."""
        said = [json.loads(text) for text in self.written]
        return [frame for frame in said if kind is None or frame["type"] == kind]


class Clock:
    """Time that the test moves, in seconds."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
