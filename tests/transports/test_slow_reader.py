"""A reader that is slow or stuck: it costs the hub little memory and the others nothing, and it loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.hub_process import HubProcess

from .gauges import MEBIBYTE, eventually, fill_caches, resident, wait_until
from .raw import PING, TEXT, RawSocket, frame

pytestmark = pytest.mark.anyio

KERNEL = 4096
"""What the kernel takes for a reader who does not read, so that it is soon behind."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(
        tmp_path_factory.mktemp("slow"),
        stall_timeout=1.5,
        ping_interval=5,
        outbox_bytes=65536,
        recent_bytes=65536,
        presence_grace=0,
        frame_rate=0,  # Its own bound is in test_frame_rate: here it is that answers are not read.
    )
    try:
        hub.start().add_user("alice", subscribe=["news", "chat:*"])
        fill_caches(hub)
        yield hub
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


@pytest.fixture
def hub(running: HubProcess) -> HubProcess:
    """The module's hub, with nobody connected."""
    wait_until(lambda: running.metrics()["hub_connections"] == 0)
    return running


def evicted(hub: HubProcess) -> float:
    return hub.metrics()["hub_connections_evicted_total"]


async def welcomed(hub: HubProcess, token: str, **options: Any) -> tuple[RawSocket, str]:
    """A connection, and its cursor."""
    socket = await RawSocket.connect(hub.port, token=token, **options)
    return socket, (await socket.until("welcome"))["cursor"]


async def publish(hub: HubProcess, numbers: range, *, size: int = 4000, to: str = "news", **fields: Any) -> None:
    """Publish numbered events, 100 a request."""
    events = [
        {"type": "n", "data": {"n": n, "sent": 0, "x": "x" * size}, "to": {"topics": [to]}} | fields for n in numbers
    ]
    for start in range(0, len(events), 100):
        batch = events[start : start + 100]
        for event in batch:
            event["data"]["sent"] = time.time()
        await asyncio.to_thread(hub.call, "POST", "/v1/events", json=batch)


class Follower:
    """Reads all the time, and notes when what arrived."""

    def __init__(self, socket: RawSocket) -> None:
        self.socket = socket
        self.numbers: list[int] = []
        self.delays: list[float] = []
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            said = await self.socket.until("event")
            self.numbers.append(said["event"]["data"]["n"])
            self.delays.append(time.time() - said["event"]["data"]["sent"])

    async def has(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.numbers) < count:
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.socket.cut()


@pytest.fixture
async def followers(hub: HubProcess) -> AsyncIterator[list[Follower]]:
    """Five who are well."""
    token = hub.token("alice")
    made = [Follower((await welcomed(hub, token, topics="news"))[0]) for _ in range(5)]
    yield made
    for follower in made:
        await follower.stop()


async def test_a_stuck_reader_harms_nobody_and_loses_nothing(hub: HubProcess, followers: list[Follower]) -> None:
    token, evicted_before = hub.token("alice"), evicted(hub)
    await publish(hub, range(200))
    for follower in followers:
        await follower.has(200)
    before = resident(hub.pid)

    stuck, cursor = await welcomed(hub, token, topics="news", receive_buffer=KERNEL)
    most_queued = 0.0
    for start in range(200, 3000, 400):
        await publish(hub, range(start, start + 400))
        seen = hub.metrics()
        most_queued = max(most_queued, seen["hub_outbox_bytes"])
        assert seen["hub_catching_up"] <= 1
    for follower in followers:
        await follower.has(3000)
        assert follower.numbers == list(range(3000))
        # Nobody waited for the one who is stuck.
        assert max(follower.delays) < 1
        assert statistics.median(follower.delays) < 0.2
    assert most_queued <= 65536 + 5000
    # 11 MB were published meanwhile; a hub that kept them for it would have grown by that.
    assert resident(hub.pid) - before < 6 * MEBIBYTE

    gone = await eventually(hub.metrics, lambda seen: seen["hub_connections_evicted_total"] > evicted_before)
    assert gone["hub_connections_evicted_total"] == evicted_before + 1
    assert gone["hub_connections"] == 5
    assert gone["hub_catching_up"] == 0
    await eventually(hub.log, lambda log: "evicted: it took none of" in log)

    # What had reached it before it was cut off moves its cursor; it comes back and has the rest.
    numbers: list[int] = []
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            said = await stuck.json()
            cursor = said.get("cursor", cursor)
            if said["type"] == "event":
                numbers.append(said["event"]["data"]["n"])
    stuck.cut()
    assert len(numbers) < 2800
    again = await RawSocket.connect(hub.port, token=token, topics="news", after=cursor)
    async with asyncio.timeout(20):
        while (said := await again.json())["type"] != "cursor":
            if said["type"] == "event":
                numbers.append(said["event"]["data"]["n"])
    again.cut()
    assert numbers == list(range(200, 3000))


