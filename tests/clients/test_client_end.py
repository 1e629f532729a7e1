"""``AsyncClient`` on real sockets: how it begins and ends, and that nothing stays behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hub_client import (
    AsyncClient,
    Event,
    Presence,
    Rejected,
    Unavailable,
)

from .fake_hub import Call, FakeHub, Refuse, Socket, client_of, event, jwt

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]


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
    code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def script(socket: Socket) -> None:
        await socket.welcome()
        code.set_result(await socket.until_closed())

    hub.on_socket = script
    async with client_of(hub):
        pass
    assert await code == 1000


async def test_closing_twice_at_once_is_as_polite(hub: FakeHub) -> None:
    code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def script(socket: Socket) -> None:
        await socket.welcome()
        code.set_result(await socket.until_closed())

    hub.on_socket = script
    async with client_of(hub) as client:
        await asyncio.gather(*(client.close() for _ in range(3)))
    assert await code == 1000


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
