"""Public keys of another issuer, read from a JWK Set (RFC 7517) or a PEM file, each bound to its algorithms.

What cannot verify a signature safely is left out: secrets, keys for encryption, RSA below 2048 bits, unknown curves. A
set may hold such beside good ones, so they are no error. Pure. Knows errors.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from hub.errors import HubError

_MAX_KEYS = 100
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_READERS: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key, its id if it has one, and the algorithms that it may verify."""

    kid: str | None
    algorithms: frozenset[str]
    key: Any


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of an issuer that are of use."""

    keys: tuple[PublicKey, ...]

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key of that id; where a token names none, the only one for its algorithm.

        None if there is none. Raises ``token_signature`` if several could be meant.
        """
        fitting = [key for key in self.keys if algorithm in key.algorithms and (kid is None or key.kid == kid)]
        if len(fitting) > 1:
            raise HubError("token_signature", "The token does not say by which of its issuer's keys it is signed.")
        return fitting[0] if fitting else None

    def ids(self) -> tuple[str | None, ...]:
        """The keys' ids."""
        return tuple(key.kid for key in self.keys)


def read_set(document: bytes, allowed: Collection[str]) -> KeySet:
    """The usable keys of a JWK Set, for the algorithms ``allowed``. Raises ``ValueError`` if there are none."""
    try:
        said = json.loads(document)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    keys = said.get("keys") if isinstance(said, dict) else None
    if not isinstance(keys, list):
        raise ValueError("it is no JWK Set: an object with an array of keys")
    if len(keys) > _MAX_KEYS:
        raise ValueError(f"it has {len(keys)} keys; {_MAX_KEYS} are accepted")
    found = KeySet(tuple(_usable(keys, frozenset(allowed))))
    if not found.keys:
        raise ValueError(f"it has no key for {', '.join(sorted(allowed))}")
    return found


def read_pem(pem: bytes, allowed: Collection[str]) -> KeySet:
    """The one public key in PEM. Raises ``ValueError``."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("it is neither a JWK Set nor a public key in PEM") from None
    algorithms = _algorithms_of(key) & frozenset(allowed)
    if not algorithms:
        raise ValueError(f"it is no key for {', '.join(sorted(allowed))}")
    return KeySet((PublicKey(None, algorithms, key),))


def _usable(keys: list[Any], allowed: frozenset[str]) -> Iterator[PublicKey]:
    for jwk in keys:
        if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
            continue
        operations, kid, named = jwk.get("key_ops"), jwk.get("kid"), jwk.get("alg")
        if isinstance(operations, list) and "verify" not in operations:
            continue
        if not (kid is None or isinstance(kid, str)):
            continue
        key = _read(jwk)
        # A key that names its algorithm is for no other (RFC 8725, 3.1).
        algorithms = _algorithms_of(key) & allowed
        if named is not None:
            algorithms &= {named} if isinstance(named, str) else set()
        if algorithms:
            yield PublicKey(kid, algorithms, key)


def _read(jwk: dict[str, Any]) -> Any:
    reader = _READERS.get(str(jwk.get("kty")))
    if reader is None:
        return None
    try:
        # Without its private half, should somebody have published that.
        return reader.from_jwk({name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in jwk})
    except (PyJWTError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        return None


def _algorithms_of(key: Any) -> frozenset[str]:
    match key:
        case RSAPublicKey() if 2048 <= key.key_size <= 8192:
            return frozenset(_RSA)
        case EllipticCurvePublicKey() if key.curve.name in _CURVES:
            return frozenset({_CURVES[key.curve.name]})
        case Ed25519PublicKey():
            return frozenset({"EdDSA"})
        case _:
            return frozenset()
