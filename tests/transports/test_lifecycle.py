"""However a connection ends, everything it held is released: 1,000 at once, in each way there is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hub_process import HubProcess

from .gauges import MEBIBYTE, eventually, open_files, resident
from .raw import RawSocket, close_frame, in_parallel, raise_file_limit
from .tokens import claims, sign

pytestmark = pytest.mark.anyio

COUNT = 1000
SECRET = "a secret of the tests, long enough for HS256"
ROOM = 10
"""People in one room, so that they are told of each other."""


def token(subject: str, **more: Any) -> str:
    return sign(SECRET, "HS256", claims(subject, sid=f"session of {subject}", **more))


TOKENS = [token(f"person-{n}", topics=[f"room:{n // ROOM}"]) for n in range(COUNT)]


def run(directory: Path, **settings: Any) -> HubProcess:
    defaults = {
        "signing_secret": SECRET,
        "presence_topics": "room:*",
        "presence_grace": 0.2,
        "ping_interval": 60,
        "connections_user": 0,
    }
    return HubProcess(directory, **(defaults | settings)).start()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub for the module, which has done all of what it does once, so that its pools are filled."""
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


async def warm_up(hub: HubProcess) -> None:
    sockets = await in_parallel(welcomed(hub, token, after="earliest") for token in TOKENS[:50])
    # With a client of its own, whose connections are not counted later on.
    async with httpx.AsyncClient(base_url=hub.url, trust_env=False, headers=hub.admin_headers()) as client:
        await asyncio.gather(*(client.get(path) for path in ("/v1/users", "/v1/events?topics=all") * 8))
    for socket in sockets:
        socket.cut()
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == seen["hub_presence_seats"] == 0)


GAUGES = ("connections", "subscriptions", "topics", "presence_seats", "tasks", "outbox_bytes", "catching_up")


def held(hub: HubProcess) -> dict[str, float]:
    """All that a connection can hold."""
    seen = hub.metrics()
    return {name: seen[f"hub_{name}"] for name in GAUGES} | {"files": open_files(hub.pid)}


@contextlib.asynccontextmanager
async def all_released(hub: HubProcess, within: float = 10) -> Any:
    """What is held after the block is what was held before it."""
    before = await asyncio.to_thread(held, hub)
    assert before["connections"] == before["presence_seats"] == before["catching_up"] == 0
    yield
    try:
        await eventually(lambda: held(hub), lambda now: now == before, within)
    except AssertionError as error:
        raise AssertionError(f"{error}\ninstead of: {before}") from None


async def welcomed(hub: HubProcess, token: str, **options: Any) -> RawSocket:
    socket = await RawSocket.connect(hub.port, token=token, **options)
    assert (await socket.json())["type"] == "welcome"
    return socket


async def people(hub: HubProcess) -> list[RawSocket]:
    """All of them, each in a room with others."""
    sockets = await in_parallel(welcomed(hub, token) for token in TOKENS)
    seen = held(hub)
    assert seen["connections"] == seen["presence_seats"] == COUNT
    assert seen["subscriptions"] == 3 * COUNT
    assert seen["topics"] == COUNT + COUNT / ROOM + 1
    assert seen["files"] > COUNT
    return sockets


# --- The ways of a client


async def say_goodbye(sockets: Sequence[RawSocket]) -> None:
    for socket in sockets:
        socket.writer.write(close_frame(1001))
    assert set(await in_parallel(socket.end() for socket in sockets)) == {(1001, "")}


async def reset(sockets: Sequence[RawSocket]) -> None:
    for socket in sockets:
        socket.reset()


async def finish(sockets: Sequence[RawSocket]) -> None:
    """FIN and no close frame, as when a process ends; the hub closes its side too."""
    for socket in sockets:
        socket.finish()
    assert {code for code, _ in await in_parallel(socket.end() for socket in sockets)} == {1006}


async def break_the_protocol(sockets: Sequence[RawSocket]) -> None:
    for socket in sockets:
        socket.writer.write(b"not a frame")
    assert {code for code, _ in await in_parallel(socket.end() for socket in sockets)} == {1002}


@pytest.mark.parametrize("end", [say_goodbye, reset, finish, break_the_protocol])
async def test_a_client_that_ends(hub: HubProcess, end: Callable[[Sequence[RawSocket]], Awaitable[None]]) -> None:
    async with all_released(hub):
        await end(await people(hub))


async def test_a_client_that_vanishes(tmp_path: Path) -> None:
    """It answers nothing, not even a ping: twice the ping interval later it is given up."""
    hub = run(tmp_path, ping_interval=2)
    try:
        await warm_up(hub)
        async with all_released(hub):
            sockets = await people(hub)
            opened = time.monotonic()
            await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 0, 8)
            assert time.monotonic() - opened < 6
            # Their sockets are gone while ours are still open.
            await eventually(lambda: open_files(hub.pid), lambda files: files < COUNT / 2, 3)
        for socket in sockets:
            socket.cut()
    finally:
        hub.close()


