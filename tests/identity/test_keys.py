"""Signing keys: made once and privately, read strictly, never a default."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hub.identity import keys
from hub.identity.keyring import Keyring
from hub.settings import SettingsError


def write_key(path: Path, key: Any, *, mode: int = 0o600, password: bytes | None = None) -> Path:
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    path.chmod(mode)
    return path


def test_a_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    keys.make_once(path)
    first = keys.read_private(path)
    assert first.algorithm == "EdDSA"
    assert stat.S_IMODE((tmp_path / "signing.key").stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["signing.key"]
    keys.make_once(path)
    assert keys.read_private(path).id == first.id


def test_two_hubs_starting_at_once_get_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    ready = threading.Barrier(8)
    ids: list[str] = []

    def start() -> None:
        ready.wait()
        keys.make_once(path)
        ids.append(keys.read_private(path).id)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (rsa.generate_private_key(65537, 2048), "RS256"),
    ],
    ids=["ed25519", "p256", "rsa"],
)
def test_given_keys_sign_with_their_one_algorithm_and_are_published(tmp_path: Path, key: Any, algorithm: str) -> None:
    path = write_key(tmp_path / "given.pem", key)
    loaded = keys.read_private(path)
    assert loaded.algorithm == algorithm
    [public] = Keyring(loaded).jwks(0)["keys"]
    assert public["kid"] == loaded.id
    assert not {"d", "p", "q", "k"} & set(public), "nothing private is published"
    token = jwt.encode({"sub": "x"}, loaded.private, algorithm)
    verified = jwt.decode(token, jwt.PyJWK(public), options={"enforce_minimum_key_length": True})
    assert verified == {"sub": "x"}
    assert "PRIVATE" not in repr(loaded)


def test_the_key_id_is_the_rfc_7638_thumbprint(tmp_path: Path) -> None:
    # RFC 8037, appendix A: this key, its JWK and its thumbprint.
    seed = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    path = write_key(tmp_path / "rfc8037.pem", ed25519.Ed25519PrivateKey.from_private_bytes(seed))
    key = keys.read_private(path)
    assert key.id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert key.public is not None
    assert key.public["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"


def test_a_secret_is_never_published() -> None:
    secret = "s" * 32
    key = keys.from_secret(secret.encode())
    assert key.algorithm == "HS256"
    assert Keyring(key).jwks(0) == {"keys": []}
    assert secret not in repr(key) + json.dumps(key.id)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_key(tmp_path / "given.pem", ed25519.Ed25519PrivateKey.generate(), mode=mode)
    with pytest.raises(SettingsError, match="can be read by others; run: chmod 600"):
        keys.read_private(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own the file")
def test_root_may_lend_a_key_to_a_group(tmp_path: Path) -> None:
    path = write_key(tmp_path / "given.pem", ed25519.Ed25519PrivateKey.generate(), mode=0o640)
    keys.read_private(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(SettingsError, match="can be read by others"):
        keys.read_private(path)


@pytest.mark.parametrize(
    ("key", "password", "sentence"),
    [
        (rsa.generate_private_key(65537, 1024), None, "at least 2048 bits"),
        (ec.generate_private_key(ec.SECP384R1()), None, "must be Ed25519, EC P-256"),
        (ed448.Ed448PrivateKey.generate(), None, "must be Ed25519, EC P-256"),
        (dsa.generate_private_key(2048), None, "must be Ed25519, EC P-256"),
        (ed25519.Ed25519PrivateKey.generate(), b"secret", "is encrypted"),
    ],
    ids=["rsa1024", "p384", "ed448", "dsa", "encrypted"],
)
def test_other_keys_are_refused_in_a_sentence(tmp_path: Path, key: Any, password: bytes | None, sentence: str) -> None:
    path = write_key(tmp_path / "given.pem", key, password=password)
    with pytest.raises(SettingsError, match=sentence):
        keys.read_private(path)


def test_what_is_no_private_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "given.pem"
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    for content in (b"", b"junk", public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(SettingsError, match="is not a private key in PEM"):
            keys.read_private(path)


def test_a_missing_file_or_directory_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.pem cannot be read: No such file"):
        keys.read_private(tmp_path / "gone.pem")
    with pytest.raises(SettingsError, match="cannot be written to"):
        keys.make_once(tmp_path / "gone" / "signing.key")


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_keys_are_made_for_every_algorithm(tmp_path: Path, algorithm: str) -> None:
    made, pem = keys.generate(algorithm)
    path = tmp_path / "signing.key"
    with keys.drafted(path, pem) as draft:
        assert stat.S_IMODE(draft.stat().st_mode) == 0o600
        draft.rename(path)
    read = keys.read_private(path)
    assert (read.id, read.algorithm, read.public) == (made.id, algorithm, made.public)
    assert read.public is not None
    known = keys.from_jwk(read.public, algorithm)
    assert known.id == read.id
    token = jwt.encode({"sub": "x"}, made.private, algorithm)
    assert jwt.decode(token, known.verifying, [algorithm]) == {"sub": "x"}


def test_a_draft_that_is_not_used_is_removed(tmp_path: Path) -> None:
    _, pem = keys.generate("EdDSA")
    with pytest.raises(RuntimeError), keys.drafted(tmp_path / "signing.key", pem):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_key_that_only_verifies_may_be_public_or_private(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    signing = keys.read_private(write_key(tmp_path / "private.pem", private))
    public = tmp_path / "public.pem"
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    public.chmod(0o644)
    assert keys.read_verifying(public).id == signing.id
    assert keys.read_verifying(tmp_path / "private.pem").id == signing.id
    (tmp_path / "private.pem").chmod(0o644)
    with pytest.raises(SettingsError, match="can be read by others"):
        keys.read_verifying(tmp_path / "private.pem")
    public.write_bytes(b"junk")
    with pytest.raises(SettingsError, match="is no key in PEM"):
        keys.read_verifying(public)
