"""How a foreign tenant's token calls each route, with every name that it can say.

A route that is not here fails the walk: whoever adds one says here how a stranger would use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from .world import Names

PROBE_PASSWORD = "a guess, and a wrong one"


@dataclass(frozen=True, slots=True)
class Call:
    """A request. ``headers`` are added to the caller's own token."""

    method: str
    path: str
    params: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    """What ``httpx`` takes: ``json`` or ``data``."""
    headers: dict[str, str] = field(default_factory=dict)


Plan = Callable[[Names], Iterator[Call]]
PLANS: dict[str, Plan] = {}
DOORS: dict[str, Plan] = {}
"""Those that are called without a token, to get one."""
LAST: dict[str, Plan] = {}
"""What makes or changes something, in the caller's own tenant, and is done after all else."""

_OPEN = {
    # The same for everybody: no tenant's data is behind them.
    "GET /",
    "GET /docs",
    "GET /openapi.json",
    "HEAD /openapi.json",
    "GET /asyncapi.json",
    "GET /healthz",
    "GET /readyz",
    "GET /.well-known/jwks.json",
}
STATIC = {"MOUNT /docs/assets", "MOUNT /client", "MOUNT /console"}
"""Files, the same for everybody."""
STREAMS = {"WS /v1/ws", "GET /v1/sse"}
"""Listened to, and the socket spoken to frame by frame: see ``frames`` and ``test_walk``."""


def plan(route: str, kind: dict[str, Plan] = PLANS) -> Callable[[Plan], Plan]:
    def keep(made: Plan) -> Plan:
        kind[route] = made
        return made

    return keep


def known() -> set[str]:
    """Every route that the walk knows what to do with."""
    return {*DOORS, *PLANS, *LAST, *_OPEN, *STATIC, *STREAMS}


def open_calls() -> Iterator[Call]:
    for route in sorted(_OPEN):
        method, path = route.split()
        yield Call(method, path)


def at(name: str) -> str:
    return quote(name, safe="")


# --- Who am I, and how do I come in


@plan("POST /v1/auth/login", DOORS)
def login(names: Names) -> Iterator[Call]:
    for tenant in ("", names.tenant, "globex"):
        body = {"username": names.user, "password": PROBE_PASSWORD, "tenant": tenant}
        yield Call("POST", "/v1/auth/login", body={"json": body})
        yield Call("POST", "/v1/auth/login", body={"data": body | {"grant_type": "password"}})


@plan("POST /v1/auth/token", DOORS)
def client_credentials(names: Names) -> Iterator[Call]:
    secret = f"hubk_{names.key}_{'x' * 43}"
    form = {"grant_type": "client_credentials", "client_id": names.service, "client_secret": secret}
    yield Call("POST", "/v1/auth/token", body={"data": form})
    yield Call("POST", "/v1/auth/token", body={"data": form | {"tenant": names.tenant}})


@plan("POST /v1/auth/refresh", DOORS)
def refresh(names: Names) -> Iterator[Call]:
    yield Call("POST", "/v1/auth/refresh", body={"json": {"refresh_token": f"hubr_{names.session}.{'x' * 43}"}})


@plan("POST /v1/auth/ticket")
def ticket(names: Names) -> Iterator[Call]:
    yield Call("POST", "/v1/auth/ticket", params={"tenant": names.tenant})


@plan("GET /v1/me")
def me(names: Names) -> Iterator[Call]:
    yield Call("GET", "/v1/me", params={"tenant": names.tenant})


# --- Events


@plan("GET /v1/events")
def read(names: Names) -> Iterator[Call]:
    for topics in (names.topic, f"user:{names.user}", "all", "", f"{names.tenant}#all", f"all,{names.topic}", "*"):
        yield Call("GET", "/v1/events", {"topics": topics, "after": "earliest", "tenant": names.tenant})
        yield Call("GET", "/v1/events", {"topics": topics, "wait": 0.01})


