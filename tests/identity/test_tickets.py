"""Tickets: good once, for seconds, and never longer than the login behind them."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator

import httpx
import pytest

from hub.errors import HubError
from hub.identity.accounts import Update
from hub.identity.service import Identity
from hub.identity.tickets import LIFE, MAX_OUTSTANDING, MemoryStore, Tickets
from hub.model import Principal

from .conftest import PASSWORD, Clock, OpenIdentity
from .test_routes import bearer_of, build, log_in, refusal

NOW = 1_000_000.0


class Monotonic:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def authenticate(token: str) -> Principal:
    """Of a token ``alice 60``, which ends in that many seconds."""
    subject, _, left = token.partition(" ")
    return Principal(subject, "user", f"session of {subject}", NOW + float(left or 900))


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def store(monotonic: Monotonic) -> MemoryStore:
    return MemoryStore(clock=monotonic)


@pytest.fixture
def tickets(store: MemoryStore) -> Tickets:
    return Tickets(authenticate, store, clock=lambda: NOW)


def test_a_ticket_is_good_once(tickets: Tickets, store: MemoryStore) -> None:
    ticket = tickets.issue("alice")
    assert ticket.value.startswith("hubt_")
    assert len(ticket.value) == 5 + 43
    assert ticket.value not in repr(ticket)
    assert ticket.value not in repr(vars(store)), "only its hash is kept"
    assert tickets.redeem(ticket.value) == authenticate("alice")
    with pytest.raises(HubError, match="ticket_invalid"):
        tickets.redeem(ticket.value)
    assert len(store) == 0


@pytest.mark.parametrize("ticket", ["", "hubt_x", "x" * 10_000, "hubt_\ud800", "hubt_\0"])
def test_what_is_no_ticket(tickets: Tickets, ticket: str) -> None:
    tickets.issue("alice")
    with pytest.raises(HubError, match="ticket_invalid"):
        tickets.redeem(ticket)


def test_a_ticket_lives_for_seconds(tickets: Tickets, monotonic: Monotonic) -> None:
    first, second = tickets.issue("alice"), tickets.issue("alice")
    assert first.expires_in == LIFE == 30
    monotonic.now += LIFE - 0.01
    assert tickets.redeem(first.value)
    monotonic.now += 0.01
    with pytest.raises(HubError, match="ticket_invalid"):
        tickets.redeem(second.value)


def test_no_ticket_outlives_its_token(tickets: Tickets, monotonic: Monotonic) -> None:
    ticket = tickets.issue("alice 7")
    assert ticket.expires_in == 7
    monotonic.now += 7
    with pytest.raises(HubError, match="ticket_invalid"):
        tickets.redeem(ticket.value)


def test_each_user_may_have_so_many_and_has_them_back(tickets: Tickets, monotonic: Monotonic) -> None:
    issued = [tickets.issue("alice") for _ in range(MAX_OUTSTANDING)]
    with pytest.raises(HubError) as refused:
        tickets.issue("alice")
    assert (refused.value.code, refused.value.extra) == ("too_many_attempts", {"retry_after": 30})
    assert tickets.issue("bob")
    tickets.redeem(issued[0].value)
    issued[0] = tickets.issue("alice")
    with pytest.raises(HubError, match="too_many_attempts"):
        tickets.issue("alice")
    monotonic.now += LIFE
    assert [tickets.issue("alice") for _ in range(MAX_OUTSTANDING)]


def test_what_nobody_redeems_is_forgotten(tickets: Tickets, store: MemoryStore, monotonic: Monotonic) -> None:
    for number in range(1000):
        tickets.issue(f"user{number}")
    assert len(store) == 1000
    monotonic.now += LIFE
    tickets.issue("alice")
    assert len(store) == 1
    assert set(store._owners) == {"user:alice"}


def test_memory_is_bounded(tickets: Tickets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.identity.tickets._MAX_ALL", 10)
    for number in range(10):
        tickets.issue(f"user{number}")
    with pytest.raises(HubError, match="overloaded"):
        tickets.issue("alice")


def test_of_those_who_race_for_one_ticket_one_gets_in(tickets: Tickets) -> None:
    """With threads, which is worse than what an event loop does."""
    for _ in range(50):
        value = tickets.issue("alice").value
        winners: list[Principal] = []
        gate = threading.Barrier(8)

        def race() -> None:
            gate.wait()  # noqa: B023 - joined below
            try:
                winners.append(tickets.redeem(value))  # noqa: B023
            except HubError as error:
                assert error.code == "ticket_invalid"

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(winners) == 1


# --- With a real identity behind it


@pytest.fixture
async def client(open_identity: OpenIdentity) -> AsyncIterator[tuple[httpx.AsyncClient, Identity]]:
    async with open_identity() as identity:
        await identity.accounts.create_user("alice", PASSWORD)
        transport = httpx.ASGITransport(build(identity))
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
            yield client, identity


async def ask(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/v1/auth/ticket", headers=bearer_of(token))


@pytest.mark.anyio
async def test_a_ticket_over_http(client: tuple[httpx.AsyncClient, Identity]) -> None:
    http, identity = client
    token = (await log_in(http))["access_token"]
    response = await ask(http, token)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["expires_in"] == 30
    principal = identity.tickets.redeem(response.json()["ticket"])
    assert principal == identity.authenticate(token), "the same in all: session, grants, end"


@pytest.mark.anyio
async def test_a_ticket_gets_no_ticket(client: tuple[httpx.AsyncClient, Identity]) -> None:
    http, _ = client
    ticket = (await ask(http, (await log_in(http))["access_token"])).json()["ticket"]
    assert refusal(await ask(http, ticket), 401) == "token_malformed"
    assert refusal(await http.post("/v1/auth/ticket"), 401) == "token_missing"


@pytest.mark.anyio
async def test_a_logout_kills_the_ticket(client: tuple[httpx.AsyncClient, Identity]) -> None:
    http, identity = client
    token = (await log_in(http))["access_token"]
    ticket = (await ask(http, token)).json()["ticket"]
    await http.post("/v1/auth/logout", headers=bearer_of(token))
    with pytest.raises(HubError, match="logged_out"):
        identity.tickets.redeem(ticket)
    with pytest.raises(HubError, match="ticket_invalid"):
        identity.tickets.redeem(ticket)


@pytest.mark.anyio
async def test_so_does_disabling_the_user(client: tuple[httpx.AsyncClient, Identity]) -> None:
    http, identity = client
    ticket = (await ask(http, (await log_in(http))["access_token"])).json()["ticket"]
    await identity.accounts.update("user", "alice", Update(disabled=True))
    with pytest.raises(HubError, match="user_disabled"):
        identity.tickets.redeem(ticket)


@pytest.mark.anyio
async def test_and_the_tokens_end(client: tuple[httpx.AsyncClient, Identity], clock: Clock) -> None:
    http, identity = client
    ticket = (await ask(http, (await log_in(http))["access_token"])).json()["ticket"]
    clock.ahead = 1000
    with pytest.raises(HubError, match="token_expired"):
        identity.tickets.redeem(ticket)
