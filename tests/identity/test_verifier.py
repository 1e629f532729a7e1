"""Whose a token is decides by which rules it is judged; and what was found good is not verified again."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest

from hub.errors import HubError
from hub.identity import keys
from hub.identity.keyring import Keyring
from hub.identity.tokens import Tokens
from hub.identity.verifier import Verifier
from hub.issuer_settings import IssuerSettings

from .conftest import Clock

pytestmark = pytest.mark.anyio

SHOP = "the secret that the shop shares with the hub"
TEAM = "the secret that the team shares with the hub"


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens(Keyring(keys.generate("EdDSA")[0]), issuer="me", audience="us", ttl=60, clock=clock)


@pytest.fixture
async def verifier(tokens: Tokens, clock: Clock) -> AsyncIterator[Verifier]:
    others = [
        IssuerSettings.model_validate({"name": "shop", "issuer": "shop", "audience": "us", "secret": SHOP}),
        IssuerSettings.model_validate({"name": "team", "issuer": "team", "audience": "us", "secret": TEAM}),
    ]
    verifier = Verifier(tokens, others, clock=clock)
    await verifier.start()
    yield verifier
    await verifier.stop()


def make(secret: str = SHOP, **claims: Any) -> str:
    now = int(time.time())
    said = {"iss": "shop", "aud": "us", "sub": "alice", "iat": now, "exp": now + 60} | claims
    # Not jwt.encode, which refuses to make some of these.
    return jwt.PyJWS().encode(json.dumps(said).encode(), secret.encode(), "HS256", {"typ": "at+jwt"})


def code_of(verifier: Verifier, token: str) -> str:
    with pytest.raises(HubError) as refused:
        verifier.verify(token)
    return refused.value.code


async def test_each_issuer_speaks_for_its_own(verifier: Verifier, tokens: Tokens) -> None:
    assert verifier.verify(make()).subject == "shop|alice"
    assert verifier.verify(make(TEAM, iss="team")).subject == "team|alice"
    own = tokens.mint("alice", "user", session="s", version=0)
    assert verifier.verify(own.token).subject == "alice"
    assert code_of(verifier, make(TEAM)) == "token_signature"
    assert code_of(verifier, make(iss="team")) == "token_signature"
    assert code_of(verifier, make(iss="me")) == "token_algorithm", "as the hub only its own key speaks"
    assert code_of(verifier, make(iss="nobody")) == "token_issuer"
    assert code_of(verifier, make(iss=["shop"])) == "token_algorithm"
    assert code_of(verifier, make(iss=None)) == "token_algorithm"


async def test_a_good_token_is_remembered_until_it_ends(verifier: Verifier, clock: Clock) -> None:
    token = make()
    first = verifier.verify(token)
    assert verifier.verify(token) is first
    clock.ahead = 61
    assert code_of(verifier, token) == "token_expired"
    assert code_of(verifier, token) == "token_expired"


async def test_bad_tokens_are_not_remembered(verifier: Verifier) -> None:
    for n in range(10):
        code_of(verifier, make(sub=f"a b {n}"))
    assert len(verifier._memory) == 0


async def test_a_token_may_not_live_for_too_long(verifier: Verifier) -> None:
    now = int(time.time())
    assert verifier.verify(make(exp=now + 86400)).expires_at == now + 86400
    assert code_of(verifier, make(exp=now + 86401)) == "token_claims"