@plan("GET /v1/inbox")
def inbox(names: Names) -> Iterator[Call]:
    for topic in (names.topic, f"user:{names.user}", "all", f"{names.tenant}#all"):
        yield Call("GET", "/v1/inbox", {"topic": topic, "archived": "any", "tenant": names.tenant})
    yield Call("GET", "/v1/inbox", {"type": f"{names.tenant}*", "user": names.user})


def _mark(action: str) -> Plan:
    def marks(names: Names) -> Iterator[Call]:
        body = {"json": {"ids": [names.event, f"{names.tenant}#{names.event}"]}}
        yield Call("POST", f"/v1/inbox/{action}", {"tenant": names.tenant}, body)

    return marks


for _action in ("read", "unread", "archive", "unarchive"):
    plan(f"POST /v1/inbox/{_action}")(_mark(_action))


@plan("GET /v1/presence/{topic:path}")
def presence(names: Names) -> Iterator[Call]:
    for topic in (names.topic, f"user:{names.user}", f"{names.tenant}#{names.topic}"):
        yield Call("GET", f"/v1/presence/{at(topic)}", {"tenant": names.tenant})


@plan("GET /v1/ws")
def plain_get(names: Names) -> Iterator[Call]:
    yield Call("GET", "/v1/ws", {"topics": names.topic})


@plan("GET /v1/overview")
def overview(names: Names) -> Iterator[Call]:
    yield Call("GET", "/v1/overview", {"tenant": names.tenant})


@plan("GET /metrics")
def metrics(names: Names) -> Iterator[Call]:
    yield Call("GET", "/metrics", {"tenant": names.tenant})


# --- Administration


def _pages(path: str, names: Names) -> Iterator[Call]:
    for tenant in ({}, {"tenant": names.tenant}):
        yield Call("GET", path, tenant)
        yield Call("GET", path, tenant | {"after": names.tenant, "limit": 1000})
        yield Call("GET", path, tenant | {"after": f"{names.tenant}#"})


def _each(method: str, path: str, name: str, names: Names, **more: Any) -> Iterator[Call]:
    for tenant in ({}, {"tenant": names.tenant}):
        yield Call(method, path.format(at(name)), tenant, **more)
        yield Call(method, path.format(quote(f"{names.tenant}#{name}", safe="")), tenant, **more)


@plan("GET /v1/audit")
def audit(names: Names) -> Iterator[Call]:
    for tenant in ({}, {"tenant": names.tenant}):
        yield Call("GET", "/v1/audit", tenant | {"after": 0, "limit": 1000, "action": "user.*"})
        for target in (f"user:{names.user}", f"{names.tenant}#user:{names.user}"):
            yield Call("GET", "/v1/audit", tenant | {"target": target})
            yield Call("GET", "/v1/audit", tenant | {"actor": target})


@plan("GET /v1/connections")
def connections(names: Names) -> Iterator[Call]:
    for tenant in ({}, {"tenant": names.tenant}):
        yield Call("GET", "/v1/connections", tenant | {"limit": 1000})
        for user in (names.user, f"{names.tenant}#{names.user}"):
            yield Call("GET", "/v1/connections", tenant | {"user": user})


@plan("GET /v1/users")
def list_users(names: Names) -> Iterator[Call]:
    return _pages("/v1/users", names)


@plan("GET /v1/users/{user_id:path}")
def get_user(names: Names) -> Iterator[Call]:
    return _each("GET", "/v1/users/{}", names.user, names)


@plan("PATCH /v1/users/{user_id:path}")
def change_user(names: Names) -> Iterator[Call]:
    yield from _each("PATCH", "/v1/users/{}", names.user, names, body={"json": {"disabled": True}})
    yield from _each("PATCH", "/v1/users/{}", names.user, names, body={"json": {"password": PROBE_PASSWORD}})


@plan("POST /v1/users/{user_id:path}/logout")
def logout_user(names: Names) -> Iterator[Call]:
    return _each("POST", "/v1/users/{}/logout", names.user, names)


@plan("GET /v1/services")
def list_services(names: Names) -> Iterator[Call]:
    return _pages("/v1/services", names)


@plan("GET /v1/services/{service_id:path}")
def get_service(names: Names) -> Iterator[Call]:
    return _each("GET", "/v1/services/{}", names.service, names)


