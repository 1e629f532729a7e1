"""``make cluster`` as a person uses it: it says where it is, one can log in there, and Ctrl-C ends all of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.hub_process import clean_environment, free_port
from tests.postgres import PostgresServer


def test_the_cluster_of_a_laptop_is_one_address_and_ends_with_ctrl_c(tmp_path: Path, postgres: PostgresServer) -> None:
    port = free_port()
    environment = clean_environment() | {"HUB_PORT": str(port)}
    output = tmp_path / "output"
    with output.open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "tests.cluster"], env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 90
        while "Ctrl-C ends all" not in (said := output.read_text()):
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        found = re.search(r"password (\S+)", said)
        assert found
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as http:
            login = {"username": "admin", "password": found[1]}
            token = http.post("/v1/auth/login", json=login).raise_for_status().json()["access_token"]
            bearer = {"Authorization": f"Bearer {token}"}
            for number in range(6):  # Each connection to the next node.
                event = {"id": f"e{number // 2}", "type": "t", "to": {"users": ["alice"]}}
                answer = httpx.post(f"http://127.0.0.1:{port}/v1/events", json=event, headers=bearer, trust_env=False)
                assert answer.raise_for_status().json()["duplicate"] == bool(number % 2)
            assert http.get("/").status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, output.read_text()
        for pid in re.findall(r"pid (\d+)", said):
            with pytest.raises(ProcessLookupError):
                os.kill(int(pid), 0)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
