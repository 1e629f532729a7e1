"""Reading a token before anything of it is believed: a JWT in the compact form of a signed JWS (RFC 7515, 7.1).

Strict where the format leaves room for two readings: exactly three parts of canonical base64url, JSON without
duplicate members (RFC 8725, 2.4; RFC 7515, 4 allows to refuse them), no extension that must be understood, and little
nesting. Keys and addresses in the header (``jwk``, ``jku``, ``x5c``, ``x5u``) are not looked at. Pure; knows errors.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

from hub.errors import HubError

MAX_LENGTH = 4096
"""Longest token, in characters: it must fit into a request line with room to spare."""
_MAX_KEY_ID = 256
_MAX_BRACKETS = 256
"""Objects and arrays in one part. More than any honest token has, and few enough for a recursive parser."""

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says of itself; true only once its signature was verified.

    ``type`` is its ``typ`` in lower case and without ``application/``, None if it has none. ``payload`` are the bytes
    of the JSON object ``claims``, ``signed`` those that the ``signature`` is of.
    """

    token: str
    algorithm: str
    kid: str | None
    type: str | None
    payload: bytes
    claims: dict[str, Any]
    signed: bytes = b""
    signature: bytes = b""

    def __repr__(self) -> str:
        return f"Unverified({self.algorithm})"


def read(token: str) -> Unverified:
    """Take a token apart; raises ``token_missing``, ``token_malformed`` or ``token_algorithm``."""
    if not token:
        raise HubError("token_missing")
    if len(token) > MAX_LENGTH:
        raise HubError("token_malformed", f"A token has at most {MAX_LENGTH} characters.")
    if not _COMPACT.fullmatch(token):
        encrypted = token.count(".") == 4
        raise HubError("token_malformed", "The token is encrypted (JWE), or no token." if encrypted else None)
    head, body, signature = token.split(".")
    header = _object(_decode(head), "header")
    # No extension is understood, so none may be critical (RFC 7515, 4.1.11), and payloads are base64 (RFC 7797).
    if "crit" in header or "b64" in header:
        raise HubError("token_malformed", "The token's header asks for an extension that the hub does not have.")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str) or not signature:
        raise HubError("token_algorithm", "The token is not signed.")
    if not (kid is None or (isinstance(kid, str) and len(kid) <= _MAX_KEY_ID)):
        raise HubError("token_malformed", "The token's kid is not a key's id.")
    signed = token.rpartition(".")[0].encode()
    signature_bytes = _decode(signature)
    payload = _decode(body)
    # RFC 9068, section 4, and RFC 7515, 4.1.9: either spelling, in any case. What is no text is no type that exists.
    kind = str(kind).lower().removeprefix("application/") if "typ" in header else None
    claims = _object(payload, "payload")
    return Unverified(token, algorithm, kid, kind, payload, claims, signed, signature_bytes)


def _decode(part: str) -> bytes:
    if len(part) % 4 != 1:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        # Bits that mean nothing must be zero: a token is written in one way only.
        if base64.urlsafe_b64encode(data).rstrip(b"=").decode() == part:
            return data
    raise HubError("token_malformed", "The token is not base64url.")


def _object(data: bytes, name: str) -> dict[str, Any]:
    problem = f"The token's {name} is not a JSON object that can be read in one way only."
    try:
        text = data.decode()
        if text.count("{") + text.count("[") > _MAX_BRACKETS:
            raise HubError("token_malformed", f"The token's {name} is nested too deeply.")
        value = json.loads(text, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        raise HubError("token_malformed", problem) from None
    if not isinstance(value, dict):
        raise HubError("token_malformed", problem)
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate members")
    return members
