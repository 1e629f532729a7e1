"""What one node is told, all know: events in one order, ephemeral ones, presence; and what NATS being away means."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.hub_process import HubProcess

from .cluster import Cluster

pytestmark = pytest.mark.anyio


def listen(hub: HubProcess, token: str, query: str) -> connect:
    return connect(f"{hub.ws_url}?{query}", additional_headers={"Authorization": f"Bearer {token}"}, proxy=None)


async def frame(socket: ClientConnection, kind: str, within: float = 10) -> dict[str, Any]:
    """The next frame of a kind; others are passed over."""
    async with asyncio.timeout(within):
        while True:
            said: dict[str, Any] = json.loads(await socket.recv())
            if said["type"] == kind:
                return said


def members(hub: HubProcess, token: str) -> list[str]:
    response = hub.http.get("/v1/presence/chat:a", headers={"Authorization": f"Bearer {token}"})
    users: list[str] = response.raise_for_status().json()["users"]
    return users


def ready(hub: HubProcess) -> int:
    return httpx.get(f"{hub.url}/readyz", trust_env=False, timeout=10).status_code


async def until_ready(hub: HubProcess, status: int, within: float) -> None:
    async with asyncio.timeout(within):
        while await asyncio.to_thread(ready, hub) != status:
            await asyncio.sleep(0.05)


async def until_members(hub: HubProcess, token: str, users: list[str]) -> None:
    async with asyncio.timeout(15):
        while await asyncio.to_thread(members, hub, token) != users:
            await asyncio.sleep(0.1)


async def test_events_presence_and_signals_cross_the_nodes(start_cluster: Callable[..., Cluster]) -> None:
    cluster = start_cluster()
    one, two, three = cluster.hubs
    alice = cluster.user("alice", subscribe=["chat:*"], publish=["chat:*"])
    bob = cluster.user("bob", subscribe=["chat:*"], publish=["chat:*"])
    async with listen(two, alice, "topics=chat:a") as at_two, listen(three, bob, "topics=chat:a") as at_three:
        assert (await frame(at_two, "presence"))["users"] == ["alice"]
        assert (await frame(at_two, "presence")) | {"type": ""} == {
            "type": "", "topic": "chat:a", "action": "join", "user": "bob",
        }  # fmt: skip
        # Published on all three at once, raced under the same ids.
        events = [{"id": f"e{n}", "type": "t", "data": n, "to": {"topics": ["chat:a"]}} for n in range(30)]
        answers = await asyncio.gather(
            *(asyncio.to_thread(cluster.publish, node, event) for event in events for node in range(3))
        )
        receipts = [answer.json()[0] for answer in answers]
        assert all(answer.status_code == 200 for answer in answers)
        assert sum(not receipt["duplicate"] for receipt in receipts) == 30
        assert len({(receipt["id"], receipt["cursor"]) for receipt in receipts}) == 30
        seen = [[await frame(socket, "event") for _ in events] for socket in (at_two, at_three)]
        assert seen[0] == seen[1]
        assert {event["event"]["id"] for event in seen[0]} == {event["id"] for event in events}
        typing = {"type": "typing", "to": {"topics": ["chat:a"]}, "durable": False}
        await asyncio.to_thread(cluster.publish, 0, typing)
        for socket in (at_two, at_three):
            assert (await frame(socket, "event"))["event"]["type"] == "typing"
        # A cursor of one node is good on another one, also on one that has not got that far yet.
        cursor = seen[0][19]["cursor"]
        async with listen(one, alice, f"topics=chat:a&after={cursor}") as resumed:
            assert [await frame(resumed, "event") for _ in range(10)] == seen[0][20:]
        # A node killed with -9 takes its people with it, within seconds.
        three.kill()
        gone = await frame(at_two, "presence")
        while (gone["action"], gone.get("user")) != ("leave", "bob"):
            gone = await frame(at_two, "presence")
        await until_members(one, alice, ["alice"])


async def test_while_nats_is_away_nothing_is_acknowledged_and_nobody_is_sent_away(
    start_cluster: Callable[..., Cluster],
) -> None:
    cluster = start_cluster(nodes=2)
    one, two = cluster.hubs
    token = cluster.user("alice")

    event = {"id": "paid", "type": "t", "to": {"users": ["alice"]}}
    async with listen(two, token, "") as socket:
        await frame(socket, "welcome")
        cluster.servers[0].kill()
        started = time.monotonic()
        refused = await asyncio.to_thread(cluster.publish, 0, event)
        assert (refused.status_code, refused.json()["code"]) == (503, "log_unavailable")
        assert refused.headers["Retry-After"]
        for hub in cluster.hubs:
            await until_ready(hub, 503, within=5)
        assert time.monotonic() - started < 8
        assert await asyncio.to_thread(lambda: one.http.get("/healthz").status_code) == 200
        await asyncio.to_thread(cluster.servers[0].start)
        for hub in cluster.hubs:
            await until_ready(hub, 200, within=10)
        assert (await asyncio.to_thread(cluster.publish, 0, event)).status_code == 200
        again = await asyncio.to_thread(cluster.publish, 1, event)
        assert again.json()[0]["duplicate"]
        assert (await frame(socket, "event"))["event"]["id"] == "paid"
        assert socket.close_code is None, "the socket stayed open all the time"


async def test_a_node_that_is_cut_off_says_so_and_gives_its_clients_everything_afterwards(
    start_cluster: Callable[..., Cluster],
) -> None:
    cluster = start_cluster(nodes=2)
    one, two = cluster.hubs
    alice = cluster.user("alice", subscribe=["chat:*"])
    bob = cluster.user("bob", subscribe=["chat:*"])
    async with listen(one, alice, "topics=chat:a") as at_one, listen(two, bob, "topics=chat:a") as at_two:
        await until_members(one, alice, ["alice", "bob"])
        await until_members(two, alice, ["alice", "bob"])
        cluster.cables[0].cut()
        refused = await asyncio.to_thread(cluster.publish, 0, {"type": "t", "to": {"users": ["alice"]}})
        assert (refused.status_code, refused.json()["code"]) == (503, "log_unavailable")
        await until_ready(one, 503, within=8)
        assert await asyncio.to_thread(ready, two) == 200
        events = [{"id": f"e{n}", "type": "t", "to": {"topics": ["chat:a"]}} for n in range(10)]
        assert (await asyncio.to_thread(cluster.publish, 1, *events)).status_code == 200
        seen = [await frame(at_two, "event") for _ in events]
        # To the others, its people are gone; to itself nobody is.
        await until_members(two, bob, ["bob"])
        assert await asyncio.to_thread(members, one, alice) == ["alice", "bob"]
        cluster.cables[0].mend()
        assert [await frame(at_one, "event", within=20) for _ in events] == seen
        await until_ready(one, 200, within=10)
        await until_members(two, bob, ["alice", "bob"])
        assert at_one.close_code is None


async def test_nodes_that_are_given_other_settings_do_not_start(start_cluster: Callable[..., Cluster]) -> None:
    cluster = start_cluster(nodes=1)
    other = HubProcess(cluster.hubs[0].data_dir.parent / "other", engine="nats", nats_url=cluster.nats.url)
    other.log_path.parent.mkdir()
    try:
        with pytest.raises(RuntimeError, match="num_replicas is 1, and HUB_NATS_REPLICAS says 3"):
            await asyncio.to_thread(other.start)
    finally:
        other.close()
