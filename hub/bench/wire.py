"""The bytes of the bench: its events, its requests, and where the frames of a stream begin and end. Pure.

The hub's frames are not masked and the bench's payloads have a fixed width. So a read that brought many events is
checked as a whole, at the speed of slices, and no JSON is parsed: the client must be faster than what it measures.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hub.bench.target import BenchError, Target

PAYLOAD_BYTES = 128
"""The ``data`` of an event."""
LANE_DIGITS, NUMBER_DIGITS, STAMP_DIGITS = 2, 8, 16
TOKEN_BYTES = LANE_DIGITS + NUMBER_DIGITS
MAX_FRAME = 8 << 20

_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A
_FOREIGN = "The hub sent what is no frame of its protocol ({!r})."
_RUN = 4
"""Frames of one size in a row from which they are looked at together."""


def stamp() -> int:
    """The time that payloads carry: microseconds of the monotonic clock, which all processes of a machine share."""
    return time.monotonic_ns() // 1000


def mark(run: str, phase: int) -> bytes:
    """What precedes the token in each payload of one phase of one run, and stands nowhere else."""
    return f"@{run}.{phase:03}:".encode()


def token(lane: int, number: int) -> bytes:
    """Names an event within its phase: the ``number``-th of the publisher ``lane``, counted from 0."""
    return b"%0*d%0*d" % (LANE_DIGITS, lane, NUMBER_DIGITS, number)


def data(marked: bytes, name: bytes, due: int) -> bytes:
    """The payload: a JSON object of ``PAYLOAD_BYTES``."""
    text = b'{"bench":"%b%b%0*d' % (marked, name, STAMP_DIGITS, due)
    return text + b"x" * (PAYLOAD_BYTES - len(text) - 2) + b'"}'


def publication(topic: str, content: bytes, *, ttl: float | None) -> bytes:
    """The body that publishes one event to a topic: durable with a ``ttl`` (seconds), ephemeral without one."""
    kind = b'"durable":false' if ttl is None else b'"ttl":%g' % ttl
    return b'{"type":"bench","to":{"topics":["%b"]},%b,"data":%b}' % (topic.encode(), kind, content)


def post(target: Target, path: str, body: bytes) -> bytes:
    """A POST of JSON on a connection that is kept."""
    return (
        f"POST {target.path}{path} HTTP/1.1\r\nHost: {target.authority}\r\nAuthorization: Bearer {target.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def upgrade(target: Target, topic: str, after: str | None) -> tuple[bytes, str]:
    """The opening handshake (RFC 6455, 4.1), and the ``Sec-WebSocket-Accept`` that answers it."""
    key = base64.b64encode(os.urandom(16)).decode()
    query = f"topics={topic}" + (f"&after={after}" if after else "")
    request = (
        f"GET {target.path}/v1/ws?{query} HTTP/1.1\r\nHost: {target.authority}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: hub.v1\r\nAuthorization: Bearer {target.token}\r\n\r\n"
    )
    return request.encode(), accept_key(key)


def accept_key(key: str) -> str:
    """The server's answer to a ``Sec-WebSocket-Key`` (RFC 6455, 4.2.2)."""
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def text_frame(content: bytes) -> bytes:
    """A whole text frame, as a server sends it (RFC 6455, 5.2)."""
    size = len(content)
    head = bytes((_TEXT, size)) if size < 126 else bytes((_TEXT, 126)) + size.to_bytes(2)
    return head + content


def pong(content: bytes) -> bytes:
    """The answer to a ping; masked as a client's frames are, with zeros, which leave the content as it is."""
    return bytes((_PONG, 0x80 | len(content))) + bytes(4) + content


CLOSE = bytes((_CLOSE, 0x82)) + bytes(4) + (1000).to_bytes(2)
"""A client's close frame with code 1000."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a piece of a stream holds: whole frames up to ``end``; ``stride`` is their size if all have the same."""

    end: int
    stride: int = 0
    pings: Sequence[bytes] = ()
    closed: tuple[int, str] | None = None
    """Code and reason of a close frame, after which nothing counts."""


def scan(stream: bytes) -> Scan:
    """Find the frames (RFC 6455, 5.2) from the beginning of ``stream``; raises ``BenchError`` for what the hub never
    sends: fragments, binary frames, masks, frames over 8 MiB.
    """
    at, size, stride = 0, len(stream), 0
    pings: list[bytes] = []
    while size - at >= 2:
        kind, length = stream[at], stream[at + 1]
        head = 2 if length < 126 else 4 if length == 126 else 10
        if kind not in (_TEXT, _CLOSE, _PING, _PONG) or length > 127:
            raise BenchError(_FOREIGN.format(stream[at : at + 12]))
        if size - at < head:
            break
        if head > 2:
            length = int.from_bytes(stream[at + 2 : at + head])
            if length > MAX_FRAME:
                raise BenchError(_FOREIGN.format(stream[at : at + 12]))
        whole = head + length
        if size - at < whole:
            break
        if kind == _CLOSE:
            code = int.from_bytes(stream[at + 2 : at + 4]) if length else 1005
            return Scan(at, 0, pings, (code, stream[at + 4 : at + whole].decode(errors="replace")))
        if kind == _PING:
            pings.append(stream[at + head : at + whole])
        count = (size - at) // whole if kind == _TEXT else 1
        if count >= _RUN and _repeats(stream, stream[at : at + head], at, at + whole * count, whole):
            stride = whole if at == 0 else 0
            at += whole * count
        else:
            stride = 0
            at += whole
    return Scan(at, stride, pings)


def _repeats(stream: bytes, piece: bytes, at: int, end: int, stride: int) -> bool:
    """Whether ``piece`` stands at ``at`` and at each ``stride`` from there: byte by byte, all places at once.

    If the heads of frames do, each frame is as long as the first, and they follow each other.
    """
    count = len(range(at, end, stride))
    return all(stream[at + byte : end : stride] == piece[byte : byte + 1] * count for byte in range(len(piece)))


def tokens(stream: bytes, found: Scan, marked: bytes) -> list[bytes]:
    """The tokens of the events in the frames that ``scan`` found; frames of other events are passed over."""
    width = len(marked)
    if found.stride:
        first = stream.find(marked, 0, found.stride)
        if first >= 0 and _repeats(stream, marked, first, found.end, found.stride):
            return [stream[at : at + TOKEN_BYTES] for at in range(first + width, found.end, found.stride)]
    return [piece[:TOKEN_BYTES] for piece in stream[: found.end].split(marked)[1:]]


def stamps(stream: bytes, found: Scan, marked: bytes) -> list[int]:
    """The times that the same events carry, in their order."""
    return [int(piece[TOKEN_BYTES : TOKEN_BYTES + STAMP_DIGITS]) for piece in stream[: found.end].split(marked)[1:]]
