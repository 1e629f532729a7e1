"""A whole run of real processes, the hub at its most talkative: no secret that was ever issued or typed in it is in
anything that came out, and none that is to be kept as a hash is in the files.

Secrets are put where they belong and where they do not: into URLs, other fields, broken requests, the command line's
input. What a call is answered with is where it was asked for; all else is looked through: both outputs of every
process, metrics, the audit log, every refusal's body and headers, close frames, error frames, the list of connections.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from .hub_process import ADMIN_PASSWORD, HubProcess
from .transports.http_client import Client
from .transports.stream import Stream
from .transports.tokens import Key, claims

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

METRICS_TOKEN = "the scraper's own long token"
ALICE, NEW, WRONG = "down the rabbit hole", "through the looking-glass", "a password of somewhere else"
ISSUED = ("access_token", "refresh_token", "ticket", "key", "secret")


class Run:
    """One hub, what was secret in its life, and what it said that was none of the answers asked for."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub
        self.secrets: dict[str, str] = {
            "admin's password": ADMIN_PASSWORD, "scraper's token": METRICS_TOKEN,
            "alice's password": ALICE, "alice's next": NEW, "wrong password": WRONG,
        }  # fmt: skip
        self.said: list[tuple[str, str]] = []
        self.refusals = 0

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """A call whose secrets are noted, and whose answer is, if it is a refusal."""
        response = self.hub.http.request(method, path, **options)
        name = f"{method} {path.partition('?')[0][:40]} -> {response.status_code}"
        if response.status_code >= 400:
            self.refusals += 1
            self.said.append((name, f"{response.headers}\n{response.text}"))
            return {}
        body: Any = response.json() if response.content else {}
        self._note(name, body)
        return body if isinstance(body, dict) else {}

    def _note(self, name: str, body: Any) -> None:
        for field in ISSUED if isinstance(body, dict) else ():
            if isinstance(body.get(field), str):
                self.secrets[f"{field} {len(self.secrets)}, of {name}"] = body[field]

    def command(self, *arguments: str, secret: bool = False, **options: Any) -> str:
        """A command; its output, which is looked through unless it is to be a secret. Its complaints always are."""
        done = subprocess.run(
            [sys.executable, "-m", "hub", *arguments],
            env=self.hub.environment | {"HUB_URL": self.hub.url} | options.pop("env", {}),
            capture_output=True, text=True, timeout=60, check=False, **options,
        )  # fmt: skip
        name = f"hub {' '.join(arguments[:3])}"
        self.said.append((f"{name}: stderr", done.stderr))
        if secret:
            assert done.returncode == 0, done.stderr
            self.secrets[name] = done.stdout.strip()
        else:
            self.said.append((f"{name}: stdout", done.stdout))
        return done.stdout.strip()

    def found(self) -> list[str]:
        """Where a secret, or a tell-tale part of one, is."""
        parts = {
            (what, part)
            for what, secret in self.secrets.items()
            for part in ({secret, secret[-40:]} if len(secret) > 40 else {secret})
        }
        return [f"{what} is in {where}" for where, text in self.said for what, part in parts if part in text]


@pytest.fixture
def run(start_hub: Callable[..., HubProcess]) -> Run:
    hub = start_hub(
        log_level="debug",
        metrics_token=METRICS_TOKEN,
        login_failures=0,
        login_failures_account=0,
        login_failures_address=0,
        revocation_poll=0.1,
        access_ttl=600,
    )
    hub.environment["HUB_LOG_FORMAT"] = "json"
    hub.environment["PYTHONASYNCIODEBUG"] = "1"  # For the next start: the loop's own words, too.
    return Run(hub)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def people_and_services(run: Run) -> dict[str, str]:
    """Accounts, logins, keys and their ways; tokens that are good at the end of it."""
    admin = run.call("POST", "/v1/auth/login", json={"username": "admin", "password": ADMIN_PASSWORD})["access_token"]
    grants = {"subscribe": ["chat:*"], "publish": ["chat:*"]}
    account = {"username": "alice", "password": ALICE, "grants": grants}
    run.call("POST", "/v1/users", headers=bearer(admin), json=account)
    run.call("POST", "/v1/users", headers=bearer(admin), json=account)  # The name is taken.
    run.call("POST", "/v1/users", headers=bearer(admin), json={"username": [ALICE], "password": {"x": NEW}})
    run.call("POST", "/v1/services", headers=bearer(admin), json={"name": "shop", "grants": grants})
    secret = list(run.secrets.values())[-1]
    form = {"grant_type": "client_credentials", "client_id": "shop", "client_secret": secret}
    run.call("POST", "/v1/auth/token", data=form)
    run.call("POST", "/v1/auth/token", data=form | {"client_secret": WRONG})
    key = run.call("POST", "/v1/services/shop/keys", headers=bearer(admin), json={"name": "till"})
    run.call("POST", f"/v1/services/shop/keys/{key['id']}/rotate", headers=bearer(admin))
    run.call("DELETE", f"/v1/services/shop/keys/{key['id']}", headers=bearer(admin))
    run.call("GET", "/v1/me", headers=bearer(key["key"]))
    login = {"username": "alice", "password": ALICE}
    run.call("POST", "/v1/auth/login", json=login | {"password": WRONG})
    run.call("POST", "/v1/auth/login", data=login | {"password": WRONG, "grant_type": "password"})
    first = run.call("POST", "/v1/auth/login", data=login | {"grant_type": "password"})
    run.call("POST", "/v1/auth/logout", headers=bearer(first["access_token"]))
    run.call("GET", "/v1/me", headers=bearer(first["access_token"]))
    second = run.call("POST", "/v1/auth/login", json=login)
    run.call("POST", "/v1/auth/refresh", json={"refresh_token": second["refresh_token"]})
    run.call("POST", "/v1/tokens/revoke", headers=bearer(admin), json={"token": second["access_token"]})
    run.call("PATCH", "/v1/users/alice", headers=bearer(admin), json={"password": NEW})
    run.call("POST", "/v1/auth/login", json=login)
    return {"admin": admin, "alice": run.call("POST", "/v1/auth/login", json=login | {"password": NEW})["access_token"]}


