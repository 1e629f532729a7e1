"""A hub as a process: how it starts, what it leaves on disk, what it says when it cannot, and how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.hub_process import HubProcess, clean_environment
from tests.transports.gauges import eventually, wait_until
from tests.transports.raw import RawSocket


def serve(directory: Path, **settings: Any) -> subprocess.Popen[str]:
    """A hub on a free port whose words are caught."""
    environment = clean_environment() | {
        "HUB_PORT": "0",
        "HUB_DATA_DIR": str(directory),
        "PYTHONUNBUFFERED": "1",
        **{f"HUB_{name.upper()}": str(value) for name, value in settings.items()},
    }
    return subprocess.Popen(
        [sys.executable, "-m", "hub", "serve"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def greeting(hub: subprocess.Popen[str]) -> str:
    """What it prints once it listens, up to the last line."""
    assert hub.stdout is not None
    lines: list[str] = []
    while not lines or "/docs" not in lines[-1]:
        lines.append(hub.stdout.readline())
        assert lines[-1], hub.communicate()
    return "".join(lines)


def refusal(directory: Path, **settings: Any) -> str:
    """The one sentence on stderr of a hub that cannot start."""
    hub = serve(directory, **settings)
    try:
        out, err = hub.communicate(timeout=30)
    finally:
        hub.kill()
        hub.wait()
    assert hub.returncode in (1, 2), err
    assert out == ""
    assert "Traceback" not in err
    assert err.startswith("Error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


@pytest.fixture(scope="module")
def once_started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that a hub was once started on and stopped."""
    hub = HubProcess(tmp_path_factory.mktemp("once")).start()
    hub.publish(topics=["t"])
    assert hub.stop() == 0
    hub.close()
    return hub.data_dir


@pytest.fixture
def started(once_started: Path, tmp_path: Path) -> Path:
    """A copy of it, for the test to damage."""
    return Path(shutil.copytree(once_started, tmp_path / "data"))


# --- The first start and the next


def test_the_password_is_shown_once(tmp_path: Path) -> None:
    shown = []
    for _ in range(2):
        hub = serve(tmp_path / "data")
        said = greeting(hub)
        shown.append(re.search(r"password +(\S+)", said))
        url = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert url is not None
        hub.send_signal(signal.SIGTERM)
        out, err = hub.communicate(timeout=30)
        assert hub.returncode == 0
        assert "Traceback" not in out + err
    assert shown[0] is not None
    assert len(shown[0][1]) > 16
    assert shown[1] is None
    assert "  log in as   admin   (`hub user passwd admin` sets a new password)\n" in said
    assert "TLS" not in said, "only this machine reaches it"


def test_what_the_log_says_of_a_start(started: Path) -> None:
    hub = serve(started, host="0.0.0.0", admin_username="nobody")
    said = greeting(hub)
    hub.send_signal(signal.SIGTERM)
    _, err = hub.communicate(timeout=30)
    assert hub.returncode == 0
    assert "  log in      as an administrator you made" in said, "nobody is none"
    assert "  network     listens on all interfaces without TLS" in said
    port = re.search(r"http://127\.0\.0\.1:(\d+)/docs", said)
    assert port is not None
    line = f"started {version('notification-hub')} on 0.0.0.0 port {port[1]}, data in {started}, log from 0 to 1"
    assert re.search(rf" INFO +hub\.server: {re.escape(line)}\n", err)


def test_a_password_that_was_given_is_not_shown(tmp_path: Path) -> None:
    hub = serve(tmp_path / "data", admin_password="a password that was given", admin_username="root")
    said = greeting(hub)
    hub.send_signal(signal.SIGINT)
    out, err = hub.communicate(timeout=30)
    assert hub.returncode == 0
    assert "a password that was given" not in said + out + err


def test_what_it_writes_is_its_owner_s_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        hub = HubProcess(tmp_path)
        hub.start()
    finally:
        os.umask(before)
    try:
        hub.publish(topics=["t"])
        assert stat.S_IMODE(hub.data_dir.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in hub.data_dir.iterdir()}
        assert {"log.db", "log.db-wal", "identity.db", "signing.key"} <= set(modes)
        assert {name: mode for name, mode in modes.items() if mode != 0o600} == {}
    finally:
        hub.close()


def test_it_comes_back_with_everything(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path).start()
    try:
        token = hub.add_user("alice")
        receipt = hub.publish(data="kept", users=["alice"], id="kept")
        for _ in range(2):
            assert hub.stop() == 0
            hub.start()
            # Sessions, events, ids and cursors outlive a restart.
            found = hub.http.get("/v1/events", headers={"Authorization": f"Bearer {token}"}).json()["events"]
            assert [entry["cursor"] for entry in found] == [receipt["cursor"]]
            assert hub.publish(data="kept", users=["alice"], id="kept")["duplicate"] is True
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


# --- When it cannot


