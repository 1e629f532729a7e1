"""A hub with two tenants: one that holds data, whose every name and datum has a mark in it, and a foreign one."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import astuple, dataclass
from typing import Any

import httpx
from websockets.sync.client import connect

from tests.hub_process import HubProcess

MARK = "zq7acme"
"""In every name, of the tenant that holds data, that strangers say, to see whether they are told more."""
INNER = "wn4within"
"""In all else that it has: nobody says this, so whoever is told it was told by the hub."""
RIGHTS = ["*", "user:*", "all"]
"""All that there is, for whoever may have it: it is each tenant's own."""
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Names:
    """What a caller may name. Those of ``GHOST`` are of the same form, and nothing has them."""

    tenant: str
    user: str
    service: str
    topic: str
    client: str
    event: str
    key: str
    session: str
    jti: str

    def in_full(self) -> Names:
        """As the hub calls them inside."""
        full = f"{self.tenant}#"
        return Names(
            self.tenant,
            full + self.user,
            full + self.service,
            full + self.topic,
            self.client,
            self.event,
            self.key,
            full + self.session,
            full + self.jti,
        )


GHOST = Names(
    "zq7gone", "zq7gone-ann", "zq7gone-till", "chat:zq7gone", "zq7goneclient", "zq7gone-1", "0123456789ab", "s" * 16,
    "j" * 16,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a token."""

    name: str
    token: str
    admin: bool = False

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


class World:
    """Fills a hub that is running, and knows what is in it."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub
        for tenant, boss in ((MARK, f"{INNER}-boss"), ("globex", "globex-boss")):
            self.add_user(tenant, boss, admin=True)
            self.add_user(tenant, f"{tenant}-ann", topics=[f"{INNER}:news" if tenant == MARK else "news"])
        self.boss = self.log_in(MARK, f"{INNER}-boss")["access_token"]
        self.ann = self.log_in(MARK, f"{MARK}-ann")["access_token"]
        till = self.operate("POST", "/v1/services", MARK, json={"name": f"{MARK}-till"})
        self.api_key = till["secret"]
        me = self.get("/v1/me", self.ann)
        self.real = Names(
            tenant=MARK,
            user=f"{MARK}-ann",
            service=f"{MARK}-till",
            topic=f"chat:{MARK}",
            client=f"{MARK}client",
            event=f"{MARK}-1",
            key=self.api_key.split("_")[1],
            session=me["session"],
            jti=me["id"],
        )
        self.open = contextlib.ExitStack()
        self.open.enter_context(self.connect(self.ann, f"topics={self.real.topic}&client={self.real.client}"))
        self.publish(self.real.event)
        self.login_fails()
        self.callers = [*self._of_globex(), *self._of_the_default_tenant()]
        self.nobody = Caller("somebody without a token", "")

    def _of_globex(self) -> list[Caller]:
        shop = self.operate(
            "POST", "/v1/services", "globex", json={"name": "shop", "grants": {"subscribe": RIGHTS, "publish": RIGHTS}}
        )
        return [
            Caller("a foreign user", self.log_in("globex", "globex-ann")["access_token"]),
            Caller("a foreign service", self.service_token("shop", shop["secret"])),
            Caller("a foreign API key", shop["secret"]),
            Caller("a foreign administrator", self.log_in("globex", "globex-boss")["access_token"], admin=True),
        ]

    def _of_the_default_tenant(self) -> list[Caller]:
        self.hub.add_user("plain", subscribe=RIGHTS, publish=RIGHTS)
        return [Caller("a user without a tenant", self.hub.token("plain"))]

    # --- Doing things

    def add_user(self, tenant: str, name: str, **more: Any) -> None:
        body = {"username": name, "password": PASSWORD, "grants": {"subscribe": RIGHTS, "publish": RIGHTS}} | more
        self.operate("POST", "/v1/users", tenant, json=body)

    def operate(self, method: str, path: str, tenant: str, **more: Any) -> Any:
        """As the operator, who may name a tenant."""
        return self.hub.call(method, path, params={"tenant": tenant}, **more)

    def log_in(self, tenant: str, username: str) -> dict[str, Any]:
        body = {"tenant": tenant, "username": username, "password": PASSWORD}
        response = self.hub.http.post("/v1/auth/login", json=body)
        assert response.status_code == 200, response.text
        tokens: dict[str, Any] = response.json()
        return tokens

    def login_fails(self) -> None:
        body = {"tenant": MARK, "username": self.real.user, "password": "wrong"}
        assert self.hub.http.post("/v1/auth/login", json=body).status_code == 401

    def service_token(self, service: str, secret: str) -> str:
        form = {"grant_type": "client_credentials", "client_id": service, "client_secret": secret}
        token: str = self.hub.http.post("/v1/auth/token", data=form).json()["access_token"]
        return token

    def get(self, path: str, token: str, **params: Any) -> Any:
        response = self.hub.http.get(path, params=params, headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 200, response.text
        return response.json()

    def publish(self, event: str, *, durable: bool = True) -> dict[str, Any]:
        """As a service of the tenant's, to all that it has."""
        to = {"users": [self.real.user], "topics": [self.real.topic], "all": True}
        body = {"id": event, "type": f"{INNER}.type", "data": INNER, "to": to, "durable": durable}
        response = self.hub.http.post("/v1/events", json=body, headers={"Authorization": f"Bearer {self.api_key}"})
        assert response.status_code == 200, response.text
        receipt: dict[str, Any] = response.json()
        return receipt

    def connect(self, token: str, query: str = "") -> connect:
        return connect(
            f"{self.hub.ws_url}?{query}", additional_headers={"Authorization": f"Bearer {token}"}, proxy=None
        )

    # --- What there is

    def state(self) -> dict[str, Any]:
        """All that the tenant has, as its administrator, its user and its service see it."""
        topics = f"all,{self.real.topic},user:{self.real.user}"
        connections = self.get("/v1/connections", self.boss)
        return {
            "users": self.get("/v1/users", self.boss),
            "services": self.get("/v1/services", self.boss),
            "keys": [
                {**key, "last_used": None}
                for key in self.get(f"/v1/services/{self.real.service}/keys", self.boss)["keys"]
            ],
            "log": self.get("/v1/events", self.boss, topics=topics, after="earliest")["events"],
            "inbox": self.get("/v1/inbox", self.ann) | {"cursor": None},
            "presence": self.get(f"/v1/presence/{self.real.topic}", self.boss),
            "connections": [{**one, "cursor": None, "acked": None} for one in connections],
            "user": self.get("/v1/me", self.ann),
            "service": self.get("/v1/me", self.api_key),
            # What it did itself since is there; what others did is not.
            "strangers": [
                line
                for line in self.get("/v1/audit", self.boss, limit=1000)["lines"]
                if not any(name in line["actor"] for name in ("anonymous", "operator", MARK, INNER))
            ],
        }


# --- Comparing answers

_TIMES = "time created expires until opened last_used expires_in refresh_expires_in"
_MADE_UP = "password secret key hash access_token refresh_token ticket connection"
_COUNTED = "cursor seq pending_bytes queued_bytes"
_VOLATILE = frozenset(f"{_TIMES} {_MADE_UP} {_COUNTED}".split())
"""Members of answers that differ from call to call, whoever calls."""


def comparable(text: str, said: Names, real: Names) -> str:
    """An answer without what differs from call to call, and with the real names where others were said."""
    with contextlib.suppress(ValueError):
        text = json.dumps(_steady(json.loads(text)), sort_keys=True)
    for other, own in zip(astuple(said), astuple(real), strict=True):
        text = text.replace(other, own)
    return text


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "*" if name in _VOLATILE and MARK not in json.dumps(item) else _steady(item)
            for name, item in value.items()
        }
    return [_steady(item) for item in value] if isinstance(value, list) else value


def unsaid(text: str, said: Names) -> str:
    """An answer without the names that its caller had said: what is left of the mark, the hub has told."""
    for name in sorted(astuple(said), key=len, reverse=True):
        text = text.replace(name, "").replace(json.dumps(name)[1:-1], "")
    return text


def describe(response: httpx.Response) -> str:
    """Status, body and the headers that could say something."""
    kept = [name for name in response.headers if name not in ("date", "content-length", "server", "x-request-id")]
    headers = " ".join(f"{name}={response.headers[name]}" for name in sorted(kept))
    return f"{response.status_code} {re.sub(r'[0-9]+(?=; )', '*', headers)}"
