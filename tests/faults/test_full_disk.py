"""A disk that is full: nothing is acknowledged falsely, it is told everywhere, and it heals without a restart."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_process import ADMIN_PASSWORD, HubProcess


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, made by the test: as root, as in CI."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def fill(path: Path) -> None:
    """Write until there is no room."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with contextlib.suppress(OSError):
            while os.write(descriptor, b"x" * 4096):
                pass
    finally:
        os.close(descriptor)


def test_a_full_disk_is_told_and_healed_from(small_disk: Path) -> None:
    hub = HubProcess(small_disk)
    filler = small_disk / "filler"
    try:
        hub.start()
        headers = hub.admin_headers()
        before = hub.publish("before", users=["alice"])
        fill(filler)
        acknowledged = []
        for number in range(200):
            event = {"id": f"e{number}", "type": "n", "data": "x" * 2000, "to": {"users": ["alice"]}}
            response = hub.http.post("/v1/events", json=event, headers=headers)
            if response.status_code == 200:
                acknowledged.append(event["id"])  # There was room for a few in what the files have already.
                continue
            assert (response.status_code, response.json()["code"]) == (503, "log_unavailable")
            assert response.headers["retry-after"]
        assert len(acknowledged) < 200
        assert hub.http.get("/readyz").status_code == 503
        assert hub.http.get("/healthz").status_code == 200
        for _ in range(20):
            login = hub.http.post("/v1/auth/login", json={"username": "admin", "password": ADMIN_PASSWORD})
            assert login.status_code in (200, 503), login.text
        filler.unlink()
        after = hub.publish("after", users=["alice"])
        assert hub.http.get("/readyz").status_code == 200
        params = {"topics": "user:alice", "after": "earliest", "limit": 1000}
        page = hub.http.get("/v1/events", params=params, headers=headers).json()
        assert [entry["event"]["id"] for entry in page["events"]] == [before["id"], *acknowledged, after["id"]]
        assert "Traceback" not in hub.log()
    finally:
        hub.close()
