"""``hub token revoke``, beside a hub that runs."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.hub_process import HubProcess
from tests.transports.raw import RawSocket

from .conftest import Run


def claims(token: str) -> dict[str, Any]:
    said: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return said


def me(hub: HubProcess, token: str) -> Any:
    response = hub.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    return response.json().get("code", response.status_code)


async def until_refused(hub: HubProcess, token: str) -> None:
    async with asyncio.timeout(1):
        while me(hub, token) != "token_revoked":
            await asyncio.sleep(0.01)


def test_a_live_socket_is_closed_within_a_second(run: Run, hub: HubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_DATA_DIR", str(hub.data_dir))
    token, other = hub.add_user("alice"), hub.token("alice")

    async def story() -> tuple[int, str]:
        doomed, spared = [await RawSocket.connect(hub.port, token=each) for each in (token, other)]
        for socket in (doomed, spared):
            await socket.receive()
        monkeypatch.setattr(sys, "stdin", io.StringIO(token + "\n"))
        done = await asyncio.to_thread(run, "token", "revoke", "-")
        assert (done.code, done.out) == (0, "")
        assert (
            f"The token {claims(token)['jti']} of alice is refused from now on; that is remembered until 20" in done.err
        )
        assert token not in done.err
        async with asyncio.timeout(1):
            ended = await doomed.end(answer=True)
        spared.say(type="ping", ref=1)
        assert b'"ref":1' in (await spared.receive())[1]
        spared.cut()
        await asyncio.sleep(0)
        return ended

    code, reason = asyncio.run(story())
    assert (code, reason.partition(":")[0]) == (1008, "token_revoked")
    hub.stop()
    hub.start()
    assert me(hub, token) == "token_revoked"
    assert me(hub, other) == 200


def test_by_id_and_by_session(run: Run, hub: HubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_DATA_DIR", str(hub.data_dir))
    token, other = hub.add_user("bob"), hub.token("bob")
    assert run("token", "revoke", claims(token)["jti"]).code == 0
    ended = run("token", "revoke", claims(other)["sid"], "--session")
    assert f"The session {claims(other)['sid']} of bob is refused from now on" in ended.err
    for each in (token, other):
        asyncio.run(until_refused(hub, each))


def test_what_cannot_be_revoked_is_one_sentence(run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = run("token", "revoke", "a.b.c")
    assert refused.code == 1
    assert refused.err.startswith("Error: This token is refused already (token_malformed): ")
    assert refused.err.count("\n") == 1
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert run("token", "revoke", "-").code == 2


def test_what_cannot_be_verified_here_can_be_ended_by_its_id(run: Run, data_dir: Path) -> None:
    """The hub may have its key from a variable that this shell has not."""
    token = jwt.encode({"jti": "j7", "iss": "notification-hub"}, "s" * 32, "HS256", headers={"typ": "at+jwt"})
    refused = run("token", "revoke", token)
    assert refused.code == 1
    assert refused.err.endswith(
        "If the hub's settings are others than those here, end it by its id: hub token revoke j7\n"
    )
    assert run("token", "revoke", "j7").code == 0