async def test_a_slow_reader_gets_everything_and_is_not_evicted(hub: HubProcess) -> None:
    evicted_before = evicted(hub)
    slow, _ = await welcomed(hub, hub.token("alice"), topics="news", receive_buffer=KERNEL)
    await publish(hub, range(1000))
    assert hub.metrics()["hub_catching_up"] == 1
    numbers: list[int] = []
    began = time.monotonic()
    async with asyncio.timeout(30):
        while len(numbers) < 1200:
            numbers.append((await slow.until("event"))["event"]["data"]["n"])
            await asyncio.sleep(0.004)
            if len(numbers) == 500:
                # What is published while it is behind comes in its place.
                await publish(hub, range(1000, 1200))
    assert numbers == list(range(1200))
    assert time.monotonic() - began > 3, "slow for longer than a stuck one is held"
    await eventually(hub.metrics, lambda seen: seen["hub_catching_up"] == 0)
    assert evicted(hub) == evicted_before
    # And then live ones with no seam.
    await publish(hub, range(1200, 1203))
    assert [(await slow.until("event"))["event"]["data"]["n"] for _ in range(3)] == [1200, 1201, 1202]
    slow.cut()


async def test_ephemeral_events_are_dropped_for_one_who_is_behind(hub: HubProcess, followers: list[Follower]) -> None:
    slow, _ = await welcomed(hub, hub.token("alice"), topics="news", receive_buffer=KERNEL)
    await publish(hub, range(200))
    assert hub.metrics()["hub_catching_up"] == 1
    await publish(hub, range(1000, 1300), durable=False)
    await publish(hub, range(200, 210))
    for follower in followers:
        await follower.has(510)
    seen: list[int] = []
    async with asyncio.timeout(20):
        while not seen or seen[-1] != 209:
            seen.append((await slow.until("event"))["event"]["data"]["n"])
    assert [n for n in seen if n < 1000] == list(range(210))
    assert [n for n in seen if n >= 1000] == []
    slow.cut()


async def test_many_ephemeral_events_do_not_push_out_a_durable_one(hub: HubProcess) -> None:
    slow, _ = await welcomed(hub, hub.token("alice"), topics="news", receive_buffer=KERNEL)
    await publish(hub, range(1000, 1300), durable=False)
    await publish(hub, range(1))
    await publish(hub, range(2000, 2300), durable=False)
    seen: list[int] = []
    async with asyncio.timeout(20):
        while not seen or seen[-1] != 0:
            seen.append((await slow.until("event"))["event"]["data"]["n"])
    kept = [n for n in seen if n >= 1000]
    assert kept == sorted(kept)
    assert len(kept) < 300
    slow.cut()


async def test_presence_is_sent_anew_to_one_who_was_behind(hub: HubProcess) -> None:
    slow, _ = await welcomed(hub, hub.token("alice"), topics="news,chat:1", receive_buffer=KERNEL)
    assert (await slow.until("presence"))["users"] == ["alice"]
    await publish(hub, range(200))
    assert hub.metrics()["hub_catching_up"] == 1
    bob, _ = await welcomed(hub, hub.add_user("bob", subscribe=["chat:*"]), topics="chat:1")
    carol, _ = await welcomed(hub, hub.add_user("carol", subscribe=["chat:*"]), topics="chat:1")
    bob.cut()
    await eventually(lambda: hub.call("GET", "/v1/presence/chat:1")["users"], lambda users: users == ["alice", "carol"])
    frames: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while not frames or frames[-1]["type"] != "presence":
            frames.append(await slow.json())
    assert frames[-1] == {"type": "presence", "topic": "chat:1", "action": "state", "users": ["alice", "carol"]}
    numbers = [said["event"]["data"]["n"] for said in frames if said["type"] == "event"]
    assert numbers == list(range(200))
    carol.cut()
    assert await slow.until("presence") == {"type": "presence", "topic": "chat:1", "action": "leave", "user": "carol"}
    slow.cut()


