"""``AsyncClient`` on real sockets: logins, renewals and refusals of tokens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hub_client import (
    Rejected,
)

from .fake_hub import Call, FakeHub, Socket, client_of, problem

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]


async def test_a_login_is_renewed_in_band(hub: FakeHub) -> None:
    hub.lifetime = 0.2
    tokens: list[str] = []
    enough = asyncio.Event()

    async def script(socket: Socket) -> None:
        tokens.append(socket.token)
        await socket.welcome()
        while True:
            frame = await socket.receive()
            assert frame["type"] == "auth"
            tokens.append(frame["token"])
            await socket.send({"type": "ok", "ref": frame["ref"], "expires": 0, "topics": ["all"]})
            if len(tokens) == 3:
                enough.set()

    hub.on_socket = script
    async with client_of(hub, username="alice", password="secret"):
        await enough.wait()
    assert len(hub.sockets) == 1
    assert len(set(tokens)) >= 3
    assert hub.paths()[:3] == ["/v1/auth/login", "/v1/auth/refresh", "/v1/auth/refresh"]


async def test_a_renewal_that_fails_is_tried_again_and_harms_nobody(hub: FakeHub) -> None:
    hub.lifetime = 0.5
    renewed = asyncio.Event()

    async def http(call: Call) -> Any:
        refreshing = call.path == "/v1/auth/refresh"
        return problem(503, "overloaded") if refreshing and hub.paths().count(call.path) < 3 else None

    async def script(socket: Socket) -> None:
        await socket.welcome()
        frame = await socket.receive()
        await socket.send({"type": "error", "ref": frame["ref"], "code": "subject_mismatch", "detail": "No."})
        renewed.set()
        await socket.until_closed()

    hub.on_http, hub.on_socket = http, script
    client = client_of(hub, username="alice", password="secret")
    client._runtime._draw = lambda least, most: 0.01
    async with client:
        await renewed.wait()
    assert len(hub.sockets) == 1
    # A 503 did not spend the refresh token.
    assert hub.paths() == ["/v1/auth/login"] + ["/v1/auth/refresh"] * 3
    assert len({call.json["refresh_token"] for call in hub.calls[1:]}) == 1


async def test_an_expired_token_is_replaced_once(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.accept()
        await socket.close(1008, "token_expired: The token has expired.")

    hub.on_socket = script
    client = client_of(hub, username="alice", password="secret")
    with pytest.raises(Rejected) as caught:
        await client.start()
    assert caught.value.code == "token_expired"
    assert [socket.token.rsplit(".")[-1] for socket in hub.sockets] == ["access-1", "access-2"]


async def test_a_fixed_token_that_expires(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.close(1008, "token_expired")

    hub.on_socket = script
    async with client_of(hub) as client:
        with pytest.raises(Rejected, match="callable or credentials") as caught:
            await anext(client.events())
        assert caught.value.code == "token_expired"


async def test_wrong_credentials(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        return problem(401, "credentials_invalid")

    hub.on_http = http
    with pytest.raises(Rejected) as caught:
        await client_of(hub, username="alice", password="wrong").start()
    assert caught.value.code == "credentials_invalid"
    assert len(hub.calls) == 1


async def test_a_login_that_is_limited_waits_as_it_is_told(hub: FakeHub) -> None:
    times: list[float] = []

    async def http(call: Call) -> Any:
        times.append(asyncio.get_running_loop().time())
        return problem(429, "too_many_attempts", **{"retry-after": "1"}) if len(times) == 1 else None

    hub.on_http = http
    async with client_of(hub, username="alice", password="secret"):
        assert times[1] - times[0] >= 1


async def test_calls_get_a_fresh_token_after_a_401(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        if call.path != "/v1/presence/x":
            return None
        if call.token.endswith("access-1"):
            return problem(401, "token_expired")
        return 200, {"users": []}

    hub.on_http = http
    async with client_of(hub, username="alice", password="secret") as client:
        assert await client.presence("x") == ()
    assert hub.paths() == ["/v1/auth/login", "/v1/presence/x", "/v1/auth/refresh", "/v1/presence/x"]
