"""A real hub in a process of its own, on a free port, with a data directory that outlives it.

Knows the hub only by its command line and its HTTP API. Everything here is synchronous; in asynchronous tests what
takes a while (starting, stopping) goes through ``asyncio.to_thread``.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from hub_client.testing._link import Link

ADMIN_PASSWORD = "correct horse battery"  # noqa: S105
"""Of the administrator ``admin`` of every hub here."""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def clean_environment() -> dict[str, str]:
    """This process's environment without settings of a hub, without proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HUB_") and not name.lower().endswith("_proxy")
    }


class HubServer:
    """Starts, stops, kills, pauses and restarts one hub; speaks to it as its administrator.

    ::

        hub = HubServer(tmp_path).start()
        async with AsyncClient(hub.url, **hub.user("alice")) as client: ...

    ``stop`` or ``kill``, then ``start``: the same port, the same data. Settings are given by name:
    ``HubServer(tmp_path, ping_interval=1)`` sets ``HUB_PING_INTERVAL``.
    """

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.data_dir = directory / "data"
        self.log_path = directory / "hub.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/v1/ws"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = clean_environment() | {
            "HUB_PORT": str(self.port),
            "HUB_DATA_DIR": str(self.data_dir),
            "HUB_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "PYTHONUNBUFFERED": "1",
        }
        self.command = [sys.executable, "-m", "hub", "serve"]
        self.environment |= {f"HUB_{name.upper()}": str(value) for name, value in settings.items()}
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)
        self._admin: tuple[str, float] | None = None
        self._people: dict[str, dict[str, str]] = {}
        self._links: list[Link] = []

    def __repr__(self) -> str:
        return f"<HubServer {self.url}>"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- Its life

    @property
    def pid(self) -> int:
        """The process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> Self:
        """Start it and wait until it is ready; raises with its log if it ends instead."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)  # noqa: S603
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the hub ended with {self.process.returncode}:\n{self.log()}")
            try:
                if self.http.get("/readyz", timeout=2).status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.02)
        raise RuntimeError(f"the hub did not get ready:\n{self.log()}")

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def restart(self) -> Self:
        """Stop it in order, and start it again."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """Let it do nothing, as a machine that hangs: connections stay, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def link(self) -> Link:
        """Another way to this hub, whose connections can be dropped and held. It ends with this object."""
        link = Link(self.port)
        self._links.append(link)
        return link

    def close(self) -> None:
        """End it, whatever its state."""
        while self._links:
            self._links.pop().close()
        if self.process is not None and self.process.poll() is None:
            self.resume()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self.http.close()

    def log(self) -> str:
        """What it printed so far, over all its lives."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    # --- Its people

    def user(self, name: str, **fields: Any) -> dict[str, str]:
        """Credentials of a user for the clients (``username``, ``password``), who is made when first asked for.

        They may read and publish all ordinary topics, unless ``subscribe`` and ``publish`` say less.
        """
        if name not in self._people:
            self.add_user(name, **{"subscribe": ["*"], "publish": ["*"]} | fields)
            self._people[name] = {"username": name, "password": f"password of {name}"}
        return self._people[name]

    def service(self, name: str, **fields: Any) -> dict[str, str]:
        """Credentials of a service for the clients (``service_id``, ``service_secret``), made when first asked for.

        ``grants``: ``{"subscribe": […], "publish": […]}``; by default it may do what services may, and read everything.
        """
        known = f"service {name}"
        if known not in self._people:
            grants = {"subscribe": ["*", "user:*", "all"], "publish": ["*", "user:*", "all"]}
            made = self.add_service(name, **{"grants": grants} | fields)
            self._people[known] = {"service_id": made["id"], "service_secret": made["secret"]}
        return self._people[known]

    # --- As its administrator

    def login(self, username: str, password: str) -> dict[str, Any]:
        """The token response."""
        response = self.http.post("/v1/auth/login", json={"username": username, "password": password})
        response.raise_for_status()
        tokens: dict[str, Any] = response.json()
        return tokens

    def token(self, username: str, password: str = "") -> str:
        """An access token of a user made by ``add_user``."""
        access: str = self.login(username, password or f"password of {username}")["access_token"]
        return access

    def admin_headers(self) -> dict[str, str]:
        """An administrator's Authorization header, logged in anew when it gets old."""
        if self._admin is None or self._admin[1] < time.monotonic():
            tokens = self.login("admin", ADMIN_PASSWORD)
            self._admin = (tokens["access_token"], time.monotonic() + tokens["expires_in"] / 2)
        return {"Authorization": f"Bearer {self._admin[0]}"}

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        """A request as the administrator, which has to succeed; its JSON."""
        response = self.http.request(method, path, headers=self.admin_headers(), **kwargs)
        assert response.is_success, (response.status_code, response.text)
        return response.json() if response.content else None

    def add_user(self, name: str, **fields: Any) -> str:
        """Make a user; an access token of theirs. ``subscribe``, ``publish``: lists of patterns."""
        grants = {"subscribe": fields.pop("subscribe", []), "publish": fields.pop("publish", [])}
        body = {"username": name, "password": f"password of {name}", "grants": grants} | fields
        self.call("POST", "/v1/users", json=body)
        return self.token(name)

    def add_service(self, name: str, **fields: Any) -> dict[str, str]:
        """Make a service; its ``id`` and ``secret``."""
        made: dict[str, str] = self.call("POST", "/v1/services", json={"name": name} | fields)
        return made

    def publish(self, type: str = "test", data: Any = None, **to: Any) -> dict[str, Any]:
        """Publish as the administrator: ``publish("x", 1, users=["alice"])``; the receipt."""
        extra = {name: to.pop(name) for name in list(to) if name not in ("users", "topics", "all")}
        receipt: dict[str, Any] = self.call("POST", "/v1/events", json={"type": type, "data": data, "to": to} | extra)
        return receipt

    def metrics(self) -> dict[str, float]:
        """The plain (label-less) samples of ``/metrics``."""
        response = self.http.get("/metrics", headers=self.admin_headers())
        assert response.status_code == 200, response.text
        return {name: float(value) for name, value in re.findall(r"^(\w+) ([0-9.e+-]+)$", response.text, re.MULTILINE)}
