"""The codec: texts of the socket to frames and back, and what makes a frame one.

Pure. docs/protocol.md, section 3, is the specification; ``tests/vectors/wire`` holds this to it. Knows no other module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, NoReturn

Frame = Mapping[str, Any]
"""A JSON object of the protocol."""


class Verdict(Enum):
    """What a text of the hub turned out to be."""

    FRAME = auto()
    """A frame that this client understands."""
    UNKNOWN = auto()
    """A newer hub's: to be ignored."""
    INVALID = auto()
    """No frame at all."""


def encode(value: object) -> str:
    """JSON text (RFC 8259). Raises TypeError or ValueError for what JSON cannot say: sets, NaN, lone surrogates."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text.encode()
    return text


def decode(text: str | bytes | bytearray) -> object:
    """The JSON value of a text, or None if it is no JSON (or the JSON ``null``: neither is a frame)."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def judge(value: object) -> Verdict:
    """Whether a JSON value is a frame from the hub, with the fields that its type needs."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return Verdict.INVALID
    check = _CHECKS.get(value["type"])
    return Verdict.UNKNOWN if check is None else check(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _if(condition: bool) -> Verdict:
    return Verdict.FRAME if condition else Verdict.INVALID


def _is_text(frame: Frame, *names: str) -> bool:
    return all(isinstance(frame.get(name), str) for name in names)


def _has_cursor(frame: Frame) -> Verdict:
    return _if(_is_text(frame, "cursor"))


def _event(frame: Frame) -> Verdict:
    event = frame.get("event")
    cursor = frame.get("cursor")
    return _if(
        _is_text(frame, "topic")
        and (cursor is None or isinstance(cursor, str))
        and isinstance(event, dict)
        and _is_text(event, "id", "type")
    )


def _presence(frame: Frame) -> Verdict:
    if not _is_text(frame, "topic", "action"):
        return Verdict.INVALID
    match frame["action"]:
        case "join" | "leave":
            return _if(_is_text(frame, "user"))
        case "state":
            users = frame.get("users")
            return _if(isinstance(users, list) and all(isinstance(user, str) for user in users))
        case _:
            return Verdict.UNKNOWN


def is_ref(value: object) -> bool:
    """Whether this may be the ``ref`` of a request."""
    return isinstance(value, int | str) and not isinstance(value, bool)


_CHECKS: Mapping[str, Callable[[Frame], Verdict]] = {
    "welcome": _has_cursor,
    "event": _event,
    "cursor": _has_cursor,
    "reset": lambda frame: _if(_is_text(frame, "cursor", "reason")),
    "presence": _presence,
    "ok": lambda frame: _if(is_ref(frame.get("ref"))),
    "error": lambda frame: _if(_is_text(frame, "code") and (frame.get("ref") is None or is_ref(frame["ref"]))),
}
