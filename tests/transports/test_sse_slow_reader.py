"""A reader of server-sent events who is slow or stuck: as over a WebSocket, it costs little, and it loses nothing."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hub.transports.sse_connection import EventStream
from tests.hub_process import HubProcess

from .conftest import well_behaved
from .gauges import MEBIBYTE, eventually, fill_caches, resident, wait_until
from .stream import Stream

pytestmark = pytest.mark.anyio

KERNEL = 4096


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    settings = {"stall_timeout": 1.5, "ping_interval": 60, "outbox_bytes": 65536, "recent_bytes": 65536}
    with well_behaved(tmp_path_factory.mktemp("slow"), **settings) as hub:
        fill_caches(hub)
        yield hub


@pytest.fixture
def hub(running: HubProcess) -> HubProcess:
    """The module's hub, with nobody connected."""
    wait_until(lambda: running.metrics()["hub_connections"] == 0)
    return running


async def publish(hub: HubProcess, numbers: range, *, size: int = 4000, **fields: Any) -> None:
    """Publish numbered events, 100 a request."""
    batch = [{"type": "n", "data": {"n": n, "x": "x" * size}, "to": {"topics": ["orders:1"]}} | fields for n in numbers]
    for start in range(0, len(batch), 100):
        await asyncio.to_thread(hub.call, "POST", "/v1/events", json=batch[start : start + 100])


async def follow(hub: HubProcess, token: str, **options: Any) -> Stream:
    stream = await Stream.open(hub, token, topics="orders:1", **options)
    await stream.until("welcome")
    return stream


async def test_a_stuck_reader_harms_nobody_and_loses_nothing(hub: HubProcess) -> None:
    token, evicted_before = hub.token("alice"), hub.metrics()["hub_connections_evicted_total"]
    well = await follow(hub, token)
    await publish(hub, range(200))
    assert await well.numbers(200) == list(range(200))
    before = resident(hub.pid)

    stuck = await follow(hub, token, receive_buffer=KERNEL)
    most_queued, delays = 0.0, []
    for start in range(200, 3000, 400):
        await publish(hub, range(start, start + 400))
        began = time.monotonic()
        assert await well.numbers(400) == list(range(start, start + 400))
        delays.append(time.monotonic() - began)
        most_queued = max(most_queued, hub.metrics()["hub_outbox_bytes"])
    assert max(delays) < 1, "nobody waits for the one who is stuck"
    assert most_queued <= 65536 + 5000
    # 11 MB were published meanwhile; a hub that kept them for it would have grown by that.
    assert resident(hub.pid) - before < 6 * MEBIBYTE
    gone = await eventually(hub.metrics, lambda seen: seen["hub_connections_evicted_total"] > evicted_before)
    assert gone["hub_connections_evicted_total"] == evicted_before + 1
    assert (gone["hub_connections"], gone["hub_catching_up"]) == (1, 0)
    await eventually(hub.log, lambda log: "evicted: it took none of" in log)
    well.cut()

    # What had reached it before it was cut off moves its place, whole events only; it comes back and has the rest.
    numbers = [one.json["event"]["data"]["n"] for one in await stuck.rest() if one.name == "message"]
    assert len(numbers) < 2800
    again = await Stream.open(hub, token, f"Last-Event-ID: {stuck.last_id}", topics="orders:1")
    numbers += await again.numbers(2800 - len(numbers))
    again.cut()
    assert numbers == list(range(200, 3000))


async def test_a_slow_reader_gets_everything_and_is_not_evicted(hub: HubProcess) -> None:
    evicted_before = hub.metrics()["hub_connections_evicted_total"]
    slow = await follow(hub, hub.token("alice"), receive_buffer=KERNEL)
    await publish(hub, range(1000))
    assert hub.metrics()["hub_catching_up"] == 1
    numbers: list[int] = []
    began = time.monotonic()
    while len(numbers) < 1200:
        numbers += await slow.numbers(4)
        await asyncio.sleep(0.016)
        if len(numbers) == 500:
            # What is published while it is behind comes in its place; what is ephemeral, not at all.
            await publish(hub, range(5000, 5100), durable=False)
            await publish(hub, range(1000, 1200))
    assert numbers == list(range(1200))
    assert time.monotonic() - began > 3, "slow for longer than a stuck one is held"
    await eventually(hub.metrics, lambda seen: seen["hub_catching_up"] == 0)
    assert hub.metrics()["hub_connections_evicted_total"] == evicted_before
    # And then live ones with no seam.
    await publish(hub, range(1200, 1203))
    assert await slow.numbers(3) == [1200, 1201, 1202]
    slow.cut()


async def test_one_who_is_stuck_with_little_is_cut_off_too(start_hub: Callable[..., HubProcess]) -> None:
    """What waits for it does not fill its transport: only the heartbeat that finds it there tells of it."""
    hub = start_hub(stall_timeout=1, ping_interval=1)
    stuck = await follow(hub, hub.add_user("alice", subscribe=["orders:*"]), receive_buffer=KERNEL)
    pending = 0
    while not pending:
        await publish(hub, range(1), size=2000)
        pending = hub.call("GET", "/v1/connections")[0]["pending_bytes"]
    assert pending < 10_000
    await eventually(hub.metrics, lambda seen: seen["hub_connections_evicted_total"] == 1, 6)
    assert hub.metrics()["hub_connections"] == 0
    stuck.cut()


async def test_a_stuck_reader_that_resets_is_released_at_once(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub(stall_timeout=600, ping_interval=600)
    stuck = await follow(hub, hub.add_user("alice", subscribe=["orders:*"]), receive_buffer=KERNEL)
    await publish(hub, range(200))
    assert hub.call("GET", "/v1/connections")[0]["pending_bytes"] > 0
    stuck.client.cut()
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 0, 3)
    assert "evicted" not in hub.log()


async def test_one_who_is_stuck_is_sent_away_like_all_others(start_hub: Callable[..., HubProcess]) -> None:
    """A goodbye that it does not read is not waited for beyond its time."""
    hub = start_hub(stall_timeout=600, ping_interval=600)
    token = hub.add_user("alice", subscribe=["orders:*"])
    stuck = await follow(hub, token, receive_buffer=KERNEL)
    await publish(hub, range(200))
    hub.http.post("/v1/auth/logout", headers={"Authorization": f"Bearer {token}"})
    assert hub.metrics()["hub_connections"] == 0
    await eventually(hub.log, lambda log: "hub.sse: closed" in log, 8)
    stuck.cut()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no such option")
async def test_a_dead_peer_is_found_by_the_kernel() -> None:
    """A peer that vanished cannot be had on loopback; that the kernel was asked to look for one can be seen."""
    peer = socket.create_server(("127.0.0.1", 0))
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, *peer.getsockname()[:2])
    around: Any = SimpleNamespace(peers=set(), hub=SimpleNamespace(close=lambda session: None))
    stream = EventStream(transport, around, b"")
    stream.begin(SimpleNamespace(id="c", principal=SimpleNamespace(source="user:alice")), dead_after=40)  # type: ignore[arg-type]
    assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 40_000
    assert around.peers == {stream}
    stream.abort()
    async with asyncio.timeout(5):
        while around.peers:
            await asyncio.sleep(0)
    peer.close()
