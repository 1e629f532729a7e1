"""``GET /v1/audit``, and that everything an administrator changes over HTTP is in it under their name."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from hub.identity.service import Identity

from .conftest import PASSWORD, Clock
from .test_routes import as_root, bearer_of, build, log_in, refusal

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(identity: Identity) -> AsyncIterator[httpx.AsyncClient]:
    await identity.accounts.create_user("root", PASSWORD, admin=True)
    transport = httpx.ASGITransport(build(identity), client=("192.0.2.1", 4000))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        yield client


async def read(client: httpx.AsyncClient, headers: dict[str, str], **query: Any) -> dict[str, Any]:
    response = await client.get("/v1/audit", headers=headers, params=query)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


async def test_pages(client: httpx.AsyncClient) -> None:
    root = await as_root(client)
    for name in ("a", "b", "c"):
        await client.post("/v1/services", headers=root, json={"name": name})
    page = await read(client, root, limit=2)
    assert [line["target"] for line in page["lines"]] == ["service:b", "service:c"]
    assert page["more"]
    page = await read(client, root, limit=10, before=page["lines"][0]["seq"])
    assert [line["action"] for line in page["lines"]] == ["user.create", "user.create", "login", "service.create"]
    assert not page["more"]
    page = await read(client, root, after=3, limit=2)
    assert [line["seq"] for line in page["lines"]] == [4, 5]
    assert page["more"]
    line = page["lines"][0]
    assert (line["actor"], line["address"], line["action"]) == ("user:root", "192.0.2.1", "service.create")
    assert (line["target"], line["outcome"]) == ("service:a", "ok")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert re.fullmatch("[0-9a-f]{64}", line["hash"])
    me = (await read(client, root, action="login"))["lines"][0]
    assert me["session"] == line["session"] != ""


async def test_filters(client: httpx.AsyncClient, clock: Clock) -> None:
    root = await as_root(client)
    clock.ahead = 3600
    root = await as_root(client)
    await client.post("/v1/services", headers=root, json={"name": "a"})
    first = (await read(client, root))["lines"][0]

    async def actions(**query: Any) -> list[str]:
        return [line["action"] for line in (await read(client, root, **query))["lines"]]

    assert await actions(actor="user:root") == ["login", "login", "service.create"]
    assert await actions(action="service.*") == ["service.create"]
    assert await actions(target="user:alice") == ["user.create"]
    assert await actions(outcome="credentials_invalid") == []
    assert await actions(since=clock() - 60) == ["login", "service.create"]
    assert await actions(until=first["time"]) == []
    assert len(await actions(since=first["time"])) == 5
    assert len(await actions(since="2020-01-01T00:00:00+02:00")) == 5


@pytest.mark.parametrize(
    "query",
    ["after=1&before=2", "after=-1", "after=x", "limit=0", "limit=1001", "since=x", "since=2026-01-01T00:00",
     "after=1.5", "after=99999999999999999999", "actor=" + "x" * 300],
)  # fmt: skip
async def test_bad_queries(client: httpx.AsyncClient, query: str) -> None:
    response = await client.get(f"/v1/audit?{query}", headers=await as_root(client))
    assert refusal(response, 422) == "request_invalid"


async def test_it_is_for_administrators(client: httpx.AsyncClient) -> None:
    alice = bearer_of((await log_in(client))["access_token"])
    assert refusal(await client.get("/v1/audit", headers=alice), 403) == "forbidden"
    assert refusal(await client.get("/v1/audit"), 401) == "token_missing"


async def test_who_reads_it_is_in_it(client: httpx.AsyncClient, identity: Identity) -> None:
    root = await as_root(client)
    for _ in range(3):
        await read(client, root)
    await identity._keeper.write(everything=True)
    line = (await read(client, root))["lines"][-1]
    assert (line["actor"], line["address"], line["action"]) == ("user:root", "192.0.2.1", "audit.read")
    assert line["details"]["count"] == 3


BODIES: dict[str, Any] = {
    "POST /v1/users": {"username": "new"},
    "PATCH /v1/users/{user_id:path}": {"disabled": True},
    "POST /v1/services": {"name": "newer"},
    "PATCH /v1/services/{service_id:path}": {"disabled": True},
    "POST /v1/services/{service_id:path}/keys": {},
    "POST /v1/tokens/revoke": {"jti": "x"},
}


async def test_whatever_changes_something_is_told(client: httpx.AsyncClient, identity: Identity) -> None:
    """Of every route of the administration, those too that come one day."""
    await identity.accounts.create_service("alices")
    [key] = await identity.service_keys.of("alices")
    root = await as_root(client)
    changing = [
        (method, str(route.path))
        for route in iter_route_contexts(build(identity).routes)
        for method in route.methods or ()
        if str(route.path).startswith(("/v1/users", "/v1/services", "/v1/tokens")) and method not in ("GET", "HEAD")
    ]
    assert {f"{method} {path}" for method, path in changing} >= BODIES.keys()
    for method, path in changing:
        before = (await read(client, root))["lines"][-1]["seq"]
        concrete = path.replace("{user_id:path}", "alice").replace("{service_id:path}", "alices")
        concrete = concrete.replace("{key_id}", key.id)
        assert "{" not in concrete, f"say whom {path} is to be tried with"
        response = await client.request(method, concrete, headers=root, json=BODIES.get(f"{method} {path}"))
        assert response.is_success, (method, path, response.text)
        told = (await read(client, root, after=before))["lines"]
        assert [(line["actor"], line["address"]) for line in told] == [("user:root", "192.0.2.1")], (method, path)
