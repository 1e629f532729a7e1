"""Limits of attempts as a client sees them, in-process and against a real hub that is flooded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from hub.errors import HubError
from hub.identity.passwords import Passwords
from hub.identity.service import Identity
from hub.settings import Settings
from tests.hub_process import HubProcess

from .conftest import PASSWORD, OpenIdentity
from .test_routes import basic_of, build, refusal

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(open_identity: OpenIdentity) -> AsyncIterator[httpx.AsyncClient]:
    """Of a hub that looks at two failures an hour of an account, and at six of an address."""
    async with open_identity(login_failures="2/1h", login_failures_address="6/1h", login_successes="4/1h") as identity:
        await identity.accounts.create_user("alice", PASSWORD)
        async with client_at("192.0.2.1", identity) as client:
            yield client


def client_at(address: str, identity: Identity) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(build(identity), client=(address, 4000))
    return httpx.AsyncClient(transport=transport, base_url="http://hub")


async def log_in(client: httpx.AsyncClient, username: str, password: str) -> httpx.Response:
    return await client.post("/v1/auth/login", json={"username": username, "password": password})


async def test_an_unknown_name_is_refused_like_a_known_one(client: httpx.AsyncClient) -> None:
    answers = [[await log_in(client, name, "wrong horse") for _ in range(3)] for name in ("alice", "nobody")]
    for known, unknown in zip(*answers, strict=True):
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
        assert known.headers == unknown.headers
    assert refusal(answers[0][1], 401) == "credentials_invalid"
    assert refusal(answers[0][2], 429) == "too_many_attempts"


async def test_the_answer_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await log_in(client, "alice", "wrong horse")
    response = await log_in(client, "alice", PASSWORD)
    assert response.status_code == 429
    problem = response.json()
    assert (problem["code"], problem["retry_after"]) == ("too_many_attempts", 1800)
    assert response.headers["retry-after"] == "1800"
    assert "alice" not in response.text


async def test_refreshes_are_counted_apart_from_logins(client: httpx.AsyncClient) -> None:
    codes = [
        (await client.post("/v1/auth/refresh", json={"refresh_token": f"hubr_{number}.x"})).json()["code"]
        for number in range(8)
    ]
    assert codes == ["refresh_invalid"] * 6 + ["too_many_attempts"] * 2
    assert (await log_in(client, "alice", PASSWORD)).status_code == 200


async def test_a_session_refreshes_while_guessers_are_refused(client: httpx.AsyncClient) -> None:
    tokens = (await log_in(client, "alice", PASSWORD)).json()
    for _ in range(3):
        last = await log_in(client, "alice", "wrong horse")
    assert refusal(last, 429) == "too_many_attempts"
    response = await client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert response.status_code == 200


async def test_a_refresh_makes_the_address_known(open_identity: OpenIdentity) -> None:
    """Also after a restart, when the hub remembers nobody."""
    async with open_identity() as identity:
        await identity.accounts.create_user("alice", PASSWORD)
        tokens = await identity.login("alice", PASSWORD, "192.0.2.1")
    async with open_identity(login_failures_account="1/1h") as identity:
        await identity.refresh(tokens.refresh_token, "192.0.2.1")
        for number in range(3):
            with pytest.raises(HubError):
                await identity.login("alice", "wrong horse", f"203.0.113.{number}")
        with pytest.raises(HubError, match="too_many_attempts"):
            await identity.login("alice", PASSWORD, "203.0.113.9")
        assert await identity.login("alice", PASSWORD, "192.0.2.1")


async def test_a_session_that_refreshes_all_the_time_is_told(client: httpx.AsyncClient) -> None:
    tokens = (await log_in(client, "alice", PASSWORD)).json()
    for _ in range(4):
        response = await client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        tokens = response.json()
    response = await client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refusal(response, 429) == "too_many_attempts"
    assert int(response.headers["retry-after"]) > 0


async def test_a_services_secret(open_identity: OpenIdentity) -> None:
    async with open_identity(login_failures="2/1h") as identity:
        _, secret = await identity.accounts.create_service("billing")
        async with client_at("192.0.2.1", identity) as client:

            async def ask(secret: str) -> httpx.Response:
                headers = basic_of("billing", secret)
                return await client.post("/v1/auth/token", data={"grant_type": "client_credentials"}, headers=headers)

            assert [(await ask("wrong")).status_code for _ in range(3)] == [401, 401, 429]
            assert refusal(await ask(secret), 429) == "too_many_attempts"
        async with client_at("192.0.2.2", identity) as client:
            assert (await ask(secret)).status_code == 200


async def test_wrong_passwords_and_unknown_names_cost_the_same_work(tmp_path: Path) -> None:
    """Counted, since a clock would tell of the machine."""
    work: list[str] = []

    class Spy(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
            work.append("verify")
            return super().verify(hash, password)

        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            work.append("hash")
            return super().hash(password, salt=salt)

    settings = Settings(data_dir=tmp_path, login_failures="2/1h")  # type: ignore[arg-type]
    passwords = Passwords(Spy(time_cost=1, memory_cost=8, parallelism=1))
    async with Identity(settings, passwords=passwords) as identity:
        await identity.accounts.create_user("alice", PASSWORD)
        await identity.accounts.create_service("billing")

        async def work_of(name: str, address: str) -> list[str]:
            work.clear()
            with pytest.raises(HubError):
                await identity.login(name, "wrong horse", address)
            return list(work)

        assert await work_of("alice", "a") == ["verify"]
        assert await work_of("nobody", "b") == ["verify"]
        assert await work_of("billing", "c") == ["verify"], "a service has no password"
        for name, address in (("alice", "a"), ("nobody", "b")):
            await work_of(name, address)
            assert await work_of(name, address) == [], "one too many costs nothing"


# --- A real hub


async def flood(
    hub: HubProcess, number: int, body: Callable[[int], dict[str, str]]
) -> tuple[list[httpx.Response], list[float]]:
    """So many logins at once; their answers, and how long other calls took meanwhile, in seconds."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=hub.url, trust_env=False, timeout=60, limits=limits) as client:
        headers = await asyncio.to_thread(hub.admin_headers)
        logins = asyncio.gather(*(client.post("/v1/auth/login", json=body(n)) for n in range(number)))
        others = []
        while not logins.done():
            for path in ("/healthz", "/v1/me"):
                began = time.monotonic()
                assert (await client.get(path, headers=headers)).status_code == 200
                others.append(time.monotonic() - began)
        return await logins, others


