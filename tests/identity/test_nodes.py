"""Several hubs on one database: what they do at the same moment ends as if one had done it after the other."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable

import pytest

from hub.errors import HubError
from hub.identity.accounts import Update
from hub.identity.service import Identity

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
    for _ in range(5):
        begun = await nodes[0].login("alice", PASSWORD)
        principal = nodes[0].authenticate(begun.access_token)
        ending = nodes[1].logout(principal)
        *refreshed, _ = await asyncio.gather(
            *(node.refresh(begun.refresh_token) for node in nodes), ending, return_exceptions=True
        )
        for node in nodes:
            await node._feed.catch_up()
            for tokens in refreshed:
                if not isinstance(tokens, BaseException):
                    with pytest.raises(HubError, match="logged_out"):
                        node.authenticate(tokens.access_token)
                    assert await code_of(node.refresh(tokens.refresh_token)) == "refresh_invalid"


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
