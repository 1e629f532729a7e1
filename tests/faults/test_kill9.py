"""kill -9 while publishers write and readers come and go: nothing acknowledged is lost, nothing comes twice.

``make soak`` runs the same for 100 rounds. A failure prints the seed; ``SOAK_SEED=n`` plays it again.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable

import httpx
import pytest

from tests.hub_process import HubProcess

from .crowd import TOPICS, Publisher, Reader
from .history import caught_up, check, whole_log

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
    eve = dict(readers[-1].events)
    assert {entry["id"] for entry in log if entry["cursor"] in eve} == {e["id"] for e in log if "all" in e["topics"]}


def enlist(hub: HubProcess, seed: int) -> tuple[list[Publisher], list[Reader]]:
    """Four publishers; eight readers of different topics; one who may read nothing but what is for all."""
    names = [f"reader{n}" for n in range(8)]
    readers = []
    for n, name in enumerate(names):
        topics = [topic for bit, topic in enumerate(TOPICS) if n & (1 << bit)]
        token = hub.add_user(name, subscribe=topics)
        readers.append(Reader(name, [hub.ws_url], token, topics, random.Random(seed + n), restless=n != 7))
    readers.append(Reader("eve", [hub.ws_url], hub.add_user("eve"), [], random.Random(seed + 8)))
    publishers = []
    for n in range(4):
        made = hub.add_service(f"publisher{n}")
        form = {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": made["secret"]}
        token = hub.http.post("/v1/auth/token", data=form).raise_for_status().json()["access_token"]
        publishers.append(Publisher(f"p{n}", [hub.url], token, names, random.Random(seed + 100 + n)))
    return publishers, readers


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
