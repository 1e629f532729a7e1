"""Users and services: made, changed, listed, and what a change does to the tokens there are."""

from __future__ import annotations

import jwt
import pytest

from hub.errors import HubError
from hub.identity.accounts import SERVICE_GRANTS, Update
from hub.identity.service import Identity
from hub.model import Grants, Topic
from hub.policy import Action, may
from hub.settings import SettingsError

from .conftest import PASSWORD, Clock, Connections, OpenIdentity
from .test_sessions import login_refused, refused, token_refused

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]


async def code_of(attempt: object) -> str:
    with pytest.raises(HubError) as error:
        await attempt  # type: ignore[misc]
    return error.value.code


# --- Making


async def test_a_user_gets_what_was_granted_with_their_id_in_it(identity: Identity) -> None:
    grants = Grants(("orders:*", "chat:{sub}:*"), ("chat:{sub}:*",))
    await identity.accounts.create_user("bob", PASSWORD, grants=grants, topics=["news", "team:{sub}"])
    principal = identity.authenticate((await identity.login("bob", PASSWORD)).access_token)
    assert principal.grants == Grants(("orders:*", "chat:bob:*"), ("chat:bob:*",))
    assert principal.topics == ("news", "team:bob")
    assert (await identity.accounts.get("user", "bob")).subscribe == ["orders:*", "chat:{sub}:*"], "kept as granted"


async def test_a_new_user_may_nothing_but_their_own(identity: Identity) -> None:
    principal = identity.authenticate((await identity.login("alice", PASSWORD)).access_token)
    assert may(principal, Action.SUBSCRIBE, Topic("user:alice"))
    assert not may(principal, Action.SUBSCRIBE, Topic("user:bob"))
    assert not may(principal, Action.SUBSCRIBE, Topic("news"))
    assert not may(principal, Action.PUBLISH, Topic("news"))


async def test_a_new_service_may_publish_anywhere_and_read_nothing(identity: Identity) -> None:
    account, secret = await identity.accounts.create_service("Billing Service")
    assert account.id == "billing-service"
    principal = identity.authenticate((await identity.client_credentials(account.id, secret)).access_token)
    for name in ("news", "orders:7", "user:alice", "all"):
        assert may(principal, Action.PUBLISH, Topic(name))
        assert not may(principal, Action.SUBSCRIBE, Topic(name))


@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        ("\u00dcmlaut B\u00f6x", "; try 'umlaut-box'."),
        ("billing: EU", "; try 'billing-eu'."),
        ("x" * 129, f"; try '{'x' * 128}'."),
        ("\u65e5\u672c", "and spaces."),
        ("  ", "and spaces."),
    ],
)
async def test_a_service_gets_the_id_that_its_name_says_or_none(identity: Identity, name: str, proposal: str) -> None:
    with pytest.raises(HubError, match="request_invalid") as refused:
        await identity.accounts.create_service(name)
    assert repr(name[:60]) in refused.value.detail
    assert refused.value.detail.endswith(proposal)


async def test_an_id_is_one_accounts_only(identity: Identity) -> None:
    accounts = identity.accounts
    await accounts.create_service("billing")
    assert await code_of(accounts.create_user("alice", PASSWORD)) == "name_taken"
    assert await code_of(accounts.create_service("Alice")) == "name_taken"
    assert await code_of(accounts.create_user("billing", PASSWORD)) == "name_taken"


@pytest.mark.parametrize("name", ["", "a b", "user:x", "*", "x" * 129, "\u00e9"])
async def test_names_that_could_not_be_a_topic_are_refused(identity: Identity, name: str) -> None:
    assert await code_of(identity.accounts.create_user(name, PASSWORD)) == "request_invalid"


async def test_bad_rights_are_refused(identity: Identity) -> None:
    accounts = identity.accounts
    assert await code_of(accounts.create_user("bob", PASSWORD, grants=Grants(("a*",)))) == "topic_invalid"
    assert await code_of(accounts.create_user("bob", PASSWORD, grants=Grants((), ("{bus}:x",)))) == "topic_invalid"
    assert await code_of(accounts.create_user("bob", PASSWORD, topics=["a:*"])) == "topic_invalid"
    many = Grants(tuple(f"some:long:pattern:{n}:*" for n in range(200)))
    assert await code_of(accounts.create_user("bob", PASSWORD, grants=many)) == "request_invalid"
    assert await code_of(accounts.update("user", "alice", Update(grants=many))) == "request_invalid"
    half = tuple(f"some:long:pattern:{n}:*" for n in range(50))
    await accounts.update("user", "alice", Update(grants=Grants(half)))
    more = Update(topics=tuple(f"some:very:long:topic:{n}" for n in range(50)))
    assert await code_of(accounts.update("user", "alice", more)) == "request_invalid", "they count together"


