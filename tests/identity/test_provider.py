"""Tokens of a real OpenID provider open the hub: REST and WebSocket, while its keys change, and while it is down."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hub.identity.keysource import BURST
from tests.hub_process import HubProcess

from .oidc import AUDIENCE, Provider, require_provider

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

RULES = [
    {"subscribe": ["talk:*", "inbox:{sub}:*"], "topics": ["greetings"]},
    {"when": {"roles": "editor"}, "publish": ["news", "user:*"]},
    {"when": {"roles": "boss"}, "admin": True},
    {"when": {"program": True}, "kind": "service", "publish": ["*", "user:*"]},
]


def trusting(provider: Provider, name: str = "id", **more: Any) -> dict[str, Any]:
    """The settings of an issuer, as README would have them."""
    return {
        "name": name,
        "issuer": provider.url,
        "audience": AUDIENCE,
        "claims": {"topics": "rooms"},
        "rules": RULES,
    } | more


@pytest.fixture
def start_provider(tmp_path: Path) -> Iterator[Callable[..., Provider]]:
    require_provider()
    providers: list[Provider] = []

    def start(algorithm: str = "RS256") -> Provider:
        directory = tmp_path / f"provider{len(providers)}"
        directory.mkdir()
        providers.append(Provider(directory, algorithm))
        return providers[-1].start()

    yield start
    for provider in providers:
        provider.stop()


@pytest.fixture
def provider(start_provider: Callable[..., Provider]) -> Provider:
    return start_provider()


def me(hub: HubProcess, token: str) -> tuple[int, dict[str, Any]]:
    answer = hub.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.json()


async def close_of(hub: HubProcess, token: str) -> tuple[int | None, str]:
    async with connect(f"{hub.ws_url}?token={token}", proxy=None) as socket:
        with contextlib.suppress(ConnectionClosed):
            raise AssertionError(f"not refused: {await socket.recv()!r}")
        return socket.close_code, (socket.close_reason or "").partition(":")[0]


async def test_who_logs_in_there_is_at_home_here(provider: Provider, start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub(issuers=json.dumps([trusting(provider)]))
    alice = provider.login("alice+editor")
    status, said = me(hub, alice["access_token"])
    assert status == 200
    assert (said["subject"], said["kind"], said["admin"]) == ("id|alice+editor", "user", False)
    assert said["topics"] == ["user:id|alice+editor", "all", "greetings", "news"]
    assert said["grants"] == {"subscribe": ["talk:*", "inbox:id|alice+editor:*"], "publish": ["news", "user:*"]}

    async with connect(f"{hub.ws_url}?token={alice['access_token']}&topics=talk:1", proxy=None) as socket:
        welcome = json.loads(await socket.recv())
        assert (welcome["type"], welcome["user"]) == ("welcome", "id|alice+editor")
        assert abs(welcome["expires"] - time.time() - 3600) < 60
        program = {"Authorization": f"Bearer {provider.client_credentials()}"}
        event = {"type": "order.sent", "data": 7, "to": {"users": ["id|alice+editor"]}}
        assert hub.http.post("/v1/events", json=event, headers=program).status_code == 200
        frame = json.loads(await socket.recv())
        assert (frame["event"]["data"], frame["event"]["source"]) == (7, "service:id|backend")
        # A fresh token of the same person keeps the connection, another one's does not.
        await socket.send(
            json.dumps({"type": "auth", "ref": 1, "token": provider.login("alice+editor")["access_token"]})
        )
        assert json.loads(await socket.recv())["type"] == "ok"
        await socket.send(json.dumps({"type": "auth", "ref": 2, "token": provider.login("bob")["access_token"]}))
        assert json.loads(await socket.recv())["code"] == "subject_mismatch"

    status, said = me(hub, provider.login("carol+boss")["access_token"])
    assert (status, said["admin"]) == (200, True), "only a rule makes an administrator"
    assert me(hub, alice["id_token"])[1]["code"] in ("token_type", "token_audience"), "an ID token opens nothing"


async def test_logging_out_here_ends_that_login_here(provider: Provider, start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub(issuers=json.dumps([trusting(provider)]))
    token, other = (provider.login("alice")["access_token"] for _ in range(2))
    async with connect(f"{hub.ws_url}?token={token}", proxy=None) as socket:
        await socket.recv()
        assert hub.http.post("/v1/auth/logout", headers={"Authorization": f"Bearer {token}"}).status_code == 204
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.reason.startswith("logged_out")
    assert me(hub, token)[1]["code"] == "logged_out"
    assert me(hub, other)[0] == 200, "another login of theirs is not touched"
    async with connect(f"{hub.ws_url}?token={other}", proxy=None) as socket:
        await socket.recv()
        hub.call("POST", "/v1/users/id|alice/logout")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.reason.startswith("token_revoked")
    hub.stop()
    hub.start()
    assert me(hub, token)[1]["code"] == "logged_out", "also after a restart"
    assert me(hub, other)[1]["code"] == "token_revoked"


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_a_rotation_logs_nobody_out(
    start_provider: Callable[..., Provider], start_hub: Callable[..., HubProcess], algorithm: str
) -> None:
    provider = start_provider(algorithm)
    hub = start_hub(issuers=json.dumps([trusting(provider)]))
    old = provider.client_credentials()
    assert me(hub, old)[0] == 200
    provider.rotate("second")
    new = provider.client_credentials()
    assert jwt.get_unverified_header(new)["kid"] == "second"
    # The first thing that the hub hears of the new key is a socket's token; it waits for it, not the client.
    async with connect(f"{hub.ws_url}?token={new}", proxy=None) as socket:
        assert json.loads(await socket.recv())["type"] == "welcome"
    assert provider.requests("/jwks") == 1
    assert me(hub, old)[0] == 200
    provider.rotate("third", keep=False)
    program = {"Authorization": f"Bearer {provider.client_credentials()}"}
    event = {"type": "x", "to": {"topics": ["news"]}}
    assert hub.http.post("/v1/events", json=event, headers=program).status_code == 200
    assert me(hub, old)[1]["code"] == "token_signature", "a key that was withdrawn is over"


async def test_a_connection_is_renewed_with_a_token_of_a_new_key(
    provider: Provider, start_hub: Callable[..., HubProcess]
) -> None:
    hub = start_hub(issuers=json.dumps([trusting(provider)]))
    async with connect(f"{hub.ws_url}?token={provider.client_credentials()}", proxy=None) as socket:
        await socket.recv()
        provider.rotate("second")
        await socket.send(json.dumps({"type": "auth", "ref": 1, "token": provider.client_credentials()}))
        assert json.loads(await socket.recv())["type"] == "ok"


async def test_a_provider_that_is_down_stops_nobody_whose_key_is_known(
    start_provider: Callable[..., Provider], start_hub: Callable[..., HubProcess]
) -> None:
    provider, other = start_provider(), start_provider("ES256")
    never = start_provider()
    unheard = never.client_credentials()
    never.stop()
    hub = start_hub(
        issuers=json.dumps([trusting(provider), trusting(other, "other"), trusting(never, "never")]), log_level="info"
    )
    known = provider.client_credentials()
    assert me(hub, known)[0] == 200
    fresh = [provider.client_credentials() for _ in range(3)]
    provider.stop()
    for token in fresh:
        assert me(hub, token)[0] == 200, "though the hub never saw this token"
    assert me(hub, other.client_credentials())[1]["subject"] == "other|backend", "and nobody of another issuer"
    answer = hub.http.get("/v1/me", headers={"Authorization": f"Bearer {unheard}"})
    assert (answer.status_code, answer.json()["code"]) == (503, "issuer_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert await close_of(hub, unheard) == (1013, "issuer_unavailable"), "come back later, with the same token"
    never.start()
    deadline = time.monotonic() + 90
    while me(hub, unheard)[0] != 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


async def test_unknown_keys_cause_few_requests(provider: Provider, start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub(issuers=json.dumps([trusting(provider)]))
    good = provider.client_credentials()
    assert me(hub, good)[0] == 200
    before = provider.requests("/jwks")
    said = jwt.decode(good, options={"verify_signature": False})
    stranger = rsa.generate_private_key(65537, 2048)

    def forged(kid: str) -> str:
        return jwt.encode(said, stranger, "RS256", {"typ": "at+jwt", "kid": kid, "jku": f"{provider.url}/evil"})

    async with httpx.AsyncClient(base_url=hub.url, trust_env=False, timeout=30) as http:

        async def attempt(token: str) -> httpx.Response:
            return await http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})

        started = time.monotonic()
        answers = await asyncio.gather(*(attempt(forged(f"kid{n % 100}")) for n in range(300)))
        assert {answer.json()["code"] for answer in answers} <= {"token_signature", "issuer_unavailable"}
        assert (await attempt(good)).status_code == 200, "meanwhile everybody else comes in"
        assert (await attempt(provider.client_credentials())).status_code == 200
        assert time.monotonic() - started < 15, "or another fetch would be allowed"
    assert 1 <= provider.requests("/jwks") - before <= BURST
    assert provider.requests("/evil") == 0
