"""Makes tokens byte for byte, the impossible ones too: no library that makes good tokens would."""

from __future__ import annotations

import base64
import hmac
import json
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from .test_jwks import jwk

Part = dict[str, Any] | str | bytes
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
}
AUDIENCE = "notification-hub"


def issuers(directory: Path) -> list[dict[str, Any]]:
    """The settings that make a hub trust ``id`` (RSA), ``ec`` (P-256) and ``loose``, which says ``JWT``."""
    keys = directory / "keys.json"
    keys.write_text(json.dumps({"keys": [jwk(RSA, kid="rsa", alg="RS256"), jwk(EC, kid="ec")]}))
    common = {"audience": AUDIENCE, "keys_file": str(keys)}
    return [
        common | {"name": "id", "issuer": "https://id.example"},
        common | {"name": "ec", "issuer": "https://ec.example", "algorithms": ["ES256"]},
        common | {"name": "loose", "issuer": "https://loose.example", "types": ["JWT", ""]},
    ]


class Forger:
    """Makes tokens as one issuer would, and as nobody should. By itself it has the issuer's own key."""

    def __init__(self, issuer: str, key: Any, algorithm: str, kid: str | None, kind: str = "at+jwt") -> None:
        self.issuer = issuer
        self.key = key
        self.algorithm = algorithm
        self.kid = kid
        self.kind = kind

    def header(self, **more: Any) -> dict[str, Any]:
        """A good header. What is given as None is left out."""
        said = {"alg": self.algorithm, "kid": self.kid, "typ": self.kind} | more
        return {name: value for name, value in said.items() if value is not None}

    def claims(self, **more: Any) -> dict[str, Any]:
        """Good claims. What is given as None is left out."""
        now = int(time.time())
        said = {"iss": self.issuer, "aud": AUDIENCE, "sub": "alice", "jti": "j", "iat": now, "exp": now + 600} | more
        return {name: value for name, value in said.items() if value is not None}

    def make(self, header: Part | None = None, claims: Part | None = None, *, key: Any = None) -> str:
        """A well-signed token of a header and claims, which may be any bytes; ``key``: somebody else's."""
        head = encode(self.header() if header is None else header)
        body = encode(self.claims() if claims is None else claims)
        return self.sign(f"{head}.{body}", key)

    def said(self, **more: Any) -> str:
        """A token that is good but for these claims."""
        return self.make(claims=self.claims(**more))

    def headed(self, **more: Any) -> str:
        """A token that is good but for these fields of the header."""
        return self.make(self.header(**more))

    def sign(self, text: str, key: Any = None) -> str:
        """Two parts and their signature."""
        return f"{text}.{encode(signature(self.key if key is None else key, text.encode()))}"

    def public(self) -> dict[str, bytes]:
        """The public key, in every form that could be taken for a secret."""
        public = self.key.public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return {"pem": pem, "pem without its end": pem.rstrip(), "der": der, "jwk": json.dumps(jwk(self.key)).encode()}


def forgers(data_dir: Path) -> dict[str, Forger]:
    """Those of the hub of that directory, and of the issuers that it trusts."""
    own: Any = load_pem_private_key((data_dir / "signing.key").read_bytes(), None)
    return {
        "hub": Forger("notification-hub", own, "EdDSA", None),
        "id": Forger("https://id.example", RSA, "RS256", "rsa"),
        "ec": Forger("https://ec.example", EC, "ES256", "ec"),
        "loose": Forger("https://loose.example", RSA, "RS256", "rsa", "JWT"),
    }


def encode(part: Part) -> str:
    """base64url of bytes, of a text, or of an object as JSON."""
    raw = json.dumps(part).encode() if isinstance(part, dict) else part.encode() if isinstance(part, str) else part
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signature(key: Any, text: bytes) -> bytes:
    """By the key's own algorithm; bytes are a secret (HS256)."""
    match key:
        case bytes():
            return hmac.digest(key, text, "sha256")
        case ed25519.Ed25519PrivateKey():
            return key.sign(text)
        case rsa.RSAPrivateKey():
            return key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        case _:
            r, s = decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