@plan("PATCH /v1/services/{service_id:path}")
def change_service(names: Names) -> Iterator[Call]:
    return _each("PATCH", "/v1/services/{}", names.service, names, body={"json": {"disabled": True}})


@plan("GET /v1/services/{service_id:path}/keys")
def list_keys(names: Names) -> Iterator[Call]:
    return _each("GET", "/v1/services/{}/keys", names.service, names)


@plan("POST /v1/services/{service_id:path}/keys")
def make_key(names: Names) -> Iterator[Call]:
    return _each("POST", "/v1/services/{}/keys", names.service, names, body={"json": {}})


@plan("POST /v1/services/{service_id:path}/keys/{key_id}/rotate")
def rotate_key(names: Names) -> Iterator[Call]:
    for service in (names.service, "shop"):
        path = f"/v1/services/{{}}/keys/{names.key}/rotate"
        yield from _each("POST", path, service, names, body={"json": {"overlap": 0}})


@plan("DELETE /v1/services/{service_id:path}/keys/{key_id}")
def revoke_key(names: Names) -> Iterator[Call]:
    for service in (names.service, "shop"):
        yield from _each("DELETE", f"/v1/services/{{}}/keys/{names.key}", service, names)


# --- What leaves something behind in the caller's own tenant


@plan("POST /v1/events", LAST)
def publish(names: Names) -> Iterator[Call]:
    targets: list[dict[str, Any]] = [
        {"all": True},
        {"users": [names.user]},
        {"topics": [names.topic, f"user:{names.user}", "all"]},
        {"topics": [f"{names.tenant}#{names.topic}"]},
        {"users": [f"{names.tenant}#{names.user}"]},
    ]
    for number, to in enumerate(targets):
        for durable in (True, False):
            event = {"id": f"{names.event}-{number}", "type": "stranger", "data": "from abroad", "durable": durable}
            yield Call("POST", "/v1/events", {"tenant": names.tenant}, {"json": event | {"to": to}})
    # An id that the other tenant used is no conflict, and not told of.
    taken = {"id": names.event, "type": "stranger", "data": "from abroad", "to": {"all": True}}
    yield Call("POST", "/v1/events", body={"json": taken})
    excluding = {"id": f"{names.event}-x", "type": "stranger", "to": {"all": True}, "exclude": [names.client]}
    yield Call("POST", "/v1/events", body={"json": excluding})
    cloud = {"specversion": "1.0", "id": f"{names.event}-ce", "source": "/x", "type": "t", "hubtopics": names.topic}
    media = {"Content-Type": "application/cloudevents+json"}
    yield Call("POST", "/v1/events", {"tenant": names.tenant}, {"json": cloud}, media)


@plan("POST /v1/tokens/revoke", LAST)
def revoke(names: Names) -> Iterator[Call]:
    for tenant in ({}, {"tenant": names.tenant}):
        for body in ({"jti": names.jti}, {"session": names.session}, {"jti": f"{names.tenant}#{names.jti}"}):
            yield Call("POST", "/v1/tokens/revoke", tenant, {"json": body})


@plan("POST /v1/users", LAST)
def make_user(names: Names) -> Iterator[Call]:
    body = {"username": names.user, "password": PROBE_PASSWORD}
    yield Call("POST", "/v1/users", {"tenant": names.tenant}, {"json": body})
    yield Call("POST", "/v1/users", body={"json": body | {"username": f"{names.tenant}#{names.user}"}})
    yield Call("POST", "/v1/users", body={"json": body})


@plan("POST /v1/services", LAST)
def make_service(names: Names) -> Iterator[Call]:
    yield Call("POST", "/v1/services", {"tenant": names.tenant}, {"json": {"name": names.service}})
    yield Call("POST", "/v1/services", body={"json": {"name": f"{names.tenant}#{names.service}"}})
    yield Call("POST", "/v1/services", body={"json": {"name": names.service}})


@plan("POST /v1/auth/logout", LAST)
def logout(names: Names) -> Iterator[Call]:
    yield Call("POST", "/v1/auth/logout", {"tenant": names.tenant, "session": names.session, "user": names.user})
