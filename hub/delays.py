"""How old events are when they are fanned out: from when the hub accepted them, on whatever node, to the tail of this
one. A sample of them, so that it costs the tail a look at the clock. Knows the histogram and the shape of an event.
"""

from __future__ import annotations

from datetime import datetime
from time import monotonic, time

from hub.histogram import Histogram

_PAUSE = 0.02
"""Seconds between two looks."""
_BEFORE = b'","time":"'
"""Of the event's own members only: in strings the quotes are escaped, and data comes after it."""
_LENGTH = len("2026-01-31T12:00:00.000Z")


class Delays:
    """Looks at an event now and then. Times of events are true to a millisecond, and to the nodes' clocks."""

    def __init__(self) -> None:
        self.histogram = Histogram()
        self._next = 0.0

    def look(self, body: bytes) -> None:
        """An event, as it goes out, is fanned out now."""
        now = monotonic()
        if now < self._next:
            return
        self._next = now + _PAUSE
        start = body.find(_BEFORE) + len(_BEFORE)
        if start < len(_BEFORE):
            return
        try:
            accepted = datetime.fromisoformat(body[start : start + _LENGTH].decode("ascii"))
        except ValueError:
            return
        self.histogram.observe(max(0.0, time() - accepted.timestamp()))
