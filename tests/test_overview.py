"""The overview: true, cheap to ask for, and for operators only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hub_process import HubProcess
from tests.transports.gauges import wait_until
from tests.transports.raw import RawSocket


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path_factory.mktemp("overview"), publish_bytes_user="0/1s")
    try:
        yield hub.start()
    finally:
        hub.close()


def look(hub: HubProcess) -> dict[str, Any]:
    seen: dict[str, Any] = hub.call("GET", "/v1/overview")
    return seen


def count(seen: dict[str, Any], **which: str) -> int:
    return sum(one["count"] for one in seen["connections"] if which.items() <= one.items())


def test_what_is_going_on_is_seen(hub: HubProcess) -> None:
    token = hub.add_user("alice", subscribe=["news", "sport"])

    async def story() -> dict[str, Any]:
        sockets = [await RawSocket.connect(hub.port, token=token, topics="news") for _ in range(3)]
        sockets.append(await RawSocket.connect(hub.port, token=token, topics="news,sport"))
        for socket in sockets:
            await socket.until("welcome")
        before = await asyncio.to_thread(look, hub)
        for _ in range(5):
            await asyncio.to_thread(hub.publish, topics=["news"])
        for socket in sockets:
            for _ in range(5):
                await socket.until("event")

        def seen() -> bool:
            now = look(hub)
            return bool(
                now["events"] == before["events"] + 5
                and now["deliveries"] == before["deliveries"] + 20
                and count(now, transport="websocket", state="live") == 4
            )

        await asyncio.to_thread(wait_until, seen)
        now = await asyncio.to_thread(look, hub)
        for socket in sockets:
            socket.cut()
        return now

    now = asyncio.run(story())
    busy = [(one["topic"], one["subscribers"]) for one in now["top_topics"]]
    assert sorted(busy) == [("all", 4), ("news", 4), ("sport", 1)]
    assert now["latency"]["publish"]["p99"] >= now["latency"]["publish"]["p50"] > 0
    assert now["latency"]["delivery"]["p50"] is not None
    assert (now["log"]["head"], now["log"]["lag"], now["nodes"], now["engine"]) == (5, 0, 1, "embedded")
    assert now["memory"] > 10 << 20
    assert now["uptime"] > 0


def test_a_reader_who_does_not_read_is_named(hub: HubProcess) -> None:
    token = hub.add_user("bob", subscribe=["big"])

    async def story() -> None:
        socket = await RawSocket.connect(hub.port, receive_buffer=4096, token=token, topics="big")
        await socket.until("welcome")

        def named() -> bool:
            hub.publish(topics=["big"], data="x" * 60_000)
            return any(one["source"] == "user:bob" and one["waiting"] > 50_000 for one in look(hub)["slow"])

        await asyncio.to_thread(wait_until, named)
        assert count(look(hub), state="blocked") + count(look(hub), state="catching_up") >= 1
        socket.cut()

    asyncio.run(story())


def test_many_may_watch(hub: HubProcess) -> None:
    """It is made once a second: two that ask at once see the same."""
    wait_until(lambda: look(hub) == look(hub))


def test_nobody_else_sees_it(hub: HubProcess) -> None:
    assert hub.http.get("/v1/overview").status_code == 401
    headers = {"Authorization": f"Bearer {hub.add_user('carol')}"}
    assert hub.http.get("/v1/overview", headers=headers).json()["code"] == "forbidden"
