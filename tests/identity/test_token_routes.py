"""``POST /v1/tokens/revoke``, as an administrator's program sees it."""

from __future__ import annotations

from typing import Any

import httpx
import jwt
import pytest

from .test_routes import as_root, bearer_of, client, log_in, refusal

__all__ = ["client"]

pytestmark = pytest.mark.anyio


async def test_a_token_a_jti_and_a_session(client: httpx.AsyncClient) -> None:
    root = await as_root(client)
    for kind in ("token", "jti", "session"):
        token = (await log_in(client))["access_token"]
        said = jwt.decode(token, options={"verify_signature": False})
        body = {"token": token, "jti": said["jti"], "session": said["sid"]}[kind]
        ended = await client.post("/v1/tokens/revoke", headers=root, json={kind: body})
        assert ended.status_code == 200, ended.text
        answer = ended.json()
        assert answer["kind"] == ("session" if kind == "session" else "token")
        assert answer["id"] == (said["sid"] if kind == "session" else said["jti"])
        assert answer["subject"] == (None if kind == "jti" else "alice")
        assert answer["until"] >= said["exp"]
        assert refusal(await client.get("/v1/me", headers=bearer_of(token)), 401) == "token_revoked"
        assert token not in ended.text
    [*_, last] = (await client.get("/v1/audit?action=session.revoke", headers=root)).json()["lines"]
    assert (last["actor"], last["target"]) == ("user:root", f"session:{said['sid']}")


@pytest.mark.parametrize(
    "body", [{}, {"jti": "x", "session": "y"}, {"jti": ""}, {"token": "x.y.z"}, {"jti": "x" * 257}, {"tokens": "x"}]
)
async def test_what_cannot_be_ended(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    response = await client.post("/v1/tokens/revoke", headers=await as_root(client), json=body)
    assert refusal(response, 422) == "request_invalid"
