"""``GET /v1/events`` and the presence of a topic: history, paging, the long poll, and what has been cut off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.hub_process import HubProcess

from .api import Api
from .gauges import eventually
from .raw import RawSocket

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path_factory.mktemp("history"), presence_grace=0)
    try:
        hub.start().add_user("alice", subscribe=["orders:*", "chat:*"], topics=["orders:all"])
        yield hub
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


@pytest.fixture(scope="module")
def alice(hub: HubProcess) -> Api:
    return Api(hub, hub.token("alice"))


def numbers(page: dict[str, Any]) -> list[Any]:
    return [entry["event"]["data"] for entry in page["events"]]


def publish(hub: HubProcess, count: int, *topics: str, **fields: Any) -> list[str]:
    """Events 0 to ``count`` - 1; their cursors."""
    events = [{"type": "n", "data": n, "to": {"topics": list(topics)}} | fields for n in range(count)]
    return [receipt["cursor"] for receipt in hub.call("POST", "/v1/events", json=events)]


# --- History


def test_without_after_the_newest_come_oldest_first(hub: HubProcess, alice: Api) -> None:
    cursors = publish(hub, 150, "orders:newest")
    page = alice.get("/v1/events", topics="orders:newest")
    assert numbers(page) == list(range(50, 150))
    assert [entry["cursor"] for entry in page["events"]] == cursors[50:]
    assert (page["cursor"], page["reset"], page["more"]) == (cursors[-1], False, False)
    assert numbers(alice.get("/v1/events", topics="orders:newest", limit=3)) == [147, 148, 149]


def test_paging_finds_each_event_once(hub: HubProcess, alice: Api) -> None:
    cursors = publish(hub, 25, "orders:paged")
    publish(hub, 25, "orders:other")
    seen, after, pages = [], "earliest", 0
    while True:
        page = alice.get("/v1/events", topics="orders:paged", after=after, limit=10)
        seen += numbers(page)
        after, pages = page["cursor"], pages + 1
        if not page["more"]:
            break
    assert seen == list(range(25))
    assert pages == 3
    # Where it went on from lies past the other topic's events, which it need not look at again.
    assert alice.get("/v1/events", topics="orders:paged", after=after)["events"] == []
    assert numbers(alice.get("/v1/events", topics="orders:paged", after=cursors[20])) == [21, 22, 23, 24]


def test_several_topics_are_one_log(hub: HubProcess, alice: Api) -> None:
    for n in range(10):
        hub.publish(data=n, topics=[f"orders:{'even' if n % 2 == 0 else 'odd'}"])
    hub.publish(data=10, topics=["orders:odd", "orders:even"])
    page = alice.get("/v1/events", topics="orders:even,orders:odd", limit=11)
    assert numbers(page) == list(range(11))
    assert page["events"][-1]["topic"] == "orders:odd"
    twice = alice.call("GET", "/v1/events?topics=orders:odd&topics=orders:even").json()
    assert numbers(twice)[-1] == 10


def test_without_topics_it_is_what_the_token_follows(hub: HubProcess, alice: Api) -> None:
    hub.publish(data="mine", users=["alice"])
    hub.publish(data="everybody's", all=True)
    hub.publish(data="the token's", topics=["orders:all"])
    hub.publish(data="another's", users=["bob"])
    assert numbers(alice.get("/v1/events", limit=3)) == ["mine", "everybody's", "the token's"]


def test_an_event_is_gone_when_its_time_is_over(hub: HubProcess, alice: Api) -> None:
    publish(hub, 1, "orders:brief", ttl=0.3)
    kept = publish(hub, 1, "orders:brief", ttl=600)
    assert len(alice.get("/v1/events", topics="orders:brief")["events"]) == 2
    deadline = time.monotonic() + 5
    while len(found := alice.get("/v1/events", topics="orders:brief")["events"]) == 2:
        assert time.monotonic() < deadline
    assert [entry["cursor"] for entry in found] == kept


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("topics=secrets", "forbidden"),
        ("topics=orders:1,user:bob", "forbidden"),
        ("topics=orders:*", "topic_invalid"),
        ("topics=%00", "topic_invalid"),
        ("topics=" + "x" * 201, "topic_invalid"),
        ("after=x", "cursor_invalid"),
        ("after=a:b:c", "cursor_invalid"),
        ("after=abc:9999999999999999999", "cursor_invalid"),
        ("after=abc:%D9%A1", "cursor_invalid"),
        ("limit=0", "request_invalid"),
        ("limit=1001", "request_invalid"),
        ("limit=ten", "request_invalid"),
        ("wait=-1", "request_invalid"),
        ("wait=61", "request_invalid"),
        ("wait=nan", "request_invalid"),
    ],
)
def test_a_question_that_is_not_well_formed(alice: Api, query: str, code: str) -> None:
    assert alice.refused("GET", f"/v1/events?{query}")["code"] == code


def test_a_cursor_of_another_log_is_told(hub: HubProcess, alice: Api) -> None:
    publish(hub, 2, "orders:replaced")
    page = alice.get("/v1/events", topics="orders:replaced", after="0123456789ab:3")
    assert page["reset"] is True
    assert numbers(page) == [0, 1]


def test_what_was_cut_off_is_told(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub(retention_bytes=65536)
    admin = Api(hub, hub.admin_headers()["Authorization"].removeprefix("Bearer "))
    first = hub.publish(data=0, topics=["t"])["cursor"]
    assert admin.get("/v1/events", topics="t", after=first)["reset"] is False
    for n in range(1, 41):
        newest = hub.publish(data=n, topics=["t"], type="n" * 128)["cursor"]
        hub.publish(data="x" * 4000, topics=["other"])
    deadline = time.monotonic() + 10
    while not (page := admin.get("/v1/events", topics="t", after=first))["reset"]:
        assert time.monotonic() < deadline
    kept = numbers(page)
    assert 0 < len(kept) < 40
    assert kept == list(range(41 - len(kept), 41))
    assert page["cursor"] == newest or not page["more"]
    # From there on nothing is missing, and earliest is no gap.
    assert admin.get("/v1/events", topics="t", after=page["cursor"])["reset"] is False
    assert admin.get("/v1/events", topics="t", after="earliest")["reset"] is False
    assert hub.metrics()["hub_log_floor"] > 0


# --- The long poll


class Poll:
    """A long poll under way."""

    def __init__(self, hub: HubProcess, token: str, **query: Any) -> None:
        self.client = httpx.AsyncClient(
            base_url=hub.url, trust_env=False, timeout=70, headers={"Authorization": f"Bearer {token}"}
        )
        self.task = asyncio.create_task(self.client.get("/v1/events", params={"wait": 60} | query))

    async def answer(self) -> dict[str, Any]:
        response = await self.task
        await self.client.aclose()
        assert response.status_code == 200, response.text
        page: dict[str, Any] = response.json()
        return page

    async def hang_up(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.client.aclose()


async def tasks(hub: HubProcess) -> float:
    return (await asyncio.to_thread(hub.metrics))["hub_tasks"]


@pytest.fixture
async def idle(hub: HubProcess) -> float:
    """The hub's tasks while it has nothing to do."""
    return await tasks(hub)


