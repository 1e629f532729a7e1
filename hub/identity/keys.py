"""The key that signs the hub's tokens: made in the data directory, read from a file, or a shared secret.

There is no default key and no default secret. A key file that other people of the machine can read is refused. The
algorithm belongs to the key (RFC 8725, 3.1): nothing a token says can change it. Knows only settings.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from hub.settings import Settings, SettingsError

FILE_NAME = "signing.key"
_MAX_FILE = 64 * 1024


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and the one algorithm it is used with. ``public`` is its JWK (RFC 7517), None for a shared secret."""

    id: str
    algorithm: str
    private: Any
    verifying: Any
    public: dict[str, str] | None

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, {self.id!r})"

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """What ``/.well-known/jwks.json`` says (RFC 7517, section 5): the public key, or nothing for a secret."""
        if self.public is None:
            return {"keys": []}
        return {"keys": [{**self.public, "kid": self.id, "alg": self.algorithm, "use": "sig"}]}


def load(settings: Settings) -> SigningKey:
    """The key that the settings ask for, made if it is to be made. Blocks; raises ``SettingsError``."""
    if settings.signing_secret is not None:
        return _from_secret(settings.signing_secret.get_secret_value().encode())
    path = settings.signing_key_file
    if path is None:
        path = settings.data_dir / FILE_NAME
        if not path.exists():
            _make(path)
    return _from_pem(_read(path), path)


def _from_secret(secret: bytes) -> SigningKey:
    # The id is no hash of the secret itself, only what every token shows of it anyhow: a MAC.
    key_id = hmac.new(secret, b"key id", hashlib.sha256).hexdigest()[:16]
    return SigningKey(key_id, "HS256", secret, secret, None)


def _from_pem(pem: bytes, path: Path) -> SigningKey:
    try:
        private = load_pem_private_key(pem, password=None)
    except TypeError:
        raise SettingsError(f"The signing key {path} is encrypted; give one without a passphrase.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(f"The signing key {path} is not a private key in PEM.") from None
    match private:
        case Ed25519PrivateKey():
            name, jwk = "EdDSA", OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
        case EllipticCurvePrivateKey() if isinstance(private.curve, SECP256R1):
            name, jwk = "ES256", ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        case RSAPrivateKey() if private.key_size >= 2048:
            name, jwk = "RS256", RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        case _:
            raise SettingsError(f"The signing key {path} must be Ed25519, EC P-256, or RSA with at least 2048 bits.")
    # The members that the thumbprint is made of (RFC 7638, 3.2; RFC 8037, 2), and no others.
    public: dict[str, str] = {member: jwk[member] for member in ("kty", "crv", "x", "y", "n", "e") if member in jwk}
    return SigningKey(_thumbprint(public), name, private, private.public_key(), public)


def _thumbprint(public: dict[str, str]) -> str:
    """RFC 7638: the hash of the JWK's required members, in order, without spaces."""
    text = json.dumps(public, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
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


def _make(path: Path) -> None:
    """Write a new Ed25519 key: whole, on disk and readable by its owner only, or not at all."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link, unlike a rename, never replaces: if another process was first, its key is the key.
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
        _sync_directory(path.parent)
    except OSError as error:
        raise SettingsError(f"A signing key cannot be written to {path}: {error.strerror}.") from None


def _sync_directory(path: Path) -> None:
    if os.name == "posix":
        directory = os.open(path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