@pytest.mark.parametrize("kind", ["under a file", "a file", "not to be written"])
def test_a_data_directory_that_cannot_be(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("")
    directory = {
        "under a file": tmp_path / "file" / "data",
        "a file": tmp_path / "file",
        "not to be written": Path("/proc/1"),
    }[kind]
    said = refusal(directory)
    assert str(directory) in said
    assert "HUB_DATA_DIR" in said
    assert ("is a file" in said) == (kind == "a file")


def test_a_port_in_use_and_an_address_that_is_not_here(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "HUB_PORT" in refusal(tmp_path, port=taken.getsockname()[1])
    assert "HUB_HOST" in refusal(tmp_path, host="203.0.113.1")
    assert "HUB_HOST" in refusal(tmp_path, host="no-such-host.invalid")


@pytest.mark.parametrize("name", ["log.db", "identity.db"])
@pytest.mark.parametrize("damage", ["text", "overwritten"])
def test_a_database_that_is_damaged(started: Path, name: str, damage: str) -> None:
    path = started / name
    whole = path.read_bytes()
    if damage == "text":
        path.write_text("this is no database, whatever its name says\n" * 100)
    else:
        path.write_bytes(whole[:16] + os.urandom(len(whole) - 16))
    said = refusal(started)
    assert str(path) in said
    if name == "log.db":
        assert "restore it from a backup" in said


@pytest.mark.parametrize("name", ["log.db", "identity.db"])
def test_a_database_of_a_newer_hub(started: Path, name: str) -> None:
    connection = sqlite3.connect(started / name)
    newer = {"log.db": "PRAGMA user_version = 99", "identity.db": "UPDATE alembic_version SET version_num = '9999'"}
    with connection:
        connection.execute(newer[name])
    connection.close()
    said = refusal(started)
    assert "newer" in said
    assert name in said


def test_a_database_that_is_a_directory(started: Path) -> None:
    (started / "log.db").unlink()
    (started / "log.db").mkdir()
    assert "log.db" in refusal(started)


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0o640, "chmod 600"),
        (b"", 0o600, "not a private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600, "not a private key"),
    ],
)
def test_a_key_that_is_damaged_or_exposed(started: Path, content: bytes | None, mode: int, words: str) -> None:
    path = started / "signing.key"
    if content is not None:
        path.write_bytes(content)
    path.chmod(mode)
    if os.geteuid() == 0 and mode == 0o640:
        # To a group root may lend a key; to be refused it has to belong to somebody else.
        os.chown(path, 65534, 65534)
    said = refusal(started)
    assert str(path) in said
    assert words in said


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"presence_topics": "chat*"}, "HUB_PRESENCE_TOPICS (or presence_topics in hub.toml): 'chat*'"),
        ({"signing_secret": "x" * 31}, "at least 32 bytes"),
    ],
)
def test_a_setting_that_is_wrong(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    said = refusal(tmp_path / "data", **settings)
    assert words in said
    # What was given may be a secret.
    assert "x" * 31 not in said
    assert not (tmp_path / "data").exists()


def test_a_start_that_fails_leaves_the_directory_to_the_next(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refusal(tmp_path / "data", port=taken.getsockname()[1])
    hub = serve(tmp_path / "data")
    assert "password" in greeting(hub)
    hub.terminate()
    hub.communicate(timeout=30)
    assert hub.returncode == 0


# --- The end


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, sig: signal.Signals) -> None:
    hub = HubProcess(tmp_path).start()
    try:
        hub.publish(topics=["t"])
        began = time.monotonic()
        assert hub.stop(sig) == 0
        assert time.monotonic() - began < 3
        assert hub.log().endswith("hub.server: stopped\n")
        # What was written is in the database itself: nothing is left to be recovered.
        assert not (hub.data_dir / "log.db-wal").exists()
    finally:
        hub.close()


def test_an_upload_under_way_does_not_hold_it(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, drain_timeout=1, ping_interval=60).start()
    try:
        with (
            socket.create_connection(("127.0.0.1", hub.port)) as publish,
            socket.create_connection(("127.0.0.1", hub.port)) as upload,
            socket.create_connection(("127.0.0.1", hub.port)) as silent,
        ):
            head = "".join(f"{name}: {value}\r\n" for name, value in hub.admin_headers().items())
            publish.sendall(f"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n{head}\r\n{{".encode())
            upload.sendall(f"POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n{head}\r\n{{".encode())
            silent.sendall(b"GET / HT")
            wait_until(lambda: hub.metrics()["hub_tasks"] > 4)
            began = time.monotonic()
            assert hub.stop() == 0
            assert time.monotonic() - began < 5
        assert "Traceback" not in hub.log()
        assert " ERROR " not in hub.log()
    finally:
        hub.close()


@pytest.mark.anyio
async def test_a_second_signal_cuts_it_short(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, drain_timeout=60, stall_timeout=60, ping_interval=60).start()
    try:
        # One who does not read what is still to be sent to it is waited for, for a minute.
        token = hub.add_user("alice", subscribe=["t"])
        stuck = await RawSocket.connect(hub.port, token=token, topics="t", receive_buffer=4096)
        while not hub.metrics()["hub_catching_up"]:
            hub.call("POST", "/v1/events", json=[{"type": "n", "data": "x" * 9000, "to": {"topics": ["t"]}}] * 100)
        assert hub.process is not None
        hub.process.send_signal(signal.SIGINT)
        await eventually(hub.log, lambda log: "sending 1 connections away" in log)
        began = time.monotonic()
        assert await asyncio.to_thread(hub.stop, signal.SIGINT) == 0
        assert time.monotonic() - began < 5
        stuck.cut()
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


@pytest.mark.parametrize("delay", [0.5, 1.0])
def test_a_signal_while_it_starts(tmp_path: Path, delay: float) -> None:
    """At whatever moment: it ends, without a traceback, and the next start finds all in order."""
    hub = serve(tmp_path / "data", admin_password="correct horse")
    time.sleep(delay)
    hub.send_signal(signal.SIGTERM)
    _, err = hub.communicate(timeout=30)
    # Before it has begun to listen to signals, one ends it as it ends any process.
    assert hub.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in err
    again = serve(tmp_path / "data", admin_password="correct horse")
    greeting(again)
    again.terminate()
    again.communicate(timeout=30)
    assert again.returncode == 0
