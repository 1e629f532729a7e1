"""However a stream of server-sent events ends, everything it held is released; and none holds up a stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.hub_process import HubProcess

from .gauges import eventually, open_files
from .raw import in_parallel, raise_file_limit
from .stream import Stream
from .test_lifecycle import all_released, held, run, token, warm_up

pytestmark = pytest.mark.anyio

COUNT = 500
TOKENS = [token(f"person-{n}", topics=[f"room:{n // 10}"]) for n in range(COUNT)]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    raise_file_limit()
    hub = run(tmp_path_factory.mktemp("life"))
    try:
        hub.publish(topics=["room:0"])
        asyncio.run(warm_up(hub))
        yield hub
        assert "Traceback" not in hub.log()
        assert " ERROR " not in hub.log()
    finally:
        hub.close()


async def welcomed(hub: HubProcess, token: str, receive_buffer: int | None = None) -> Stream:
    stream = await Stream.open(hub, token, receive_buffer=receive_buffer)
    assert (await stream.next()).name == "welcome"
    return stream


async def people(hub: HubProcess) -> list[Stream]:
    """All of them, each in a room with others."""
    streams = await in_parallel(welcomed(hub, token) for token in TOKENS)
    seen = held(hub)
    assert seen["connections"] == seen["presence_seats"] == COUNT
    assert seen["files"] > COUNT
    return streams


async def finish(streams: Sequence[Stream]) -> None:
    """FIN, as when a process ends or a tab is closed; the hub closes its side, too."""
    for stream in streams:
        stream.client.writer.write_eof()
    assert set(await in_parallel(stream.end() for stream in streams)) == {(1006, "")}


async def reset(streams: Sequence[Stream]) -> None:
    for stream in streams:
        sock: socket.socket = stream.client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        stream.cut()


@pytest.mark.parametrize("end", [finish, reset])
async def test_a_reader_that_ends(hub: HubProcess, end: Callable[[Sequence[Stream]], Awaitable[None]]) -> None:
    async with all_released(hub):
        await end(await people(hub))


async def test_a_reader_that_goes_before_its_welcome(hub: HubProcess) -> None:
    async def come_and_go(token: str) -> None:
        (await Stream.open(hub, token)).cut()

    async with all_released(hub):
        await in_parallel(come_and_go(token) for token in TOKENS)


async def test_a_logout_ends_all_of_the_session(hub: HubProcess) -> None:
    alice = token("alice", topics=["room:1"])
    async with all_released(hub):
        streams = await in_parallel(welcomed(hub, alice) for _ in range(COUNT))
        assert held(hub)["presence_seats"] == 1
        await asyncio.to_thread(hub.http.post, "/v1/auth/logout", headers={"Authorization": f"Bearer {alice}"})
        assert held(hub)["connections"] == 0
        # Their sockets, too, and at once: no answer to a goodbye is waited for.
        await eventually(lambda: open_files(hub.pid), lambda files: files < COUNT / 2, 3)
        assert set(await in_parallel(stream.end() for stream in streams)) == {(1008, "logged_out")}


async def test_a_hub_that_stops_sends_everybody_away(tmp_path: Path) -> None:
    """Within its time, though some are stuck; and it comes back on the same directory and port."""
    hub = run(tmp_path, drain_timeout=2, stall_timeout=60)
    try:
        streams = await people(hub)
        stuck = await in_parallel(welcomed(hub, token, 4096) for token in TOKENS[:20])
        batch = [{"type": "n", "data": "x" * 8000, "to": {"topics": ["room:0", "room:1"]}} for _ in range(50)]
        for _ in range(5):
            await asyncio.to_thread(hub.call, "POST", "/v1/events", json=batch)
        told = asyncio.create_task(in_parallel((stream.end() for stream in streams), COUNT))
        await eventually(hub.metrics, lambda seen: seen["hub_catching_up"] == 20)
        began = time.monotonic()
        assert await asyncio.to_thread(hub.stop) == 0
        assert time.monotonic() - began < 4
        assert set(await told) == {(1012, "restarting")}
        for stream in stuck:
            stream.cut()
        assert "Traceback" not in hub.log()
        assert hub.log().rstrip().endswith("hub.server: stopped")
        hub.start()
        assert held(hub)["connections"] == 0
    finally:
        hub.close()


async def test_a_second_signal_cuts_it_short(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, drain_timeout=60, stall_timeout=60, ping_interval=60).start()
    try:
        bob = hub.add_user("bob", subscribe=["t"])
        stuck = await Stream.open(hub, bob, topics="t", receive_buffer=4096)
        while not hub.metrics()["hub_catching_up"]:
            hub.call("POST", "/v1/events", json=[{"type": "n", "data": "x" * 9000, "to": {"topics": ["t"]}}] * 100)
        assert hub.process is not None
        hub.process.send_signal(signal.SIGINT)
        await eventually(hub.log, lambda log: "sending 1 connections away" in log)
        began = time.monotonic()
        assert await asyncio.to_thread(hub.stop, signal.SIGINT) == 0
        assert time.monotonic() - began < 5
        stuck.cut()
        assert "Traceback" not in hub.log()
    finally:
        hub.close()
