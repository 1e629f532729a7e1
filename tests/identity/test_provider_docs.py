"""docs/identity-providers.md: every example starts a hub, and takes the tokens that the provider says it issues."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hub.errors import HubError
from hub.identity import jws
from hub.identity.issuers import Issuer
from hub.identity.verified import Verified
from hub.model import Grants
from hub.settings import Settings, load

from .forger import RSA, encode, signature

PAGE = (Path(__file__).parents[2] / "docs" / "identity-providers.md").read_text()
SECRET = "0123456789abcdef0123456789abcdef"
NOW = int(time.time())


def example(heading: str) -> dict[str, Any]:
    """The ``[[issuers]]`` of a section."""
    section = PAGE.partition(f"# {heading}\n")[2]
    block = re.search(r"```toml\n(.*?)```", section, re.DOTALL)
    assert block is not None
    [issuer] = tomllib.loads(block[1].replace("<openssl rand -hex 32>", SECRET))["issuers"]
    return dict(issuer)


class Keys:
    """The provider's key, as it would be fetched."""

    def find(self, kid: str | None, algorithm: str) -> Any:
        return SECRET.encode() if algorithm == "HS256" else RSA.public_key()

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass


def verify(heading: str, header: dict[str, Any], claims: dict[str, Any]) -> Verified:
    [settings] = Settings.model_validate({"issuers": [example(heading)]}).issuers
    said = {"iss": settings.issuer, "iat": NOW, "exp": NOW + 3600} | claims
    algorithm = settings.accepted_algorithms[0]
    text = f"{encode({'alg': algorithm, 'kid': 'k'} | header)}.{encode(said)}"
    key = SECRET.encode() if algorithm == "HS256" else RSA
    token = f"{text}.{encode(signature(key, text.encode()))}"
    return Issuer(settings, Keys(), ()).check(jws.read(token), NOW)


def code_of(heading: str, header: dict[str, Any], claims: dict[str, Any]) -> str:
    with pytest.raises(HubError) as refused:
        verify(heading, header, claims)
    return refused.value.code


def test_the_first_example() -> None:
    token = {"aud": "https://hub.example.com", "sub": "7f3c", "roles": ["viewer", "editor"]}
    found = verify("Log in somewhere else", {"typ": "at+jwt"}, token)
    assert (found.subject, found.topics) == ("corp|7f3c", ("news",))
    assert found.grants == Grants(("chat:*",), ("news", "chat:*"))


KEYCLOAK = {
    "jti": "onrtac:3a0dbe9a-12ae-4d5f-a5a9-6a1a6f3f7d3e",
    "aud": ["hub", "account"],
    "sub": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "typ": "Bearer",
    "azp": "shop-web",
    "sid": "2f8e9a10-6f5d-4d56-8f6a-5d1f4b1f3c11",
    "realm_access": {"roles": ["offline_access", "hub-admin"]},
    "resource_access": {"account": {"roles": ["view-profile"]}},
    "scope": "openid email profile",
}


def test_keycloak() -> None:
    found = verify("Keycloak", {"typ": "JWT"}, KEYCLOAK)
    assert found.subject == "kc|f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
    assert found.session == "kc|2f8e9a10-6f5d-4d56-8f6a-5d1f4b1f3c11"
    assert found.admin
    program = verify("Keycloak", {"typ": "JWT"}, KEYCLOAK | {"azp": "shop-backend", "realm_access": {"roles": []}})
    assert (program.kind, program.admin) == ("service", False)
    assert code_of("Keycloak", {"typ": "JWT"}, KEYCLOAK | {"aud": "account"}) == "token_audience"
    for kind in ("ID", "Refresh", "Offline"):
        assert code_of("Keycloak", {"typ": "JWT"}, KEYCLOAK | {"typ": kind}) == "token_claims"


def test_auth0() -> None:
    token = {
        "sub": "auth0|6553da60a54af58e29493993",
        "aud": ["https://hub.example.com", "https://shop.eu.auth0.com/userinfo"],
        "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja",
        "exp": NOW + 86400,
        "scope": "openid profile",
        "permissions": ["chat"],
    }
    found = verify("Auth0", {"typ": "JWT"}, token)
    assert (found.subject, found.grants.publish) == ("auth0|auth0|6553da60a54af58e29493993", ("chat:*",))
    machine = token | {"sub": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients", "gty": "client-credentials"}
    assert verify("Auth0", {"typ": "JWT"}, machine).source == "service:auth0|awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients"
    id_token = token | {"aud": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "nonce": "n"}
    assert code_of("Auth0", {"typ": "JWT"}, id_token) == "token_audience"


def test_cognito() -> None:
    token = {
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "cognito:groups": ["admins", "editors"],
        "client_id": "3n4b5urk1ft4fl3mg5e62d9ado",
        "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-ffffffffffff",
        "token_use": "access",
        "scope": "openid",
        "jti": "aaaaaaaa-bbbb-cccc-dddd-999999999999",
        "username": "bob",
    }
    found = verify("Amazon Cognito", {}, token)
    assert (found.session, found.grants.publish) == ("cognito|aaaaaaaa-bbbb-cccc-dddd-ffffffffffff", ("news",))
    assert code_of("Amazon Cognito", {}, token | {"client_id": "another"}) == "token_audience"
    assert code_of("Amazon Cognito", {}, token | {"token_use": "id"}) == "token_claims"


def test_supabase() -> None:
    token = {
        "aud": "authenticated",
        "sub": "123e4567-e89b-12d3-a456-426614174000",
        "role": "authenticated",
        "aal": "aal1",
        "session_id": "123e4567-e89b-12d3-a456-426614174001",
        "email": "user@example.com",
        "is_anonymous": False,
        "app_metadata": {"provider": "email", "topics": ["team:7"]},
        "user_metadata": {"topics": ["team:8"]},
    }
    found = verify("Supabase", {"typ": "JWT"}, token)
    assert (found.topics, found.grants.subscribe) == (("team:7",), ("chat:*",))
    assert verify("Supabase", {"typ": "JWT"}, token | {"is_anonymous": True}).grants == Grants()
    assert code_of("Supabase", {"typ": "JWT"}, token | {"role": "anon"}) == "token_claims"


def test_your_own_app() -> None:
    block = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    exec(block[1].replace("<openssl rand -hex 32>", SECRET), names)
    [settings] = Settings.model_validate({"issuers": [example("Your own app")]}).issuers
    found = Issuer(settings, Keys(), ()).check(jws.read(names["token"]), time.time())
    assert (found.subject, found.topics, found.grants.publish) == ("42", ("order:1234",), ("chat:42",))


def test_all_examples_together_are_one_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    Path("hub.toml").write_text("\n".join(blocks).replace("<openssl rand -hex 32>", SECRET))
    assert len(load({}).issuers) == len(blocks) == 6


def test_every_setting_is_explained() -> None:
    [settings] = Settings.model_validate({"issuers": [example("Keycloak")]}).issuers
    explained = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert explained == {name for name in type(settings).model_fields if name != "issuers"}
