"""``hub backup`` and ``hub restore``: beside a hub that works, back after kill -9, and what they refuse."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.data_directory import UNFINISHED
from tests.hub_process import HubProcess
from tests.transports.raw import RawSocket

from .conftest import Run


@contextmanager
def publishing(hub: HubProcess) -> Iterator[list[dict[str, Any]]]:
    """Publishers that never pause until the hub is gone; what was acknowledged so far."""
    headers = hub.admin_headers()
    acknowledged: list[dict[str, Any]] = []

    def work(name: str) -> None:
        with httpx.Client(base_url=hub.url, trust_env=False, headers=headers) as http:
            for number in range(1_000_000):
                batch = [
                    {"id": f"{name}-{number}-{each}", "type": "t", "data": "x" * 200, "to": {"topics": ["news"]}}
                    for each in range(20)
                ]
                try:
                    acknowledged.extend(http.post("/v1/events", json=batch).raise_for_status().json())
                except httpx.TransportError:
                    return

    threads = [threading.Thread(target=work, args=(f"p{number}",)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield acknowledged
    finally:
        hub.kill()
        for thread in threads:
            thread.join()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come")


def history(hub: HubProcess, after: str = "earliest") -> tuple[list[str], bool]:
    """The ids of all events after a cursor, and whether the reader is told of a gap."""
    found: list[str] = []
    resets = []
    more = True
    while more:
        page = hub.call("GET", "/v1/events", params={"topics": "news", "after": after, "limit": 1000})
        found += [item["event"]["id"] for item in page["events"]]
        resets.append(page["reset"])
        after, more = page["cursor"], page["more"]
    return found, resets[0]


async def resume(hub: HubProcess, token: str, after: str) -> tuple[list[str], dict[str, Any] | None]:
    """What a socket gets that comes back: the ids of the events before the first live one, and the reset."""
    socket = await RawSocket.connect(hub.port, token=token, topics="news", after=after)
    found: list[str] = []
    reset = None
    while (frame := await socket.json())["type"] != "cursor":
        if frame["type"] == "reset":
            reset = frame
        elif frame["type"] == "event":
            found.append(frame["event"]["id"])
    socket.cut()
    return found, reset


def test_a_backup_under_load_and_its_way_back(start_hub: Callable[..., HubProcess], run: Run, tmp_path: Path) -> None:
    hub = start_hub()
    token = hub.add_user("alice", subscribe=["news"])
    directory = ("--data-dir", str(hub.data_dir))
    path = tmp_path / "hub.tar.gz"
    with publishing(hub) as acknowledged:
        until(lambda: len(acknowledged) > 2000)
        before = list(acknowledged)
        made = run("backup", str(path), "--json", *directory)
        assert made.code == 0, made.err
        behind = len(acknowledged)
        until(lambda: len(acknowledged) > behind + 100)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    manifest = json.loads(made.out)
    # In this order: what the database knows of the log is in the log.
    assert [part["name"] for part in manifest["parts"]] == ["identity.db", "signing.key", "log.db"]
    log = manifest["log"]
    key = (hub.data_dir / "signing.key").read_bytes()

    # The disk is lost, and with it what came after the backup.
    refused = run("restore", str(path), *directory)
    assert refused.code == 1
    assert "is not empty" in refused.err
    assert "--force" in refused.err
    restored = run("restore", str(path), "--force", *directory)
    assert restored.code == 0, restored.err
    assert (hub.data_dir / "signing.key").read_bytes() == key
    assert stat.S_IMODE((hub.data_dir / "signing.key").stat().st_mode) == 0o600
    hub.start()
    assert hub.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200

    ids, _ = history(hub)
    assert len(ids) == len(set(ids)) == log["head"]
    assert {one["id"] for one in before} <= set(ids)
    places = {int(one["cursor"].rpartition(":")[2]): one["id"] for one in acknowledged}
    assert ids == [places[seq] for seq in range(1, log["head"] + 1)]
    # Whose cursor is of before the backup goes on without a gap; whose is of what is lost is told so, and gets
    # nothing twice.
    early, late = before[100]["cursor"], max(places)
    assert history(hub, early) == (ids[ids.index(before[100]["id"]) + 1 :], False)
    assert late > log["head"]
    new = hub.publish(topics=["news"])["id"]
    assert asyncio.run(resume(hub, token, early)) == ([*ids[ids.index(before[100]["id"]) + 1 :], new], None)
    got, reset = asyncio.run(resume(hub, token, f"{log['epoch']}:{late}"))
    assert got == [new]
    assert reset is not None
    assert reset["reason"] == "replaced"
    # What is lost is not taken for a duplicate when its publisher says it again.
    lost = next(one for one in acknowledged if one["id"] not in ids)
    event = {"id": lost["id"], "type": "t", "data": "x" * 200, "to": {"topics": ["news"]}}
    assert not hub.call("POST", "/v1/events", json=event)["duplicate"]
    # Both stand in the audit log.
    told = [line["action"] for line in hub.call("GET", "/v1/audit", params={"action": "data.*"})["lines"]]
    assert told == ["data.backup", "data.restore"]
    assert run("audit", "verify", *directory).code == 0


def test_a_backup_of_a_backup_keeps_the_older_cursors(
    start_hub: Callable[..., HubProcess], run: Run, tmp_path: Path
) -> None:
    hub = start_hub()
    directory = ("--data-dir", str(hub.data_dir))
    first, second = (hub.publish(topics=["news"]) for _ in range(2))
    epochs = {second["cursor"].partition(":")[0]}
    for number in range(2):
        hub.stop()
        assert run("backup", str(tmp_path / f"{number}.tar"), *directory).code == 0
        assert run("restore", str(tmp_path / f"{number}.tar"), "--force", *directory).code == 0
        hub.start()
        third = hub.publish(topics=["news"])
        epochs.add(third["cursor"].partition(":")[0])
    assert len(epochs) == 3
    ids, reset = history(hub, first["cursor"])
    assert (ids[0], len(ids), reset) == (second["id"], 3, False)


def test_the_projection_of_the_log_follows_it(run: Run, data_dir: Path, tmp_path: Path) -> None:
    """The inbox's marks are by place in the log; were its epoch another one, they would all be forgotten."""
    run("user", "add", "alice")
    from hub.engine import sqlite_log

    with closing(sqlite_log.open_writer(data_dir / "log.db")[0]) as log:
        [[epoch]] = log.execute("SELECT value FROM meta WHERE key = 'epoch'")
    with closing(sqlite3.connect(data_dir / "identity.db")) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS inbox_progress (id INTEGER PRIMARY KEY, epoch, seq, lanes)")
        database.execute("DELETE FROM inbox_progress")
        database.execute("INSERT INTO inbox_progress VALUES (1, ?, 7, 0)", (epoch,))
    assert run("backup", str(tmp_path / "a.tar")).code == 0
    assert run("restore", str(tmp_path / "a.tar"), "--force").code == 0
    with closing(sqlite_log.open_writer(data_dir / "log.db")[0]) as log:
        [[new]] = log.execute("SELECT value FROM meta WHERE key = 'epoch'")
    with closing(sqlite3.connect(data_dir / "identity.db")) as database:
        assert database.execute("SELECT epoch, seq FROM inbox_progress").fetchall() == [(new, 7)]
    assert new != epoch


