"""``hub doctor``: what is broken is found, with what to do; what is not, is not; and nothing is changed."""

from __future__ import annotations

import json
import os
import resource
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hub.data_directory import UNFINISHED
from hub.engine import sqlite_log
from hub.identity.keys import generate
from tests.hub_process import HubProcess, free_port
from tests.identity.test_keys import write_key
from tests.nats_server import NatsServer

from .conftest import Run


@pytest.fixture
def look(run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """What the doctor finds, by check; the exit code has to go with it."""
    monkeypatch.setenv("HUB_PORT", str(free_port()))

    def look(*options: str) -> dict[str, Any]:
        outcome = run("doctor", "--json", *options)
        found = [json.loads(line) for line in outcome.out.splitlines()]
        assert outcome.code == any(each["state"] == "fail" for each in found)
        assert all(bool(each["cure"]) == (each["state"] != "ok") for each in found)
        return {each["check"]: each for each in found}

    return look


Look = Callable[..., dict[str, Any]]


@pytest.fixture
def kept(run: Run, data_dir: Path) -> Path:
    """A data directory that a hub has used."""
    data_dir.chmod(0o700)
    run("user", "add", "alice")
    write_key(data_dir / "signing.key", generate("EdDSA")[0].private)
    with closing(sqlite_log.open_writer(data_dir / "log.db")[0]) as log:
        log.execute("INSERT INTO entry VALUES (1, ?, '[\"news\"]', '{}', NULL, NULL)", (time.time(),))
    return data_dir


def test_a_healthy_hub(look: Look, kept: Path) -> None:
    before = sorted(file.name for file in kept.iterdir())
    found = look()
    assert {check for check, each in found.items() if each["state"] == "fail"} == set()
    for check in ("settings", "data directory", "signing key", "database", "log", "port", "origins"):
        assert found[check]["state"] == "ok", found[check]
    assert found["log"]["said"].startswith("from 0 to 1")
    assert {"disk space", "disk speed", "file system", "file limit", "memory", "clock"} <= found.keys()
    assert sorted(file.name for file in kept.iterdir()) == before


def test_before_the_first_start(look: Look, data_dir: Path) -> None:
    data_dir.rmdir()
    found = look()
    for check in ("data directory", "signing key", "database", "log"):
        assert found[check]["said"].endswith("is made at the first start")
    assert not data_dir.exists()


def break_database(kept: Path) -> None:
    with (kept / "identity.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


def break_clock(kept: Path) -> None:
    with closing(sqlite3.connect(kept / "log.db")) as log, log:
        log.execute("UPDATE entry SET time = time + 3600")


@pytest.mark.parametrize(
    ("harm", "check", "state", "cure"),
    [
        (lambda kept: (kept / "signing.key").chmod(0o644), "signing key", "fail", "nobody else"),
        (lambda kept: (kept / "signing.key").write_text("x"), "signing key", "fail", "can read it"),
        (break_database, "database", "fail", "hub restore"),
        (lambda kept: (kept / "log.db").write_bytes(b"no log" * 1000), "log", "fail", "hub restore"),
        (lambda kept: (kept / "log.db").chmod(0o644), "log", "warn", "chmod 600"),
        (break_clock, "clock", "fail", "set the clock"),
        (lambda kept: kept.chmod(0o755), "data directory", "warn", "chmod o-rwx"),
        (lambda kept: (kept / UNFINISHED).touch(), "data directory", "fail", "hub restore FILE --force"),
    ],
)
def test_what_is_broken_is_found(
    look: Look, kept: Path, harm: Callable[[Path], Any], check: str, state: str, cure: str
) -> None:
    harm(kept)
    found = look()[check]
    assert (found["state"], cure in found["cure"]) == (state, True), found


@pytest.mark.parametrize(
    ("variable", "value", "check", "state"),
    [
        ("HUB_RETENTION_BITES", "1", "settings", "fail"),
        ("HUB_MAX_CONNECTIONS", "100000000", "file limit", "warn"),
        ("HUB_MAX_CONNECTIONS", "100000000", "memory", "warn"),
        ("HUB_RETENTION_BYTES", str(1 << 50), "disk space", "warn"),
        ("HUB_ALLOWED_ORIGINS", "*", "origins", "warn"),
        ("HUB_HOST", "0.0.0.0", "port", "warn"),
        ("HUB_SIGNING_KEY_FILE", "/nowhere", "signing key", "fail"),
    ],
)
def test_what_the_settings_ask_too_much_of(
    look: Look, kept: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, check: str, state: str
) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] == resource.RLIM_INFINITY and check == "file limit":
        pytest.skip("no limit")
    monkeypatch.setenv(variable, value)
    assert look()[check]["state"] == state


def test_a_port_that_somebody_uses(look: Look, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("HUB_PORT", str(other.getsockname()[1]))
        monkeypatch.setattr("hub.doctor.network._PATIENCE", 0.2)
        found = look()["port"]
    assert found["state"] == "fail"
    assert "HUB_PORT" in found["cure"]


def test_beside_a_hub_and_through_to_it(hub: HubProcess, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_PORT", str(hub.port))
    found = look("--url", f"{hub.url}/", "--data-dir", str(hub.data_dir))
    assert found["port"]["said"] == f"a hub answers at 127.0.0.1:{hub.port}"
    for check in ("reached", "clocks", "WebSocket"):
        assert found[check]["state"] == "ok", found[check]


@contextmanager
def proxy(healthy: bytes, date: str | None = None) -> Iterator[str]:
    """Something that answers plain requests, and knows nothing of WebSockets."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/healthz"
            body = healthy if found else b"no"
            self.send_response_only(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            if date is not None:
                self.send_header("Date", date)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_proxy_that_stands_in_the_way(look: Look, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with proxy(b'{"status": "ok"}', "Tue, 01 Jan 2019 00:00:00 GMT") as url:
        found = look("--url", url)
    assert (found["WebSocket"]["state"], "Upgrade" in found["WebSocket"]["cure"]) == ("fail", True)
    assert found["clocks"]["state"] == "warn"
    with proxy(b"welcome") as url:
        assert look("--url", url)["reached"]["state"] == "fail"
    assert look("--url", url)["reached"]["state"] == "fail"


def test_nats(look: Look, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = NatsServer(tmp_path / "nats")
    monkeypatch.setenv("HUB_ENGINE", "nats")
    monkeypatch.setenv("HUB_NATS_URL", server.url)
    monkeypatch.setattr("hub.engine.nats_link._FIRST_CONNECT", 0.5)
    found = look()["NATS"]
    assert found["state"] == "fail"
    assert "no NATS server answers" in found["said"]
    server.start()
    try:
        found = look()
        assert found["NATS"]["state"] == "ok", found["NATS"]
        assert "log" not in found
    finally:
        server.close()


def test_for_people(run: Run, look: Look, kept: Path) -> None:
    (kept / "signing.key").chmod(0o644)
    shown = run("doctor")
    assert shown.code == 1
    line = next(line for line in shown.out.splitlines() if "signing key" in line)
    assert line.startswith("fail")
    assert "chmod 600" in line


def test_a_database_that_does_not_answer(look: Look, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_DATABASE_URL", f"postgresql://hub:opensesame@127.0.0.1:{free_port()}/hub")
    found = look()["database"]
    assert found["state"] == "fail"
    assert "HUB_DATABASE_URL" in found["cure"]
    assert "opensesame" not in json.dumps(found)
