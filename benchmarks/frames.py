"""What goes over the wire in a benchmark: the payload, and the few bytes of HTTP and WebSocket around it. Pure.

The payload is 128 bytes of JSON with a needle and, right behind it, a timestamp of fixed width: so a receiver counts
frames and takes their age without parsing anything.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time

PAYLOAD_BYTES = 128
NEEDLE = b"@bench@"
"""Is in every payload once and nowhere else."""
STAMP_DIGITS = 16
"""Microseconds of the monotonic clock, with leading zeros."""


def stamp() -> int:
    """The time that payloads carry: microseconds of CLOCK_MONOTONIC."""
    return time.monotonic_ns() // 1000


def payload(at: int | None = None, size: int = PAYLOAD_BYTES) -> bytes:
    """A JSON object of ``size`` bytes, stamped with ``at`` (default: now)."""
    text = b'{"body":"%b%0*d' % (NEEDLE, STAMP_DIGITS, stamp() if at is None else at)
    return text + b"x" * (size - len(text) - 2) + b'"}'


def upgrade(path: str, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """The request of a WebSocket handshake (RFC 6455, 4.1), without extensions: nobody compresses."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def accept_key(key: str) -> str:
    """The server's answer to a ``Sec-WebSocket-Key`` (RFC 6455, 4.2.2)."""
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def frame(data: bytes, *, opcode: int = 1, masked: bool = False) -> bytes:
    """One whole WebSocket frame (RFC 6455, 5.2). A client's is masked; a mask of zeros leaves the data as it is."""
    bit = 0x80 if masked else 0
    size = len(data)
    if size < 126:
        head = bytes((0x80 | opcode, bit | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, bit | 126)) + size.to_bytes(2)
    else:
        head = bytes((0x80 | opcode, bit | 127)) + size.to_bytes(8)
    return head + (b"\0\0\0\0" if masked else b"") + data


def post(path: str, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """A POST of JSON on a connection that is kept."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body
