"""``AsyncClient`` on real sockets, against a scripted hub."""

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
    PublishFailed,
    Refused,
    Rejected,
    Reset,
    State,
    Unavailable,
)

from .fake_hub import Call, FakeHub, Refuse, Socket, event, jwt, problem

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]


def client_of(hub: FakeHub, **options: Any) -> AsyncClient:
    client = AsyncClient(hub.url, **({"token": jwt()} if "username" not in options else {}), **options)
    # Waits are drawn about as short as the core allows.
    client._runtime._draw = lambda least, most: max(least, 0.01)
    return client


async def take(client: AsyncClient, count: int) -> list[Any]:
    events = client.events()
    return [(await anext(events)).data for _ in range(count)]


# --- Receiving


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


async def test_an_empty_cursor_is_a_mistake() -> None:
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


# --- The end


async def test_close_ends_iterators(hub: FakeHub) -> None:
    async with client_of(hub) as client:

        async def follow() -> list[Event]:
            return [received async for received in client]

        waiting = asyncio.create_task(follow())
        await asyncio.sleep(0)
    assert await waiting == []
    assert await follow() == []
    await client.close()


async def test_a_final_close_code_is_raised_after_what_came_before(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.send(event(1))
        await socket.send(event(2))
        await socket.close(1008, "logged_out: The session was logged out.")

    hub.on_socket = script
    async with client_of(hub) as client:
        events = client.events()
        assert [(await anext(events)).data for _ in range(2)] == [1, 2]
        with pytest.raises(Rejected, match="The session was logged out") as caught:
            await anext(events)
        assert caught.value.code == "logged_out"
        with pytest.raises(Rejected):
            await client.publish("x", all=True)
        with pytest.raises(Rejected):
            await client.subscribe("a")
        with pytest.raises(Rejected):
            await client.wait_stopped()


async def test_entering_raises_what_the_hub_says(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.accept()
        await socket.close(1008, "forbidden: user:alice may not subscribe 'x'.")

    hub.on_socket = script
    with pytest.raises(Rejected) as caught:
        async with client_of(hub, topics=["x"]):
            pytest.fail("entered")
    assert (caught.value.code, caught.value.detail) == ("forbidden", "user:alice may not subscribe 'x'.")


async def test_entering_gives_up_in_time(leakless: None) -> None:
    with pytest.raises(Unavailable, match=r"no connection within 0\.05 s"):
        async with AsyncClient("http://127.0.0.1:9", token=jwt(), open_timeout=0.05):
            pytest.fail("entered")


async def test_a_hub_that_does_not_welcome_is_left(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub_client._runtime._WELCOME_TIMEOUT", 0.05)

    async def script(socket: Socket) -> None:
        if socket.number == 1:
            await socket.accept()
        else:
            await socket.welcome()
        await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub):
        assert len(hub.sockets) == 2


async def test_a_handshake_refused_by_the_hub_is_final_and_by_a_proxy_is_not(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        if socket.number == 1:
            raise Refuse(404, "no such host here")
        if socket.number == 2:
            raise Refuse(503, {"code": "overloaded", "detail": "Later."})
        if socket.number == 3:
            raise Refuse(403, {"code": "origin_forbidden", "detail": "Not from there."})

    hub.on_socket = script
    with pytest.raises(Rejected, match="Not from there") as caught:
        await client_of(hub).start()
    assert caught.value.code == "origin_forbidden"
    assert len(hub.sockets) == 3


async def test_closing_from_a_callback(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.send(event(1))
        await socket.until_closed()

    hub.on_socket = script
    client = client_of(hub)

    finished = False

    async def enough(_: Event) -> None:
        nonlocal finished
        await client.close()
        await asyncio.sleep(0)
        finished = True

    client.on("*", enough)
    async with client:
        await client.wait_stopped()
    assert finished


async def test_two_callbacks_may_close_at_once(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.send(event(1))
        await socket.send({"type": "presence", "topic": "a", "action": "join", "user": "bob"})
        await socket.until_closed()

    hub.on_socket = script
    client = client_of(hub)
    both = asyncio.Barrier(2)
    closed: list[str] = []

    async def enough(_: Event) -> None:
        await both.wait()
        await client.close()
        closed.append("events")

    async def tidy(_: Presence) -> None:
        try:
            await both.wait()
            await asyncio.Event().wait()
        finally:  # Cancelled by the other's close.
            await client.close()
            closed.append("presence")

    client.on("*", enough)
    client.on_presence(tidy)
    async with client, asyncio.timeout(5):
        await client.wait_stopped()
    assert sorted(closed) == ["events", "presence"]


async def test_closing_while_a_callback_hangs(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.send(event(1))
        await socket.until_closed()

    hub.on_socket = script
    client = client_of(hub)
    called = asyncio.Event()

    async def hang(_: Event) -> None:
        called.set()
        await asyncio.Event().wait()

    client.on("*", hang)
    async with client:
        await called.wait()


@pytest.mark.parametrize("moment", ["authorizing", "connecting", "waiting"])
async def test_closing_before_there_is_a_connection(hub: FakeHub, moment: str) -> None:
    async def script(socket: Socket) -> None:
        await socket.accept()
        if moment == "waiting":
            await socket.close(1013)
        else:
            await socket.until_closed()

    async def slow(call: Call) -> None:
        await asyncio.sleep(30 if moment == "authorizing" else 0)

    hub.on_socket, hub.on_http = script, slow
    client = client_of(hub, username="alice", password="secret")
    reached = asyncio.Event()
    client.on_state(lambda state: reached.set() if state == moment else None)
    starting = asyncio.create_task(client.start())
    await reached.wait()
    await client.close()
    with pytest.raises(Rejected, match="the client was closed"):
        await starting


async def test_the_socket_is_closed_politely(hub: FakeHub) -> None:
    codes: list[int] = []

    async def script(socket: Socket) -> None:
        await socket.welcome()
        codes.append(await socket.until_closed())

    hub.on_socket = script
    async with client_of(hub):
        pass
    await hub_is_done(hub, codes)
    assert codes == [1000]


async def hub_is_done(hub: FakeHub, codes: list[int]) -> None:
    while not codes:
        await asyncio.sleep(0.001)


async def test_a_client_is_started_once(hub: FakeHub) -> None:
    async with client_of(hub) as client:
        with pytest.raises(RuntimeError, match="once"):
            await client.start()


async def test_a_bug_ends_the_client_loudly(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.send(event(1))
        await socket.until_closed()

    def broken(frame: Any) -> Event:
        raise ZeroDivisionError

    hub.on_socket = script
    monkeypatch.setattr(Event, "from_frame", broken)
    async with client_of(hub) as client:
        with pytest.raises(ExceptionGroup) as caught:
            await anext(client.events())
        assert caught.group_contains(ZeroDivisionError)


# --- Requests


async def answer(socket: Socket, **answers: Any) -> None:
    """Answer requests until the client goes."""
    while True:
        frame = await socket.receive()
        match frame["type"]:
            case "publish":
                receipt = {"id": frame["event"]["id"], "cursor": "e:1", "time": "2026-01-01T00:00:00Z"}
                await socket.send({"type": "ok", "ref": frame["ref"], "receipt": receipt | answers})
            case "subscribe" | "unsubscribe":
                await socket.send({"type": "ok", "ref": frame["ref"], "cursor": "e:5", "topics": ["all", "room:1"]})


async def test_publish(hub: FakeHub) -> None:
    frames: list[dict[str, Any]] = []

    async def script(socket: Socket) -> None:
        await socket.welcome()
        frames.append(await socket.receive())
        await socket.send(
            {"type": "ok", "ref": 1, "receipt": {"id": "m", "cursor": "e:8", "time": "t", "duplicate": True}}
        )
        frames.append(await socket.receive())
        await socket.send({"type": "error", "ref": 2, "code": "forbidden", "detail": "No."})
        await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub) as client:
        receipt = await client.publish("chat", {"x": 1}, topics="room:1", users=["bob"], id="m", ttl=60, echo=True)
        assert (receipt.id, receipt.cursor, receipt.duplicate) == ("m", "e:8", True)
        # The receipt's place is not ours.
        assert client.cursor == "e:0"
        with pytest.raises(Refused) as caught:
            await client.publish("chat", all=True)
        assert (caught.value.code, caught.value.detail, caught.value.status) == ("forbidden", "No.", None)
    to = {"users": ["bob"], "topics": ["room:1"]}
    body = {"id": "m", "type": "chat", "data": {"x": 1}, "to": to, "ttl": 60}
    assert frames[0] == {"type": "publish", "ref": 1, "event": body, "echo": True}
    assert len(frames[1]["event"]["id"]) == 32


async def test_publish_is_tried_again_under_its_id(hub: FakeHub) -> None:
    ids: list[str] = []

    async def script(socket: Socket) -> None:
        await socket.welcome()
        frame = await socket.receive()
        ids.append(frame["event"]["id"])
        if socket.number == 1:
            await socket.close(1012)
            return
        await socket.send({"type": "error", "ref": frame["ref"], "code": "log_unavailable", "detail": "Later."})
        frame = await socket.receive()
        ids.append(frame["event"]["id"])
        receipt = {"id": ids[0], "cursor": "e:1", "time": "t", "duplicate": True}
        await socket.send({"type": "ok", "ref": frame["ref"], "receipt": receipt})
        await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub) as client:
        receipt = await client.publish("x", all=True)
    assert ids == [receipt.id] * 3


async def test_publish_that_is_never_acknowledged(hub: FakeHub) -> None:
    async with client_of(hub, timeout=0.1) as client:
        with pytest.raises(PublishFailed) as caught:
            await client.publish("x", all=True, id="mine")
        assert caught.value.id == "mine"


async def test_publish_in_doubt_when_the_client_is_sent_away(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.receive()
        await socket.close(1008, "logged_out")

    hub.on_socket = script
    async with client_of(hub) as client:
        with pytest.raises(PublishFailed) as caught:
            await client.publish("x", all=True, id="mine")
        assert caught.value.id == "mine"
        assert isinstance(caught.value.__cause__, Rejected)


async def test_an_ephemeral_event_is_tried_once(hub: FakeHub) -> None:
    seen: list[Any] = []

    async def script(socket: Socket) -> None:
        await socket.welcome()
        seen.append(await socket.receive())
        await socket.close(1013)

    hub.on_socket = script
    async with client_of(hub) as client:
        with pytest.raises(Unavailable, match="lost before the answer") as caught:
            await client.publish("typing", all=True, durable=False)
        assert caught.value.maybe_done
        with pytest.raises(Unavailable, match="not connected") as caught:
            await client.publish("typing", all=True, durable=False)
        assert not caught.value.maybe_done
    assert len(seen) == 1


async def test_what_cannot_be_published(hub: FakeHub) -> None:
    async with client_of(hub) as client:
        with pytest.raises(ValueError, match="target"):
            await client.publish("x")
        with pytest.raises(TypeError):
            await client.publish("x", {1, 2}, all=True)
        with pytest.raises(ValueError, match="JSON"):
            await client.publish("x", float("nan"), all=True)


async def test_subscriptions_come_along(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        if socket.number == 1:
            await answer(socket)
        await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub, topics=["old"]) as client:
        await client.subscribe("room:1", "room:2")
        assert client.topics == ("all", "room:1")
        await client.unsubscribe("old")
        await client.unsubscribe()
        with pytest.raises(Refused, match="not a topic name"):
            await client.subscribe("a b")
        with pytest.raises(Refused, match="characters"):
            await client.subscribe(*(f"{number:0200}" for number in range(40)))


async def test_subscribing_while_the_connection_is_lost(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        if socket.number == 1:
            await socket.receive()
            await socket.close(1012)
        await socket.until_closed()

    hub.on_socket = script
    client = client_of(hub)
    # It is not one of those requests that wait before they are tried again.
    object.__setattr__(client._calls.retry, "draw", lambda least, most: 5)
    async with client:
        await client.subscribe("room:1")
        await client._runtime.until_open()
    assert hub.sockets[1].query["topics"] == "room:1"


async def test_requests_over_http(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        match call.path:
            case "/v1/events":
                frame = {name: value for name, value in event(3).items() if name != "type"}
                return 200, {"events": [frame], "cursor": "e:3", "reset": True, "more": False}
            case "/v1/presence/room:a/b":
                return 200, {"topic": "room:a/b", "users": ["alice", "bob"]}
            case "/v1/me":
                grants = {"subscribe": ["room:*"], "publish": []}
                who = {"subject": "alice", "kind": "user", "admin": False, "topics": ["news"]}
                return 200, who | {"grants": grants, "expires": 1900000000}
        return None

    hub.on_http = http
    async with client_of(hub) as client:
        page = await client.history(["a", "b"], after="e:1", limit=5, wait=1)
        assert hub.calls[-1].query == {"topics": ["a,b"], "after": ["e:1"], "limit": ["5"], "wait": ["1"]}
        assert ([one.data for one in page], len(page), page.cursor, page.reset, page.more) == (
            [3],
            1,
            "e:3",
            True,
            False,
        )
        assert await client.presence("room:a/b") == ("alice", "bob")
        me = await client.me()
        assert (me.subject, me.kind, me.topics, me.subscribe) == ("alice", "user", ("news",), ("room:*",))


async def test_an_answer_that_nobody_waits_for_any_more_is_not_told(
    hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    asked, given_up = asyncio.Event(), asyncio.Event()

    async def script(socket: Socket) -> None:
        await socket.welcome()
        frame = await socket.receive()
        asked.set()
        await given_up.wait()
        await socket.send({"type": "error", "ref": frame["ref"], "code": "forbidden", "detail": "No."})
        await socket.send(event(1))
        await socket.until_closed()

    hub.on_socket = script
    with caplog.at_level(logging.WARNING, "hub_client"):
        async with client_of(hub) as client:
            publishing = asyncio.create_task(client.publish("x", all=True))
            await asked.wait()
            publishing.cancel()
            await asyncio.wait([publishing])
            given_up.set()
            await take(client, 1)
            assert not client._runtime._requests
    assert caplog.text == ""


async def test_a_refusal_of_what_the_client_asked_for_by_itself_is_told(
    hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    connecting, asked = asyncio.Event(), asyncio.Event()

    async def script(socket: Socket) -> None:
        connecting.set()
        await asked.wait()
        await socket.welcome()
        frame = await socket.receive()
        await socket.send({"type": "error", "ref": frame["ref"], "code": "forbidden", "detail": "Not that."})
        await socket.send(event(1))
        await socket.until_closed()

    hub.on_socket = script
    client = client_of(hub)
    with caplog.at_level(logging.WARNING, "hub_client"):
        starting = asyncio.create_task(client.start())
        await connecting.wait()
        await client.subscribe("secret")
        asked.set()
        await starting
        await take(client, 1)
        await client.close()
    assert "The hub refused: forbidden: Not that." in caplog.text


# --- Slow and busy applications


async def test_a_callback_may_publish_while_the_buffer_is_full(hub: FakeHub) -> None:
    """The classic deadlock: the answer stands behind more events than fit."""
    flood = 300

    async def script(socket: Socket) -> None:
        await socket.welcome()
        for seq in range(1, flood + 1):
            await socket.send(event(seq, data="x" * 100))
        for _ in range(flood):
            frame = await socket.receive()
            receipt = {"id": frame["event"]["id"], "cursor": "e:1", "time": "t", "duplicate": False}
            await socket.send({"type": "ok", "ref": frame["ref"], "receipt": receipt})
        await socket.until_closed()

    hub.on_socket = script
    client = client_of(hub, buffer_bytes=10_000, timeout=30)
    count = 0
    done = asyncio.Event()

    async def echo(received: Event) -> None:
        nonlocal count
        await client.publish("echo", received.data, all=True)
        count += 1
        if count == flood:
            done.set()

    client.on("test", echo)
    async with client, asyncio.timeout(20):
        await done.wait()


async def test_what_was_not_sent_is_not_sent_by_the_next_connection(hub: FakeHub) -> None:
    """Frames that wait because the hub does not read are settled with their connection, and asked again."""
    frames: list[dict[str, Any]] = []

    async def script(socket: Socket) -> None:
        await socket.welcome()
        if socket.number == 1:
            while len(client._runtime._outgoing) < 2:
                await asyncio.sleep(0.01)
            await socket.close(1012)
            return
        while True:
            frame = await socket.receive()
            frames.append(frame)
            receipt = {"id": frame["event"]["id"], "cursor": "e:1", "time": "t", "duplicate": False}
            await socket.send({"type": "ok", "ref": frame["ref"], "receipt": receipt})

    hub.on_socket = script
    client = client_of(hub)
    async with client:
        large = "x" * 6_000_000
        await asyncio.gather(*(client.publish("x", large, all=True, id=str(number)) for number in range(5)))
        await client.publish("x", all=True, id="last")
    assert sorted(frame["event"]["id"] for frame in frames) == ["0", "1", "2", "3", "4", "last"]


async def test_closing_does_not_wait_for_what_nobody_reads(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        for seq in range(1, 1000):
            await socket.send(event(seq, data="x" * 5000))
        await socket.until_closed()

    hub.on_socket = script
    client = client_of(hub, buffer_bytes=10_000)
    async with client:
        await client._handover.changed.until(lambda: client._handover.size > 10_000)
        # The hub's close frame stands behind a lot that is not read.
        before = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - before < 1.5


async def test_memory_for_a_slow_reader_is_bounded(hub: FakeHub) -> None:
    total = 2000
    sent = 0

    async def script(socket: Socket) -> None:
        nonlocal sent
        await socket.welcome()
        for seq in range(1, total + 1):
            await socket.send(event(seq, data="x" * 5000))
            sent = seq
        await socket.until_closed()

    hub.on_socket = script
    async with client_of(hub, buffer_bytes=50_000) as client:
        events = client.events()
        await anext(events)
        stalled = -1
        while stalled != sent:  # Until the hub's socket is full too, and it is held up.
            stalled = sent
            await asyncio.sleep(0.2)
        assert sent < total
        assert client._handover.size < 60_000
        # It goes on where it was, and misses nothing.
        assert [int(received.id[3:]) for received in [await anext(events) for _ in range(total - 1)]] == list(
            range(2, total + 1)
        )


async def test_state_is_told_while_a_callback_is_busy(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.send(event(1))
        await socket.receive()
        await socket.close(1013)

    hub.on_socket = script
    client = client_of(hub)
    waiting = asyncio.Event()
    client.on_state(lambda state: waiting.set() if state is State.WAITING else None)
    told = asyncio.Event()

    async def busy(_: Event) -> None:
        with pytest.raises(Unavailable):
            await client.publish("x", all=True, durable=False)
        await waiting.wait()
        told.set()

    client.on("*", busy)
    async with client:
        await told.wait()


# --- Tokens


async def test_a_login_is_renewed_in_band(hub: FakeHub) -> None:
    hub.lifetime = 0.2
    tokens: list[str] = []
    enough = asyncio.Event()

    async def script(socket: Socket) -> None:
        tokens.append(socket.token)
        await socket.welcome()
        while True:
            frame = await socket.receive()
            assert frame["type"] == "auth"
            tokens.append(frame["token"])
            await socket.send({"type": "ok", "ref": frame["ref"], "expires": 0, "topics": ["all"]})
            if len(tokens) == 3:
                enough.set()

    hub.on_socket = script
    async with client_of(hub, username="alice", password="secret"):
        await enough.wait()
    assert len(hub.sockets) == 1
    assert len(set(tokens)) >= 3
    assert hub.paths()[:3] == ["/v1/auth/login", "/v1/auth/refresh", "/v1/auth/refresh"]


async def test_a_renewal_that_fails_is_tried_again_and_harms_nobody(hub: FakeHub) -> None:
    hub.lifetime = 0.5
    renewed = asyncio.Event()

    async def http(call: Call) -> Any:
        refreshing = call.path == "/v1/auth/refresh"
        return problem(503, "overloaded") if refreshing and hub.paths().count(call.path) < 3 else None

    async def script(socket: Socket) -> None:
        await socket.welcome()
        frame = await socket.receive()
        await socket.send({"type": "error", "ref": frame["ref"], "code": "subject_mismatch", "detail": "No."})
        renewed.set()
        await socket.until_closed()

    hub.on_http, hub.on_socket = http, script
    client = client_of(hub, username="alice", password="secret")
    client._runtime._draw = lambda least, most: 0.01
    async with client:
        await renewed.wait()
    assert len(hub.sockets) == 1
    # A 503 did not spend the refresh token.
    assert hub.paths() == ["/v1/auth/login"] + ["/v1/auth/refresh"] * 3
    assert len({call.json["refresh_token"] for call in hub.calls[1:]}) == 1


async def test_an_expired_token_is_replaced_once(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.accept()
        await socket.close(1008, "token_expired: The token has expired.")

    hub.on_socket = script
    client = client_of(hub, username="alice", password="secret")
    with pytest.raises(Rejected) as caught:
        await client.start()
    assert caught.value.code == "token_expired"
    assert [socket.token.rsplit(".")[-1] for socket in hub.sockets] == ["access-1", "access-2"]


async def test_a_fixed_token_that_expires(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.close(1008, "token_expired")

    hub.on_socket = script
    async with client_of(hub) as client:
        with pytest.raises(Rejected, match="callable or credentials") as caught:
            await anext(client.events())
        assert caught.value.code == "token_expired"


async def test_wrong_credentials(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        return problem(401, "credentials_invalid")

    hub.on_http = http
    with pytest.raises(Rejected) as caught:
        await client_of(hub, username="alice", password="wrong").start()
    assert caught.value.code == "credentials_invalid"
    assert len(hub.calls) == 1


async def test_a_login_that_is_limited_waits_as_it_is_told(hub: FakeHub) -> None:
    times: list[float] = []

    async def http(call: Call) -> Any:
        times.append(asyncio.get_running_loop().time())
        return problem(429, "too_many_attempts", **{"retry-after": "1"}) if len(times) == 1 else None

    hub.on_http = http
    async with client_of(hub, username="alice", password="secret"):
        assert times[1] - times[0] >= 1


async def test_calls_get_a_fresh_token_after_a_401(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        if call.path != "/v1/presence/x":
            return None
        if call.token.endswith("access-1"):
            return problem(401, "token_expired")
        return 200, {"users": []}

    hub.on_http = http
    async with client_of(hub, username="alice", password="secret") as client:
        assert await client.presence("x") == ()
    assert hub.paths() == ["/v1/auth/login", "/v1/presence/x", "/v1/auth/refresh", "/v1/presence/x"]


# --- What the hub should not do


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