async def waits(hub: HubProcess, idle: float) -> None:
    """Until the hub holds a poll."""
    await eventually(hub.metrics, lambda seen: seen["hub_tasks"] > idle)


@pytest.mark.parametrize("after", ["head", None])
async def test_a_long_poll_ends_with_the_first_event(hub: HubProcess, idle: float, after: str | None) -> None:
    topic = f"orders:poll-{after}"
    query = {"topics": topic} | ({"after": hub.call("GET", "/v1/events")["cursor"]} if after else {})
    poll = Poll(hub, hub.token("alice"), **query)
    await waits(hub, idle)
    # What is none of its business does not end it.
    await asyncio.to_thread(publish, hub, 1, "orders:none-of-its-business")
    assert not poll.task.done()
    began = time.monotonic()
    [cursor] = await asyncio.to_thread(publish, hub, 1, topic)
    page = await poll.answer()
    assert time.monotonic() - began < 1
    assert numbers(page) == [0]
    assert page["cursor"] >= cursor


async def test_a_long_poll_does_not_wait_for_what_is_there(hub: HubProcess, alice: Api) -> None:
    began = time.monotonic()
    [first, _] = publish(hub, 2, "orders:there")
    page = alice.get("/v1/events", topics="orders:there", after=first, wait=60)
    assert numbers(page) == [1]
    assert time.monotonic() - began < 5


async def test_a_long_poll_ends_when_its_time_is_over(alice: Api) -> None:
    began = time.monotonic()
    page = alice.get("/v1/events", topics="orders:never", wait=0.5)
    assert 0.4 < time.monotonic() - began < 5
    assert page["events"] == []
    assert page["more"] is False


async def test_a_long_poll_ends_with_its_client(hub: HubProcess, idle: float) -> None:
    poll = Poll(hub, hub.token("alice"), topics="orders:never")
    await waits(hub, idle)
    await poll.hang_up()
    await eventually(hub.metrics, lambda seen: seen["hub_tasks"] == idle, 3)


async def test_a_long_poll_ends_with_its_token(start_hub: Callable[..., HubProcess]) -> None:
    """What comes after a logout is not for whoever holds the old token."""
    hub = start_hub()
    token = hub.add_user("alice", subscribe=["orders:*"])
    idle = await tasks(hub)
    poll = Poll(hub, token, topics="orders:1")
    await waits(hub, idle)
    assert hub.http.post("/v1/auth/logout", headers={"Authorization": f"Bearer {token}"}).status_code == 204
    await asyncio.to_thread(publish, hub, 1, "orders:1")
    response = await poll.task
    await poll.client.aclose()
    assert (response.status_code, response.json()["code"]) == (401, "logged_out")


async def test_a_long_poll_ends_with_the_hub(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub()
    token = hub.add_user("alice")
    idle = await tasks(hub)
    poll = Poll(hub, token)
    await waits(hub, idle)
    began = time.monotonic()
    assert await asyncio.to_thread(hub.stop) == 0
    assert (await poll.answer())["events"] == []
    assert time.monotonic() - began < 3


# --- Presence


async def test_who_is_in_a_topic(hub: HubProcess, alice: Api) -> None:
    hub.add_user("bob", subscribe=["chat:*"])
    topic = "chat:a/b=c"
    path = f"/v1/presence/{topic}"
    assert alice.get(path) == {"topic": topic, "users": []}
    sockets = [
        await RawSocket.connect(hub.port, token=hub.token(name), topics=topic) for name in ("bob", "alice", "bob")
    ]
    for socket in sockets:
        await socket.until("presence")
    assert alice.get(path)["users"] == ["alice", "bob"]
    sockets[0].cut()
    sockets[1].cut()
    await eventually(lambda: alice.get(path)["users"], lambda users: users == ["bob"])


def test_presence_is_for_those_who_may_read_and_where_it_is_on(alice: Api) -> None:
    assert alice.refused("GET", "/v1/presence/orders:1")["code"] == "not_found"
    assert alice.refused("GET", "/v1/presence/room:1")["code"] == "forbidden"
    assert alice.refused("GET", "/v1/presence/a%20b")["code"] == "topic_invalid"
    assert alice.with_token(None).refused("GET", "/v1/presence/chat:1")["code"] == "token_missing"
