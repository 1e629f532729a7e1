"""Tokens of every kind, good and bad, as an issuer or a forger would make them."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

TYPE = "at+jwt"


def claims(subject: str = "alice", *, lives: float = 86_400, **more: Any) -> dict[str, Any]:
    """The claims of a good access token. A claim given as None is left out."""
    now = time.time()
    said: dict[str, Any] = {
        "iss": "notification-hub",
        "aud": "notification-hub",
        "sub": subject,
        "jti": secrets.token_hex(8),
        "iat": int(now),
        "exp": now + lives,
        "kind": "user",
    } | more
    return {name: value for name, value in said.items() if value is not None}


def sign(key: Any, algorithm: str, said: dict[str, Any], **header: Any) -> str:
    """Sign claims. Header fields given as None are left out."""
    kind = header.pop("typ", TYPE)
    # PyJWT writes "JWT" unless typ is there, and leaves an empty one out.
    return jwt.encode(said, key, algorithm, {"typ": kind or "", **header})


def unsigned(said: dict[str, Any], algorithm: str = "none") -> str:
    """A token that says it needs no signature."""
    return f"{_part({'alg': algorithm, 'typ': TYPE})}.{_part(said)}."


def confused(public_key: bytes, said: dict[str, Any]) -> str:
    """A token whose HMAC secret is the public key, for a verifier that lets the token choose the algorithm."""
    text = f"{_part({'alg': 'HS256', 'typ': TYPE})}.{_part(said)}"
    # By hand: PyJWT refuses to sign such a thing.
    return f"{text}.{_base64(hmac.digest(public_key, text.encode(), 'sha256'))}"


def tampered(token: str, **changes: Any) -> str:
    """The token with other claims under the old signature."""
    head, body, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "==")) | changes
    return f"{head}.{_part(said)}.{signature}"


def _part(said: dict[str, Any]) -> str:
    return _base64(json.dumps(said).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """The key of a hub's data directory, as the hub's own and as an attacker who knows only its public half."""

    def __init__(self, data_dir: Path) -> None:
        self.private: Any = load_pem_private_key((data_dir / "signing.key").read_bytes(), None)
        public = self.private.public_key()
        self.public_pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.public_raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, said: dict[str, Any], **header: Any) -> str:
        return sign(self.private, "EdDSA", said, **header)
