"""``AsyncClient`` on real sockets: what it receives, and how that reaches the application."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from hub_client import (
    AsyncClient,
    Event,
    Presence,
    Reset,
    State,
)

from .fake_hub import FakeHub, Socket, client_of, event, jwt, take

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]


async def test_events_arrive_whole(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.send(event(1, data={"text": "Grüße 🎉"}, topic="room:1"))
        await socket.send(event(2, cursor=None, data=None))
        await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub, topics="room:1", client_id="tab-00000001") as client:
        assert client.state is State.OPEN
        assert client.topics == ("all", "user:alice")
        events = client.events()
        first = await anext(events)
        assert first == Event(
            id="id-1",
            type="test",
            source="service:test",
            time="2026-01-01T00:00:00.5Z",
            topic="room:1",
            data={"text": "Grüße 🎉"},
            cursor="e:1",
        )
        assert first.at.isoformat() == "2026-01-01T00:00:00.500000+00:00"
        assert (await anext(events)).cursor is None
        assert client.cursor == "e:1"
    assert client.state is State.STOPPED
    [socket] = hub.sockets
    assert socket.query == {"topics": "room:1", "client": "tab-00000001"}
    assert socket.headers["sec-websocket-protocol"] == "hub.v1"


async def test_resumes_after_every_kind_of_end(hub: FakeHub) -> None:
    ends = [(1012, "restarting"), (1001, ""), (1011, ""), (4000, ""), (1000, "")]

    async def script(socket: Socket) -> None:
        await socket.welcome()
        place = int(socket.query.get("after", "e:0")[2:])
        await socket.send(event(place + 1))
        await socket.send(event(place + 2))
        if socket.number <= len(ends):
            await socket.close(*ends[socket.number - 1])
        else:
            await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub) as client:
        assert await take(client, 12) == list(range(1, 13))
    assert [socket.query.get("after") for socket in hub.sockets] == [None, "e:2", "e:4", "e:6", "e:8", "e:10"]
    assert len({socket.query["client"] for socket in hub.sockets}) == 1


async def test_a_stored_cursor_is_given_back(hub: FakeHub) -> None:
    async with client_of(hub, after="e:7") as client:
        assert client.cursor == "e:7"
    assert hub.sockets[0].query["after"] == "e:7"


async def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="positive"):
        AsyncClient("http://127.0.0.1:9", token=jwt(), buffer_bytes=0)
    with pytest.raises(ValueError, match="lost"):
        AsyncClient("http://127.0.0.1:9", token=jwt(), after="")


async def test_the_cursor_moves_only_past_what_was_handed_over(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        for seq in (1, 2, 3):
            await socket.send(event(seq))
        await socket.send({"type": "cursor", "cursor": "e:9"})
        await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub) as client:
        await client._handover.changed.until(lambda: client._core.cursor == "e:9")
        # Everything has arrived, nothing was handed over.
        assert client.cursor == "e:0"
        seen = []
        async for received in client:
            seen.append((received.cursor, client.cursor))
            if len(seen) == 3:
                break
        assert seen == [("e:1", "e:1"), ("e:2", "e:2"), ("e:3", "e:3")]
        await client._handover.changed.until(lambda: client.cursor == "e:9")


async def test_what_was_buffered_survives_a_reconnect_and_is_asked_for_once(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        if socket.number == 1:
            for seq in (1, 2, 3):
                await socket.send(event(seq))
            await socket.close(1012)
        else:
            await socket.send(event(4))
            await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub) as client:
        await client._handover.changed.until(lambda: len(hub.sockets) == 2)
        assert await take(client, 4) == [1, 2, 3, 4]
    assert hub.sockets[1].query["after"] == "e:3"


async def test_events_before_the_first_listener_are_kept(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.send(event(1))
        await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub) as client:
        await client._handover.changed.until(lambda: client._core.cursor == "e:1")
        seen: asyncio.Queue[Event] = asyncio.Queue()
        client.on("*", seen.put_nowait)
        assert (await seen.get()).data == 1


async def test_callbacks_by_type_sync_and_async_in_order(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        for seq, kind in enumerate(["a", "b", "a"], 1):
            await socket.send(event(seq, type=kind))
        await socket.send(event(4, type="end"))
        await socket.until_closed()

    hub.on_socket = script
    client = client_of(hub)
    seen: list[Any] = []
    done = asyncio.Event()

    @client.on("a")
    async def on_a(received: Event) -> None:
        await asyncio.sleep(0)
        seen.append(("a", received.data))

    client.on("*", lambda received: seen.append(("*", received.data)))
    client.on("b", lambda received: 1 / 0)
    gone = client.on("b", lambda received: seen.append("never"))
    client.off("b", gone)
    client.on("end", lambda received: done.set())
    async with client:
        await done.wait()
        assert seen == [("a", 1), ("*", 1), ("*", 2), ("a", 3), ("*", 3), ("*", 4)]
        assert client.cursor == "e:4"


async def test_a_failing_callback_is_logged(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.send(event(1))
        await socket.send(event(2))
        await socket.until_closed()

    hub.on_socket = script
    client = client_of(hub)
    seen: asyncio.Queue[Event] = asyncio.Queue()

    def clumsy(received: Event) -> None:
        seen.put_nowait(received)
        raise LookupError("oh")

    client.on("test", clumsy)
    async with client:
        assert [(await seen.get()).data for _ in range(2)] == [1, 2]
    assert "clumsy failed" in caplog.text
    assert "LookupError: oh" in caplog.text


async def test_reset_presence_and_state_are_told(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.send(event(1))
        await socket.send({"type": "reset", "reason": "truncated", "cursor": "e:50"})
        await socket.send(event(51))
        await socket.send({"type": "presence", "topic": "room:1", "action": "state", "users": ["alice"]})
        await socket.send({"type": "presence", "topic": "room:1", "action": "join", "user": "bob"})
        await socket.until_closed()

    hub.on_socket = script
    client = client_of(hub)
    order: list[Any] = []
    states: list[State] = []
    people: asyncio.Queue[Presence] = asyncio.Queue()
    client.on("*", lambda received: order.append(received.data))
    client.on_reset(order.append)
    client.on_presence(people.put_nowait)
    client.on_state(states.append)
    async with client:
        assert await people.get() == Presence("room:1", "state", ("alice",))
        assert await people.get() == Presence("room:1", "join", ("bob",))
        await client._handover.changed.until(lambda: len(order) == 3)
        assert order == [1, Reset("truncated", "e:50"), 51]
        assert client.cursor == "e:51"
        assert states == [State.AUTHORIZING, State.CONNECTING, State.OPEN]


async def test_several_iterators_get_every_event(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        for seq in range(1, 6):
            await socket.send(event(seq))
        await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub) as client:
        assert await asyncio.gather(take(client, 5), take(client, 5)) == [[1, 2, 3, 4, 5]] * 2


async def test_breaking_off_and_going_on_loses_nothing(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        for seq in range(1, 7):
            await socket.send(event(seq))
        await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub) as client:
        seen = []
        for _ in range(3):
            async for received in client:
                seen.append(received.data)
                if len(seen) % 2 == 0:
                    break
        assert seen == [1, 2, 3, 4, 5, 6]


async def test_waiting_with_a_timeout_loses_nothing(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        for seq in range(1, 51):
            await socket.send(event(seq))
            await asyncio.sleep(0.001)
        await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub) as client:
        events = client.events()
        seen: list[Any] = []
        while len(seen) < 50:
            try:
                seen.append((await asyncio.wait_for(anext(events), 0.001)).data)
            except TimeoutError:
                continue
        assert seen == list(range(1, 51))


async def test_garbage_is_logged_and_ignored(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        for text in ("", "nonsense", json.dumps({"type": "event"}), json.dumps({"type": "weather"})):
            await socket.send(text)
        await socket.send({"type": "error", "ref": None, "code": "frame_invalid", "detail": "What?"})
        await socket.send(event(1))
        await socket.until_closed()

    hub.on_socket = script
    with caplog.at_level(logging.WARNING, "hub_client"):
        async with client_of(hub) as client:
            assert await take(client, 1) == [1]
    assert caplog.text.count("no frame") == 3
    assert "frame_invalid: What?" in caplog.text
