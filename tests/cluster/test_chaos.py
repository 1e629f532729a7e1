"""Faults by a seeded schedule, under load, on real processes: nothing acknowledged is lost, nothing comes twice.

``make chaos`` runs it long, on three NATS servers with three replicas. A failure prints the seed; ``CHAOS_SEED=n``
plays the same schedule again.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.faults.crowd import TOPICS, Publisher, Reader
from tests.faults.history import caught_up, check, whole_log
from tests.hub_process import HubProcess

from .cluster import Cluster

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(7200)]

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "7"))
SERVERS = int(os.environ.get("CHAOS_SERVERS", "1"))
OUTAGE = float(os.environ.get("CHAOS_OUTAGE", "1"))
"""Longest time that something is away, in seconds."""


class Faults:
    """What can go wrong, each undone after a while."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        self._cluster = cluster
        self._chance = chance

    def schedule(self, rounds: int) -> list[Callable[[], Awaitable[None]]]:
        """Each kind once, in any order, and again."""
        kinds = [self.node_restarted, self.node_killed, self.node_frozen, self.node_cut_off, self.node_far_away]
        kinds += [self.server_frozen, self.all_servers_killed]
        if SERVERS > 1:
            kinds += [self.server_killed, self.leader_killed]
        schedule: list[Callable[[], Awaitable[None]]] = []
        while len(schedule) < rounds:
            schedule += self._chance.sample(kinds, len(kinds))
        return schedule[:rounds]

    async def node_restarted(self) -> None:
        hub = self._chance.choice(self._cluster.hubs)
        assert await asyncio.to_thread(hub.stop) == 0
        await asyncio.to_thread(hub.start)

    async def node_killed(self) -> None:
        hub = self._chance.choice(self._cluster.hubs)
        await asyncio.to_thread(hub.kill)
        await self._while()
        await asyncio.to_thread(hub.start)

    async def node_frozen(self) -> None:
        """It misses what is sent meanwhile, and may be given up by its servers."""
        pid = self._chance.choice(self._cluster.hubs).pid
        os.kill(pid, signal.SIGSTOP)
        try:
            await self._while()
        finally:
            os.kill(pid, signal.SIGCONT)

    async def node_cut_off(self) -> None:
        """From the servers; its clients still reach it."""
        cables = self._chance.choice(self._cluster.cables)
        cables.cut()
        try:
            await self._while()
        finally:
            cables.mend()

    async def node_far_away(self) -> None:
        cables = self._chance.choice(self._cluster.cables)
        cables.lengthen(self._chance.uniform(0.05, 0.3))
        try:
            await self._while()
        finally:
            cables.mend()

    async def server_frozen(self) -> None:
        server = self._chance.choice(self._cluster.servers)
        server.freeze()
        try:
            await self._while()
        finally:
            server.thaw()

    async def server_killed(self) -> None:
        server = self._chance.choice(self._cluster.servers)
        await asyncio.to_thread(server.kill)
        await self._while()
        await asyncio.to_thread(server.start)

    async def leader_killed(self) -> None:
        server = self._cluster.stream_leader()
        await asyncio.to_thread(server.kill)
        await self._while()
        await asyncio.to_thread(server.start)

    async def all_servers_killed(self) -> None:
        for server in self._cluster.servers:
            await asyncio.to_thread(server.kill)
        await self._while()
        for server in self._cluster.servers:
            await asyncio.to_thread(server.start)

    async def _while(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.2, OUTAGE))


async def test_chaos_every_acknowledged_event_reaches_every_entitled_reader_once_in_order(
    start_cluster: Callable[..., Cluster],
) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(1 << 32)))
    print(f"CHAOS_SEED={seed} CHAOS_ROUNDS={ROUNDS} CHAOS_SERVERS={SERVERS}")
    chance = random.Random(seed)
    cluster = start_cluster(servers=SERVERS, drain_timeout=2)
    publishers, readers = enlist(cluster, seed)
    stop_publishing, stop_reading = asyncio.Event(), asyncio.Event()
    writing = [asyncio.create_task(publisher.run(stop_publishing)) for publisher in publishers]
    reading = [asyncio.create_task(reader.run(stop_reading)) for reader in readers]
    try:
        for number, fault in enumerate(Faults(cluster, chance).schedule(ROUNDS), 1):
            await asyncio.sleep(chance.uniform(0.3, 1))
            before = sum(len(publisher.acknowledged) for publisher in publishers)
            await fault()
            for task in writing + reading:
                if task.done():
                    task.result()
            count = sum(len(publisher.acknowledged) for publisher in publishers)
            print(f"round {number}, {fault.__name__}: {count} acknowledged, {count - before} meanwhile")
        await asyncio.gather(*(asyncio.to_thread(until_ready, hub) for hub in cluster.hubs))
        stop_publishing.set()
        await asyncio.wait_for(asyncio.gather(*writing), 60)
        log = await asyncio.to_thread(whole_log, cluster.hubs[0])
        await caught_up(readers, log)
        stop_reading.set()
        await asyncio.wait_for(asyncio.gather(*reading), 60)
    finally:
        for task in writing + reading:
            task.cancel()
        await asyncio.gather(*writing, *reading, return_exceptions=True)
    check(publishers, readers, log)


def enlist(cluster: Cluster, seed: int) -> tuple[list[Publisher], list[Reader]]:
    """Three publishers and eight readers; each of their tries and connections goes to another node."""
    names = [f"reader{n}" for n in range(8)]
    urls, ws_urls = [hub.url for hub in cluster.hubs], [hub.ws_url for hub in cluster.hubs]
    readers = []
    for n, name in enumerate(names):
        topics = [topic for bit, topic in enumerate(TOPICS) if n & (1 << bit)]
        token = cluster.user(name, subscribe=topics)
        readers.append(Reader(name, ws_urls, token, topics, random.Random(seed + n)))
    publishers = [
        Publisher(f"p{n}", urls, cluster.administrator(), names, random.Random(seed + 100 + n)) for n in range(3)
    ]
    return publishers, readers


def until_ready(hub: HubProcess) -> None:
    """It says that it works again, by itself: once a leader is elected, which takes ten seconds and more."""
    deadline = time.monotonic() + 60
    with httpx.Client(base_url=hub.url, timeout=10, trust_env=False) as http:
        while (answer := http.get("/readyz")).status_code != 200:
            assert time.monotonic() < deadline, f"{answer.text}\n{hub.log()[-2000:]}"
            time.sleep(0.2)
