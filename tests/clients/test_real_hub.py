"""The Python client with a real hub: the promises of both, end to end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from hub_client import (
    AsyncClient,
    AsyncPublisher,
    Client,
    Event,
    Presence,
    Publisher,
    Refused,
    Rejected,
    Reset,
    State,
)
from hub_client._auth import _lifetime

from tests.hub_process import HubProcess

pytestmark = [pytest.mark.anyio]


def login(name: str) -> dict[str, str]:
    return {"username": name, "password": f"password of {name}"}


def service(hub: HubProcess, name: str, **grants: Any) -> dict[str, str]:
    made = hub.add_service(name, **({"grants": grants} if grants else {}))
    return {"service_id": made["id"], "service_secret": made["secret"]}


async def off_loop(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return await asyncio.to_thread(function, *arguments, **options)


async def test_from_login_to_event(shared_hub: HubProcess, leakless: None) -> None:
    shared_hub.add_user("alice", subscribe=["orders:*"])
    async with (
        AsyncClient(shared_hub.url, **login("alice"), topics=["orders:eu"]) as client,
        AsyncPublisher(shared_hub.url, **service(shared_hub, "shop")) as publisher,
    ):
        assert set(client.topics) == {"user:alice", "all", "orders:eu"}
        events = client.events()
        first = await publisher.publish("order.paid", {"order": "Grüße"}, users=["alice"], id="order-7")
        again = await publisher.publish("order.paid", {"order": "Grüße"}, users=["alice"], id="order-7")
        assert (again.cursor, again.duplicate, first.duplicate) == (first.cursor, True, False)
        with pytest.raises(Refused) as caught:
            await publisher.publish("order.paid", {"order": 8}, users=["alice"], id="order-7")
        assert (caught.value.code, caught.value.status) == ("id_conflict", 409)
        await publisher.publish_many(
            [{"type": "a", "topics": ["orders:eu"]}, {"type": "b", "all": True}, {"type": "c", "users": ["bob"]}]
        )
        await publisher.publish("now", all=True, durable=False)
        received = [await anext(events) for _ in range(4)]
        assert [(event.type, event.topic) for event in received[:3]] == [
            ("order.paid", "user:alice"),
            ("a", "orders:eu"),
            ("b", "all"),
        ]
        assert received[0].cursor == first.cursor
        assert (received[0].id, received[0].data) == ("order-7", {"order": "Grüße"})
        assert received[0].source == f"service:{publisher._calls.tokens._source._id}"  # type: ignore[attr-defined]
        assert received[0].time == first.time
        assert abs(received[0].at.timestamp() - time.time()) < 60
        assert (received[3].type, received[3].cursor) == ("now", None)
        assert client.cursor == received[2].cursor

        me = await client.me()
        assert (me.subject, me.kind, me.admin, me.subscribe) == ("alice", "user", False, ("orders:*",))
        page = await client.history(["user:alice", "orders:eu"], after=first.cursor)
        assert [event.type for event in page] == ["a"]
        with pytest.raises(Refused, match="forbidden"):
            await client.history("user:bob")
        with pytest.raises(Refused, match="forbidden"):
            await client.subscribe("user:bob")
        with pytest.raises(Refused, match="forbidden"):
            await client.publish("x", all=True)


async def test_a_chat(shared_hub: HubProcess, leakless: None) -> None:
    for name in ("carol", "dave"):
        shared_hub.add_user(name, subscribe=["room:*"], publish=["room:*"])
    people: asyncio.Queue[Presence] = asyncio.Queue()
    carol = AsyncClient(shared_hub.url, **login("carol"), topics=["room:1"])
    carol.on_presence(people.put_nowait)
    async with carol:
        assert (await people.get()).users == ("carol",)
        async with AsyncClient(shared_hub.url, **login("dave")) as dave:
            await dave.subscribe("room:1")
            assert await people.get() == Presence("room:1", "join", ("dave",))
            assert set(await carol.presence("room:1")) == {"carol", "dave"}

            async def answer(event: Event) -> None:
                await dave.publish("chat", f"re: {event.data}", topics=["room:1"])

            dave.on("chat", answer)
            events = carol.events()
            await carol.publish("chat", "one", topics=["room:1"])
            assert (await anext(events)).data == "re: one"
            await carol.publish("chat", "two", topics=["room:1"], echo=True)
            assert {(await anext(events)).data for _ in range(2)} == {"two", "re: two"}
            await dave.unsubscribe("room:1")
            assert await people.get() == Presence("room:1", "leave", ("dave",))


async def test_kill_9_and_restarts_lose_nothing_and_repeat_nothing(
    start_hub: Callable[..., HubProcess], leakless: None
) -> None:
    hub = start_hub()
    hub.add_user("alice")
    sent: list[int] = []
    seen: list[Event] = []
    done = asyncio.Event()

    async def publish(publisher: AsyncPublisher) -> None:
        while not done.is_set():
            number = len(sent)
            await publisher.publish("n", number, users=["alice"])
            sent.append(number)

    async def follow() -> None:
        cursor: str | None = None
        while True:
            # A process that is restarted now and then, too: only the stored cursor lives on.
            async with AsyncClient(hub.url, **login("alice"), after=cursor or "earliest") as client:
                async for event in client:
                    seen.append(event)
                    cursor = client.cursor
                    if event.data is None:
                        return
                    if len(seen) % 50 == 0:
                        break

    async with AsyncPublisher(hub.url, **service(hub, "shop")) as publisher:
        following = asyncio.create_task(follow())
        publishing = asyncio.create_task(publish(publisher))
        for end in (hub.kill, hub.stop, hub.kill):
            target = len(sent) + 60
            while len(sent) < target:
                assert not publishing.done()
                await asyncio.sleep(0.01)
            await off_loop(end)
            await off_loop(hub.start)
        done.set()
        await publishing
        await publisher.publish("n", None, users=["alice"])
        async with asyncio.timeout(30):
            await following
    assert [event.data for event in seen] == [*sent, None]
    assert len({event.cursor for event in seen}) == len(seen)


async def test_a_connection_outlives_its_tokens(start_hub: Callable[..., HubProcess], leakless: None) -> None:
    hub = start_hub(access_ttl=1)
    hub.add_user("alice")
    states: list[State] = []
    client = AsyncClient(hub.url, **login("alice"))
    client.on_state(states.append)
    async with client:
        before = client._runtime._token
        while client._runtime._token.expires_at is None or time.monotonic() < (before.expires_at or 0) + 1.5:
            await asyncio.sleep(0.05)
        await off_loop(hub.publish, "x", 1, users=["alice"])
        assert (await anext(client.events())).data == 1
        assert states == [State.AUTHORIZING, State.CONNECTING, State.OPEN]
        assert client._runtime._token.value != before.value


async def test_an_expired_token_of_a_callable_is_replaced(start_hub: Callable[..., HubProcess], leakless: None) -> None:
    hub = start_hub(access_ttl=1)
    stale = hub.add_user("alice")
    asked = 0

    def token() -> str:
        nonlocal asked
        asked += 1
        return stale if asked == 1 else hub.token("alice")

    await asyncio.sleep((_lifetime(stale) or 0) + 0.05)
    async with AsyncClient(hub.url, token=token) as client:
        assert client.state is State.OPEN
    assert asked == 2


async def test_what_ends_a_client_for_good(start_hub: Callable[..., HubProcess], leakless: None) -> None:
    hub = start_hub()
    for name in ("alice", "bob", "carol"):
        hub.add_user(name)

    async def ended(client: AsyncClient) -> str:
        with pytest.raises(Rejected) as caught:
            await anext(client.events())
        return caught.value.code

    async with AsyncClient(hub.url, token=hub.token("alice")) as client:
        http = client._calls.http
        await http.post("/v1/auth/logout", "", client._runtime._token.value)
        assert await ended(client) == "logged_out"
    async with AsyncClient(hub.url, **login("bob")) as client:
        await off_loop(hub.call, "PATCH", "/v1/users/bob", json={"disabled": True})
        assert await ended(client) == "user_disabled"
    for options, code in (
        (login("bob"), "user_disabled"),
        ({"username": "carol", "password": "wrong"}, "credentials_invalid"),
        ({"token": "not.a.jwt"}, "token_malformed"),
        (login("carol") | {"topics": ["user:bob"]}, "forbidden"),
        (login("carol") | {"after": "nonsense"}, "cursor_invalid"),
    ):
        with pytest.raises(Rejected) as caught:
            await AsyncClient(hub.url, **options).start()
        assert caught.value.code == code, options


async def test_a_gap_is_told(start_hub: Callable[..., HubProcess], leakless: None) -> None:
    hub = start_hub(retention_bytes=1 << 16)
    hub.add_user("alice")
    async with AsyncClient(hub.url, **login("alice")) as client:
        await off_loop(hub.publish, "x", 0, users=["alice"])
        assert (await anext(client.events())).data == 0
        cursor = client.cursor
    async with AsyncPublisher(hub.url, **service(hub, "shop")) as publisher:
        for _ in range(10):
            await publisher.publish_many([{"type": "x", "data": "x" * 5000, "users": ["alice"]}] * 10)
    resets: asyncio.Queue[Reset] = asyncio.Queue()
    client = AsyncClient(hub.url, **login("alice"), after=cursor)
    client.on_reset(resets.put_nowait)
    async with client:
        assert (await resets.get()).reason == "truncated"
        assert (await anext(client.events())).type == "x"


async def test_a_reader_that_stalls_is_cut_off_and_goes_on(
    start_hub: Callable[..., HubProcess], leakless: None
) -> None:
    hub = start_hub(stall_timeout=0.5, outbox_bytes=4096)
    hub.add_user("alice")
    total = 400

    def ends() -> float:
        return sum(value for name, value in hub.metrics().items() if "evicted" in name)

    async with (
        AsyncClient(hub.url, **login("alice"), buffer_bytes=20_000) as client,
        AsyncPublisher(hub.url, **service(hub, "shop")) as publisher,
    ):
        events = client.events()
        for start in range(0, total, 100):
            numbers = range(start, start + 100)
            await publisher.publish_many({"type": "n", "data": [n, "x" * 50_000], "users": ["alice"]} for n in numbers)
        assert (await anext(events)).data[0] == 0
        before = await off_loop(ends)
        async with asyncio.timeout(30):
            while await off_loop(ends) == before:
                await asyncio.sleep(0.05)
        assert [(await anext(events)).data[0] for _ in range(total - 1)] == list(range(1, total))


def test_without_await(shared_hub: HubProcess) -> None:
    shared_hub.add_user("erin")
    with (
        Client(shared_hub.url, **login("erin")) as client,
        Publisher(shared_hub.url, **service(shared_hub, "plain")) as publisher,
    ):
        receipts = publisher.publish_many([{"type": "n", "data": number, "users": ["erin"]} for number in range(20)])
        seen = []
        for event in client:
            seen.append(event)
            if len(seen) == 20:
                break
        assert [event.data for event in seen] == list(range(20))
        assert client.cursor == receipts[-1].cursor
        assert client.me().subject == "erin"
        assert [event.data for event in client.history("user:erin", limit=2)] == [18, 19]
