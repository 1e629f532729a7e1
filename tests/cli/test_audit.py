"""``hub audit``: read, exported, followed and checked, beside a running hub and without one."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.hub_process import HubProcess

from .conftest import Run, client_of, command


@pytest.fixture
def filled(run: Run, data_dir: Path) -> Path:
    for name in ("alice", "bob"):
        assert run("user", "add", name).code == 0
    assert run("user", "disable", "alice").code == 0
    assert run("service", "add", "shop").code == 0
    return data_dir


def exported(run: Run, *options: str) -> list[dict[str, Any]]:
    outcome = run("audit", "export", *options)
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.out.splitlines()]


def tamper(data_dir: Path, statement: str) -> None:
    engine = create_engine(f"sqlite:///{data_dir / 'identity.db'}")
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_what_was_done_here_is_told(run: Run, filled: Path) -> None:
    lines = exported(run)
    assert [(line["action"], line["target"]) for line in lines] == [
        ("user.create", "user:alice"),
        ("user.create", "user:bob"),
        ("user.change", "user:alice"),
        ("service.create", "service:shop"),
        ("audit.export", ""),
    ]
    assert len({line["actor"] for line in lines}) == 1
    assert re.fullmatch(r"local:[^:]+", lines[0]["actor"])


def test_a_name_from_the_environment_is_not_believed(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = exported(run)[0]["actor"]
    for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "somebody-else")
    assert exported(run)[-1]["actor"] == before


def test_the_list_for_people(run: Run, filled: Path) -> None:
    shown = run("audit", "list")
    assert shown.code == 0
    header, *rows = shown.out.splitlines()
    assert header.split() == ["TIME", "ACTOR", "ADDRESS", "ACTION", "TARGET", "OUTCOME", "DETAILS"]
    assert len(rows) == 5
    assert '{"disabled": [false, true]}' in rows[2]
    assert "audit.read" in rows[4]
    assert len(run("audit", "list", "--limit", "2", "--json").out.splitlines()) == 2


def test_filters(run: Run, filled: Path) -> None:
    assert [line["target"] for line in exported(run, "--action", "user.*", "--target", "user:alice")] == [
        "user:alice"
    ] * 2
    assert [line["target"] for line in exported(run, "--action", "service.create")] == ["service:shop"]
    assert exported(run, "--outcome", "credentials_invalid") == []
    assert exported(run, "--actor", "user:alice") == []
    assert len(exported(run, "--since", "1h")) > 5
    assert exported(run, "--until", "1h") == []
    assert exported(run, "--since", "2099-01-01") == []
    last = exported(run, "--action", "audit.export", "--since", "2020-01-01T00:00:00Z")[-1]
    assert last["details"] == {"action": "audit.export", "since": 1577836800.0}, "what was asked for is told"


@pytest.mark.parametrize("when", ["yesterday", "2h ago", ""])
def test_what_is_no_time(run: Run, filled: Path, when: str) -> None:
    refused = run("audit", "list", "--since", when)
    assert refused.code == 2
    assert "is no time: write how long ago" in refused.err


def test_a_whole_log(run: Run, filled: Path) -> None:
    checked = run("audit", "verify")
    assert (checked.code, checked.err) == (0, "The audit log is whole: 4 lines.\n")
    assert re.fullmatch(r"4:[0-9a-f]{64}\n", checked.out)
    mark = checked.out.strip()
    assert run("user", "enable", "alice").code == 0
    again = run("audit", "verify", "--expect", mark)
    assert again.code == 0
    assert again.out.startswith("5:")


def test_a_log_that_was_touched(run: Run, filled: Path) -> None:
    mark = run("audit", "verify").out.strip()
    tamper(filled, "DELETE FROM audit WHERE seq = 4")
    assert run("audit", "verify").code == 0
    cut = run("audit", "verify", "--expect", mark)
    assert (cut.code, cut.out) == (1, "")
    assert f"it has no line {mark}" in cut.err
    tamper(filled, "UPDATE audit SET target = 'user:eve' WHERE seq = 2")
    changed = run("audit", "verify")
    assert (changed.code, changed.out) == (1, "")
    assert "is not whole: line 2 is not what it was when it was written. It is good up to line 1." in changed.err


def test_an_export_is_checked_without_the_log(run: Run, filled: Path, tmp_path: Path) -> None:
    lines = run("audit", "export").out.splitlines(keepends=True)
    file = tmp_path / "audit.jsonl"
    file.write_text("".join(lines))
    assert run("audit", "verify", str(file)).out == run("audit", "verify").out
    file.write_text("".join(lines[2:]))
    assert run("audit", "verify", str(file)).code == 0, "from where it begins"
    file.write_text("".join(lines[:2] + lines[3:]))
    assert "line 3 is missing: line 4 follows line 2" in run("audit", "verify", str(file)).err
    file.write_text(lines[0].replace("alice", "eve"))
    assert "line 1 is not what it was" in run("audit", "verify", str(file)).err
    file.write_text("{}\n")
    assert "this is no audit log" in run("audit", "verify", str(file)).err
    for content in ("not JSON", "[]\n"):
        file.write_text(content)
        assert run("audit", "verify", str(file)).code == 1
    assert "cannot be read" in run("audit", "verify", str(tmp_path / "nowhere")).err
    assert run("audit", "verify", "--expect", "x").code == 2


def test_a_running_hub_is_followed(hub: HubProcess) -> None:
    environment = client_of(hub) | {"PYTHONUNBUFFERED": "1"}
    follower = subprocess.Popen(
        command("audit", "list", "--follow", "--json", "--limit", "1", "--action", "user.*"),
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert follower.stdout is not None
        first = json.loads(follower.stdout.readline())
        assert (first["actor"], first["target"]) == ("hub", "user:admin")
        hub.add_user("alice")
        told = json.loads(follower.stdout.readline())
        assert (told["actor"], told["action"], told["target"]) == ("user:admin", "user.create", "user:alice")
        assert told["address"] == "127.0.0.1"
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) in (0, 130)
    finally:
        if follower.poll() is None:
            follower.kill()
        follower.communicate()


def test_failed_logins_of_a_running_hub(hub: HubProcess) -> None:
    for _ in range(3):
        hub.http.post("/v1/auth/login", json={"username": "admin", "password": "wrong horse"})
    deadline = time.monotonic() + 20
    lines: list[dict[str, Any]] = []
    while not lines and time.monotonic() < deadline:
        lines = hub.call("GET", "/v1/audit", params={"outcome": "credentials_invalid"})["lines"]
    assert [(line["actor"], line["target"], line["address"]) for line in lines] == [
        ("anonymous", "user:admin", "127.0.0.1")
    ]
    assert lines[0]["details"]["count"] == 3


def test_without_a_hub_there_is_nothing_to_read(run: Run, tmp_path: Path) -> None:
    missing = run("audit", "list", "--data-dir", str(tmp_path / "nowhere"))
    assert missing.code == 1
    assert "There is no data directory" in missing.err
    assert list(tmp_path.iterdir()) == []
