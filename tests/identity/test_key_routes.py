"""The routes for API keys, as an administrator's program sees them."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from hub.identity.service import Identity

from .test_routes import as_root, basic_of, bearer_of, client, refusal

__all__ = ["client"]

pytestmark = pytest.mark.anyio

KEYS = "/v1/services/shop/keys"


@pytest.fixture
async def root(client: httpx.AsyncClient, identity: Identity) -> dict[str, str]:
    """An administrator's header; and there is a service, shop."""
    await identity.accounts.create_service("shop")
    return await as_root(client)


async def test_a_keys_life(client: httpx.AsyncClient, root: dict[str, str]) -> None:
    expires = time.time() + 3600
    body = {"name": "the till", "scope": {"publish": ["orders:*"], "subscribe": []}, "expires": expires}
    made = await client.post(KEYS, headers=root, json=body)
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    key = made.json()
    text = key.pop("key")
    assert key == {
        "id": text[5:17], "service": "shop", "name": "the till", "expires": expires, "created": key["created"],
        "last_used": None, "scope": {"subscribe": [], "publish": ["orders:*"], "admin": False},
    }  # fmt: skip
    me = (await client.get("/v1/me", headers=bearer_of(text))).json()
    assert (me["subject"], me["kind"], me["credential"], me["id"]) == ("shop", "service", "key", key["id"])
    assert (me["expires"], me["grants"]["publish"]) == (expires, ["orders:*"])

    listed = await client.get(KEYS, headers=root)
    first, second = listed.json()["keys"]
    assert (first["name"], first["scope"]) == ("first", {"subscribe": None, "publish": None, "admin": False})
    assert second == key
    assert text not in listed.text

    rotated = await client.post(f"{KEYS}/{key['id']}/rotate", headers=root, json={"overlap": 60})
    assert rotated.status_code == 201
    assert rotated.headers["cache-control"] == "no-store"
    assert rotated.json()["scope"] == key["scope"]
    old = (await client.get(KEYS, headers=root)).json()["keys"][1]
    assert old["expires"] == pytest.approx(time.time() + 60, abs=10)
    assert (await client.get("/v1/me", headers=bearer_of(text))).status_code == 200

    gone = await client.delete(f"{KEYS}/{key['id']}", headers=root)
    assert (gone.status_code, gone.content) == (204, b"")
    response = await client.get("/v1/me", headers=bearer_of(text))
    assert refusal(response, 401) == "key_unknown"
    assert response.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    assert (await client.get("/v1/me", headers=bearer_of(rotated.json()["key"]))).status_code == 200


async def test_a_key_without_a_body_is_like_its_service(client: httpx.AsyncClient, root: dict[str, str]) -> None:
    text = (await client.post(KEYS, headers=root, json={})).json()["key"]
    me = (await client.get("/v1/me", headers=bearer_of(text))).json()
    assert (me["grants"]["publish"], me["expires"]) == (["*", "user:*", "all"], None)
    grant = {"grant_type": "client_credentials"}
    token = await client.post("/v1/auth/token", data=grant, headers=basic_of("shop", text))
    me = (await client.get("/v1/me", headers=bearer_of(token.json()["access_token"]))).json()
    assert (me["credential"], me["subject"]) == ("token", "shop")
    assert (await client.post(f"{KEYS}/{text[5:17]}/rotate", headers=root)).status_code == 201
    assert refusal(await client.post("/v1/auth/logout", headers=bearer_of(text)), 403) == "forbidden"


async def test_an_administrators_service_administers(client: httpx.AsyncClient, root: dict[str, str]) -> None:
    made = await client.post("/v1/services", headers=root, json={"name": "robot", "admin": True})
    assert made.json()["admin"]
    robot = bearer_of(made.json()["secret"])
    assert (await client.get("/v1/users", headers=robot)).status_code == 200
    await client.patch("/v1/services/robot", headers=root, json={"admin": False})
    assert refusal(await client.get("/v1/users", headers=robot), 403) == "forbidden"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", KEYS, {"scope": {"subscribe": ["chat:*"]}}, 422, "request_invalid"),
        ("POST", KEYS, {"scope": {"publish": ["a*"]}}, 422, "topic_invalid"),
        ("POST", KEYS, {"scope": {"admin": True}}, 422, "request_invalid"),
        ("POST", KEYS, {"scope": {"read": ["a"]}}, 422, "request_invalid"),
        ("POST", KEYS, {"expires": 1}, 422, "request_invalid"),
        ("POST", KEYS, {"expires": "soon"}, 422, "request_invalid"),
        ("POST", KEYS, {"name": "x" * 101}, 422, "request_invalid"),
        ("POST", "/v1/services/alice/keys", {}, 404, "not_found"),
        ("GET", "/v1/services/nothing/keys", None, 404, "not_found"),
        ("POST", f"{KEYS}/x/rotate", {"overlap": 1}, 404, "not_found"),
        ("DELETE", f"{KEYS}/x", None, 404, "not_found"),
        ("DELETE", f"{KEYS}/{'x' * 17}", None, 422, "request_invalid"),
    ],
)
async def test_what_cannot_be_done(
    client: httpx.AsyncClient, root: dict[str, str], method: str, path: str, body: Any, status: int, code: str
) -> None:
    assert refusal(await client.request(method, path, headers=root, json=body), status) == code


async def test_a_services_id_may_hold_a_slash(client: httpx.AsyncClient, root: dict[str, str]) -> None:
    await client.post("/v1/services", headers=root, json={"name": "eu/till"})
    made = (await client.post("/v1/services/eu%2Ftill/keys", headers=root, json={})).json()
    assert made["service"] == "eu/till"
    assert (await client.delete(f"/v1/services/eu%2Ftill/keys/{made['id']}", headers=root)).status_code == 204