def statuses(answers: list[httpx.Response]) -> dict[int, int]:
    found: dict[int, int] = {}
    for answer in answers:
        found[answer.status_code] = found.get(answer.status_code, 0) + 1
    return found


async def test_a_flood_of_guesses_is_answered_and_other_calls_go_on(start_hub: Callable[..., HubProcess]) -> None:
    hub = await asyncio.to_thread(start_hub)
    guess = {"username": "nobody", "password": "wrong horse"}
    answers, others = await flood(hub, 200, lambda n: guess | {"username": f"name{n % 20}"})
    found = statuses(answers)
    assert set(found) <= {401, 429, 503}
    # A few more than the limit of an address may be judged at the same moment, never more than have a place.
    assert 50 <= found[401] <= 50 + 64
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code != 401)
    assert sorted(others)[len(others) // 2] < 0.5
    answers, _ = await flood(hub, 200, lambda n: guess | {"username": f"other{n}"})
    assert statuses(answers) == {429: 200}, "now without any work"
    lines = [line for line in hub.log().splitlines() if "too many attempts" in line]
    assert 1 <= len(lines) <= 21, "one for the address, and one for each of the first names at most"
    admin = {"username": "admin", "password": hub.environment["HUB_ADMIN_PASSWORD"]}
    response: Any = await asyncio.to_thread(hub.http.post, "/v1/auth/login", json=admin)
    assert response.status_code == 200, "who was there before comes in"


async def test_the_work_of_passwords_is_bounded_by_itself(start_hub: Callable[..., HubProcess]) -> None:
    off = {"login_failures": 0, "login_failures_account": 0, "login_failures_address": 0}
    hub = await asyncio.to_thread(lambda: start_hub(**off))
    answers, others = await flood(hub, 200, lambda n: {"username": f"name{n}", "password": "wrong horse"})
    found = statuses(answers)
    assert set(found) == {401, 503}
    assert {answer.json()["code"] for answer in answers} == {"credentials_invalid", "overloaded"}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert sorted(others)[len(others) // 2] < 0.5