# --- Those who ask and do not read the answers


@pytest.mark.parametrize(
    "asked",
    [
        frame(PING, b"x" * 125),
        frame(TEXT, b'{"type":"ping","ref":1}'),
        frame(TEXT, b'{"type":"nonsense"}'),
        frame(TEXT, b'{"type":"subscribe","ref":1,"topics":["news"]}'),
        frame(TEXT, b'{"type":"unsubscribe","ref":1,"topics":["nowhere"]}'),
    ],
    ids=["websocket pings", "pings", "nonsense", "requests", "long answers"],
)
async def test_a_flood_of_requests_is_bounded(hub: HubProcess, asked: bytes) -> None:
    flood = asked * 2000
    rude, _ = await welcomed(hub, hub.token("alice"), receive_buffer=KERNEL)
    if b"unsubscribe" in asked:
        names = ",".join(f'"chat:{n}-{"x" * 180}"' for n in range(100))
        rude.writer.write(frame(TEXT, f'{{"type":"subscribe","ref":0,"topics":[{names}]}}'.encode()))
        await rude.until("ok")
    before = resident(hub.pid)
    written = 0
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(4):
            while written < 60 * MEBIBYTE:
                rude.writer.write(flood)
                await rude.writer.drain()
                written += len(flood)
    # It is not read any more, and in the end it is cut off.
    assert written < 60 * MEBIBYTE
    assert resident(hub.pid) - before < 10 * MEBIBYTE
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 0)
    rude.cut()


async def test_one_who_is_refused_floods_in_vain(hub: HubProcess) -> None:
    rude = await RawSocket.connect(hub.port, token="nonsense", receive_buffer=KERNEL)
    before = resident(hub.pid)
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(3):
            while True:
                rude.writer.write(frame(PING, b"x" * 125) * 2000)
                await rude.writer.drain()
    assert resident(hub.pid) - before < 10 * MEBIBYTE
    rude.cut()


async def test_a_stuck_reader_that_resets_is_released_at_once(start_hub: Callable[..., HubProcess]) -> None:
    """Also while an answer waits for room: nothing then reads the connection, which could notice."""
    hub = start_hub(stall_timeout=600, ping_interval=600)
    rude, _ = await welcomed(hub, hub.add_user("alice"), receive_buffer=KERNEL)
    rude.writer.write(frame(TEXT, b'{"type":"nonsense","ref":"' + b"r" * 50 + b'"}') * 20_000)
    await eventually(
        lambda: hub.call("GET", "/v1/connections"), lambda found: bool(found) and found[0]["pending_bytes"] > 65536
    )
    rude.reset()
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 0, 3)
    assert "evicted" not in hub.log()


async def test_one_who_is_stuck_with_little_is_cut_off_too(start_hub: Callable[..., HubProcess]) -> None:
    """What waits for it does not fill its transport: no back-pressure tells of it, only that it takes nothing."""
    hub = start_hub(stall_timeout=1, ping_interval=1)
    stuck, _ = await welcomed(hub, hub.add_user("alice", subscribe=["news"]), topics="news", receive_buffer=KERNEL)
    pending = 0
    while not pending:
        await publish(hub, range(1), size=2000)
        pending = hub.call("GET", "/v1/connections")[0]["pending_bytes"]
    assert pending < 10_000
    await eventually(hub.metrics, lambda seen: seen["hub_connections_evicted_total"] == 1, 6)
    assert hub.metrics()["hub_connections"] == 0
    stuck.cut()
