"""Several real hubs on one log: NATS servers and nodes in processes of their own, which the test may harm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.hub_process import HubProcess
from tests.nats_server import NatsCluster, NatsServer
from tests.transports import tokens

from .cable import Cables

SECRET = "a secret that all nodes of the tests know"


class Cluster:
    """``nodes`` hubs on ``servers`` NATS servers. Unless they have a key, every node takes the test's own tokens."""

    def __init__(self, directory: Path, *, nodes: int = 3, servers: int = 1, **settings: Any) -> None:
        self.nats: NatsServer | NatsCluster
        self.nats = NatsServer(directory / "nats") if servers == 1 else NatsCluster(directory / "nats", servers)
        common = {
            "engine": "nats",
            "nats_replicas": 1 if servers == 1 else 3,
            "presence_grace": 0,
        }
        if "signing_key_file" not in settings:
            common["signing_secret"] = SECRET
        self.hubs = []
        self.cables = [Cables([server.url for server in self.servers]) for _ in range(nodes)]
        """Each node's own."""
        for number, cables in enumerate(self.cables):
            home = directory / f"hub{number}"
            home.mkdir(parents=True)
            self.hubs.append(HubProcess(home, **(common | {"nats_url": cables.url} | settings)))

    @property
    def servers(self) -> Sequence[NatsServer]:
        return [self.nats] if isinstance(self.nats, NatsServer) else self.nats.servers

    def start(self) -> Cluster:
        """Start all, the nodes at once."""
        self.nats.start()
        for cables in self.cables:
            cables.start()
        with ThreadPoolExecutor(len(self.hubs)) as pool:
            list(pool.map(HubProcess.start, self.hubs))
        return self

    def close(self) -> None:
        """End all."""
        for hub in self.hubs:
            hub.close()
        for cables in self.cables:
            cables.close()
        self.nats.close()

    def user(self, name: str, **grants: Sequence[str]) -> str:
        """A user's token. ``subscribe``, ``publish``: patterns."""
        return tokens.sign(SECRET, "HS256", tokens.claims(name, grants={k: list(v) for k, v in grants.items()}))

    def administrator(self) -> str:
        """The token of a service that may do anything."""
        return tokens.sign(SECRET, "HS256", tokens.claims("backend", kind="service", admin=True))

    def publish(self, node: int, *events: dict[str, Any], timeout: float = 15) -> httpx.Response:
        """POST events to one of the nodes."""
        headers = {"Authorization": f"Bearer {self.administrator()}"}
        return self.hubs[node].http.post("/v1/events", json=list(events), headers=headers, timeout=timeout)

    def stream_leader(self) -> NatsServer:
        """The server that leads the stream, by what the servers' monitoring would say: each tells of its elections."""
        best, leader = -math.inf, self.servers[0]
        for server in self.servers:
            for line in server.log_path.read_text().splitlines():
                # [pid] 2026/11/24 22:01:06.478304 [INF] JetStream cluster new stream leader for '$G > hub'
                if "new stream leader for" in line and (when := _when(line)) > best:
                    best, leader = when, server
        return leader


def _when(line: str) -> float:
    day, time = line.split("] ", 1)[1].split(" ", 2)[:2]
    hours, minutes, seconds = time.split(":")
    return int(day.replace("/", "")) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)
