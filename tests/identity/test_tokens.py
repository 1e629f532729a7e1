"""Access tokens: each way to be wrong has its code, and the algorithm is the key's (RFC 8725)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import HubError
from hub.identity import jws, keys
from hub.identity import tokens as module
from hub.identity.keyring import Keyring
from hub.identity.rights import MAX_BYTES as MAX_RIGHTS_BYTES
from hub.identity.tokens import Tokens
from hub.identity.verified import Verified
from hub.model import Grants

from .test_keys import write_key

SECRET = "0123456789abcdef0123456789abcdef"

_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
_lists = st.lists(_scalars, max_size=3)
_values = st.one_of(_scalars, _lists, st.dictionaries(st.sampled_from(["subscribe", "publish"]), _scalars | _lists))


@pytest.fixture(scope="module")
def key() -> keys.SigningKey:
    return keys.generate("EdDSA")[0]


def make_tokens(key: keys.SigningKey, **options: Any) -> Tokens:
    values: dict[str, Any] = {"issuer": "me", "audience": "us", "ttl": 60.0} | options
    return Tokens(Keyring(key), **values)


def forge(
    key: keys.SigningKey,
    *,
    header: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
    signing: Any = None,
    algorithm: str | None = None,
    **claims: Any,
) -> str:
    """A good token, but for what the test says."""
    now = int(time.time())
    content = {"iss": "me", "aud": "us", "sub": "alice", "jti": "j", "sid": "s", "ver": 0, "iat": now, "exp": now + 60}
    content |= claims
    for name in without:
        del content[name]
    head = {"typ": "at+jwt", "kid": key.id, **(header or {})}
    return jwt.encode(content, signing or key.private, algorithm or key.algorithm, headers=head)


def verify(tokens: Tokens, token: str) -> Verified:
    return tokens.check(jws.read(token), time.time())


def code_of(tokens: Tokens, token: str) -> str:
    with pytest.raises(HubError) as refused:
        verify(tokens, token)
    assert refused.value.kind.close == 1008
    assert token not in str(refused.value) or not token, "an error never repeats the token"
    return refused.value.code


def encode(part: dict[str, Any] | bytes) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_a_minted_token_says_who_and_what(key: keys.SigningKey) -> None:
    tokens = make_tokens(key)
    access = tokens.mint(
        "alice",
        "user",
        session="s1",
        version=3,
        admin=True,
        grants=Grants(("orders:*",), ("chat:alice:*",)),
        topics=("news",),
    )
    principal = verify(tokens, access.token)
    assert (principal.subject, principal.kind, principal.session, principal.admin) == ("alice", "user", "s1", True)
    assert principal.grants == Grants(("orders:*",), ("chat:alice:*",))
    assert principal.topics == ("news",)
    assert principal.expires_at == access.expires_at
    assert 60 <= access.expires_at - time.time() < 61
    assert principal.version == 3
    assert jwt.get_unverified_header(access.token) == {"alg": "EdDSA", "kid": key.id, "typ": "at+jwt"}


def test_every_token_has_its_own_id(key: keys.SigningKey) -> None:
    tokens = make_tokens(key)
    minted = [tokens.mint("a", "user", session="s", version=0).token for _ in range(50)]
    ids = {jwt.decode(token, options={"verify_signature": False})["jti"] for token in minted}
    assert len(ids) == 50


@pytest.mark.parametrize("make", [ec.generate_private_key, None], ids=["p256", "rsa"])
def test_other_keys_round_trip(tmp_path: Path, make: Any) -> None:
    private = make(ec.SECP256R1()) if make else rsa.generate_private_key(65537, 2048)
    path = write_key(tmp_path / "given.pem", private)
    tokens = make_tokens(keys.read_private(path))
    assert verify(tokens, tokens.mint("a", "service", session="s", version=0).token).kind == "service"


def test_a_token_of_ones_own_code_needs_little() -> None:
    key = keys.from_secret(SECRET.encode())
    now = int(time.time())
    claims = {"iss": "me", "aud": ["us", "others"], "sub": "bob", "jti": "j1", "iat": now, "exp": now + 60}
    token = jwt.encode(claims, SECRET, "HS256", headers={"typ": "application/at+JWT"})
    verified = verify(make_tokens(key), token)
    assert verified.subject == "bob"
    assert verified.kind == "user"
    assert verified.session == "j1", "without a login it is a session of its own"
    assert verified.grants == Grants()
    assert not verified.admin
    assert verified.version is None


def test_the_secret_is_held_to_the_minimum_length() -> None:
    short = keys.from_secret(b"short")
    with pytest.raises(jwt.InvalidKeyError):
        make_tokens(short).mint("a", "user", session="s", version=0)
    forged = jwt.PyJWS().encode(b"{}", b"0" * 32, "HS256", {"typ": "at+jwt"})
    assert code_of(make_tokens(short), forged) == "token_signature"


# --- The algorithm


def test_none_is_not_an_algorithm(key: keys.SigningKey) -> None:
    claims = forge(key).split(".")[1]
    for name in ("none", "None", "NONE", ""):
        token = f"{encode({'alg': name, 'typ': 'at+jwt'})}.{claims}."
        assert code_of(make_tokens(key), token) == "token_algorithm"


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "p256"])
def test_the_public_key_is_no_shared_secret(tmp_path: Path, kind: str) -> None:
    make: dict[str, Callable[[], Any]] = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    }
    private = make[kind]()
    key = keys.read_private(write_key(tmp_path / "k.pem", private))
    public = private.public_key()
    now = int(time.time())
    claims = {"iss": "me", "aud": "us", "sub": "alice", "jti": "j", "iat": now, "exp": now + 60}
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(key.public).encode(),
    ):
        signed = f"{encode({'alg': 'HS256', 'typ': 'at+jwt', 'kid': key.id})}.{encode(claims)}"
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        assert code_of(make_tokens(key), f"{signed}.{encode(mac)}") == "token_algorithm"


def test_a_key_is_used_with_its_own_algorithm_only(tmp_path: Path) -> None:
    private = rsa.generate_private_key(65537, 2048)
    key = keys.read_private(write_key(tmp_path / "k.pem", private))
    for algorithm in ("PS256", "RS512"):
        assert code_of(make_tokens(key), forge(key, algorithm=algorithm)) == "token_algorithm"
    secret = keys.from_secret((SECRET * 2).encode())
    assert code_of(make_tokens(secret), forge(secret, algorithm="HS512")) == "token_algorithm"


# --- The rest of the ways


def test_another_key_is_a_wrong_signature(key: keys.SigningKey) -> None:
    other = ed25519.Ed25519PrivateKey.generate()
    tokens = make_tokens(key)
    assert code_of(tokens, forge(key, signing=other)) == "token_signature"
    assert code_of(tokens, forge(key, signing=other, header={"kid": "other"})) == "token_signature"
    assert code_of(tokens, forge(key, header={"kid": "other"})) == "token_signature"


def test_a_changed_payload_is_a_wrong_signature(key: keys.SigningKey) -> None:
    head, _, signature = forge(key).split(".")
    _, payload, _ = forge(key, sub="mallory", admin=True).split(".")
    assert code_of(make_tokens(key), f"{head}.{payload}.{signature}") == "token_signature"


def test_a_key_named_inside_the_token_is_not_used(key: keys.SigningKey) -> None:
    other = ed25519.Ed25519PrivateKey.generate()
    jwk: dict[str, Any] = jwt.algorithms.OKPAlgorithm.to_jwk(other.public_key(), as_dict=True)
    token = forge(key, signing=other, header={"jwk": jwk, "jku": "http://127.0.0.1:9/jwks"})
    assert code_of(make_tokens(key), token) == "token_signature"


@pytest.mark.parametrize("kind", ["JWT", "rt+jwt", "", None, 7, ["at+jwt"]])
def test_other_types_of_token_are_refused(key: keys.SigningKey, kind: Any) -> None:
    payload = json.dumps({"sub": "alice"}).encode()
    token = jwt.PyJWS().encode(payload, key.private, key.algorithm, {"typ": kind, "kid": key.id})
    assert code_of(make_tokens(key), token) == "token_type"


@pytest.mark.parametrize(
    "token",
    [
        "x", "a.b", "a.b.c", "a.b.c.d.e", "..", "!.!.!", "\u00e9.\u00e9.\u00e9", "\ud800", "x" * 5000,
        f"{encode(b'[]')}.{encode({})}.{encode(b'x')}", f"{encode(b'{')}.{encode({})}.{encode(b'x')}",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_malformed(key: keys.SigningKey, token: str) -> None:
    assert code_of(make_tokens(key), token) == "token_malformed"


def test_no_token_is_missing(key: keys.SigningKey) -> None:
    assert code_of(make_tokens(key), "") == "token_missing"


def test_an_unknown_critical_header_is_refused(key: keys.SigningKey) -> None:
    assert code_of(make_tokens(key), forge(key, header={"crit": ["x"], "x": 1})) == "token_malformed"


def test_a_token_longer_than_the_limit_is_refused_though_it_is_well_signed(key: keys.SigningKey) -> None:
    tokens = make_tokens(key)
    assert verify(tokens, forge(key, filler="x" * 2700))
    assert code_of(tokens, forge(key, filler="x" * 3000)) == "token_malformed"


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "jti", "iat", "exp"])
def test_a_missing_claim_is_named(key: keys.SigningKey, claim: str) -> None:
    with pytest.raises(HubError) as refused:
        verify(make_tokens(key), forge(key, without=(claim,)))
    assert refused.value.code == "token_claims"
    assert claim in refused.value.detail


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "a:b"}, {"sub": ""}, {"sub": "x" * 129}, {"sub": "*"}, {"aud": [1]}, {"aud": {}},
        {"jti": ""}, {"exp": "9999999999"}, {"exp": True}, {"exp": 1e300}, {"exp": 10**300}, {"exp": float("nan")},
        {"exp": float("inf")}, {"exp": -1}, {"iat": "now"}, {"iat": None}, {"nbf": "x"}, {"kind": "root"}, {"kind": 1},
        {"admin": 1}, {"admin": "true"}, {"grants": []}, {"grants": {"publish": "all"}},
        {"grants": {"publish": ["a*"]}},
        {"grants": {"subscribe": [1]}}, {"topics": ["a:*"]}, {"topics": "news"}, {"topics": [None]}, {"sid": 1},
        {"ver": "1"},
    ],
    ids=repr,
)  # fmt: skip
def test_a_bad_claim_is_refused(key: keys.SigningKey, claims: dict[str, Any]) -> None:
    assert code_of(make_tokens(key), forge_raw(key, claims)) == "token_claims"


def forge_raw(key: keys.SigningKey, claims: dict[str, Any]) -> str:
    """As ``forge``, for claims that PyJWT would not encode."""
    now = int(time.time())
    content = {"iss": "me", "aud": "us", "sub": "alice", "jti": "j", "iat": now, "exp": now + 60} | claims
    header = {"typ": "at+jwt", "kid": key.id}
    return jwt.PyJWS().encode(json.dumps(content).encode(), key.private, key.algorithm, header)


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"7", b"{", b"\xff"])
def test_a_payload_that_is_no_object_is_refused(key: keys.SigningKey, payload: bytes) -> None:
    token = jwt.PyJWS().encode(payload, key.private, key.algorithm, {"typ": "at+jwt"})
    assert code_of(make_tokens(key), token) in ("token_claims", "token_malformed")


@settings(deadline=None)
@given(claims=st.dictionaries(st.sampled_from(sorted(module._Claims.model_fields)), _values, max_size=4))
def test_no_claims_whatever_make_it_fail_in_another_way(claims: dict[str, Any]) -> None:
    key = keys.from_secret(SECRET.encode())
    try:
        verify(make_tokens(key), forge_raw(key, claims))
    except HubError as refused:
        assert refused.code.startswith("token_")


def test_issuer_and_audience(key: keys.SigningKey) -> None:
    tokens = make_tokens(key)
    assert code_of(tokens, forge(key, iss="them")) == "token_issuer"
    assert code_of(tokens, forge(key, aud="them")) == "token_audience"
    assert code_of(tokens, forge(key, aud=["them", "others"])) == "token_audience"
    assert code_of(tokens, forge(key, aud=[])) == "token_audience"
    assert verify(tokens, forge(key, aud=["them", "us"]))


def test_times(key: keys.SigningKey) -> None:
    tokens = make_tokens(key)
    now = time.time()
    assert code_of(tokens, forge(key, exp=now - 1)) == "token_expired"
    assert code_of(tokens, forge(key, nbf=now + 3600)) == "token_not_yet_valid"
    assert code_of(tokens, forge(key, iat=now + 3600)) == "token_not_yet_valid"
    assert verify(tokens, forge(key, nbf=now + 5, iat=now + 5)), "another machine's clock may be a little ahead"
    assert verify(tokens, forge(key, exp=now + 30.5)).expires_at == now + 30.5


def test_the_widest_rights_fit_into_a_token_of_the_longest_key(tmp_path: Path) -> None:
    path = write_key(tmp_path / "k.pem", rsa.generate_private_key(65537, 4096))
    tokens = make_tokens(
        keys.read_private(path),
        issuer="https://hub.example.com",
        audience="x" * 60,
    )
    pattern = "x" * 98
    grants = Grants(tuple(pattern for _ in range(MAX_RIGHTS_BYTES // (len(pattern) + 3))))
    access = tokens.mint("s" * 128, "service", session="s" * 16, version=10**9, grants=grants)
    assert verify(tokens, access.token)