def test_a_running_hub_is_left_alone(hub: HubProcess, run: Run, tmp_path: Path) -> None:
    directory = ("--data-dir", str(hub.data_dir))
    path = tmp_path / "hub.tar"
    assert run("backup", str(path), *directory).out == f"{path}\n"
    refused = run("restore", str(path), "--force", *directory)
    assert refused.code == 1
    assert "Another hub runs on the data directory" in refused.err
    again = run("backup", str(path), *directory)
    assert again.code == 1
    assert "already" in again.err
    assert hub.http.get("/readyz").status_code == 200


def test_a_damaged_archive_changes_nothing(run: Run, data_dir: Path, tmp_path: Path) -> None:
    run("user", "add", "alice")
    path = tmp_path / "hub.tar"
    assert run("backup", str(path)).code == 0
    run("user", "add", "bob")
    assert run("restore", str(path), "--check").code == 0
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = {file.name: file.read_bytes() for file in data_dir.iterdir()}
    for way in ("--check", "--force"):
        refused = run("restore", str(path), way)
        assert refused.code == 1
        assert "damaged" in refused.err
        assert refused.err.count("\n") == 1
    assert {file.name: file.read_bytes() for file in data_dir.iterdir() if file.name != "hub.lock"} == before
    assert "bob" in run("user", "list").out


def test_into_a_new_place(run: Run, data_dir: Path, tmp_path: Path) -> None:
    run("user", "add", "alice")
    (data_dir / "signing.key").write_bytes(b"a key")
    (data_dir / "signing.key").chmod(0o640)
    path = tmp_path / "hub.tar"
    assert run("backup", str(path)).code == 0
    target = tmp_path / "elsewhere"
    assert run("restore", str(path), "--data-dir", str(target)).code == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert not any(stat.S_IMODE(file.stat().st_mode) & 0o007 for file in target.iterdir())
    assert (target / "signing.key").read_bytes() == b"a key"
    assert "alice" in run("user", "list", "--data-dir", str(target)).out


def test_a_restore_that_was_cut_short_keeps_the_hub_from_starting(
    run: Run, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("user", "add", "alice")
    path = tmp_path / "hub.tar"
    assert run("backup", str(path)).code == 0
    (data_dir / UNFINISHED).touch()
    monkeypatch.setenv("HUB_PORT", "0")
    refused = run("serve")
    assert refused.code == 1
    assert "was cut short: do it again" in refused.err
    assert run("restore", str(path), "--force").code == 0
    assert not (data_dir / UNFINISHED).exists()


def test_what_is_broken_is_not_backed_up(run: Run, data_dir: Path, tmp_path: Path) -> None:
    run("user", "add", "alice")
    (data_dir / "log.db").write_bytes(b"SQLite format 3\0" + b"nonsense" * 1000)
    refused = run("backup", str(tmp_path / "hub.tar"))
    assert refused.code == 1
    assert "log.db cannot be copied" in refused.err
    assert list(tmp_path.iterdir()) == [data_dir]