async def test_listing_is_by_id_in_pages_and_by_kind(identity: Identity) -> None:
    for name in ("carol", "bob", "dave"):
        await identity.accounts.create_user(name, PASSWORD)
    await identity.accounts.create_service("billing")
    found, more = await identity.accounts.page("user", limit=3)
    assert ([account.id for account in found], more) == (["alice", "bob", "carol"], True)
    found, more = await identity.accounts.page("user", after="carol", limit=3)
    assert ([account.id for account in found], more) == (["dave"], False)
    found, more = await identity.accounts.page("service")
    assert ([account.id for account in found], more) == (["billing"], False)
    assert list(SERVICE_GRANTS.publish) == found[0].publish


async def test_what_there_is_not(identity: Identity) -> None:
    accounts = identity.accounts
    await accounts.create_service("billing")
    assert await code_of(accounts.get("user", "billing")) == "not_found"
    assert await code_of(accounts.get("service", "alice")) == "not_found"
    assert await code_of(accounts.update("user", "nobody", Update(disabled=True))) == "not_found"
    assert await code_of(accounts.end_sessions("billing")) == "not_found"


# --- The first administrator


async def test_the_first_administrator_is_made_once(open_identity: OpenIdentity) -> None:
    async with open_identity() as identity:
        password = await identity.bootstrap()
        assert password is not None
        assert identity.authenticate((await identity.login("admin", password)).access_token).admin
        assert await identity.bootstrap() is None
    async with open_identity(admin_username="root", admin_password="another password") as identity:
        assert await identity.bootstrap() is None, "there is one already"
        assert await login_refused(identity, "root", "another password") == "credentials_invalid"
        assert await identity.login("admin", password), "and is left alone"


async def test_a_given_password_is_used_and_not_shown(open_identity: OpenIdentity) -> None:
    async with open_identity(admin_username="root", admin_password="given password") as identity:
        assert await identity.bootstrap() is None
        assert identity.authenticate((await identity.login("root", "given password")).access_token).admin
    async with open_identity(admin_username="root", admin_password="changed password") as identity:
        await identity.bootstrap()
        assert await identity.login("root", "given password"), "the setting is for the first start"


async def test_a_disabled_administrator_is_one(open_identity: OpenIdentity) -> None:
    async with open_identity() as identity:
        await identity.accounts.create_user("root", PASSWORD, admin=True)
        await identity.accounts.create_user("root2", PASSWORD, admin=True)
        await identity.accounts.update("user", "root", Update(disabled=True))
        assert await identity.bootstrap() is None


async def test_a_name_that_cannot_be_the_administrators(open_identity: OpenIdentity) -> None:
    async with open_identity() as identity:
        await identity.accounts.create_user("admin", PASSWORD)
        with pytest.raises(SettingsError, match="HUB_ADMIN_USERNAME"):
            await identity.bootstrap()
    async with open_identity(admin_username="the boss") as identity:
        with pytest.raises(SettingsError, match="cannot be a name"):
            await identity.bootstrap()


async def test_the_last_administrator_cannot_be_lost(identity: Identity) -> None:
    accounts = identity.accounts
    await accounts.create_user("root", PASSWORD, admin=True)
    for update in (Update(admin=False), Update(disabled=True)):
        assert await code_of(accounts.update("user", "root", update)) == "request_invalid"
    await accounts.create_user("root2", PASSWORD, admin=True)
    await accounts.update("user", "root", Update(disabled=True))
    assert await code_of(accounts.update("user", "root2", Update(disabled=True))) == "request_invalid"
    await accounts.update("user", "root", Update(admin=False))


# --- What a change does to tokens


@pytest.mark.parametrize(
    "update", [Update(admin=True), Update(grants=Grants(("news",))), Update(topics=("news",))], ids=str
)
async def test_other_rights_need_a_fresh_token_which_a_refresh_gives(
    identity: Identity, connections: Connections, update: Update
) -> None:
    tokens = await identity.login("alice", PASSWORD)
    connections.held.append(identity.authenticate(tokens.access_token))
    await identity.accounts.update("user", "alice", update)
    assert connections.codes == ["token_revoked"]
    assert token_refused(identity, tokens) == "token_revoked"
    fresh = identity.authenticate((await identity.refresh(tokens.refresh_token)).access_token)
    assert (fresh.admin, bool(fresh.grants.subscribe), bool(fresh.topics)) == (
        bool(update.admin), bool(update.grants), bool(update.topics),
    )  # fmt: skip


async def test_a_change_that_changes_nothing_disturbs_nobody(identity: Identity, connections: Connections) -> None:
    tokens = await identity.login("alice", PASSWORD)
    connections.held.append(identity.authenticate(tokens.access_token))
    await identity.accounts.update("user", "alice", Update(disabled=False, admin=False, grants=Grants(), topics=()))
    assert identity.authenticate(tokens.access_token)
    assert await identity.refresh(tokens.refresh_token)
    assert connections.codes == []


async def test_a_new_password_ends_all_sessions(identity: Identity, connections: Connections) -> None:
    tokens = await identity.login("alice", PASSWORD)
    connections.held.append(identity.authenticate(tokens.access_token))
    await identity.accounts.update("user", "alice", Update(password="another horse"))
    assert connections.codes == ["token_revoked"]
    assert token_refused(identity, tokens) == "token_revoked"
    assert await refused(identity, tokens.refresh_token) == "refresh_invalid"
    assert await login_refused(identity, "alice", PASSWORD) == "credentials_invalid"
    fresh = await identity.login("alice", "another horse")
    assert identity.authenticate(fresh.access_token), "a token minted in the same second is good"


