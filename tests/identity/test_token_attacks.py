"""No token of the attack table gets in: not by the hub's own key, nor by those of issuers that it trusts.

In the process, over HTTP and over a WebSocket the answer is the same; and nothing of a token is in it, or in the log.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hub.errors import HubError
from hub.identity.service import Identity
from hub.settings import Settings
from tests.hub_process import HubProcess

from .attacks import ONLY, TABLE, Row
from .forger import Forger, forgers, issuers

pytestmark = pytest.mark.anyio

WHOSE = ("hub", "id", "ec", "loose")
# What a header of HTTP can carry (RFC 9110, 5.5) without being trimmed or taken for something else.
SENDABLE = re.compile(r"[\x21-\x7e]+")


def rows(whose: str) -> dict[str, Row]:
    """The table against one issuer."""
    return TABLE | ONLY[whose]


@pytest.fixture
async def identity(tmp_path: Path) -> AsyncIterator[Identity]:
    settings = Settings.model_validate({"data_dir": tmp_path, "issuers": issuers(tmp_path)})
    async with Identity(settings) as identity:
        yield identity


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    directory = tmp_path_factory.mktemp("attacks")
    hub = HubProcess(directory, issuers=json.dumps(issuers(directory)), log_level="debug")
    try:
        yield hub.start()
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


@pytest.mark.parametrize("whose", WHOSE)
async def test_a_good_token_gets_in(identity: Identity, whose: str) -> None:
    """So that the others are refused for what they are named after."""
    by = forgers(identity._settings.data_dir)[whose]
    for token in (
        by.make(),
        by.headed(typ=f"application/{by.kind.upper()}"),
        by.said(aud=["other", "notification-hub"]),
        by.headed(x5t="thumbprint", jku="https://ignored.example"),
    ):
        assert identity.authenticate(token).subject == ("alice" if whose == "hub" else f"{whose}|alice")


@pytest.mark.parametrize("whose", WHOSE)
async def test_in_the_process(identity: Identity, whose: str) -> None:
    by = forgers(identity._settings.data_dir)[whose]
    seen = {name: refusal(identity, make(by)) for name, (make, _) in rows(whose).items()}
    assert seen == {name: code for name, (_, code) in rows(whose).items()}


def refusal(identity: Identity, token: str) -> str:
    try:
        identity.authenticate(token)
    except HubError as refused:
        assert (refused.kind.status, refused.kind.close) == (401, 1008)
        assert token not in refused.detail
        return refused.code
    return "let in"


def sendable(by: Forger, whose: str) -> Iterator[tuple[str, str, str]]:
    """Name, token and expected answer of the rows that a client can send."""
    for name, (make, code) in rows(whose).items():
        token = make(by)
        if SENDABLE.fullmatch(token):
            yield name, token, code


@pytest.mark.parametrize("whose", WHOSE)
async def test_over_http(hub: HubProcess, whose: str) -> None:
    by = forgers(hub.data_dir)[whose]
    assert hub.http.get("/v1/me", headers={"Authorization": f"Bearer {by.make()}"}).status_code == 200
    seen, expected = {}, {}
    for name, token, code in sendable(by, whose):
        answer = hub.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
        seen[name] = (answer.status_code, answer.json()["code"])
        expected[name] = (401, code)
        assert answer.headers["www-authenticate"] == f'Bearer error="invalid_token", error_description="{code}"'
        assert token not in answer.text
        assert token not in hub.log()
    assert len(seen) > 100
    assert seen == expected


@pytest.mark.parametrize("whose", WHOSE)
async def test_over_a_websocket(hub: HubProcess, whose: str) -> None:
    by = forgers(hub.data_dir)[whose]
    async with connect(f"{hub.ws_url}?token={by.make()}", proxy=None) as socket:
        assert json.loads(await socket.recv())["type"] == "welcome"
    seen, expected = {}, {}
    for name, token, code in sendable(by, whose):
        header = {"Authorization": f"Bearer {token}"}
        async with connect(hub.ws_url, additional_headers=header, proxy=None) as socket:
            with contextlib.suppress(ConnectionClosed):
                raise AssertionError(f"{name}: let in: {await socket.recv()!r}")
            seen[name] = (socket.close_code, (socket.close_reason or "").partition(":")[0])
        expected[name] = (1008, code)
    assert seen == expected
    assert json.loads(hub.http.get("/readyz").text) == {"status": "ready"}
