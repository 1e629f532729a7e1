"""Frames of ``hub.v1`` as server-sent events (WHATWG HTML, 9.2): the same JSON, in ``data``. Pure; knows no module.

A browser's plain ``EventSource`` has to get along without help of ours: events are ``message`` s, so that ``onmessage``
sees them; all else is named after its frame's type. ``id`` is the cursor, which the browser says again by itself
(``Last-Event-ID``) when it reconnects. See docs/protocol.md, section 3.
"""

from __future__ import annotations

from pydantic_core import from_json, to_json

MEDIA_TYPE = "text/event-stream"
HEADERS = {
    # no-transform: a proxy that compresses would wait for more.
    "Cache-Control": "no-store, no-transform",
    # The same for nginx and those who do as it does, which would collect the events.
    "X-Accel-Buffering": "no",
}
"""Of the answer that is a stream, besides its type."""

HEARTBEAT = b":\n\n"
"""A comment: nothing to the reader, and something to every proxy that would end a silent connection."""

_DURABLE = b'{"type":"event","cursor":"'
_EVENT = b'{"type":"event",'


def encode(frame: bytes) -> bytes:
    """A frame's JSON as an event of the stream. JSON of the hub is one line."""
    if frame.startswith(_DURABLE):
        start = len(_DURABLE)
        return b"id: %b\ndata: %b\n\n" % (frame[start : frame.index(b'"', start)], frame)
    if frame.startswith(_EVENT):  # An ephemeral one: the reader's place in the log stays where it is.
        return b"data: %b\n\n" % frame
    fields = from_json(frame)
    head = f"event: {fields['type']}\n"
    if "cursor" in fields:
        head = f"id: {fields['cursor']}\n{head}"
    return b"%bdata: %b\n\n" % (head.encode(), frame)


def retry(milliseconds: int) -> bytes:
    """How long the browser is to wait before it reconnects."""
    return b"retry: %d\n\n" % milliseconds


def goodbye(code: int, reason: str) -> bytes:
    """The last event: what a WebSocket's close frame says. A stream has none, and a browser is told nothing else."""
    return b"event: close\ndata: %b\n\n" % to_json({"type": "close", "code": code, "reason": reason})
