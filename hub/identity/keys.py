"""Keys that sign the hub's tokens and keys that verify them: read, made, and written privately.

There is no default key and no default secret. A key file that other people of the machine can read is refused. The
algorithm belongs to the key (RFC 8725, 3.1): nothing a token says can change it. Which keys are in use is not known
here. Knows the data directory and settings' error.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from hub import data_directory
from hub.settings import SettingsError

ALGORITHMS = ("EdDSA", "ES256", "RS256", "HS256")
"""What a key may sign with: HS256 is a shared secret's, a key can be made for each of the others."""
_MAX_FILE = 64 * 1024
_RSA_BITS = 3072
"""Of a key made here (NIST SP 800-57, 128 bits of strength); one that is given has at least 2048."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key that verifies, and the one algorithm it does so with.

    ``public`` is its JWK (RFC 7517), None for a shared secret.
    """

    id: str
    algorithm: str
    verifying: Any
    public: dict[str, str] | None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.algorithm}, {self.id!r})"


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey(VerifyingKey):
    """One that also signs."""

    private: Any


def from_secret(secret: bytes) -> SigningKey:
    """A shared secret, for HS256. Its id is no hash of the secret itself, only what every token shows of it: a MAC."""
    key_id = hmac.new(secret, b"key id", hashlib.sha256).hexdigest()[:16]
    return SigningKey(key_id, "HS256", secret, None, secret)


def from_jwk(public: dict[str, str], algorithm: str) -> VerifyingKey:
    """The public key of a JWK that ``VerifyingKey.public`` gave."""
    return VerifyingKey(_thumbprint(public), algorithm, PyJWK(public, algorithm).key, public)


def read_private(path: Path) -> SigningKey:
    """The private key in a PEM file: Ed25519, EC P-256 or RSA from 2048 bits. Blocks; raises ``SettingsError``."""
    return _private(_read(path, private=True), path)


def read_verifying(path: Path) -> VerifyingKey:
    """The public key in a PEM file, also of one that holds the private key. Blocks; raises ``SettingsError``."""
    pem = _read(path, private=False)
    if b"PRIVATE KEY" in pem:
        return read_private(path)
    try:
        public = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(f"The key {path} is no key in PEM.") from None
    return _verifying(public, path)


def generate(algorithm: str) -> tuple[SigningKey, bytes]:
    """A new key, and its PEM for ``drafted``. Blocks: an RSA key takes about a second."""
    private: Any
    match algorithm:
        case "EdDSA":
            private = Ed25519PrivateKey.generate()
        case "ES256":
            private = generate_private_key(SECP256R1())
        case "RS256":
            private = generate_rsa_key(65537, _RSA_BITS)
        case _:
            raise ValueError(f"no key is made for {algorithm}")
    pem: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _private(pem, Path("(new)")), pem


def make_once(path: Path) -> None:
    """Write a new Ed25519 key, unless there is one: if another process is first, its key is the key.

    Blocks; raises ``SettingsError``.
    """
    _, pem = generate("EdDSA")
    with drafted(path, pem) as draft, contextlib.suppress(FileExistsError):
        os.link(draft, path)  # Unlike a rename it never replaces.


@contextmanager
def drafted(path: Path, pem: bytes) -> Iterator[Path]:
    """The key in a file beside ``path``, whole, on disk and its owner's alone, to be linked or renamed to it.

    What is left of the draft when the block ends is removed. Blocks; an ``OSError`` is told as a ``SettingsError``.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            yield draft
        finally:
            draft.unlink(missing_ok=True)
        data_directory.sync(path.parent)
    except OSError as error:
        raise SettingsError(f"A signing key cannot be written to {path}: {error.strerror}.") from None


def _private(pem: bytes, path: Path) -> SigningKey:
    try:
        private = load_pem_private_key(pem, password=None)
    except TypeError:
        raise SettingsError(f"The signing key {path} is encrypted; give one without a passphrase.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(f"The signing key {path} is not a private key in PEM.") from None
    if not isinstance(private, Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey):
        raise _unfit(path)
    key = _verifying(private.public_key(), path)
    return SigningKey(key.id, key.algorithm, key.verifying, key.public, private)


def _verifying(key: Any, path: Path) -> VerifyingKey:
    match key:
        case Ed25519PublicKey():
            name, jwk = "EdDSA", OKPAlgorithm.to_jwk(key, as_dict=True)
        case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            name, jwk = "ES256", ECAlgorithm.to_jwk(key, as_dict=True)
        case RSAPublicKey() if key.key_size >= 2048:
            name, jwk = "RS256", RSAAlgorithm.to_jwk(key, as_dict=True)
        case _:
            raise _unfit(path)
    # The members that the thumbprint is made of (RFC 7638, 3.2; RFC 8037, 2), and no others.
    public: dict[str, str] = {member: jwk[member] for member in ("kty", "crv", "x", "y", "n", "e") if member in jwk}
    return VerifyingKey(_thumbprint(public), name, key, public)


def _unfit(path: Path) -> SettingsError:
    return SettingsError(f"The signing key {path} must be Ed25519, EC P-256, or RSA with at least 2048 bits.")


def _thumbprint(public: dict[str, str]) -> str:
    """RFC 7638: the hash of the JWK's required members, in order, without spaces."""
    text = json.dumps(public, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _read(path: Path, *, private: bool) -> bytes:
    try:
        with path.open("rb") as file:
            if private:
                _refuse_exposed(path, os.fstat(file.fileno()))
            return file.read(_MAX_FILE)
    except OSError as error:
        raise SettingsError(f"The signing key {path} cannot be read: {error.strerror}.") from None


def _refuse_exposed(path: Path, status: os.stat_result) -> None:
    # As PostgreSQL does: root may lend a file to a group, which is how containers are given their secrets.
    if os.name != "posix":
        return
    allowed = 0o750 if status.st_uid == 0 else 0o700
    if stat.S_IMODE(status.st_mode) & 0o777 & ~allowed:
        raise SettingsError(f"The signing key {path} can be read by others; run: chmod 600 {path}")
