"""``AsyncClient`` on real sockets: what it asks for and publishes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hub_client import (
    PublishFailed,
    Refused,
    Rejected,
    Unavailable,
)
from hub_client._client import _LATER

from hub.errors import TABLE, Retry

from .fake_hub import Call, FakeHub, Socket, client_of, event, take

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]


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


async def test_every_code_after_which_to_come_later_is_known() -> None:
    """Those of the hub's table that a request on an open socket may be answered with."""
    of_handshakes = {"too_many_attempts", "too_many_connections"}
    assert {kind.code for kind in TABLE.values() if kind.retry is Retry.LATER} - of_handshakes == _LATER


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
