"""The attributes of a CloudEvent (CloudEvents 1.0.2, section 3) that an event of the hub has no other place for.

``id``, ``type`` and the data are the event's own. The rest (``source``, ``subject``, ``time``, ``datacontenttype``,
``dataschema`` and whatever extensions there are) stands in the event object as it was given, so that a CloudEvent comes
out as it went in. Pure; knows no other module of the hub.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from pydantic import JsonValue

IS_BASE64 = "data_base64"
"""Said beside the attributes, as true, where the event's ``data`` is the base64 text of bytes. No attribute can be
called so (section 3.1: lower-case letters and digits)."""

_ELSEWHERE = frozenset({"specversion", "id", "type", "data"})
_NAME = re.compile(r"[a-z0-9]{1,64}")
# RFC 3986, 2: what a URI is written with.
_URI_REFERENCE = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2}){1,1024}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+ *(;[ -~]*)?", re.ASCII)
# Section 3.2, String: no control characters, no lone surrogates, no noncharacters.
_UNSAYABLE = re.compile(
    "[\u0000-\u001f\u007f-\u009f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)


def check(attributes: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The attributes, without those that are null. Raises ValueError with a sentence for the publisher."""
    checked: dict[str, JsonValue] = {name: value for name, value in attributes.items() if value is not None}
    for name, value in checked.items():
        if name == IS_BASE64:
            if value is not True:
                raise ValueError(f"{IS_BASE64} can only be true")
        elif name in _ELSEWHERE or not _NAME.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is no attribute here: names have 1-64 of a-z 0-9")
        else:
            _check_value(name, value)
    if "source" not in checked:
        raise ValueError("source is missing")
    for name, (holds, kind) in _RULES.items():
        value = checked.get(name)
        if name in checked and not (isinstance(value, str) and holds(value)):
            raise ValueError(f"{name} is to be {kind}")
    return checked


def _check_value(name: str, value: JsonValue) -> None:
    if isinstance(value, str):
        if _UNSAYABLE.search(value):
            raise ValueError(f"{name} holds a character that no attribute may hold")
    elif isinstance(value, int):
        if not -(2**31) <= value < 2**31:
            raise ValueError(f"{name} is a number of more than 32 bits")
    else:
        raise ValueError(f"{name} is to be a text, a whole number, true or false")


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return True


_RULES: Mapping[str, tuple[Callable[[str], object], str]] = {
    "source": (_URI_REFERENCE.fullmatch, "a URI reference (RFC 3986) of at most 1,024 characters"),
    "subject": (len, "a text that is not empty"),
    "time": (_is_time, "a time as RFC 3339 writes it"),
    "datacontenttype": (_MEDIA_TYPE.fullmatch, "a media type (RFC 2046)"),
    "dataschema": (lambda text: _URI_REFERENCE.fullmatch(text) and _SCHEME.match(text), "an absolute URI (RFC 3986)"),
}