def misplaced(run: Run, token: str, document: dict[str, Any]) -> None:
    """A secret of each kind where it does not belong."""
    of_each_kind = {what.partition(" ")[0]: secret for what, secret in run.secrets.items()}
    for what, secret in of_each_kind.items():
        run.call("POST", "/v1/auth/login", json={"username": secret[:128], "password": secret[:1000]})
        run.call("POST", "/v1/auth/login", json={"username": "alice", "password": [secret]})
        run.call("POST", "/v1/auth/login", content=f'{{"password": "{secret}", '.encode())
        run.call("POST", "/v1/auth/refresh", json={"refresh_token": secret[:256]})
        run.call("POST", "/v1/auth/refresh", json={"refresh": secret})
        run.call("GET", "/v1/me", headers={"Authorization": f"Basic {secret.encode().hex()}"})
        if " " not in secret:
            run.call("GET", "/v1/me", headers=bearer(secret[:-3] + "AAA"))
            run.call("GET", f"/v1/me?token={secret}")
            run.call("GET", f"/v1/sse?ticket={secret}", headers=bearer(token))
            run.call("GET", f"/nowhere?access_token={secret}", headers={"X-Forwarded-For": secret[:200]})
        if "ticket" in what:
            run.call("GET", f"/v1/sse?ticket={secret}x")
    for path, operations in document["paths"].items():
        if path not in ("/v1/sse", "/v1/ws"):
            for method in operations:
                concrete = path.replace("{", "").replace("}", "")
                run.call(method.upper(), f"{concrete}?token={token}", headers=bearer(token), json={"token": token})


async def live(run: Run, tokens: dict[str, str], forged: list[str]) -> None:
    """Sockets and streams, let in and refused, renewed and ended."""
    hub, alice = run.hub, tokens["alice"]
    ticket = run.call("POST", "/v1/auth/ticket", headers=bearer(alice))["ticket"]
    async with connect(f"{hub.ws_url}?ticket={ticket}&topics=chat:1", proxy=None) as socket:
        for said in (
            {"type": "auth", "ref": 1, "token": forged[0]},
            {"type": "auth", "ref": 2, "token": {"is": alice}},
            {"type": "auth", "ref": 3, "token": alice},
            {"type": "nonsense", "token": alice},
            {"type": "subscribe", "ref": 4, "topics": [{"token": alice}]},
            {"type": "ping", "ref": 5},
        ):
            await socket.send(json.dumps(said))
        while (frame := json.loads(await socket.recv())).get("ref") != 5:
            run.said.append(("a frame", json.dumps(frame)))
        connections = await asyncio.to_thread(hub.http.get, "/v1/connections", headers=bearer(tokens["admin"]))
        run.said.append(("the list of connections", connections.text))
        assert "chat:1" in connections.text
    for query in [f"token={token}" for token in forged] + [f"ticket={ticket}", f"token={alice}&ticket={ticket}"]:
        async with connect(f"{hub.ws_url}?{query}", proxy=None) as refused:
            with pytest.raises(ConnectionClosed) as closed:
                await refused.recv()
            run.said.append(("a close frame", str(closed.value)))
        stream = await Stream.open(hub, None, **dict(part.split("=", 1) for part in query.split("&")))
        assert stream.status in (400, 401)
        run.said.append(("a refused stream", f"{stream.headers} {stream.body!r}"))
        stream.cut()
    async with connect(hub.ws_url, subprotocols=["hub.v1", f"bearer.{alice}"], proxy=None) as socket:  # type: ignore[list-item]
        run.said.append(("the handshake's answer", str(socket.response)))
        run.said.append(("the welcome", str(await socket.recv())))
    stream = await Stream.open(hub, None, token=alice)
    run.said.append(("the stream's welcome", str(await stream.next())))
    # What no client sends: broken where the token stands.
    for broken in (
        f"GET /v1/sse?token={alice} HTTP/7.1\r\n\r\n",
        f"GET /v1/ws?token={alice}\r\n\r\n",
        f"POST /v1/events HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {alice}\r\nContent-Length: x\r\n\r\n",
        f"POST /v1/events HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {alice}\r\nX: {'x' * 40_000}\r\n\r\n",
        f"GET /v1/me HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {alice} {alice}\r\n\r\n",
    ):
        client = await Client.connect(hub)
        client.writer.write(broken.encode())
        answer = await client.answer()
        assert answer.status >= 400
        run.said.append(("a broken request's answer", str(answer)))
        client.cut()
    await asyncio.to_thread(run.call, "POST", "/v1/auth/logout", headers=bearer(alice))
    run.said.append(("the goodbye", str(await stream.rest())))


