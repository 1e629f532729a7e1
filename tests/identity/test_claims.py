"""What the claims of another issuer mean here: nothing but what the settings name."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import HubError
from hub.identity.claims import Meaning, fits, look_up
from hub.identity.jws import Unverified
from hub.identity.times import Times
from hub.identity.verified import Verified
from hub.issuer_settings import IssuerSettings, Mark
from hub.model import Grants

NOW = int(time.time())


def issuer(**settings: Any) -> IssuerSettings:
    values = {"name": "id", "issuer": "https://id.example", "audience": ["hub", "other"]} | settings
    return IssuerSettings(**values)


def read(claims: dict[str, Any], /, *, reserved: tuple[Mark, ...] = (), **settings: Any) -> Verified:
    said = {"sub": "alice", "aud": "hub"} | claims
    token = Unverified("t.o.k", "RS256", None, "at+jwt", json.dumps(said).encode(), said)
    meaning = Meaning(issuer(**settings), reserved)
    meaning.check(said)
    return meaning.verified(token, Times(iat=NOW, exp=NOW + 60))


def refused(claims: dict[str, Any], /, **settings: Any) -> HubError:
    with pytest.raises(HubError) as error:
        read(claims, **settings)
    return error.value


def test_without_rules_a_token_is_a_user_and_nothing_more() -> None:
    greedy = {"admin": True, "kind": "service", "grants": {"publish": ["*"]}, "topics": ["x"], "ver": 0, "roles": ["x"]}
    found = read(greedy)
    assert (found.subject, found.kind, found.admin) == ("id|alice", "user", False)
    assert (found.grants, found.topics) == (Grants(), ())
    assert (found.expires_at, found.issued_at, found.version) == (NOW + 60, NOW, None)


@pytest.mark.parametrize(
    ("sub", "subject"),
    [
        ("auth0|5f7c8ec7c33c6c004bbafe82", "id|auth0|5f7c8ec7c33c6c004bbafe82"),
        ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "id|f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        ("bob@example.com", "id|bob@example.com"),
        (7, "id|7"),
    ],
)
def test_ids_of_users(sub: Any, subject: str) -> None:
    assert read({"sub": sub}).subject == subject


@pytest.mark.parametrize(
    "sub", ["", None, True, 1.5, [], {}, "a b", "a:b", "*", "\u0430lice", "a\x00", "a\n", "x" * 126, "https://x/y"]
)
def test_what_cannot_be_an_id_is_refused(sub: Any) -> None:
    error = refused({"sub": sub})
    assert error.code == "token_claims"
    assert error.detail.startswith("sub: ")


def test_the_prefix_is_a_choice() -> None:
    assert read({}, user_prefix="").subject == "alice"
    assert read({}, user_prefix="corp-").subject == "corp-alice"
    assert read({"sub": "x", "e": "a@b"}, claims={"user": "e"}).subject == "id|a@b"


def test_no_issuer_names_another_ones_users() -> None:
    reserved = (("", "id|"), ("", "team|"), (None, "team|x-"))
    assert refused({"sub": "id|root"}, user_prefix="", reserved=reserved).code == "token_claims"
    assert refused({"sub": "x-root"}, name="team", reserved=reserved).code == "token_claims"
    assert read({"sub": "x-root"}, user_prefix="team|x-", reserved=reserved).subject == "team|x-x-root"
    assert read({"sub": "root"}, user_prefix="", reserved=reserved).subject == "root"
    assert read({"sub": "root"}, reserved=reserved).subject == "id|root"


def test_an_issuer_is_of_a_tenant() -> None:
    found = read({"sid": "s", "jti": "j"}, tenant="acme", claims={"topics": "t"}, user_prefix="")
    assert (found.subject, found.session, found.token_id) == ("acme#alice", "acme#id|s", "acme#id|j")
    nameless = read({}, tenant="acme")
    assert (nameless.subject, nameless.session.startswith("acme#id|")) == ("acme#id|alice", True)
    topics = read({"t": ["news"]}, tenant="acme", claims={"topics": "t"}, rules=[{"topics": ["room:{sub}"]}]).topics
    assert topics == ("acme#room:id|alice", "acme#news")


def test_a_claim_says_whose_tenants_user_it_is() -> None:
    names = {"tenant": "org_id"}
    assert read({"org_id": "acme"}, claims=names).subject == "acme#id|alice"
    assert read({"org_id": "globex"}, claims=names, user_prefix="").subject == "globex#alice"
    assert read({"org_id": "globex"}, claims=names, tenant="acme").tenant == "globex"
    assert read({}, claims=names, tenant="acme").tenant == "acme"
    # Nobody becomes the default tenant's, whose administrators are the operators, by saying nothing, or nonsense.
    for claims in ({}, {"org_id": ""}, {"org_id": 7}, {"org_id": "a#b"}, {"org_id": ["acme"]}, {"org_id": "Acme"}):
        assert refused(claims, claims=names).code == "token_claims"
    assert refused({"org_id": ""}, claims=names, tenant="acme").code == "token_claims"


def test_ids_of_other_issuers_are_reserved_in_their_tenant_only() -> None:
    reserved = (("acme", "team|"),)
    assert refused({"sub": "team|x"}, user_prefix="", tenant="acme", reserved=reserved).code == "token_claims"
    assert read({"sub": "team|x"}, user_prefix="", tenant="globex", reserved=reserved).subject == "globex#team|x"
    anywhere: tuple[Mark, ...] = ((None, "team|"),)
    assert refused({"sub": "team|x"}, user_prefix="", tenant="globex", reserved=anywhere).code == "token_claims"


def test_logins_are_kept_apart_from_those_of_others() -> None:
    assert read({"sid": "s", "jti": "j"}).session == "id|s"
    assert read({"jti": "j"}).session == "id|j"
    assert read({"sid": "s", "jti": "j"}).token_id == "id|j"
    assert read({"session_id": "s"}, claims={"session": "session_id"}).session == "id|s"
    nameless = read({}).session
    assert nameless.startswith("id|")
    assert len(nameless) == 3 + 64
    for bad in (7, "", "a b", "x" * 201, "\u00e9", "\ud800"):
        assert refused({"sid": bad}).code == "token_claims"
        assert refused({"jti": bad}).code == "token_claims"


def test_audience() -> None:
    assert read({"aud": ["x", "other"]})
    for bad in ("x", ["x"], [], None, 7, {"hub": 1}, [["hub"]], "hub other", "HUB"):
        assert refused({"aud": bad}).code == "token_audience"
    assert read({"aud": None, "client_id": "hub"}, audience_claim="client_id")
    assert refused({"client_id": "x"}, audience_claim="client_id").code == "token_audience"


def test_required_claims() -> None:
    require = {"token_use": "access", "/realm/active": True}
    assert read({"token_use": "access", "realm": {"active": True}}, require=require)
    for bad in ({"token_use": "id", "realm": {"active": True}}, {"token_use": "access"}, {"realm": {"active": 1}}):
        assert refused(bad, require=require).code == "token_claims"


def test_rules_add_up() -> None:
    rules = [
        {"subscribe": ["all-of:{sub}:*"]},
        {"when": {"/realm_access/roles": "editor"}, "publish": ["news:*"], "topics": ["desk", "for:{sub}"]},
        {"when": {"scope": "chat"}, "publish": ["chat:*"], "subscribe": ["chat:*"]},
        {"when": {"/realm_access/roles": "boss", "email_verified": True}, "admin": True},
        {"when": {"gty": "client-credentials"}, "kind": "service"},
    ]
    plain = read({}, rules=rules)
    assert plain.grants == Grants(("all-of:id|alice:*",), ())
    editor = {"realm_access": {"roles": ["viewer", "editor"]}, "scope": "openid chat"}
    found = read(editor, rules=rules)
    assert found.grants == Grants(("all-of:id|alice:*", "chat:*"), ("news:*", "chat:*"))
    assert found.topics == ("desk", "for:id|alice")
    assert not found.admin
    boss = {"realm_access": {"roles": ["boss"]}}
    assert not read(boss, rules=rules).admin
    assert not read(boss | {"email_verified": "true"}, rules=rules).admin
    assert not read(boss | {"email_verified": 1}, rules=rules).admin
    assert read(boss | {"email_verified": True}, rules=rules).admin
    assert read({"gty": "client-credentials"}, rules=rules).kind == "service"


def test_rights_in_claims() -> None:
    names = {"topics": "https://hub.example/topics", "subscribe": "/app/read", "publish": "scope"}
    found = read(
        {"https://hub.example/topics": ["a", "b:c", "a"], "app": {"read": "x:* y"}, "scope": "chat:* all"},
        claims=names,
    )
    assert found.topics == ("a", "b:c")
    assert found.grants == Grants(("x:*", "y"), ("chat:*", "all"))
    assert read({}, claims=names).grants == Grants(), "what a token lacks gives no right"
    for bad in ({"scope": ["a*"]}, {"scope": [1]}, {"scope": 7}, {"scope": {}}, {"https://hub.example/topics": "a:*"}):
        assert refused(bad, claims=names).code == "token_claims"
    assert "more than 200" in refused({"scope": " ".join(f"t{n}" for n in range(201))}, claims=names).detail


def test_looking_up() -> None:
    claims = {"a": {"b/c": {"~": 1}}, "/x": 2, "https://e/f": 3, "": 4}
    assert look_up(claims, "/a/b~1c/~0") == 1
    assert look_up(claims, "/~1x") == 2
    assert look_up(claims, "https://e/f") == 3
    for missing in ("b", "/a/x/y", "/a/b", "/https://e/f", "/a/b~1c/~0/more"):
        assert look_up(claims, missing) is None


@given(
    said=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    wanted=st.text(min_size=1) | st.integers() | st.booleans(),
)
def test_a_condition_never_fails_in_another_way(said: Any, wanted: Any) -> None:
    assert fits({"c": said}, {"c": wanted}) in (True, False)
    assert fits({"c": wanted}, {"c": wanted})
    assert fits({"c": [None, wanted]}, {"c": wanted})