async def test_a_client_that_goes_while_it_catches_up(hub: HubProcess) -> None:
    for _ in range(10):
        batch = [{"type": "n", "data": "x" * 8000, "to": {"all": True}, "ttl": 60} for _ in range(50)]
        await asyncio.to_thread(hub.call, "POST", "/v1/events", json=batch)
    async with all_released(hub):
        # 4 MB wait for each, of which the kernel takes a part, so that the hub is in the midst of it.
        options: dict[str, Any] = {"after": "earliest", "receive_buffer": 4096}
        sockets = await in_parallel(welcomed(hub, token, **options) for token in TOKENS)
        assert held(hub)["catching_up"] > COUNT / 2
        await reset(sockets)


async def test_a_client_that_goes_before_its_welcome(hub: HubProcess) -> None:
    async def come_and_go(token: str) -> None:
        socket = await RawSocket.connect(hub.port, token=token)
        socket.reset()

    async with all_released(hub):
        await in_parallel(come_and_go(token) for token in TOKENS)


# --- The ways of the hub


async def answering(sockets: Sequence[RawSocket]) -> set[tuple[int, str]]:
    """What they are told, while each answers as RFC 6455, 5.5.1 wants it."""

    async def one(socket: RawSocket) -> tuple[int, str]:
        code, reason = await socket.end(answer=True)
        return code, reason.partition(":")[0]

    return set(await in_parallel((one(socket) for socket in sockets), len(sockets)))


async def test_a_logout_ends_every_connection_of_the_session(hub: HubProcess) -> None:
    alice = token("alice", topics=["room:1"])
    async with all_released(hub):
        sockets = await in_parallel(welcomed(hub, alice) for _ in range(COUNT))
        assert held(hub)["presence_seats"] == 1
        response = await asyncio.to_thread(
            hub.http.post, "/v1/auth/logout", headers={"Authorization": f"Bearer {alice}"}
        )
        assert response.status_code == 204
        assert held(hub)["connections"] == 0
        assert await answering(sockets) == {(1008, "logged_out")}


async def test_those_who_never_answer_a_goodbye_are_cut_off(hub: HubProcess) -> None:
    await asyncio.to_thread(hub.add_user, "bob")
    bob = token("bob", topics=["room:1"])
    async with all_released(hub):
        disabled = await in_parallel(welcomed(hub, bob) for _ in range(COUNT))
        await asyncio.to_thread(hub.call, "PATCH", "/v1/users/bob", json={"disabled": True})
        refused = await in_parallel(RawSocket.connect(hub.port, token="nonsense") for _ in range(COUNT))
        # The hub is done with them, only their sockets are there.
        assert held(hub)["connections"] == held(hub)["subscriptions"] == 0
        assert open_files(hub.pid) > 2 * COUNT
    assert {await socket.end() for socket in disabled} == {(1008, "user_disabled: The user or service is disabled.")}
    assert {await socket.end() for socket in refused} == {(1008, "token_malformed: The token cannot be read.")}


async def test_a_hub_that_stops_sends_everybody_away(tmp_path: Path) -> None:
    """With 1012, within its time, though some are stuck, some silent, and some wait for an answer over HTTP."""
    hub = run(tmp_path, drain_timeout=2, stall_timeout=60)
    try:
        sockets = await people(hub)
        stuck = await in_parallel(welcomed(hub, token, receive_buffer=4096) for token in TOKENS[:20])
        for _ in range(5):
            batch = [{"type": "n", "data": "x" * 8000, "to": {"topics": ["room:0", "room:1"]}} for _ in range(50)]
            await asyncio.to_thread(hub.call, "POST", "/v1/events", json=batch)
        poll = asyncio.create_task(
            asyncio.to_thread(hub.http.get, "/v1/events?wait=60&topics=all", headers=hub.admin_headers())
        )
        await eventually(hub.metrics, lambda seen: seen["hub_catching_up"] >= 20)
        told = asyncio.create_task(answering(sockets))
        began = time.monotonic()
        assert await asyncio.to_thread(hub.stop) == 0
        assert time.monotonic() - began < 4
        assert await told == {(1012, "restarting")}
        assert (await poll).json()["events"] == []
        for socket in stuck:
            socket.cut()
        assert "Traceback" not in hub.log()
        assert hub.log().rstrip().endswith("hub.server: stopped")
        # And it comes back on the same directory and port.
        hub.start()
        assert held(hub)["connections"] == 0
    finally:
        hub.close()


# --- For a long time


async def test_memory_does_not_grow_from_round_to_round(hub: HubProcess) -> None:
    sizes = []
    for _ in range(3):
        for end in (say_goodbye, reset):
            async with all_released(hub):
                await end(await in_parallel(welcomed(hub, token) for token in TOKENS[: COUNT // 2]))
        sizes.append(resident(hub.pid))
    # A connection costs some 5 KB: were half of each of 2,000 kept, this would be 5 MB.
    assert sizes[-1] - sizes[0] < 4 * MEBIBYTE, sizes
