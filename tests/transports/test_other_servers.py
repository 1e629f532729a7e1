"""The same app on the servers of others, as somebody runs it who has one: the promises are kept there, too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.hub_process import HubProcess

from .gauges import MEBIBYTE, eventually, fill_caches, resident
from .raw import TEXT, RawSocket, frame
from .stream import Stream

pytestmark = pytest.mark.anyio

SERVERS: dict[str, Callable[[int], list[str]]] = {
    "uvicorn websockets": lambda port: [
        "uvicorn", "--factory", "hub.app:create", "--port", str(port), "--ws", "websockets-sansio",
    ],
    "uvicorn wsproto": lambda port: ["uvicorn", "--factory", "hub.app:create", "--port", str(port), "--ws", "wsproto"],
    "hypercorn": lambda port: ["hypercorn", "hub.app:create()", "--bind", f"127.0.0.1:{port}"],
}  # fmt: skip
KERNEL = 4096


def run(directory: Any, server: str, **settings: Any) -> HubProcess:
    hub = HubProcess(directory, **settings)
    hub.command = [sys.executable, "-m", *SERVERS[server](hub.port)]
    return hub.start()


@pytest.fixture(scope="module", params=list(SERVERS))
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One of them for the module. In the end its log has no traceback."""
    settings = {"stall_timeout": 2, "outbox_bytes": 65536, "recent_bytes": 65536, "publish_events_user": 0}
    hub = run(tmp_path_factory.mktemp("other"), request.param, **settings)
    try:
        hub.add_user("alice", subscribe=["orders:*", "news"], publish=["orders:*"])
        fill_caches(hub)
        yield hub
        assert hub.stop() in (0, -signal.SIGTERM)  # uvicorn ends by the signal that it got.
        assert "Traceback" not in hub.log()
        assert " ERROR " not in hub.log()
    finally:
        hub.close()


def dial(hub: HubProcess, **query: str) -> Any:
    return connect(hub.ws_url + "?" + "&".join(f"{name}={value}" for name, value in query.items()), proxy=None)


