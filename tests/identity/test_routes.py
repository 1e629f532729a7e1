"""The HTTP routes of identity, as a client sees them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote_plus

import httpx
import jwt
import pytest
from fastapi import FastAPI

from hub.identity.routes import router
from hub.identity.service import Identity
from hub.transports import problem
from hub.transports.credentials import bearer

from .conftest import PASSWORD, Clock, OpenIdentity

pytestmark = pytest.mark.anyio

FORM = "application/x-www-form-urlencoded"


def build(identity: Identity) -> FastAPI:
    app = FastAPI()
    problem.install(app)
    app.include_router(router(identity, bearer(identity.authenticate)))
    return app


@pytest.fixture
async def client(identity: Identity) -> AsyncIterator[httpx.AsyncClient]:
    await identity.accounts.create_user("root", PASSWORD, admin=True)
    transport = httpx.ASGITransport(build(identity), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        yield client


async def log_in(client: httpx.AsyncClient, username: str = "alice", password: str = PASSWORD) -> dict[str, Any]:
    response = await client.post("/v1/auth/login", json={"username": username, "password": password})
    assert response.status_code == 200, response.text
    tokens: dict[str, Any] = response.json()
    return tokens


async def as_root(client: httpx.AsyncClient) -> dict[str, str]:
    return bearer_of((await log_in(client, "root"))["access_token"])


def bearer_of(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic_of(name: str, secret: str) -> dict[str, str]:
    text = f"{quote_plus(name)}:{quote_plus(secret)}"
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def refusal(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    code: str = response.json()["code"]
    return code


# --- Logging in


@pytest.mark.parametrize("kind", ["json", "form", "oauth2"])
async def test_login_by_json_and_by_form(client: httpx.AsyncClient, kind: str) -> None:
    fields = {"username": "alice", "password": PASSWORD}
    if kind == "oauth2":
        fields |= {"grant_type": "password", "scope": "", "client_id": "", "client_secret": ""}
    body: dict[str, Any] = {"json" if kind == "json" else "data": fields}
    response = await client.post("/v1/auth/login", **body)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    tokens = response.json()
    assert set(tokens) == {"access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in"}
    assert tokens["token_type"] == "bearer"
    me = (await client.get("/v1/me", headers=bearer_of(tokens["access_token"]))).json()
    assert (me["subject"], me["kind"], me["admin"]) == ("alice", "user", False)
    assert me["topics"] == ["user:alice", "all"]
    assert me["grants"] == {"subscribe": [], "publish": []}


async def test_wrong_names_and_passwords_look_alike(client: httpx.AsyncClient) -> None:
    bodies = []
    for username, password in (("alice", "wrong horse"), ("nobody", PASSWORD)):
        response = await client.post("/v1/auth/login", json={"username": username, "password": password})
        assert refusal(response, 401) == "credentials_invalid"
        bodies.append(response.content)
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b""),
        ("application/json", b"[]"),
        ("application/json", b"{"),
        ("application/json", b'{"username":"alice"}'),
        ("application/json", b'{"username":7,"password":"hunter22"}'),
        ("application/json", b'{"username":"","password":"hunter22"}'),
        ("application/json", b'{"username":"alice","password":"\\ud800hunter22"}'),
        (FORM, b""),
        (FORM, b"username=alice"),
        (FORM, b"username=alice&username=bob&password=hunter22"),
        (FORM, b"username=alice&password=hunter22&grant_type=client_credentials"),
        (FORM, b"username=%ff&password=hunter22"),
        (FORM, b"\xff"),
        ("text/plain", b'{"username":"alice","password":"hunter22"}'),
        ("", b'{"username":"alice","password":"hunter22"}'),
    ],
)
async def test_a_login_that_is_not_well_formed(client: httpx.AsyncClient, kind: str, body: bytes) -> None:
    response = await client.post("/v1/auth/login", content=body, headers={"Content-Type": kind})
    assert refusal(response, 422) == "request_invalid"
    assert "hunter22" not in response.text


async def test_a_long_body_is_refused_before_it_is_read_to_its_end(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1024
            yield b"x" * 1024

    response = await client.post("/v1/auth/login", content=endless(), headers={"Content-Type": FORM})
    assert refusal(response, 413) == "request_too_large"
    assert sent < 64 * 1024


# --- Going on and ending


@pytest.mark.parametrize("kind", ["json", "data"])
async def test_refresh(client: httpx.AsyncClient, kind: str) -> None:
    tokens = await log_in(client)
    fields = {"refresh_token": tokens["refresh_token"]}
    arguments: Any = {kind: fields}
    response = await client.post("/v1/auth/refresh", **arguments)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    fresh = response.json()
    assert set(fresh) == set(tokens)
    assert fresh["refresh_token"] != tokens["refresh_token"]


async def test_a_spent_refresh_token_ends_the_session(client: httpx.AsyncClient, clock: Clock) -> None:
    tokens = await log_in(client)
    spent = {"refresh_token": tokens["refresh_token"]}
    fresh = (await client.post("/v1/auth/refresh", json=spent)).json()
    clock.ahead = 60
    assert refusal(await client.post("/v1/auth/refresh", json=spent), 401) == "refresh_reused"
    assert refusal(await client.get("/v1/me", headers=bearer_of(fresh["access_token"])), 401) == "token_revoked"
    assert refusal(await client.post("/v1/auth/refresh", json={"refresh_token": "x"}), 401) == "refresh_invalid"


async def test_logout(client: httpx.AsyncClient) -> None:
    headers = bearer_of((await log_in(client))["access_token"])
    response = await client.post("/v1/auth/logout", headers=headers)
    assert (response.status_code, response.content) == (204, b"")
    assert refusal(await client.get("/v1/me", headers=headers), 401) == "logged_out"


# --- Services


@pytest.mark.parametrize("way", ["basic", "form"])
async def test_client_credentials(client: httpx.AsyncClient, identity: Identity, way: str) -> None:
    account, secret = await identity.accounts.create_service("a+b=c/d")
    assert account.id == "a+b=c/d"
    fields = {"grant_type": "client_credentials", "scope": "x"}
    headers = {}
    if way == "basic":
        headers = basic_of(account.id, secret)
    else:
        fields |= {"client_id": account.id, "client_secret": secret}
    response = await client.post("/v1/auth/token", data=fields, headers=headers)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert set(response.json()) == {"access_token", "token_type", "expires_in"}
    me = (await client.get("/v1/me", headers=bearer_of(response.json()["access_token"]))).json()
    assert (me["subject"], me["kind"], me["topics"]) == (account.id, "service", [])
    assert me["grants"]["publish"] == ["*", "user:*", "all"]


async def test_refused_client_credentials(client: httpx.AsyncClient, identity: Identity) -> None:
    _, secret = await identity.accounts.create_service("billing")
    grant = {"grant_type": "client_credentials"}
    form = {"client_id": "billing", "client_secret": secret}
    post = client.post

    async def code(status: int, data: Any, headers: Any = None) -> str:
        return refusal(await post("/v1/auth/token", data=data, headers=headers), status)

    assert await code(401, grant | form | {"client_secret": "x"}) == "credentials_invalid"
    assert await code(401, grant, basic_of("billing", "x")) == "credentials_invalid"
    assert await code(401, grant) == "credentials_invalid"
    assert await code(401, grant | {"client_id": "billing"}) == "credentials_invalid"
    assert await code(400, grant | form, basic_of("billing", secret)) == "credentials_ambiguous"
    assert await code(422, form) == "request_invalid"
    assert await code(422, form | {"grant_type": "password"}) == "request_invalid"
    for header in ("Basic !", "Basic " + base64.b64encode(b"nocolon").decode(), "Bearer x", "Basic /w=="):
        assert await code(422, grant, {"Authorization": header}) == "request_invalid"
    json = await post("/v1/auth/token", json=grant | form)
    assert refusal(json, 422) == "request_invalid"


async def test_a_client_id_in_the_form_beside_basic_is_no_second_secret(
    client: httpx.AsyncClient, identity: Identity
) -> None:
    _, secret = await identity.accounts.create_service("billing")
    fields = {"grant_type": "client_credentials", "client_id": "billing"}
    response = await client.post("/v1/auth/token", data=fields, headers=basic_of("billing", secret))
    assert response.status_code == 200


async def test_the_published_key_verifies_tokens(client: httpx.AsyncClient) -> None:
    response = await client.get("/.well-known/jwks.json")
    [key] = response.json()["keys"]
    token = (await log_in(client))["access_token"]
    claims = jwt.decode(token, jwt.PyJWK(key), audience="notification-hub", issuer="notification-hub")
    assert claims["sub"] == "alice"


# --- Administration


async def test_a_users_life(client: httpx.AsyncClient) -> None:
    root = await as_root(client)
    made = await client.post(
        "/v1/users",
        headers=root,
        json={"username": "o/b@x", "grants": {"subscribe": ["orders:*", "chat:{sub}"]}, "topics": ["news"]},
    )
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    password = made.json()["password"]
    tokens = await log_in(client, "o/b@x", password)
    me = (await client.get("/v1/me", headers=bearer_of(tokens["access_token"]))).json()
    assert me["grants"]["subscribe"] == ["orders:*", "chat:o/b@x"]

    listed = (await client.get("/v1/users", headers=root)).json()
    assert [user["id"] for user in listed["users"]] == ["alice", "o/b@x", "root"]
    assert not listed["more"]
    page = (await client.get("/v1/users?after=alice&limit=1", headers=root)).json()
    assert ([user["id"] for user in page["users"]], page["more"]) == (["o/b@x"], True)
    one = (await client.get("/v1/users/o%2Fb@x", headers=root)).json()
    assert one == listed["users"][1]
    assert one["grants"]["subscribe"] == ["orders:*", "chat:{sub}"], "as granted, to be sent back"
    assert "hash" not in str(one)

    changed = await client.patch("/v1/users/o%2Fb@x", headers=root, json={"grants": {"publish": ["a:*"]}})
    assert changed.json()["grants"] == {"subscribe": [], "publish": ["a:*"]}
    assert changed.json()["topics"] == ["news"], "what is left out stays"
    assert refusal(await client.get("/v1/me", headers=bearer_of(tokens["access_token"])), 401) == "token_revoked"
    await client.patch("/v1/users/o%2Fb@x", headers=root, json={"password": "another horse"})
    spent = await client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refusal(spent, 401) == "refresh_invalid"
    tokens = await log_in(client, "o/b@x", "another horse")
    response = await client.post("/v1/users/o%2Fb@x/logout", headers=root)
    assert (response.status_code, response.content) == (204, b"")
    assert refusal(await client.get("/v1/me", headers=bearer_of(tokens["access_token"])), 401) == "token_revoked"
    await client.patch("/v1/users/o%2Fb@x", headers=root, json={"disabled": True})
    refused = await client.post("/v1/auth/login", json={"username": "o/b@x", "password": "another horse"})
    assert refusal(refused, 401) == "user_disabled"


async def test_a_services_life(client: httpx.AsyncClient) -> None:
    root = await as_root(client)
    made = (await client.post("/v1/services", headers=root, json={"name": "Billing"})).json()
    assert (made["id"], made["name"]) == ("billing", "Billing")
    grant = {"grant_type": "client_credentials"}
    secret = made["secret"]
    token = await client.post("/v1/auth/token", data=grant, headers=basic_of("billing", secret))
    assert token.status_code == 200
    assert (await client.get("/v1/services", headers=root)).json()["services"][0]["id"] == "billing"
    assert "secret" not in (await client.get("/v1/services/billing", headers=root)).json()
    changed = await client.patch("/v1/services/billing", headers=root, json={"grants": {}, "disabled": True})
    assert changed.json()["grants"] == {"subscribe": [], "publish": []}
    refused = await client.post("/v1/auth/token", data=grant, headers=basic_of("billing", secret))
    assert refusal(refused, 401) == "user_disabled"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/users", {"username": "alice", "password": PASSWORD}, 409, "name_taken"),
        ("/v1/users", {"username": "a b"}, 422, "request_invalid"),
        ("/v1/users", {"username": "bob", "password": "short"}, 422, "request_invalid"),
        ("/v1/users", {"username": "bob", "amdin": True}, 422, "request_invalid"),
        ("/v1/users", {"username": "bob", "grants": {"subscribe": ["a*"]}}, 422, "topic_invalid"),
        ("/v1/users", {"username": "bob", "grants": {"read": ["a"]}}, 422, "request_invalid"),
        ("/v1/users", {"username": "bob", "topics": ["a:*"]}, 422, "topic_invalid"),
        ("/v1/services", {"name": "!!"}, 422, "request_invalid"),
        ("/v1/services", {}, 422, "request_invalid"),
    ],
)
async def test_what_an_administrator_cannot_make(
    client: httpx.AsyncClient, path: str, body: Any, status: int, code: str
) -> None:
    assert refusal(await client.post(path, headers=await as_root(client), json=body), status) == code


async def test_what_there_is_not(client: httpx.AsyncClient) -> None:
    root = await as_root(client)
    for method, path in (
        ("GET", "/v1/users/nobody"), ("PATCH", "/v1/users/nobody"), ("POST", "/v1/users/nobody/logout"),
        ("GET", "/v1/services/alice"), ("PATCH", "/v1/services/x"), ("GET", "/v1/services/x/keys"),
    ):  # fmt: skip
        body = {"disabled": True} if method == "PATCH" else None
        assert refusal(await client.request(method, path, headers=root, json=body), 404) == "not_found"


async def test_administration_is_for_administrators(client: httpx.AsyncClient, identity: Identity) -> None:
    alice = bearer_of((await log_in(client))["access_token"])
    paths: dict[str, Any] = build(identity).openapi()["paths"]
    calls = [
        (method.upper(), path.replace("{user_id}", "alice").replace("{service_id}", "billing").replace("{key_id}", "x"))
        for path, methods in paths.items()
        for method in methods
        if path.startswith(("/v1/users", "/v1/services"))
    ]
    assert len(calls) == 13
    for method, path in calls:
        assert refusal(await client.request(method, path), 401) == "token_missing", (method, path)
        assert refusal(await client.request(method, path, headers=alice), 403) == "forbidden", (method, path)
    assert await identity.login("alice", PASSWORD), "and nothing was done"


async def test_a_token_with_hundreds_of_patterns_can_be_shown(open_identity: OpenIdentity) -> None:
    secret = "s" * 32
    async with open_identity(signing_secret=secret) as identity:
        claims = {"iss": "notification-hub", "aud": "notification-hub", "sub": "x", "jti": "j", "iat": 0, "exp": 9e9,
                  "grants": {"publish": ["a"] * 500}}  # fmt: skip
        token = jwt.encode(claims, secret, "HS256", headers={"typ": "at+jwt"})
        async with httpx.AsyncClient(transport=httpx.ASGITransport(build(identity)), base_url="http://hub") as client:
            assert len((await client.get("/v1/me", headers=bearer_of(token))).json()["grants"]["publish"]) == 500
            assert (await client.get("/.well-known/jwks.json")).json() == {"keys": []}


# --- The document


async def test_the_document_tells_of_both_ways_to_log_in_and_of_every_refusal(identity: Identity) -> None:
    document = build(identity).openapi()
    login = document["paths"]["/v1/auth/login"]["post"]
    assert set(login["requestBody"]["content"]) == {"application/json", FORM}
    assert set(document["paths"]["/v1/auth/token"]["post"]["requestBody"]["content"]) == {FORM}
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            assert route["summary"], (method, path)
            refusals = {status: answer for status, answer in route["responses"].items() if not status.startswith("2")}
            assert all(list(answer["content"]) == ["application/problem+json"] for answer in refusals.values())
            expected = set() if path == "/.well-known/jwks.json" else {"401"}
            assert expected <= set(refusals), (method, path)
