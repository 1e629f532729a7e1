"""Logging in, going on, logging out; and that a stolen refresh token ends the session (RFC 9700, 4.14.2)."""

from __future__ import annotations

import asyncio

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from hub.errors import HubError
from hub.identity.accounts import Update
from hub.identity.models import Change, LoginSession, RefreshToken
from hub.identity.service import Identity, UserTokens
from hub.identity.sessions import GRACE

from .conftest import CHEAP, PASSWORD, Clock, Connections, OpenIdentity

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]


async def refused(identity: Identity, refresh_token: str) -> str:
    with pytest.raises(HubError) as error:
        await identity.refresh(refresh_token)
    return error.value.code


async def login_refused(identity: Identity, username: str, password: str) -> str:
    with pytest.raises(HubError) as error:
        await identity.login(username, password)
    return error.value.code


def token_refused(identity: Identity, tokens: UserTokens) -> str:
    with pytest.raises(HubError) as error:
        identity.authenticate(tokens.access_token)
    return error.value.code


async def test_login_gives_a_token_that_works(identity: Identity) -> None:
    tokens = await identity.login("alice", PASSWORD)
    principal = identity.authenticate(tokens.access_token)
    assert (principal.subject, principal.kind, principal.admin) == ("alice", "user", False)
    assert 899 <= tokens.expires_in <= 900
    assert tokens.refresh_expires_in == 30 * 86400


async def test_unknown_users_and_wrong_passwords_are_refused_alike(identity: Identity) -> None:
    _, secret = await identity.accounts.create_service("billing")
    assert await login_refused(identity, "alice", "wrong horse") == "credentials_invalid"
    assert await login_refused(identity, "nobody", PASSWORD) == "credentials_invalid"
    assert await login_refused(identity, "billing", secret) == "credentials_invalid", "a service has no password"


async def test_an_outdated_hash_is_renewed_by_the_login(identity: Identity) -> None:
    identity._passwords._hasher = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    await identity.login("alice", PASSWORD)
    account = await identity.accounts.get("user", "alice")
    assert CHEAP.check_needs_rehash(account.secret_hash)
    await identity.login("alice", PASSWORD)
    assert (await identity.accounts.get("user", "alice")).secret_hash == account.secret_hash


