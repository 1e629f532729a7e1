"""Several hubs on one database: what they do at the same moment ends as if one had done it after the other."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import select

from hub.errors import HubError
from hub.identity import sessions
from hub.identity.accounts import Update
from hub.identity.models import Change, WaitingTicket
from hub.identity.service import Identity
from hub.identity.shared_tickets import MAX_OUTSTANDING, SharedTickets, Taken
from hub.transports.credentials import admit
from tests.postgres import PostgresServer

from .conftest import PASSWORD, Clock, OpenIdentity

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]


@pytest.fixture
async def nodes(open_identity: OpenIdentity) -> AsyncIterator[list[Identity]]:
    """Three, with one user, alice. Limits are each node's own, so here they are no limits."""
    unlimited = {"login_successes": "0/1s", "login_failures": "0/1s", "login_failures_address": "0/1s"}
    async with contextlib.AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(open_identity(quiet=True, revocation_poll=0.05, **unlimited))
            for _ in range(3)
        ]
        await opened[0].accounts.create_user("alice", PASSWORD)
        yield opened


async def code_of(work: Awaitable[object]) -> str:
    try:
        await work
    except HubError as refusal:
        return refusal.code
    return "ok"


async def test_a_name_is_given_once(nodes: list[Identity]) -> None:
    codes = await asyncio.gather(
        *(code_of(node.accounts.create_user("bob", PASSWORD)) for node in nodes for _ in range(3)),
        *(code_of(node.accounts.create_service("bob")) for node in nodes),
    )
    assert sorted(codes) == ["name_taken"] * 11 + ["ok"]


async def test_the_first_administrator_is_made_once(nodes: list[Identity]) -> None:
    made = await asyncio.gather(*(node.accounts.create_first_administrator("root", PASSWORD) for node in nodes))
    assert sorted(made) == [False, False, True]


async def test_one_administrator_stays(nodes: list[Identity]) -> None:
    """Each disables another one, all at once."""
    names = [f"admin-{number}" for number in range(6)]
    for name in names:
        await nodes[0].accounts.create_user(name, PASSWORD, admin=True)
    work = [nodes[number % 3].accounts.update("user", name, Update(disabled=True)) for number, name in enumerate(names)]
    assert sorted(await asyncio.gather(*map(code_of, work))) == ["ok"] * 5 + ["request_invalid"]


async def test_tabs_that_refresh_on_different_nodes_all_go_on(nodes: list[Identity]) -> None:
    first = await nodes[0].login("alice", PASSWORD)
    tokens = await asyncio.gather(*(node.refresh(first.refresh_token) for node in nodes for _ in range(3)))
    assert len({each.refresh_token for each in tokens}) == 9
    # One of them is used; the others are spent by that, and may still be used for a moment.
    await nodes[1].refresh(tokens[0].refresh_token)
    assert await code_of(nodes[2].refresh(tokens[1].refresh_token)) == "ok"


async def test_a_token_used_again_ends_the_session_on_every_node(nodes: list[Identity], clock: Clock) -> None:
    stolen = await nodes[0].login("alice", PASSWORD)
    fresh = await nodes[0].refresh(stolen.refresh_token)
    fresh = await nodes[1].refresh(fresh.refresh_token)
    clock.ahead += 60
    # The thief and the owner come at the same moment, to different nodes.
    outcomes = await asyncio.gather(
        *(code_of(node.refresh(stolen.refresh_token)) for node in nodes for _ in range(2)),
        *(code_of(node.refresh(fresh.refresh_token)) for node in nodes),
    )
    assert set(outcomes[:6]) <= {"refresh_reused", "refresh_invalid"}
    assert "refresh_reused" in outcomes
    for node in nodes:
        assert await code_of(node.refresh(fresh.refresh_token)) == "refresh_invalid"
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(HubError):
                    node.authenticate(fresh.access_token)
                    await asyncio.sleep(0.01)
                    continue
                break
    reused = [line async for line in nodes[0].audit.lines() if line["outcome"] == "refresh_reused"]
    assert len(reused) == 1
    assert (await nodes[0].audit.verify()).fault is None


async def test_a_logout_during_refreshes_leaves_no_token_that_works(nodes: list[Identity]) -> None:
    for _ in range(3):
        begun = await nodes[0].login("alice", PASSWORD)
        principal = nodes[0].authenticate(begun.access_token)
        ending = nodes[1].logout(principal)
        *refreshed, _ = await asyncio.gather(
            *(node.refresh(begun.refresh_token) for node in nodes), ending, return_exceptions=True
        )
        for node in nodes:
            await node._feed.catch_up()
            for tokens in refreshed:
                if isinstance(tokens, BaseException):
                    assert isinstance(tokens, HubError), tokens
                else:
                    with pytest.raises(HubError, match="logged_out"):
                        node.authenticate(tokens.access_token)
                    assert await code_of(node.refresh(tokens.refresh_token)) == "refresh_invalid"


@pytest.fixture
def blocked(postgres: PostgresServer) -> Callable[[], Awaitable[None]]:
    """Waits until some transaction waits for another."""

    async def wait() -> None:
        connection = await asyncpg.connect(postgres.url("postgres"))
        try:
            async with asyncio.timeout(10):
                while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    await asyncio.sleep(0.01)
        finally:
            await connection.close()

    return wait


