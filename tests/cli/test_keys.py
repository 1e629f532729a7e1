"""``hub keys``: beside a hub that runs, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from hub.identity.keys import generate
from tests.hub_process import HubProcess
from tests.identity.test_keys import write_key
from tests.transports.raw import RawSocket

from .conftest import Run


def listed(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("keys", "list", "--json").out.splitlines()]


def test_the_keys_are_listed(run: Run, data_dir: Path) -> None:
    [first] = listed(run)
    assert (first["state"], first["algorithm"], first["origin"]) == ("signs", "EdDSA", "signing.key")
    rotated = run("keys", "rotate", "--algorithm", "ES256")
    assert rotated.code == 0
    assert "tokens of the old one are accepted until they end" in rotated.err
    new = rotated.out.strip()
    signs, accepted = listed(run)
    assert (signs["id"], signs["algorithm"]) == (new, "ES256")
    assert (accepted["id"], accepted["state"]) == (first["id"], "accepted")
    shown = run("keys", "list").out
    assert re.search(rf"^{new} +ES256 +signs +20", shown, re.M)
    assert re.search(rf"^{first['id']} +EdDSA +accepted until 20\S+Z", shown, re.M)
    assert run("keys", "retire", first["id"], "--now").out.strip() == new
    assert re.search(rf"^{first['id']} +EdDSA +retired 20", run("keys", "list").out, re.M)
    told = [json.loads(line) for line in run("audit", "list", "--json").out.splitlines()]
    assert [(line["action"], line["target"]) for line in told if line["action"].startswith("keys")] == [
        ("keys.rotate", f"key:{first['id']}"), ("keys.retire", f"key:{first['id']}"),
    ]  # fmt: skip


def test_nothing_is_retired_by_mistake(run: Run, data_dir: Path) -> None:
    [key] = listed(run)
    refused = run("keys", "retire", key["id"])
    assert (refused.code, refused.out) == (2, "")
    assert "say --now" in refused.err
    unknown = run("keys", "retire", "nothing", "--now")
    assert unknown.code == 1
    assert "There is no signing key 'nothing'; `hub keys list` shows them." in unknown.err
    assert listed(run) == [key]


def test_a_key_of_the_settings_is_told_how_to_be_rotated(
    run: Run, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_key(tmp_path / "own.pem", generate("ES256")[0].private)
    monkeypatch.setenv("HUB_SIGNING_KEY_FILE", str(path))
    monkeypatch.setenv("HUB_SIGNING_SECRET_PREVIOUS", "s" * 32)
    refused = run("keys", "rotate")
    assert refused.code == 1
    assert "name the present file in HUB_SIGNING_KEY_PREVIOUS and a new one in HUB_SIGNING_KEY_FILE" in refused.err
    assert refused.err.count("\n") == 1
    assert [(key["state"], key["origin"]) for key in listed(run)] == [
        ("signs", "HUB_SIGNING_KEY_FILE"), ("accepted", "HUB_SIGNING_SECRET_PREVIOUS"),
    ]  # fmt: skip
    assert "s" * 32 not in run("keys", "list").out


def test_beside_a_running_hub(run: Run, hub: HubProcess) -> None:
    """Rotated, a socket stays; retired, it is closed with 1008 within a second, also for a hub that starts then."""
    token = hub.add_user("alice")

    async def story() -> tuple[int, str]:
        socket = await RawSocket.connect(hub.port, token=token)
        await socket.receive()
        old, *_ = hub.http.get("/.well-known/jwks.json").json()["keys"]
        directory = ("--data-dir", str(hub.data_dir))
        new = (await asyncio.to_thread(run, "keys", "rotate", *directory)).out.strip()
        async with asyncio.timeout(1):
            while hub.http.get("/.well-known/jwks.json").json()["keys"][0]["kid"] != new:
                await asyncio.sleep(0.01)
        headers = {"Authorization": f"Bearer {token}"}
        assert hub.http.get("/v1/me", headers=headers).status_code == 200
        await asyncio.to_thread(run, "keys", "retire", old["kid"], "--now", *directory)
        async with asyncio.timeout(1):
            ended = await socket.end(answer=True)
        assert hub.http.get("/v1/me", headers=headers).json()["code"] == "token_revoked"
        return ended

    code, reason = asyncio.run(story())
    assert code == 1008
    assert reason.startswith("token_revoked")
    hub.stop()
    hub.start()
    response = hub.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert response.json()["code"] == "token_revoked"
