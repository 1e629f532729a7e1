"""Tokens, passwords and secrets are in no log, no exception, no repr and no URL."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest
from hub_client import AsyncClient, AsyncPublisher, Client, HubClientError, Publisher
from hub_client._auth import Fetched, Token

from .fake_hub import Call, FakeHub, Refuse, Socket, event, problem

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]

SECRETS = ("TOKEN-1", "TOKEN-2", "PASSWORD", "REFRESH", "SERVICE-SECRET")


async def answers(call: Call) -> Any:
    match call.path:
        case "/v1/auth/login" | "/v1/auth/refresh":
            tokens = {"access_token": f"TOKEN-{len(call.body) % 2 + 1}", "refresh_token": "REFRESH", "expires_in": 0.2}
            return 200, tokens
        case "/v1/auth/token":
            return 200, {"access_token": "TOKEN-1", "expires_in": 900}
        case "/v1/events":
            return problem(401, "token_expired")
    return None


def assert_clean(caplog: pytest.LogCaptureFixture, *others: Any) -> None:
    # The scripted hub runs in this process, too; what uvicorn logs is a hub's affair.
    records = [record for record in caplog.records if not record.name.startswith("uvicorn")]
    texts = [record.getMessage() + repr(record.args) + str(record.exc_info) for record in records]
    for other in others:
        texts += [repr(other), str(other)]
        if isinstance(other, BaseException):
            texts += [repr(other.args), *traceback.format_exception(other)]
    text = "\n".join(texts)
    assert not [secret for secret in SECRETS if secret in text]


async def test_with_all_logging_on(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("websockets").setLevel(logging.DEBUG)

    async def script(socket: Socket) -> None:
        if socket.number == 1:
            raise Refuse(503, {"code": "overloaded"})
        await socket.welcome()
        await socket.receive()  # A renewal in-band.
        await socket.send(event(1))
        await socket.close(1008, "logged_out")

    hub.on_http, hub.on_socket = answers, script
    client = AsyncClient(hub.url, username="alice", password="PASSWORD")
    try:
        async with client:
            async for _ in client:
                pass
    except HubClientError as error:
        assert_clean(caplog, error, client, client._calls.tokens, client._runtime._token)
    else:
        pytest.fail("nothing was raised")
    assert "hub_client" in {record.name for record in caplog.records}
    for socket in hub.sockets:
        assert socket.token.startswith("TOKEN")
        assert "token" not in socket.query
        assert "bearer" not in socket.headers["sec-websocket-protocol"]


async def test_in_what_a_publisher_raises(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hub.on_http = answers
    publisher = AsyncPublisher(hub.url, service_id="shop", service_secret="SERVICE-SECRET")
    async with publisher:
        with pytest.raises(HubClientError) as caught:
            await publisher.publish("x", all=True)
    assert_clean(caplog, caught.value, publisher)


@pytest.mark.parametrize("token", ["TOKEN-1 with space", "TOKEN-1\nInjected: header", "TOKEN-1 ü"])
async def test_a_token_that_does_not_fit_into_a_header(
    hub: FakeHub, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(HubClientError) as caught:
        await AsyncClient(hub.url, token=token).start()
    assert_clean(caplog, caught.value)
    async with AsyncPublisher(hub.url, token=token) as publisher:
        with pytest.raises(HubClientError) as caught:
            await publisher.publish("x", all=True)
    assert_clean(caplog, caught.value)
    assert hub.calls == []


async def test_reprs() -> None:
    url = "http://127.0.0.1:9"
    client, publisher = Client(url, token="TOKEN-1"), Publisher(url, token="TOKEN-1")
    for thing in (Token("TOKEN-1"), Fetched("TOKEN-1"), client, publisher):
        assert "TOKEN" not in repr(thing)
    assert repr(client) == "<Client http://127.0.0.1:9 idle>"
    assert repr(publisher) == "<Publisher http://127.0.0.1:9>"
    assert repr(AsyncClient(url, token="TOKEN-1")) == "<AsyncClient http://127.0.0.1:9 idle>"
    client.close()
    publisher.close()