async def test_a_password_changed_while_the_old_one_is_verified_wins(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = identity._passwords.verify

    async def slow(hashed: str | None, password: str) -> bool:
        matches = await verify(hashed, password)
        await identity.accounts.update("user", "alice", Update(password="another horse"))
        return matches

    monkeypatch.setattr(identity._passwords, "verify", slow)
    assert await login_refused(identity, "alice", PASSWORD) == "credentials_invalid"


async def test_refreshing_goes_on_with_the_session(identity: Identity) -> None:
    tokens = await identity.login("alice", PASSWORD)
    session = identity.authenticate(tokens.access_token).session
    for _ in range(5):
        tokens = await identity.refresh(tokens.refresh_token)
        assert identity.authenticate(tokens.access_token).session == session


async def test_a_session_stays_small_however_often_it_is_refreshed(identity: Identity) -> None:
    tokens = await identity.login("alice", PASSWORD)
    for _ in range(10):
        tokens = await identity.refresh(tokens.refresh_token)
    async with identity._store.read() as db:
        assert await db.scalar(select(func.count()).select_from(RefreshToken)) == 2


async def test_a_spent_token_ends_the_session_however_old_it_is(
    identity: Identity, clock: Clock, connections: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    first = await identity.login("alice", PASSWORD)
    session = identity.authenticate(first.access_token).session
    connections.held.append(identity.authenticate(first.access_token))
    last = first
    for _ in range(5):
        last = await identity.refresh(last.refresh_token)
    clock.ahead = GRACE + 1
    assert await refused(identity, first.refresh_token) == "refresh_reused"
    assert connections.ended == [("token_revoked", session)]
    assert "A spent refresh token of alice was used again" in caplog.text
    assert token_refused(identity, last) == "token_revoked"
    assert await refused(identity, last.refresh_token) == "refresh_invalid", "the thief and the owner are both out"
    other = await identity.login("alice", PASSWORD)
    assert identity.authenticate(other.access_token), "another session of theirs is not touched"


async def test_an_answer_that_was_lost_can_be_asked_for_again(identity: Identity, clock: Clock) -> None:
    tokens = await identity.login("alice", PASSWORD)
    await identity.refresh(tokens.refresh_token)
    clock.ahead = GRACE - 1
    again = await identity.refresh(tokens.refresh_token)
    clock.ahead = GRACE + 1
    assert await identity.refresh(again.refresh_token)


async def test_the_grace_begins_anew_with_each_refresh(identity: Identity, clock: Clock) -> None:
    tokens = await identity.login("alice", PASSWORD)
    for step in range(1, 4):
        clock.ahead = step * 100
        fresh = await identity.refresh(tokens.refresh_token)
        clock.ahead += GRACE - 1
        assert await identity.refresh(tokens.refresh_token)
        tokens = fresh


async def test_the_grace_is_for_the_last_token_only(identity: Identity) -> None:
    first = await identity.login("alice", PASSWORD)
    second = await identity.refresh(first.refresh_token)
    await identity.refresh(second.refresh_token)
    assert await refused(identity, first.refresh_token) == "refresh_reused"


async def test_the_grace_counts_from_the_first_use(identity: Identity, clock: Clock) -> None:
    first = await identity.login("alice", PASSWORD)
    await identity.refresh(first.refresh_token)
    clock.ahead = GRACE - 1
    await identity.refresh(first.refresh_token)
    clock.ahead = GRACE + 1
    assert await refused(identity, first.refresh_token) == "refresh_reused"


async def test_racing_tabs_may_share_a_token_but_not_go_separate_ways(identity: Identity, clock: Clock) -> None:
    first = await identity.login("alice", PASSWORD)
    one, two = await asyncio.gather(*(identity.refresh(first.refresh_token) for _ in range(2)))
    clock.ahead = GRACE + 1
    await identity.refresh(two.refresh_token)
    clock.ahead = 2 * GRACE + 2
    assert await refused(identity, one.refresh_token) == "refresh_reused", "or a thief in the grace would go unnoticed"


async def test_unknown_refresh_tokens(identity: Identity) -> None:
    tokens = await identity.login("alice", PASSWORD)
    for token in ("", "x", "hubr_", "hubr_a.b", tokens.access_token, "\ud800"):
        assert await refused(identity, token) == "refresh_invalid"
    family = tokens.refresh_token.partition(".")[0]
    other = await identity.login("alice", PASSWORD)
    mixed = f"{family}.{other.refresh_token.partition('.')[2]}"
    assert await refused(identity, mixed) == "refresh_reused", "of this family, and not its present one"


async def test_a_refresh_token_ends_some_time_after_its_last_use(open_identity: OpenIdentity, clock: Clock) -> None:
    async with open_identity(refresh_ttl=100) as identity:
        await identity.accounts.create_user("alice", PASSWORD)
        tokens = await identity.login("alice", PASSWORD)
        for step in (1, 2, 3):
            clock.ahead = step * 90
            tokens = await identity.refresh(tokens.refresh_token)
        clock.ahead += 101
        assert await refused(identity, tokens.refresh_token) == "refresh_invalid"
    async with open_identity() as identity, identity._store.read() as db:
        assert await db.scalar(select(func.count()).select_from(LoginSession)) == 0, "and is cleared away"
        assert await db.scalar(select(func.count()).select_from(RefreshToken)) == 0


async def test_an_access_token_is_no_refresh_token_nor_the_other_way_round(identity: Identity) -> None:
    tokens = await identity.login("alice", PASSWORD)
    _, key = await identity.accounts.create_service("billing")
    half = tokens.refresh_token.removeprefix("hubr_")
    for other in (tokens.access_token, key, half, "", "hubr_", f"hubt_{half}"):
        assert await refused(identity, other) == "refresh_invalid"
    with pytest.raises(HubError, match="token_type: This is a refresh token"):
        identity.authenticate(tokens.refresh_token)
    assert await identity.refresh(tokens.refresh_token)


@pytest.mark.both_databases(False)
async def test_only_hashes_are_stored(identity: Identity) -> None:
    tokens = await identity.login("alice", PASSWORD)
    _, secret = await identity.accounts.create_service("billing")
    await identity.stop()
    stored = b"".join(path.read_bytes() for path in identity._settings.data_dir.glob("identity.db*"))
    family, _, own = tokens.refresh_token.removeprefix("hubr_").partition(".")
    for text in (PASSWORD, family, own, secret, tokens.access_token):
        assert text.encode() not in stored


async def test_logout_ends_the_session_and_no_other(identity: Identity, connections: Connections) -> None:
    tokens = await identity.login("alice", PASSWORD)
    older = await identity.refresh(tokens.refresh_token)
    other = await identity.login("alice", PASSWORD)
    principal = identity.authenticate(tokens.access_token)
    connections.held += [principal, identity.authenticate(other.access_token)]
    await identity.logout(principal)
    assert connections.ended == [("logged_out", principal.session)]
    assert token_refused(identity, tokens) == "logged_out"
    assert token_refused(identity, older) == "logged_out", "every token of the session"
    assert await refused(identity, older.refresh_token) == "refresh_invalid"
    assert identity.authenticate(other.access_token)
    await identity.refresh(other.refresh_token)


async def test_a_service_gets_a_token_and_can_log_it_out(identity: Identity, connections: Connections) -> None:
    _, secret = await identity.accounts.create_service("billing")
    one = await identity.client_credentials("billing", secret)
    two = await identity.client_credentials("billing", secret)
    principal = identity.authenticate(one.access_token)
    connections.held += [principal, identity.authenticate(two.access_token)]
    assert (principal.kind, principal.source) == ("service", "service:billing")
    await identity.logout(principal)
    with pytest.raises(HubError, match="logged_out"):
        identity.authenticate(one.access_token)
    assert identity.authenticate(two.access_token)
    assert connections.ended == [("logged_out", principal.session)]


async def test_wrong_client_credentials(identity: Identity) -> None:
    _, secret = await identity.accounts.create_service("billing")
    for name, given in (("billing", secret[:-1]), ("nothing", secret), ("alice", PASSWORD), ("billing", "")):
        with pytest.raises(HubError, match="credentials_invalid"):
            await identity.client_credentials(name, given)


async def test_a_logout_is_remembered_until_the_last_token_would_have_ended(
    open_identity: OpenIdentity, clock: Clock
) -> None:
    async with open_identity(access_ttl=5000) as identity:
        await identity.accounts.create_user("alice", PASSWORD)
        long_lived = await identity.login("alice", PASSWORD)
    async with open_identity(access_ttl=10) as identity:
        short_lived = await identity.refresh(long_lived.refresh_token)
        await identity.logout(identity.authenticate(short_lived.access_token))
        clock.ahead = 4000
        await identity._feed._tidy()
        assert token_refused(identity, long_lived) == "logged_out"
    async with open_identity() as identity:
        assert token_refused(identity, long_lived) == "logged_out"
        clock.ahead = 6000
        await identity._feed._tidy()
        assert token_refused(identity, long_lived) == "token_expired"
        async with identity._store.read() as db:
            assert await db.scalar(select(func.count()).select_from(Change)) == 0
        assert not identity._revocations._ended["session"]