def commands(run: Run) -> None:
    """The command line, which is given secrets in its environment and its input."""
    as_alice = {"HUB_USERNAME": "alice", "HUB_PASSWORD": NEW}
    token = run.command("token", secret=True, env=as_alice)
    key = run.command("service", "key", "create", "shop", secret=True)
    jobs: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        (("token",), {"env": as_alice | {"HUB_PASSWORD": WRONG}}),
        (("token", "explain", "-"), {"input": token}),
        (("token", "explain", "-"), {"input": key[:-5]}),
        (("publish", "t", "--to-topic", "secret"), {"env": {"HUB_TOKEN": token}}),
        (("listen",), {"env": {"HUB_TOKEN": token[:-5]}}),
        (("user", "add", "bob", "--password-stdin"), {"input": WRONG}),
        (("audit", "export"), {}),
        (("serve",), {"env": {"HUB_ADMIN_PASSWORD": "short", "HUB_SIGNING_SECRET": WRONG[:20]}}),
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda job: run.command(*job[0], **job[1]), jobs))
    run.command("token", "revoke", "-", input=token)


async def test_no_secret_of_a_run_is_in_what_comes_out(run: Run) -> None:
    hub = run.hub
    assert hub.stop() == 0
    hub.start()
    tokens = people_and_services(run)
    key = Key(hub.data_dir)
    private = (hub.data_dir / "signing.key").read_text().splitlines()[1]
    run.secrets["private key"] = private
    forged = [
        key.sign(claims("alice", exp=1)),
        key.sign(claims("alice", aud="others")),
        tokens["alice"][:-6] + "AAAAAA",
    ]
    run.secrets |= {f"forged {number}": token for number, token in enumerate(forged)}
    misplaced(run, tokens["alice"], hub.http.get("/openapi.json").json())
    tokens["alice"] = run.call("POST", "/v1/auth/login", json={"username": "alice", "password": NEW})["access_token"]
    await live(run, tokens, forged)
    await asyncio.to_thread(commands, run)
    run.said.append(("/metrics", hub.http.get("/metrics", headers=bearer(METRICS_TOKEN)).raise_for_status().text))
    run.call("GET", "/metrics", headers=bearer(METRICS_TOKEN + "x"))
    audit = httpx.get(f"{hub.url}/v1/audit?limit=1000", headers=bearer(tokens["admin"]), trust_env=False)
    run.said.append(("the audit log", audit.raise_for_status().text))
    hub.kill()
    del hub.environment["HUB_LOG_FORMAT"]
    hub.start()
    run.call("GET", "/v1/me", headers=bearer(tokens["admin"]))
    assert hub.stop() == 0
    run.said.append(("the hub's output", hub.log()))
    # It would say nothing if little had been said.
    assert len(run.secrets) > 25
    assert run.refusals > 100
    for word in ("refused", "token_expired", "token_audience", "ticket_invalid", "closed"):
        assert word in hub.log(), word
    assert "Traceback" not in hub.log()
    assert run.found() == []
    assert kept(run, hub.data_dir) == []


def kept(run: Run, directory: Path) -> list[str]:
    """Secrets that are in the files as they are. What signs has to be."""
    found = []
    for path in directory.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [
                f"{what} is in {path.name}"
                for what, secret in run.secrets.items()
                if secret.encode() in data and what != "private key"
            ]
    return found