async def test_a_disabled_user_is_kept_out_until_enabled(identity: Identity, connections: Connections) -> None:
    tokens = await identity.login("alice", PASSWORD)
    connections.held.append(identity.authenticate(tokens.access_token))
    await identity.accounts.update("user", "alice", Update(disabled=True))
    await identity.accounts.update("user", "alice", Update(disabled=True))
    assert connections.codes == ["user_disabled"]
    assert token_refused(identity, tokens) == "user_disabled"
    assert await refused(identity, tokens.refresh_token) == "user_disabled"
    assert await login_refused(identity, "alice", PASSWORD) == "user_disabled"
    assert await login_refused(identity, "alice", "wrong horse") == "credentials_invalid", "told to the owner only"

    await identity.accounts.update("user", "alice", Update(disabled=False))
    assert token_refused(identity, tokens) == "token_revoked", "what was before stays over"
    assert await refused(identity, tokens.refresh_token) == "refresh_invalid"
    fresh = await identity.login("alice", PASSWORD)
    assert identity.authenticate(fresh.access_token)
    assert connections.codes == ["user_disabled"], "enabling closes nothing"


async def test_logging_out_everywhere(identity: Identity, connections: Connections) -> None:
    tokens = [await identity.login("alice", PASSWORD) for _ in range(2)]
    connections.held += [identity.authenticate(each.access_token) for each in tokens]
    await identity.accounts.end_sessions("alice")
    for each in tokens:
        assert token_refused(identity, each) == "token_revoked"
        assert await refused(identity, each.refresh_token) == "refresh_invalid"
    assert connections.codes == ["token_revoked"] * 2
    assert identity.authenticate((await identity.login("alice", PASSWORD)).access_token)


async def test_a_disabled_service_is_kept_out(identity: Identity) -> None:
    _, secret = await identity.accounts.create_service("billing")
    token = (await identity.client_credentials("billing", secret)).access_token
    await identity.accounts.update("service", "billing", Update(disabled=True))
    assert await code_of(identity.client_credentials("billing", secret)) == "user_disabled"
    with pytest.raises(HubError, match="user_disabled"):
        identity.authenticate(token)


# --- Ids of other issuers' users

SHOP = {"name": "shop", "issuer": "shop", "audience": "hub", "secret": "x" * 32}


async def test_no_account_is_made_with_another_issuers_id(open_identity: OpenIdentity) -> None:
    async with open_identity(issuers=[SHOP]) as identity:
        for name in ("shop|bob", "shop|"):
            assert await code_of(identity.accounts.create_user(name, PASSWORD)) == "request_invalid"
            assert await code_of(identity.accounts.create_service(name)) == "request_invalid"
        for name in ("shop", "shopper", "sho|p"):
            assert await identity.accounts.create_user(name, PASSWORD)


async def test_an_issuer_whose_users_would_be_accounts_stops_the_start(open_identity: OpenIdentity) -> None:
    async with open_identity() as identity:
        await identity.accounts.create_user("shop|bob", PASSWORD)
    with pytest.raises(SettingsError, match=r"has an account 'shop\|bob'"):
        async with open_identity(issuers=[SHOP]):
            pass
    for other in ({"user_prefix": ""}, {"name": "sho_"}, {"name": "SHOP"}):
        async with open_identity(issuers=[SHOP | other]):
            pass


async def test_logging_out_somebody_of_another_issuer(
    open_identity: OpenIdentity, connections: Connections, clock: Clock
) -> None:
    def make(sub: str) -> str:
        now = int(clock())
        said = {"iss": "shop", "aud": "hub", "sub": sub, "sid": f"s-{sub}", "iat": now, "exp": now + 3600}
        return jwt.encode(said, "x" * 32, "HS256", {"typ": "at+jwt"})

    def code(identity: Identity, token: str) -> str:
        try:
            return identity.authenticate(token).subject
        except HubError as refused:
            return refused.code

    async with open_identity(issuers=[SHOP]) as identity:
        bob, carol = make("bob"), make("carol")
        connections.held = [identity.authenticate(bob), identity.authenticate(carol)]
        clock.ahead = 2
        await identity.accounts.end_sessions("shop|bob")
        assert connections.ended == [("token_revoked", "shop|s-bob")]
        assert (code(identity, bob), code(identity, carol)) == ("token_revoked", "shop|carol")
        clock.ahead = 4
        fresh = make("bob")
        assert code(identity, fresh) == "shop|bob"
        assert await code_of(identity.accounts.end_sessions("nobody")) == "not_found"
    async with open_identity(issuers=[SHOP]) as identity:
        assert (code(identity, bob), code(identity, fresh)) == ("token_revoked", "shop|bob"), "also after a restart"
    async with open_identity(issuers=[SHOP | {"user_prefix": ""}]) as identity:
        await identity.accounts.end_sessions("dave")
        assert code(identity, make("dave")) == "token_revoked", "the same second is not let through"
