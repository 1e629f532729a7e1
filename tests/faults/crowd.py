"""Publishers that insist and readers that come and go, for the fault tests. Each writes down what it saw.

The readers are written on bare sockets, apart from the clients that we ship, so that a mistake made in both hub and
client cannot hide.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, WebSocketException

TOPICS = ["orders:1", "orders:2", "chat:lobby"]


@dataclass
class Publisher:
    """Publishes numbered events to random targets, and repeats each with the same id until it is acknowledged."""

    name: str
    urls: Sequence[str]
    """Nodes of the hub, each as good as the others: a try goes to any of them."""
    token: str
    users: Sequence[str]
    random: random.Random
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Event id → cursor of the receipt."""
    repeated: int = 0

    async def run(self, stopping: asyncio.Event) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=5) as http:
            number = 0
            while not stopping.is_set():
                batch = []
                for _ in range(self.random.choice([1, 1, 1, 5, 20])):
                    number += 1
                    batch.append({"id": f"{self.name}-{number}", "type": "n", "data": number, "to": self._target()})
                await self._insist(http, batch)
                await asyncio.sleep(self.random.uniform(0, 0.05))

    def _target(self) -> dict[str, Any]:
        match self.random.randrange(5):
            case 0:
                return {"users": self.random.sample(self.users, 2)}
            case 1:
                return {"all": True}
            case 2:
                return {"topics": self.random.sample(TOPICS, 2), "users": [self.random.choice(self.users)]}
            case _:
                return {"topics": [self.random.choice(TOPICS)]}

    async def _insist(self, http: httpx.AsyncClient, batch: list[dict[str, Any]]) -> None:
        while True:
            try:
                response = await http.post(f"{self.random.choice(self.urls)}/v1/events", json=batch)
            except httpx.TransportError:
                response = None
            if response is not None and response.status_code == 200:
                for receipt in response.json():
                    self.acknowledged[receipt["id"]] = receipt["cursor"]
                    self.repeated += receipt["duplicate"]
                return
            assert response is None or response.status_code == 503, (response.status_code, response.text)
            await asyncio.sleep(self.random.uniform(0.02, 0.2))


@dataclass
class Reader:
    """Holds a socket, loses it at will, comes back with its cursor."""

    name: str
    urls: Sequence[str]
    token: str
    topics: Sequence[str]
    random: random.Random
    restless: bool = True
    cursor: str | None = "earliest"
    events: list[tuple[str, str]] = field(default_factory=list)
    """(cursor, event id), in the order of their arrival."""
    resets: int = 0
    connections: int = 0

    @property
    def follows(self) -> set[str]:
        """What it must get."""
        return {f"user:{self.name}", "all", *self.topics}

    async def run(self, stopping: asyncio.Event) -> None:
        """Until ``stopping`` is set."""
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                live = asyncio.create_task(self._live())
                patience = self.random.expovariate(1 / 0.7) if self.restless else None
                await asyncio.wait({live, stop}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                live.cancel()
                await asyncio.gather(live, return_exceptions=True)
                if live.done() and not live.cancelled() and live.exception() is not None:
                    raise AssertionError(f"{self.name}: {live.exception()!r}") from live.exception()
                await asyncio.sleep(self.random.uniform(0, 0.1))
        finally:
            stop.cancel()

    async def _live(self) -> None:
        query = f"topics={','.join(self.topics)}&after={self.cursor}"
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            url = self.random.choice(self.urls)
            socket = await connect(f"{url}?{query}", additional_headers=headers, proxy=None, open_timeout=5)
        except (OSError, TimeoutError, InvalidHandshake, InvalidMessage):
            return
        self.connections += 1
        try:
            async for message in socket:
                self._take(json.loads(message))
        except WebSocketException:
            pass
        finally:
            # Half of the goodbyes are polite; the others are a connection that is simply gone.
            if self.random.random() < 0.5:
                socket.transport.abort()
            else:
                await socket.close()
        # The hub may send us away for a restart, and may die; it may not refuse us.
        assert socket.close_code in (None, 1000, 1005, 1006, 1012), (socket.close_code, socket.close_reason)

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "event":
            self.events.append((frame["cursor"], frame["event"]["id"]))
        if frame["type"] == "reset":
            self.resets += 1
        if frame["type"] in ("welcome", "event", "cursor", "reset"):
            self.cursor = frame["cursor"]