on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@on_postgresql
@pytest.mark.both_databases(False)
async def test_a_refresh_that_comes_while_the_session_is_ended(
    nodes: list[Identity], blocked: Callable[[], Awaitable[None]]
) -> None:
    begun = await nodes[0].login("alice", PASSWORD)
    session = nodes[0].authenticate(begun.access_token).session
    async with nodes[0]._store.write() as db:
        await sessions.end(db, session, "alice", "logged_out", until=0.0)
        await db.flush()
        refresh = asyncio.create_task(code_of(nodes[1].refresh(begun.refresh_token)))
        await blocked()
    assert await refresh == "refresh_invalid"


@on_postgresql
@pytest.mark.both_databases(False)
async def test_a_session_that_is_ended_while_it_is_refreshed(
    nodes: list[Identity], clock: Clock, blocked: Callable[[], Awaitable[None]]
) -> None:
    """Its last token has just been made: that has to be remembered until it would have ended by itself."""
    begun = await nodes[0].login("alice", PASSWORD)
    session = nodes[0].authenticate(begun.access_token).session
    later = clock() + 100_000
    async with nodes[0]._store.write_beside() as db:
        rotated = await sessions.rotate(db, begun.refresh_token, now=clock(), ttl=1000)
        assert rotated is not None
        rotated.session.access_expires_at = later
        await db.flush()
        ending = asyncio.create_task(nodes[1].endings.session(session))
        await blocked()
    await ending
    async with nodes[0]._store.read() as db:
        ends = select(Change.expires_at).where(Change.kind == "session", Change.name == session)
        assert await db.scalar(ends) == later


@on_postgresql
@pytest.mark.both_databases(False)
async def test_a_ticket_of_one_is_good_once_at_any(nodes: list[Identity]) -> None:
    token = (await nodes[0].login("alice", PASSWORD)).access_token
    for ask in nodes:
        ticket = (await nodes[0].tickets.issue_for_all(token)).value
        assert (await admit(ask.tickets.redeem, ticket)).subject == "alice"
        for node in nodes:
            assert await code_of(admit(node.tickets.redeem, ticket)) == "ticket_invalid"
    ticket = (await nodes[0].tickets.issue_for_all(token)).value
    codes = await asyncio.gather(*(code_of(admit(node.tickets.redeem, ticket)) for node in nodes * 5))
    assert sorted(codes) == ["ok"] + ["ticket_invalid"] * 14
    async with nodes[0]._store.read() as db:
        assert (await db.scalars(select(WaitingTicket))).all() == []


@on_postgresql
@pytest.mark.both_databases(False)
async def test_tickets_in_the_database_tell_nobody_a_token_and_end(nodes: list[Identity]) -> None:
    token = (await nodes[0].login("alice", PASSWORD)).access_token
    tickets = [(await nodes[n % 3].tickets.issue_for_all(token)).value for n in range(MAX_OUTSTANDING)]
    assert await code_of(nodes[1].tickets.issue_for_all(token)) == "too_many_attempts"
    async with nodes[0]._store.write_beside() as db:
        for row in await db.scalars(select(WaitingTicket)):
            assert token not in row.sealed
            assert base64.b64decode(row.sealed).find(token[:20].encode()) == -1
            assert row.name not in tickets
            row.ends_at -= 31
    assert await code_of(admit(nodes[1].tickets.redeem, tickets[0])) == "ticket_invalid"
    assert await nodes[1].tickets.issue_for_all(token), "those that ended count no more"


@on_postgresql
@pytest.mark.both_databases(False)
async def test_what_looks_like_a_ticket_is_looked_for_so_often_and_no_more(
    nodes: list[Identity], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0
    take = SharedTickets.take

    async def counted(self: SharedTickets, ticket: str) -> Taken | None:
        nonlocal looked
        looked += 1
        return await take(self, ticket)

    monkeypatch.setattr(SharedTickets, "take", counted)
    for text in ("", "hubt_short", "hubt_" + "ä" * 43, "x" * 48):
        assert await code_of(admit(nodes[0].tickets.redeem, text)) == "ticket_invalid"
    assert looked == 0
    many = (code_of(admit(nodes[0].tickets.redeem, f"hubt_{n:043}")) for n in range(1000))
    assert set(await asyncio.gather(*many)) == {"ticket_invalid"}
    assert 200 <= looked < 1000


async def test_what_one_node_does_the_others_know_within_a_second(nodes: list[Identity]) -> None:
    token = (await nodes[0].login("alice", PASSWORD)).access_token
    assert nodes[2].authenticate(token)
    await nodes[0].accounts.update("user", "alice", Update(disabled=True))
    done = time.monotonic()
    async with asyncio.timeout(5):
        while True:
            try:
                nodes[2].authenticate(token)
            except HubError as refusal:
                assert refusal.code == "user_disabled"
                break
            await asyncio.sleep(0.005)
    assert time.monotonic() - done < 1


async def test_the_last_use_of_a_key_is_the_latest_of_all_nodes(nodes: list[Identity], clock: Clock) -> None:
    _, secret = await nodes[0].accounts.create_service("shop")
    for node in nodes:
        await node._feed.catch_up()
    for node in nodes:
        clock.ahead += 10
        node.authenticate(secret)
    [last] = nodes[2]._keys.used.values()
    for node in reversed(nodes):
        await node._key_usage.write()
    assert [key.last_used_at for key in await nodes[0].service_keys.all()] == [last]
