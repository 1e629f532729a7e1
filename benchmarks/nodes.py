"""Deliveries a second over several hubs against one (``make bench-nodes``), all on this machine.

Broadcasts in requests of a hundred, published to one node as fast as it takes them, to subscribers that are spread over
the nodes and count what arrives. The embedded hub is there for comparison. On few cores more nodes are not more speed:
each receives and picks from the whole log; what they share out is the work of the connections.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.cluster import SECRET, Cluster
from tests.hub_process import HubProcess
from tests.transports import tokens

SUBSCRIBERS = 300
SECONDS = 6.0
_EVENT = b'"type":"event"'


class Counter(asyncio.Protocol):
    """One subscriber, on a bare socket."""

    def __init__(self, port: int, token: str) -> None:
        self._hello = (
            f"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        )
        self.count = 0
        self._rest = b""
        self.welcome = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._hello.encode())

    def data_received(self, data: bytes) -> None:
        if not self.welcome.done() and b'"type":"welcome"' in data:
            self.welcome.set_result(None)
        self.count += (self._rest + data).count(_EVENT)
        self._rest = data[-len(_EVENT) + 1 :]


async def measure(hubs: list[HubProcess]) -> dict[str, float]:
    """Events a second that were acknowledged, and deliveries a second to all subscribers."""
    loop = asyncio.get_running_loop()
    token = tokens.sign(SECRET, "HS256", tokens.claims("reader"))
    counters: list[Counter] = []
    for number in range(SUBSCRIBERS):
        port = hubs[number % len(hubs)].port
        _, counter = await loop.create_connection(lambda port=port: Counter(port, token), "127.0.0.1", port)
        counters.append(counter)
    await asyncio.gather(*(counter.welcome for counter in counters))
    backend = tokens.sign(SECRET, "HS256", tokens.claims("backend", kind="service", admin=True))
    batch = [{"type": "t", "data": "x" * 100, "to": {"all": True}} for _ in range(100)]
    published = 0

    async with httpx.AsyncClient(trust_env=False, timeout=30, headers={"Authorization": f"Bearer {backend}"}) as http:
        started = time.perf_counter()

        async def publish() -> None:
            nonlocal published
            while time.perf_counter() - started < SECONDS:
                answer = await http.post(f"{hubs[0].url}/v1/events", json=batch)
                published += len(answer.raise_for_status().json())

        await asyncio.gather(*(publish() for _ in range(4)))
    while any(counter.count < published for counter in counters):
        await asyncio.sleep(0.01)
    took = time.perf_counter() - started
    assert all(counter.count == published for counter in counters)
    for counter in counters:
        counter.transport.abort()
    return {"events/s": published / took, "deliveries/s": published * SUBSCRIBERS / took}


def main() -> dict[str, Any]:
    """One embedded hub, one on NATS, three on NATS."""
    results: dict[str, Any] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        hub = HubProcess(directory, signing_secret=SECRET, connections_user=0).start()
        try:
            results["embedded, 1 hub"] = asyncio.run(measure([hub]))
        finally:
            hub.close()
        for nodes in (1, 3):
            cluster = Cluster(directory / str(nodes), nodes=nodes, connections_user=0)
            try:
                results[f"nats, {nodes} hub{'s' * (nodes > 1)}"] = asyncio.run(measure(cluster.start().hubs))
            finally:
                cluster.close()
    return results


if __name__ == "__main__":
    json.dump(main(), sys.stdout, indent=2)
    print()
