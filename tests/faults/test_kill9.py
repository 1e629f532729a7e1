"""kill -9 while publishers write and readers come and go: nothing acknowledged is lost, nothing comes twice.

``make soak`` runs the same for 100 rounds. A failure prints the seed; ``SOAK_SEED=n`` plays it again.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.hub_process import HubProcess

from .crowd import TOPICS, Publisher, Reader

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(3600)]

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "4"))


async def test_soak_every_acknowledged_event_reaches_every_entitled_reader_once_in_order(
    start_hub: Callable[..., HubProcess],
) -> None:
    seed = int(os.environ.get("SOAK_SEED", random.randrange(1 << 32)))
    print(f"SOAK_SEED={seed} SOAK_ROUNDS={ROUNDS}")
    hub = start_hub(access_ttl=86400)
    publishers, readers = enlist(hub, seed)
    stop_publishing, stop_reading = asyncio.Event(), asyncio.Event()
    writing = [asyncio.create_task(publisher.run(stop_publishing)) for publisher in publishers]
    reading = [asyncio.create_task(reader.run(stop_reading)) for reader in readers]
    chance = random.Random(seed)
    try:
        for number in range(ROUNDS):
            await asyncio.sleep(chance.uniform(0.3, 1.5))
            await asyncio.to_thread(hub.kill)
            await asyncio.sleep(chance.uniform(0, 0.3))
            await asyncio.to_thread(hub.start)
            for task in writing + reading:
                if task.done():
                    task.result()
            if ROUNDS > 10 or number == ROUNDS - 1:
                count = sum(len(publisher.acknowledged) for publisher in publishers)
                print(f"round {number + 1}: {count} acknowledged, {sum(r.connections for r in readers)} connections")
        stop_publishing.set()
        await asyncio.wait_for(asyncio.gather(*writing), 60)
        log = await asyncio.to_thread(whole_log, hub)
        await caught_up(readers, log)
        stop_reading.set()
        await asyncio.wait_for(asyncio.gather(*reading), 60)
    finally:
        for task in writing + reading:
            task.cancel()
        await asyncio.gather(*writing, *reading, return_exceptions=True)
    check(publishers, readers, log)


def enlist(hub: HubProcess, seed: int) -> tuple[list[Publisher], list[Reader]]:
    """Four publishers; eight readers of different topics; one who may read nothing but what is for all."""
    names = [f"reader{n}" for n in range(8)]
    readers = []
    for n, name in enumerate(names):
        topics = [topic for bit, topic in enumerate(TOPICS) if n & (1 << bit)]
        token = hub.add_user(name, subscribe=topics)
        readers.append(Reader(name, hub.ws_url, token, topics, random.Random(seed + n), restless=n != 7))
    readers.append(Reader("eve", hub.ws_url, hub.add_user("eve"), [], random.Random(seed + 8)))
    publishers = []
    for n in range(4):
        made = hub.add_service(f"publisher{n}")
        form = {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": made["secret"]}
        token = hub.http.post("/v1/auth/token", data=form).raise_for_status().json()["access_token"]
        publishers.append(Publisher(f"p{n}", hub.url, token, names, random.Random(seed + 100 + n)))
    return publishers, readers


def whole_log(hub: HubProcess) -> list[dict[str, Any]]:
    """Every entry, with every topic that the administrator sees it under, in order."""
    topics = ["all", *TOPICS, *(f"user:reader{n}" for n in range(8))]
    entries: dict[str, dict[str, Any]] = {}
    for topic in topics:
        after, more = "earliest", True
        while more:
            params: dict[str, str | int] = {"topics": topic, "after": after, "limit": 1000}
            response = hub.http.get("/v1/events", params=params, headers=hub.admin_headers())
            page = response.raise_for_status().json()
            assert not page["reset"]
            for item in page["events"]:
                entry = entries.setdefault(item["cursor"], {"cursor": item["cursor"], "id": item["event"]["id"]})
                entry.setdefault("topics", set()).add(topic)
            after, more = page["cursor"], page["more"]
    return sorted(entries.values(), key=lambda entry: place(entry["cursor"]))


def place(cursor: str) -> int:
    """Opaque to clients; the test looks inside to check the order."""
    return int(cursor.rpartition(":")[2])


def due(reader: Reader, log: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(entry["cursor"], entry["id"]) for entry in log if entry["topics"] & reader.follows]


async def caught_up(readers: list[Reader], log: list[dict[str, Any]]) -> None:
    """Wait until every reader has as many events as it is due; ``check`` looks at which."""
    async with asyncio.timeout(60):
        for reader in readers:
            while len(reader.events) < len(due(reader, log)):
                await asyncio.sleep(0.05)


def check(publishers: list[Publisher], readers: list[Reader], log: list[dict[str, Any]]) -> None:
    cursors = {entry["id"]: entry["cursor"] for entry in log}
    assert len(cursors) == len(log), "an event is in the log twice"
    for publisher in publishers:
        assert publisher.acknowledged
        for event_id, cursor in publisher.acknowledged.items():
            assert cursors.get(event_id) == cursor, f"{event_id} was acknowledged at {cursor}"
    for reader in readers:
        assert reader.resets == 0
        assert reader.events == due(reader, log), reader.name
        assert reader.connections > 1
    eve = dict(readers[-1].events)
    assert {entry["id"] for entry in log if entry["cursor"] in eve} == {e["id"] for e in log if "all" in e["topics"]}
    print(
        f"{len(log)} events in the log, {sum(len(reader.events) for reader in readers)} delivered, "
        f"{sum(publisher.repeated for publisher in publishers)} publishes repeated and recognised, "
        f"{sum(reader.connections for reader in readers)} connections"
    )


async def test_an_unentitled_reader_is_refused_and_gets_nothing(hub_server: HubProcess) -> None:
    token = hub_server.add_user("mallory", subscribe=["public:*"])
    for topic in (*TOPICS, "user:alice", "orders:*", "*"):
        response = await asyncio.to_thread(
            httpx.get,
            f"{hub_server.url}/v1/events",
            params={"topics": topic},
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )
        assert response.status_code in (403, 422), topic
