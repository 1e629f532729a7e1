"""`kill -9` of the application, of relays, and of the hub."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.hub_process import HubProcess, clean_environment

from .app import Order
from .table import waiting

pytestmark = [pytest.mark.anyio]


class Process:
    """One of ``app``'s, and the lines that it printed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.clients.outbox.app", *arguments],
            env=clean_environment() | {"PYTHONASYNCIODEBUG": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.lines) < count:
            assert self.process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def spawn() -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def start(*arguments: str) -> Process:
        made.append(Process(*arguments))
        return made[-1]

    yield start
    for each in made:
        each.kill()


@pytest.mark.timeout(240)
async def test_application_relays_and_hub_are_killed(
    database: str, start_hub: Callable[..., HubProcess], spawn: Callable[..., Process], engine: AsyncEngine
) -> None:
    """Whatever is killed when: what was committed is in the log, once, each key in its order, and nothing else is."""
    hub = start_hub()
    made = hub.add_service("shop")
    several = database.startswith("postgresql")

    def relays() -> list[Process]:
        return [spawn("relay", database, hub.url, made["id"], made["secret"]) for _ in range(1 + several)]

    def work() -> None:
        running = relays()
        for life in range(1 + several):
            writer = spawn("write", database, f"life{life}")
            writer.wait_for(20)
            running[0].wait_for(2)
            running[0].kill()
            writer.wait_for(35)
            writer.kill()
            if life == 0:
                hub.kill()
                hub.start()
            running[:1] = relays()[:1]

    await asyncio.to_thread(work)
    async with asyncio.timeout(60):
        while (await waiting(engine)).waiting:
            await asyncio.sleep(0.05)
    assert (await waiting(engine)).parked == 0
    async with engine.connect() as connection:
        committed = {name for (name,) in await connection.execute(select(Order.name))}
        assert await connection.scalar(select(func.count()).select_from(Order)) == len(committed)
    log: list[Any] = []
    after = "earliest"
    while True:
        page = hub.call("GET", "/v1/events", params={"topics": "orders", "after": after, "limit": "1000"})
        log += [entry["event"]["data"] for entry in page["events"]]
        after = page["cursor"]
        if not page["more"]:
            break
    assert set(Counter((life, number, part) for life, number, part in log).values()) == {1}
    assert {f"{life}-{number}" for life, number, _ in log} == committed
    assert len(log) == 2 * len(committed)
    for key in range(3):
        mine = [(life, number, part) for life, number, part in log if number % 3 == key]
        assert mine == sorted(mine)
