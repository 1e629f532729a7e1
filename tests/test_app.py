"""The hub put together: no route is left open by mistake, and the API's document is true to the routes."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.openapi.models import OpenAPI
from fastapi.routing import iter_route_contexts

from hub.app import Application
from hub.errors import HubError
from hub.settings import Settings
from tests.hub_process import HubProcess
from tests.transports.raw import RawSocket

# What somebody without a token may have. Whatever else there is, or will be, refuses them.
OPEN = {
    "GET /v1/ws",  # Says that it is for WebSockets.
    "GET /",
    "GET /docs",
    "GET /asyncapi.json",
    "GET /openapi.json",
    "HEAD /openapi.json",
    "MOUNT /docs/assets",
    "MOUNT /client",
    "MOUNT /console",
    "GET /healthz",
    "GET /readyz",
    "GET /.well-known/jwks.json",
    "POST /v1/auth/login",
    "POST /v1/auth/refresh",
    "POST /v1/auth/token",
}


def build(directory: Path, **settings: Any) -> FastAPI:
    return Application(Settings(data_dir=directory, **settings)).app


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return build(tmp_path)


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """All of them as method and path; a method WS for sockets and MOUNT for files."""
    found = []
    for route in iter_route_contexts(app.routes):
        kind = type(route.original_route).__name__
        methods = route.methods or ({"WS"} if "WebSocket" in kind else {"MOUNT"})
        found += [(method, str(route.path)) for method in methods]
    return found


def test_every_route_but_the_open_ones_refuses_an_anonymous_caller(app: FastAPI, shared_hub: HubProcess) -> None:
    every = routes(app)
    assert {f"{method} {path}" for method, path in every} >= OPEN | {"WS /v1/ws"}
    for method, path in every:
        if f"{method} {path}" in OPEN:
            continue
        concrete = re.sub(r"{[^}]+}", "x", path)
        if method == "WS":
            assert asyncio.run(anonymous_socket(shared_hub, concrete)) == (1008, "token_missing")
            continue
        # Neither an empty body nor a good one gets further than the door.
        for body in (None, {"username": "mallory", "name": "mallory", "type": "t", "to": {"all": True}}):
            response = shared_hub.http.request(method, concrete, json=body)
            assert (response.status_code, response.json()["code"]) == (401, "token_missing"), (method, path)


async def anonymous_socket(hub: HubProcess, path: str) -> tuple[int, str]:
    assert path == "/v1/ws", "RawSocket knows this one; teach it another"
    socket = await RawSocket.connect(hub.port)
    code, reason = await socket.end(answer=True)
    return code, reason.partition(":")[0]


def test_the_open_routes_are_there(app: FastAPI, shared_hub: HubProcess) -> None:
    for method, path in routes(app):
        if method == "GET" and f"{method} {path}" in OPEN:
            assert shared_hub.http.get(path).status_code == (426 if path == "/v1/ws" else 200)


def test_administration_is_for_administrators(app: FastAPI, shared_hub: HubProcess) -> None:
    """Who can log in, and no more, gets nothing of the others."""
    headers = {"Authorization": f"Bearer {shared_hub.add_user('plain')}"}
    administration = [
        (method, path)
        for method, path in routes(app)
        if path.startswith(("/v1/users", "/v1/services", "/v1/connections", "/v1/audit", "/v1/tokens", "/metrics"))
    ]
    assert len(administration) > 10
    for method, path in administration:
        response = shared_hub.http.request(method, re.sub(r"{[^}]+}", "plain", path), headers=headers, json={})
        assert (response.status_code, response.json()["code"]) == (403, "forbidden"), (method, path)


# --- The document


def test_the_document_is_openapi(app: FastAPI) -> None:
    document = app.openapi()
    OpenAPI.model_validate(document)
    text = json.dumps(document)
    for name in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        assert name in document["components"]["schemas"], name
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    for operation in operations:
        assert operation["summary"]
        # Errors are problems; FastAPI's own shape of a 422 would be a lie.
        assert "HTTPValidationError" not in json.dumps(operation), operation["operationId"]
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]


def test_the_document_tells_of_every_route(app: FastAPI) -> None:
    document = app.openapi()
    undocumented = {"/", "/docs", "/openapi.json", "/asyncapi.json"}
    for method, path in routes(app):
        if method not in ("WS", "MOUNT") and path not in undocumented:
            assert method.lower() in document["paths"][path.replace(":path}", "}")], (method, path)


def test_it_asks_twice_for_the_same_document(app: FastAPI) -> None:
    assert app.openapi() == app.openapi()


# --- Failures


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (HubError("database_unavailable"), 503, "database_unavailable"),
        (ZeroDivisionError("division by zero"), 500, "internal"),
    ],
)
async def test_what_fails_inside_is_a_problem_that_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, status: int, code: str
) -> None:
    application = Application(Settings(data_dir=tmp_path))

    async def login(*_: str, **__: str) -> None:
        raise failure

    monkeypatch.setattr(application.identity, "login", login)
    transport = httpx.ASGITransport(application.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        response = await client.post("/v1/auth/login", json={"username": "a", "password": "hunter22"})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert str(failure) not in response.text
    assert "hunter22" not in response.text
    # uvicorn ends the connection after a failure that nobody foresaw.
    assert response.headers.get("connection") == ("close" if status == 500 else None)


# --- Browsers


def test_answers_carry_security_headers(shared_hub: HubProcess) -> None:
    for path in ("/", "/docs", "/v1/me", "/healthz", "/client/index.js", "/nowhere"):
        headers = shared_hub.http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert ("unsafe" in policy) == path.startswith("/docs")
        assert "server" not in headers


def test_only_allowed_origins_may_read_the_api(start_hub: Any) -> None:
    hub = start_hub(allowed_origins="https://app.example.com")
    for origin, allowed in (("https://app.example.com", "https://app.example.com"), ("https://evil.example", None)):
        preflight = hub.http.options(
            "/v1/events",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type",
            },
        )
        assert preflight.headers.get("access-control-allow-origin") == allowed
        refused = hub.http.get("/v1/me", headers={"Origin": origin})
        assert refused.status_code == 401
        assert refused.headers.get("access-control-allow-origin") == allowed
        if allowed:
            assert refused.headers["access-control-expose-headers"] == "Retry-After, X-Request-ID"
        # Tokens, not cookies: a page never gets to use what the browser keeps for it.
        assert "access-control-allow-credentials" not in refused.headers


def test_by_default_no_other_origin_may(shared_hub: HubProcess) -> None:
    headers = shared_hub.http.get("/v1/me", headers={"Origin": "https://evil.example"}).headers
    assert "access-control-allow-origin" not in headers
