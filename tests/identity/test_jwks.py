"""Which keys of a JWK Set are of use, and for what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from hub.errors import HubError
from hub.identity import jwks
from hub.issuer_settings import ASYMMETRIC

RSA = rsa.generate_private_key(65537, 2048)
WEAK = rsa.generate_private_key(65537, 1024)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
K256 = ec.generate_private_key(ec.SECP256K1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(private: Any, **members: Any) -> dict[str, Any]:
    """The public JWK; members given as None are left out."""
    public = private.public_key()
    match public:
        case rsa.RSAPublicKey():
            made = RSAAlgorithm.to_jwk(public, as_dict=True)
        case ec.EllipticCurvePublicKey():
            made = ECAlgorithm.to_jwk(public, as_dict=True)
        case _:
            made = OKPAlgorithm.to_jwk(public, as_dict=True)
    return {name: value for name, value in ({"kid": "k"} | made | members).items() if value is not None}


def read(*keys: Any, allowed: tuple[str, ...] = ASYMMETRIC) -> jwks.KeySet:
    return jwks.read_set(json.dumps({"keys": keys}).encode(), allowed)


@pytest.mark.parametrize(
    ("private", "members", "algorithms"),
    [
        (RSA, {}, {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (RSA, {"alg": "PS256"}, {"PS256"}),
        (P256, {}, {"ES256"}),
        (P256, {"alg": "ES256", "use": "sig", "key_ops": ["verify"]}, {"ES256"}),
        (P384, {}, {"ES384"}),
        (ED, {}, {"EdDSA"}),
    ],
)
def test_a_key_is_bound_to_its_algorithms(private: Any, members: dict[str, Any], algorithms: set[str]) -> None:
    [key] = read(jwk(private, **members)).keys
    assert key.algorithms == algorithms
    assert key.key == private.public_key()


@pytest.mark.parametrize(
    "useless",
    [
        jwk(RSA, use="enc"), jwk(RSA, key_ops=["encrypt"]), jwk(RSA, alg="RSA-OAEP"), jwk(RSA, alg="HS256"),
        jwk(RSA, alg=["RS256"]), jwk(RSA, kid=7), jwk(RSA, n="AQAB"), jwk(RSA, n=None), jwk(RSA, n=7), jwk(WEAK),
        jwk(P256, alg="ES384"), jwk(P256, crv="P-521"), jwk(P256, x="AA"), jwk(K256), jwk(ED, crv="X25519"),
        jwk(ED, x="!"), {"kty": "oct", "k": "c2VjcmV0", "kid": "k"}, {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": ["RSA"]}, {}, None, 7, [], "key",
    ],
)  # fmt: skip
def test_a_useless_key_is_left_out(useless: Any) -> None:
    assert read(useless, jwk(ED, kid="good")).ids() == ("good",)
    with pytest.raises(ValueError, match="has no key for"):
        read(useless)


def test_only_allowed_algorithms_count() -> None:
    assert read(jwk(RSA, kid="r"), jwk(P256, kid="e"), allowed=("ES256",)).ids() == ("e",)


def test_a_private_key_that_was_published_is_read_without_its_secret() -> None:
    leaked = RSAAlgorithm.to_jwk(RSA, as_dict=True)
    leaked.pop("key_ops", None)
    [key] = read(leaked).keys
    assert key.key == RSA.public_key()


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"null", b"{}", b'{"keys":{}}', b'{"keys":[]}', b"\xff", b"[" * 100_000, b'{"keys":' * 9999],
)
def test_what_is_no_set_is_an_error(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        jwks.read_set(document, ASYMMETRIC)


def test_a_set_has_an_end() -> None:
    with pytest.raises(ValueError, match="101 keys"):
        read(*[jwk(ED, kid=str(n)) for n in range(101)])


def test_finding_a_key() -> None:
    keys = read(jwk(RSA, kid="a"), jwk(ED, kid="b"), jwk(P256, kid="b"), jwk(P256, kid="c"))
    assert keys.find("a", "RS256") is keys.keys[0]
    assert keys.find("b", "EdDSA") is keys.keys[1]
    assert keys.find("b", "ES256") is keys.keys[2], "an id may name a key of each kind (RFC 7517, 4.5)"
    assert keys.find("a", "ES256") is None
    assert keys.find("d", "RS256") is None
    assert keys.find(None, "EdDSA") is keys.keys[1], "no id is needed where only one key can be meant"
    assert keys.find(None, "ES384") is None
    with pytest.raises(HubError) as refused:
        keys.find(None, "ES256")
    assert refused.value.code == "token_signature"


def test_a_key_in_pem() -> None:
    pem = P256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    [key] = jwks.read_pem(pem, ASYMMETRIC).keys
    assert (key.kid, key.algorithms) == (None, {"ES256"})
    with pytest.raises(ValueError, match="no key for RS256"):
        jwks.read_pem(pem, ("RS256",))
    with pytest.raises(ValueError, match="neither a JWK Set nor"):
        jwks.read_pem(b"-----BEGIN PUBLIC KEY-----", ASYMMETRIC)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6), lambda inner: st.lists(inner, max_size=3)
)
_members = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops"])
_words = st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB", "sig", "RS256"])


@given(keys=st.lists(st.dictionaries(_members, _words | _json) | _json, max_size=4))
def test_no_set_whatever_fails_in_another_way(keys: list[Any]) -> None:
    try:
        read(*keys)
    except ValueError as error:
        assert str(error).startswith("it ")
