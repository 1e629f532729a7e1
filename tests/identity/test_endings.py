"""One token or one session is ended before its time: at once, for all processes, and until it would have ended."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from sqlalchemy import func, select

from hub.errors import HubError
from hub.identity.audit import Actor
from hub.identity.endings import UNKNOWN_LIFE
from hub.identity.models import Change
from hub.identity.service import Identity, UserTokens

from .conftest import PASSWORD, Clock, Connections, OpenIdentity
from .test_feed import until
from .test_sessions import refused, token_refused

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]


def claims(tokens: UserTokens) -> dict[str, Any]:
    said: dict[str, Any] = jwt.decode(tokens.access_token, options={"verify_signature": False})
    return said


async def changes(identity: Identity) -> int:
    async with identity._store.read() as db:
        return await db.scalar(select(func.count()).select_from(Change)) or 0


@pytest.mark.parametrize("by_id", [False, True])
async def test_a_token_is_over_and_no_other_of_its_session(
    open_identity: OpenIdentity, connections: Connections, by_id: bool
) -> None:
    async with open_identity(revocation_poll=0.01) as hub, open_identity(quiet=True) as cli:
        await hub.accounts.create_user("alice", PASSWORD)
        tokens = await hub.login("alice", PASSWORD)
        other = await hub.refresh(tokens.refresh_token)
        connections.held += [hub.authenticate(each.access_token) for each in (tokens, other)]
        said = claims(tokens)
        ended = await (cli.endings.token_id(said["jti"]) if by_id else cli.endings.token(tokens.access_token))
        assert (ended.kind, ended.id, ended.subject) == ("token", said["jti"], None if by_id else "alice")
        await until(lambda: connections.codes == ["token_revoked"])
        assert token_refused(hub, tokens) == "token_revoked"
        assert hub.authenticate(other.access_token)
        await hub.refresh(other.refresh_token)
    async with open_identity() as hub:
        assert token_refused(hub, tokens) == "token_revoked", "also after a restart"
        assert hub.authenticate(other.access_token)


async def test_it_is_forgotten_when_the_token_would_have_ended(identity: Identity, clock: Clock) -> None:
    tokens = await identity.login("alice", PASSWORD)
    ended = await identity.endings.token(tokens.access_token)
    assert ended.until == claims(tokens)["exp"]
    await identity.endings.token_id("of-which-only-this-is-known")
    clock.ahead = 1000
    await identity._feed._tidy()
    assert token_refused(identity, tokens) == "token_expired"
    assert await changes(identity) == 1
    clock.ahead = UNKNOWN_LIFE + 1
    await identity._feed._tidy()
    assert await changes(identity) == 0
    assert not identity._revocations._ended["token"]


async def test_a_session_ends_with_its_refresh_token(identity: Identity, connections: Connections) -> None:
    tokens, other = await identity.login("alice", PASSWORD), await identity.login("alice", PASSWORD)
    connections.held += [identity.authenticate(each.access_token) for each in (tokens, other)]
    ended = await identity.endings.session(claims(tokens)["sid"])
    assert (ended.subject, ended.until) == ("alice", claims(tokens)["exp"])
    assert connections.ended == [("token_revoked", claims(tokens)["sid"])]
    assert token_refused(identity, tokens) == "token_revoked"
    assert await refused(identity, tokens.refresh_token) == "refresh_invalid"
    assert identity.authenticate(other.access_token)


async def test_a_session_that_is_not_stored_can_end_too(identity: Identity) -> None:
    _, secret = await identity.accounts.create_service("billing")
    token = (await identity.client_credentials("billing", secret)).access_token
    ended = await identity.endings.session(identity.authenticate(token).session)
    assert ended.subject is None
    with pytest.raises(HubError, match="token_revoked"):
        identity.authenticate(token)


async def test_what_is_refused_anyway_is_told(identity: Identity, clock: Clock) -> None:
    tokens = await identity.login("alice", PASSWORD)
    head, payload, signature = tokens.access_token.split(".")
    for forged in (f"{head}.{payload}.{signature[::-1]}", "x.y.z", ""):
        with pytest.raises(HubError, match="refused already") as error:
            await identity.endings.token(forged)
        assert error.value.code == "request_invalid"
    clock.ahead = 1000
    with pytest.raises(HubError, match="refused already \\(token_expired\\)"):
        await identity.endings.token(tokens.access_token)
    for name in ("", "x" * 257):
        with pytest.raises(HubError, match="1 to 256 characters"):
            await identity.endings.token_id(name)
    clock.ahead = 0
    assert await identity.endings.token(tokens.access_token)
    assert await identity.endings.token(tokens.access_token), "twice is no mistake"


async def test_who_did_it_is_in_the_audit_log(identity: Identity) -> None:
    tokens = await identity.login("alice", PASSWORD)
    await identity.endings.by(Actor("local:root")).token(tokens.access_token)
    [line] = [entry for entry in (await identity.audit.page(limit=10))[0] if entry.action == "token.revoke"]
    assert (line.actor, line.target) == ("local:root", f"token:{claims(tokens)['jti']}")
    assert line.details == {"subject": "alice"}
