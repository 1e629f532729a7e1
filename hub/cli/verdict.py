"""What a hub says of a token, in words and as JSON. Nothing of a token's signature is ever shown.

What a refused token says of itself is told as what it is, somebody's claim: nobody vouches for it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.cli.advice import ADVICE, ELSE
from hub.model import timestamp

_WORDS = {"*": "every ordinary topic", "user:*": "every user's own topic", "all": "everybody"}
_PARTS = (("minute", 60), ("hour", 3600), ("day", 86400))


@dataclass(frozen=True, slots=True)
class Accepted:
    """The token is good; ``me`` is the answer of ``GET /v1/me``."""

    me: Mapping[str, Any]

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {"accepted": True, **self.me}

    def lines(self, now: float) -> Iterator[str]:
        """For people. ``now`` is in Unix seconds."""
        me = self.me
        tenant = f" of the tenant {me['tenant']}" if me["tenant"] else ""
        role = ", an administrator" if me["admin"] else ""
        yield f"Accepted. It speaks for the {me['kind']} {me['subject']}{tenant}{role}."
        what = "an API key" if me["credential"] == "key" else "an access token"
        session = f" of the session {me['session']}" if me["credential"] == "token" else ""
        yield f"It is {what} with the id {me['id'] or '(none)'}{session}."
        yield "It has no end." if me["expires"] is None else f"It ends {_moment(me['expires'], now)}."
        yield f"Subscribed without asking: {_list(me['topics'])}."
        if me["admin"]:
            yield f"May read, publish to, and administer: everything{tenant}."
            return
        grants = me["grants"]
        yield f"May read: {_list([*me['topics'], *grants['subscribe']])}."
        yield f"May publish to: {_list(grants['publish'])}."


@dataclass(frozen=True, slots=True)
class Refused:
    """The token is not good; why, and what it says of itself (None if that cannot be read)."""

    code: str
    detail: str
    header: Mapping[str, Any] | None = None
    claims: Mapping[str, Any] | None = None

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "accepted": False,
            "code": self.code,
            "detail": self.detail,
            "advice": ADVICE.get(self.code, ELSE),
            "header": self.header,
            "claims": self.claims,
        }

    def lines(self, now: float) -> Iterator[str]:
        """For people. ``now`` is in Unix seconds."""
        yield f"Refused: {self.detail} ({self.code})"
        yield f"What to do: {ADVICE.get(self.code, ELSE)}"
        if self.header is None or self.claims is None:
            return
        yield "What it says of itself, which nobody vouches for:"
        for name, value in (*self.header.items(), *self.claims.items()):
            # A bool is an int to Python, and no time.
            is_time = name in ("exp", "iat", "nbf") and type(value) in (int, float) and 0 <= value < 1e11
            yield f"  {name}: {_moment(value, now) if is_time else json.dumps(value, ensure_ascii=False)}"


def said_by(token: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Header and claims of a token, unverified; None where they cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return None, None
    return _object(parts[0]), _object(parts[1])


def _object(part: str) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _list(names: Sequence[str]) -> str:
    told = [f"{name} ({_WORDS[name]})" if name in _WORDS else name for name in dict.fromkeys(names)]
    return ", ".join(told) or "nothing"


def _moment(time: float, now: float) -> str:
    """``2026-01-31T12:00:00.000Z, in 5 minutes``."""
    seconds = abs(time - now)
    unit, size = next(((unit, size) for unit, size in reversed(_PARTS) if seconds >= size), ("second", 1))
    number = int(seconds // size)
    words = f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{timestamp(time)}, " + (f"in {words}" if time >= now else f"{words} ago")
