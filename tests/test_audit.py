"""The audit log of a whole run of a real hub: what administrators published is in it, and no secret is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.hub_process import ADMIN_PASSWORD, HubProcess


def exported(hub: HubProcess) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "hub", "audit", "export"],
        env=hub.environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_administrators_publish_is_told_and_what_others_do_is_not(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub()
    alice = hub.add_user("alice", publish=["chat:*"])
    one = hub.publish("news", 1, topics=["news"])
    many = hub.call(
        "POST", "/v1/events", json=[{"type": "t", "to": {"users": ["alice"]}, "durable": n % 2 == 0} for n in range(30)]
    )
    hub.http.post(
        "/v1/events",
        headers={"Authorization": f"Bearer {alice}"},
        json={"type": "chat", "to": {"topics": ["chat:lobby"]}},
    ).raise_for_status()
    with connect(hub.ws_url, additional_headers=hub.admin_headers(), proxy=None) as socket:
        said = {"type": "t", "to": {"topics": ["socket"]}}
        socket.send(json.dumps({"type": "publish", "ref": 1, "event": said}))
        while (answer := json.loads(socket.recv())).get("ref") != 1:
            pass
        assert answer["type"] == "ok"
    assert hub.http.post("/v1/events", headers=hub.admin_headers(), json={}).status_code == 422
    hub.stop()
    [line] = [line for line in exported(hub) if line["action"] == "publish"]
    assert (line["actor"], line["outcome"], line["details"]["count"]) == ("user:admin", "ok", 32)
    assert line["details"]["ids"][:2] == [one["id"], many[0]["id"]]
    assert set(line["details"]["topics"]) == {"news", "user:alice", "socket"}
    [login] = [line for line in exported(hub) if line["action"] == "login" and line["actor"] == "user:admin"]
    assert login["session"] == line["session"], "which has the address"
    assert login["address"] == "127.0.0.1"


@pytest.mark.parametrize("killed", [False, True])
def test_no_secret_of_a_run_is_in_it(start_hub: Callable[..., HubProcess], killed: bool) -> None:
    hub = start_hub()
    secrets: list[str] = [ADMIN_PASSWORD]

    def issued(path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = hub.http.post(path, **body).json()
        secrets.extend(value for name, value in answer.items() if name in ("access_token", "refresh_token", "ticket"))
        return answer

    hub.add_user("alice")
    secrets.append("password of alice")
    login = {"username": "alice", "password": "password of alice"}
    tokens = issued("/v1/auth/login", json=login)
    tokens = issued("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    issued("/v1/auth/ticket", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    service = hub.add_service("shop")
    secrets.append(service["secret"])
    form = {"grant_type": "client_credentials", "client_id": "shop", "client_secret": service["secret"]}
    issued("/v1/auth/token", data=form)
    [key] = hub.call("GET", "/v1/services/shop/keys")["keys"]
    secrets.append(hub.call("POST", f"/v1/services/shop/keys/{key['id']}/rotate")["key"])
    # Everything in the wrong field.
    for secret in list(secrets):
        hub.http.post("/v1/auth/login", json={"username": secret[:128], "password": secret[:1024]})
        hub.http.post("/v1/auth/refresh", json={"refresh_token": secret[:256]})
        hub.http.post("/v1/auth/token", data=form | {"client_id": secret[:128]})
    if killed:
        hub.kill()
    else:
        hub.stop()
    text = json.dumps(exported(hub))
    assert "user:alice" in text
    assert ("credentials_invalid" in text) or killed
    for secret in secrets:
        assert secret[:128] not in text
        assert secret[-40:] not in text or len(secret) < 40
