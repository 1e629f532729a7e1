"""Which keys may have signed a token: the one it names, or, if it names none, those of its algorithm."""

from __future__ import annotations

import pytest

from hub.errors import HubError
from hub.identity import keys
from hub.identity.keyring import Accepted, Keyring

SIGNING = keys.generate("EdDSA")[0]
OLD = keys.generate("EdDSA")[0]
OTHER = keys.generate("ES256")[0]
SECRET = keys.from_secret(b"s" * 32)
RING = Keyring(SIGNING, (Accepted(OLD, 1000), Accepted(OTHER, 2000), Accepted(SECRET)), frozenset({"bad"}))


def code_of(kid: str | None, algorithm: str, now: float = 500) -> str:
    with pytest.raises(HubError) as refused:
        RING.candidates(kid, algorithm, now)
    return refused.value.code


def test_the_key_that_is_named_and_no_other() -> None:
    for key in (SIGNING, OLD, OTHER, SECRET):
        assert RING.candidates(key.id, key.algorithm, 500) == [key]
        for algorithm in {"none", "PS256", "EdDSA", "ES256", "HS256"} - {key.algorithm}:
            assert code_of(key.id, algorithm) == "token_algorithm", "also one that another key has"
    assert code_of("other", "EdDSA") == "token_signature"
    assert code_of("other", "PS256") == "token_algorithm"


def test_without_a_name_those_of_the_algorithm() -> None:
    assert RING.candidates(None, "EdDSA", 500) == [SIGNING, OLD]
    assert RING.candidates(None, "EdDSA", 1000) == [SIGNING]
    assert RING.candidates(None, "HS256", 500) == [SECRET]
    for algorithm in ("none", "", "RS256"):
        assert code_of(None, algorithm) == "token_algorithm"
    assert code_of(None, "ES256", 2000) == "token_algorithm", "nor a key that is out of use"


def test_a_client_with_a_token_of_an_old_key_is_told_to_get_another() -> None:
    assert RING.candidates(OLD.id, "EdDSA", 999) == [OLD]
    assert code_of(OLD.id, "EdDSA", 1000) == "token_expired"
    assert code_of("bad", "EdDSA") == "token_revoked"


def test_what_is_accepted_is_published_and_no_secret() -> None:
    assert [key["kid"] for key in RING.jwks(500)["keys"]] == [SIGNING.id, OLD.id, OTHER.id]
    assert [key["kid"] for key in RING.jwks(1500)["keys"]] == [SIGNING.id, OTHER.id]
