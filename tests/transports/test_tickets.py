"""``/v1/ws?ticket=…`` on a real hub, through a real client: in once, and not after the login behind it is over."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.hub_process import HubProcess

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub for the module. In the end no ticket is in its log, whatever became of it."""
    hub = HubProcess(tmp_path_factory.mktemp("tickets"), log_level="debug")
    try:
        hub.start().add_user("alice", subscribe=["orders:*"])
        yield hub
        assert "hubt_" not in hub.log()
        assert "ticket_invalid" in hub.log()
    finally:
        hub.close()


def ticket_of(hub: HubProcess, token: str) -> str:
    response = hub.http.post("/v1/auth/ticket", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200, response.text
    ticket: str = response.json()["ticket"]
    return ticket


async def outcome(hub: HubProcess, query: str, **options: Any) -> str:
    """Who the welcome is for, or the close code and the error's name."""
    try:
        async with connect(f"{hub.ws_url}?{query}", proxy=None, **options) as socket:
            welcome = json.loads(await socket.recv())
            assert welcome["type"] == "welcome"
            return str(welcome["user"])
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return f"{closed.rcvd.code} {closed.rcvd.reason.partition(':')[0]}"


async def test_a_ticket_opens_the_stream_once(hub: HubProcess) -> None:
    ticket = ticket_of(hub, hub.token("alice"))
    assert await outcome(hub, f"ticket={ticket}&topics=orders:1") == "alice"
    assert await outcome(hub, f"ticket={ticket}") == "1008 ticket_invalid"


async def test_of_those_who_race_for_it_one_gets_in(hub: HubProcess) -> None:
    ticket = ticket_of(hub, hub.token("alice"))
    outcomes = await asyncio.gather(*(outcome(hub, f"ticket={ticket}") for _ in range(20)))
    assert sorted(outcomes) == ["1008 ticket_invalid"] * 19 + ["alice"]


async def test_the_stream_lives_as_long_as_the_token(hub: HubProcess) -> None:
    token = hub.token("alice")
    async with connect(f"{hub.ws_url}?ticket={ticket_of(hub, token)}", proxy=None) as socket:
        welcome = json.loads(await socket.recv())
        me = hub.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).json()
        assert welcome["expires"] == me["expires"] > time.time() + 60
        hub.http.post("/v1/auth/logout", headers={"Authorization": f"Bearer {token}"})
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason.partition(":")[0]) == (1008, "logged_out")


async def test_a_logout_kills_the_ticket(hub: HubProcess) -> None:
    token = hub.token("alice")
    ticket = ticket_of(hub, token)
    hub.http.post("/v1/auth/logout", headers={"Authorization": f"Bearer {token}"})
    assert await outcome(hub, f"ticket={ticket}") == "1008 logged_out"


async def test_a_ticket_and_another_credential_are_ambiguous_and_the_ticket_is_kept(hub: HubProcess) -> None:
    token = hub.token("alice")
    ticket = ticket_of(hub, token)
    ambiguous = "1008 credentials_ambiguous"
    assert await outcome(hub, f"ticket={ticket}&token={token}") == ambiguous
    assert await outcome(hub, f"ticket={ticket}&ticket={ticket}") == ambiguous
    assert await outcome(hub, f"ticket={ticket}", subprotocols=["hub.v1", f"bearer.{token}"]) == ambiguous
    headers = {"Authorization": f"Bearer {token}"}
    assert await outcome(hub, f"ticket={ticket}", additional_headers=headers) == ambiguous
    assert await outcome(hub, f"ticket={ticket}") == "alice"


async def test_what_is_no_ticket(hub: HubProcess) -> None:
    token = hub.token("alice")
    assert await outcome(hub, "ticket=") == "1008 token_missing"
    assert await outcome(hub, "ticket=hubt_nothing") == "1008 ticket_invalid"
    assert await outcome(hub, f"ticket={token}") == "1008 ticket_invalid", "a token is none"
    assert await outcome(hub, f"token={ticket_of(hub, token)}") == "1008 token_malformed", "nor the other way round"