async def heard(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next frame of a type."""
    async with asyncio.timeout(10):
        while True:
            said: dict[str, Any] = json.loads(await socket.recv())
            if said["type"] == kind:
                return said


async def connections(hub: HubProcess, count: int, within: float = 10) -> None:
    await eventually(lambda: hub.metrics()["hub_connections"], lambda seen: seen == count, within)


async def publish(hub: HubProcess, numbers: range, *, size: int = 4000, to: str = "news") -> None:
    events = [{"type": "n", "data": {"n": n, "x": "x" * size}, "to": {"topics": [to]}} for n in numbers]
    for start in range(0, len(events), 100):
        await asyncio.to_thread(hub.call, "POST", "/v1/events", json=events[start : start + 100])


async def test_a_stream(hub: HubProcess, alice: str) -> None:
    async with connect(f"{hub.ws_url}?token={alice}&topics=orders:1", subprotocols=["hub.v1"], proxy=None) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "hub.v1"
        welcome = await heard(socket, "welcome")
        assert (welcome["user"], "orders:1" in welcome["topics"]) == ("alice", True)
        for request in (
            {"type": "ping", "ref": 1},
            {"type": "subscribe", "ref": 2, "topics": ["orders:2"]},
            {"type": "publish", "ref": 3, "event": {"type": "t", "to": {"topics": ["orders:2"]}}, "echo": True},
            {"type": "nonsense", "ref": 4},
        ):
            await socket.send(json.dumps(request))
        assert (await heard(socket, "ok"))["ref"] == 1
        assert "orders:2" in (await heard(socket, "ok"))["topics"]
        said = [json.loads(await socket.recv()) for _ in range(3)]
        assert sorted(one["type"] for one in said) == ["error", "event", "ok"]
        [connection] = await asyncio.to_thread(hub.call, "GET", "/v1/connections?user=alice")
        assert connection["address"] == "127.0.0.1"
    await connections(hub, 0)


@pytest.mark.parametrize(("token", "code"), [("nonsense", "token_malformed"), (None, "token_missing")])
async def test_who_is_refused_sees_why(hub: HubProcess, token: str | None, code: str) -> None:
    async with dial(hub, **({"token": token} if token else {})) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason.split(":")[0]) == (1008, code)


async def test_who_logs_out_is_told(hub: HubProcess) -> None:
    token = hub.token("alice")
    async with dial(hub, token=token) as socket:
        await heard(socket, "welcome")
        headers = {"Authorization": f"Bearer {token}"}
        assert (await asyncio.to_thread(hub.http.post, "/v1/auth/logout", headers=headers)).status_code == 204
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason.split(":")[0]) == (1008, "logged_out")
    await connections(hub, 0)


async def test_each_event_once_and_in_order_over_broken_connections(hub: HubProcess, alice: str) -> None:
    seen: list[int] = []
    cursor = ""
    publishing = asyncio.create_task(publish(hub, range(1500), size=300, to="orders:3"))
    while len(seen) < 1500:
        query = {"token": alice, "topics": "orders:3"} | ({"after": cursor} if cursor else {"after": "earliest"})
        socket = await RawSocket.connect(hub.port, **query)
        for _ in range(200):
            said = await socket.json()
            cursor = said.get("cursor", cursor)
            if said["type"] == "event" and said["topic"] == "orders:3":
                seen.append(said["event"]["data"]["n"])
                if len(seen) == 1500:
                    break
        # Without a word, and with a part of a frame under way.
        socket.reset()
    await publishing
    assert seen == list(range(1500))
    await connections(hub, 0)


async def test_a_stuck_reader_harms_nobody_and_is_cut_off(hub: HubProcess, alice: str) -> None:
    stuck = await RawSocket.connect(hub.port, receive_buffer=KERNEL, token=alice, topics="news")
    cursor = (await stuck.until("welcome"))["cursor"]
    async with dial(hub, token=alice, topics="news") as well:
        await heard(well, "welcome")
        await publish(hub, range(100))  # So that what the hub keeps anyway is there.
        before = resident(hub.pid)
        delays = []
        for start in range(100, 2100, 100):
            await publish(hub, range(start, start + 100))
            began = time.monotonic()
            while (await heard(well, "event"))["event"]["data"]["n"] != start + 99:
                pass
            delays.append(time.monotonic() - began)
        assert max(delays) < 2
        # 8 MB were published meanwhile.
        assert resident(hub.pid) - before < 6 * MEBIBYTE
    await connections(hub, 0)
    # What had reached it moves its cursor; it comes back and has the rest.
    numbers: list[int] = []
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            opcode, payload = await stuck.receive()
            if opcode != TEXT:  # Pings, and a goodbye where the server adds one.
                continue
            said = json.loads(payload)
            cursor = said.get("cursor", cursor)
            if said["type"] == "event":
                numbers.append(said["event"]["data"]["n"])
    assert len(numbers) < 2100
    again = await RawSocket.connect(hub.port, token=alice, topics="news", after=cursor)
    async with asyncio.timeout(20):
        while len(numbers) < 2100:
            numbers.append((await again.until("event"))["event"]["data"]["n"])
    assert numbers == list(range(2100))
    again.cut()
    await connections(hub, 0)


async def test_a_frame_that_is_too_large_is_the_end(hub: HubProcess, alice: str) -> None:
    socket = await RawSocket.connect(hub.port, token=alice)
    await socket.until("welcome")
    largest = json.dumps({"type": "ping", "ref": 1, "padding": ""}).encode()
    largest = largest.replace(b'""', b'"' + b"x" * (65536 - len(largest)) + b'"')
    socket.send(TEXT, largest)
    assert (await socket.json())["ref"] == 1
    socket.writer.write(frame(TEXT, largest + b" "))
    async with asyncio.timeout(10):
        assert (await socket.end(answer=True))[0] == 1009
    await connections(hub, 0)


# --- Server-sent events


async def test_server_sent_events(hub: HubProcess, alice: str) -> None:
    stream = await Stream.open(hub, None, token=alice, topics="orders:5")
    assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
    assert stream.headers["cache-control"] == "no-store, no-transform"
    start = (await stream.until("welcome")).last_id
    assert stream.parser.retry is not None
    await publish(hub, range(300), size=300, to="orders:5")
    assert await stream.numbers(100) == list(range(100))
    place = stream.last_id
    stream.cut()
    await connections(hub, 0)
    again = await Stream.open(hub, alice, f"Last-Event-ID: {place}", topics="orders:5", after=start)
    assert await again.numbers(200) == list(range(100, 300))
    again.cut()
    await connections(hub, 0)


@pytest.mark.parametrize(
    ("query", "status", "code"), [({}, 401, "token_missing"), ({"topics": "secret"}, 403, "forbidden")]
)
async def test_who_is_refused_a_stream_is_told_why(
    hub: HubProcess, alice: str, query: dict[str, str], status: int, code: str
) -> None:
    stream = await Stream.open(hub, alice if query else None, **query)
    assert (stream.status, f'"code":"{code}"'.encode() in stream.body) == (status, True)
    assert stream.headers["content-type"] == "application/problem+json"


async def test_who_logs_out_is_told_over_a_stream(hub: HubProcess) -> None:
    token = hub.token("alice")
    stream = await Stream.open(hub, token)
    await stream.until("welcome")
    await asyncio.to_thread(hub.http.post, "/v1/auth/logout", headers={"Authorization": f"Bearer {token}"})
    async with asyncio.timeout(2):
        assert await stream.end() == (1008, "logged_out")
    await connections(hub, 0)


async def test_a_stuck_reader_of_a_stream(hub: HubProcess, alice: str) -> None:
    stuck = await Stream.open(hub, alice, topics="news", receive_buffer=KERNEL)
    well = await Stream.open(hub, alice, topics="news")
    await stuck.until("welcome")
    await well.until("welcome")
    await publish(hub, range(100))  # So that what the hub keeps anyway is there.
    assert await well.numbers(100) == list(range(100))
    before = resident(hub.pid)
    for start in range(100, 2100, 100):
        await publish(hub, range(start, start + 100))
        assert await well.numbers(100) == list(range(start, start + 100))
    # 8 MB were published meanwhile.
    assert resident(hub.pid) - before < 6 * MEBIBYTE
    await connections(hub, 1)
    well.cut()
    stuck.cut()
    await connections(hub, 0)


@pytest.mark.parametrize("server", ["uvicorn websockets", "hypercorn"])
async def test_an_open_stream_does_not_hold_up_a_stop(tmp_path_factory: pytest.TempPathFactory, server: str) -> None:
    hub = HubProcess(tmp_path_factory.mktemp("stop"), drain_timeout=1)
    hub.command = [sys.executable, "-m", *SERVERS[server](hub.port)]
    hub.command += ["--timeout-graceful-shutdown" if "uvicorn" in server else "--graceful-timeout", "1"]
    try:
        stream = await Stream.open(hub.start(), hub.add_user("alice"))
        await stream.until("welcome")
        began = time.monotonic()
        assert await asyncio.to_thread(hub.stop) in (0, -signal.SIGTERM)
        assert time.monotonic() - began < 6
        await stream.rest()
    finally:
        hub.close()


@pytest.mark.parametrize("server", list(SERVERS))
async def test_a_stop_sends_everybody_away_and_a_start_finds_them(
    tmp_path_factory: pytest.TempPathFactory, server: str
) -> None:
    hub = run(tmp_path_factory.mktemp("stop"), server, drain_timeout=1)
    try:
        alice = hub.add_user("alice", subscribe=["news"])
        async with dial(hub, token=alice, topics="news") as socket:
            cursor = (await heard(socket, "welcome"))["cursor"]
            assert hub.process is not None
            hub.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            # One of those with which clients come back.
            code = closed.value.rcvd.code if closed.value.rcvd is not None else 1006
            assert code in (1000, 1001, 1006, 1011, 1012)
        assert await asyncio.to_thread(hub.process.wait, 20) in (0, -signal.SIGTERM)
        hub.start()
        await publish(hub, range(3))
        async with dial(hub, token=hub.token("alice"), topics="news", after=cursor) as socket:
            assert [(await heard(socket, "event"))["event"]["data"]["n"] for _ in range(3)] == [0, 1, 2]
        # A second one on the same directory refuses to start.
        other = HubProcess(tmp_path_factory.mktemp("second"), data_dir=hub.data_dir)
        other.command = [sys.executable, "-m", *SERVERS[server](other.port)]
        with pytest.raises(RuntimeError, match="Another hub runs on the data directory"):
            other.start()
        other.close()
        # Those of servers whose connections are cut short (hypercorn's) are their own.
        assert not [line for line in hub.log().splitlines() if line.startswith("  File") and "/hub/" in line]
    finally:
        hub.close()


def test_the_first_administrator_is_shown_their_password_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    hub = HubProcess(tmp_path_factory.mktemp("first"))
    del hub.environment["HUB_ADMIN_PASSWORD"]
    hub.command = [sys.executable, "-m", *SERVERS["uvicorn websockets"](hub.port)]
    try:
        hub.start()
        [line] = [line for line in hub.log().splitlines() if "shown this once" in line]
        password = line.split("password ")[1].split()[0]
        assert hub.login("admin", password)["access_token"]
    finally:
        hub.close()
