"""Presence as the members of a room see it: people come and go, not tabs, and a reload is neither."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hub_process import HubProcess

from .gauges import eventually, wait_until
from .raw import RawSocket

pytestmark = pytest.mark.anyio

ROOM = "room:1"
GRACE = 1.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path_factory.mktemp("presence"), presence_grace=GRACE)
    try:
        hub.start()
        for name in ("alice", "bob", "carol"):
            hub.add_user(name, subscribe=["room:*", "orders:*"], publish=["room:*"])
        yield hub
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


@pytest.fixture
def hub(running: HubProcess) -> HubProcess:
    """The module's hub, with nobody there."""
    wait_until(lambda: running.metrics()["hub_presence_seats"] == 0)
    return running


@pytest.fixture(scope="module")
def tokens(running: HubProcess) -> dict[str, str]:
    return {name: running.token(name) for name in ("alice", "bob", "carol")}


class Member:
    """One tab in the room."""

    def __init__(self, hub: HubProcess, token: str) -> None:
        self._hub = hub
        self._token = token
        self.socket: RawSocket

    async def come(self, topics: str = ROOM) -> list[str]:
        """Connect; who is there already, as this tab is told."""
        self.socket = await RawSocket.connect(self._hub.port, token=self._token, topics=topics)
        users: list[str] = (await self.socket.until("presence"))["users"]
        return users

    async def told(self) -> tuple[str, str]:
        """The next change."""
        said = await self.socket.until("presence")
        assert said["topic"] == ROOM
        return said["action"], said["user"]

    async def ask(self, **request: Any) -> list[dict[str, Any]]:
        """What comes up to the answer, which is the last."""
        self.socket.say(ref="q", **request)
        frames = [await self.socket.json()]
        while frames[-1].get("ref") != "q":
            frames.append(await self.socket.json())
        return frames

    async def changes_so_far(self) -> list[tuple[str, str]]:
        """What it was told and has not read yet: the hub answers a ping after everything that came before."""
        frames = await self.ask(type="ping")
        return [(frame["action"], frame["user"]) for frame in frames if frame["type"] == "presence"]


async def test_members_are_told_who_comes_and_goes(hub: HubProcess, tokens: dict[str, str]) -> None:
    alice, bob = Member(hub, tokens["alice"]), Member(hub, tokens["bob"])
    assert await alice.come() == ["alice"]
    assert await bob.come() == ["alice", "bob"]
    assert await alice.told() == ("join", "bob")
    bob.socket.cut()
    assert await alice.told() == ("leave", "bob")
    # Nobody is told of their own.
    assert await alice.changes_so_far() == []


async def test_it_is_people_who_come_and_go_not_tabs(hub: HubProcess, tokens: dict[str, str]) -> None:
    alice = Member(hub, tokens["alice"])
    await alice.come()
    tabs = [Member(hub, tokens["bob"]) for _ in range(5)]
    for tab in tabs:
        assert await tab.come() == ["alice", "bob"]
    assert await alice.told() == ("join", "bob")
    for tab in tabs[:4]:
        tab.socket.cut()
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 2)
    await asyncio.sleep(GRACE + 0.2)  # Nothing is to happen, and there is no other way to see that.
    assert await alice.changes_so_far() == []
    tabs[4].socket.cut()
    assert await alice.told() == ("leave", "bob")
    assert await alice.changes_so_far() == []


async def test_a_reload_is_neither(hub: HubProcess, tokens: dict[str, str]) -> None:
    alice, bob = Member(hub, tokens["alice"]), Member(hub, tokens["bob"])
    await alice.come()
    await bob.come()
    assert await alice.told() == ("join", "bob")
    for _ in range(3):
        bob.socket.cut()
        await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 1)
        assert await bob.come() == ["alice", "bob"]
    await asyncio.sleep(GRACE + 0.2)
    assert await alice.changes_so_far() == []
    # Who stays away is told of, once, and who comes back later has come back.
    bob.socket.cut()
    assert await alice.told() == ("leave", "bob")
    await bob.come()
    assert await alice.told() == ("join", "bob")


async def test_one_who_leaves_the_room_is_gone_at_once(hub: HubProcess, tokens: dict[str, str]) -> None:
    alice, bob = Member(hub, tokens["alice"]), Member(hub, tokens["bob"])
    await alice.come()
    await bob.come()
    assert await alice.told() == ("join", "bob")
    assert (await bob.ask(type="unsubscribe", topics=[ROOM]))[-1]["type"] == "ok"
    # Nothing waits in between: it was told before the answer went out.
    assert await alice.changes_so_far() == [("leave", "bob")]
    state, answer = await bob.ask(type="subscribe", topics=[ROOM])
    assert (state["type"], state["action"], state["users"]) == ("presence", "state", ["alice", "bob"])
    assert answer["type"] == "ok"
    assert await alice.changes_so_far() == [("join", "bob")]


async def test_one_who_leaves_with_one_tab_is_still_there_with_the_other(
    hub: HubProcess, tokens: dict[str, str]
) -> None:
    alice, one, other = (Member(hub, tokens[name]) for name in ("alice", "bob", "bob"))
    for member in (alice, one, other):
        await member.come()
    assert await alice.told() == ("join", "bob")
    await one.ask(type="unsubscribe", topics=[ROOM])
    assert await alice.changes_so_far() == []
    await other.ask(type="unsubscribe", topics=[ROOM])
    assert await alice.changes_so_far() == [("leave", "bob")]


@pytest.mark.parametrize("way", ["logout", "disable"])
async def test_one_who_is_sent_away_is_gone_at_once(hub: HubProcess, tokens: dict[str, str], way: str) -> None:
    alice = Member(hub, tokens["alice"])
    await alice.come()
    name = f"guest-{way}"
    token = hub.add_user(name, subscribe=["room:*"])
    tabs = [Member(hub, token) for _ in range(3)]
    for tab in tabs:
        await tab.come()
    assert await alice.told() == ("join", name)
    if way == "logout":
        headers = {"Authorization": f"Bearer {token}"}
        assert (await asyncio.to_thread(hub.http.post, "/v1/auth/logout", headers=headers)).status_code == 204
    else:
        await asyncio.to_thread(hub.call, "PATCH", f"/v1/users/{name}", json={"disabled": True})
    assert await alice.changes_so_far() == [("leave", name)]


async def test_services_are_not_people(hub: HubProcess, tokens: dict[str, str]) -> None:
    alice = Member(hub, tokens["alice"])
    await alice.come()
    made = hub.add_service("robot", grants={"subscribe": ["room:*"], "publish": ["room:*"]})
    form = {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": made["secret"]}
    robot = Member(hub, hub.http.post("/v1/auth/token", data=form).json()["access_token"])
    assert await robot.come() == ["alice"]
    assert await alice.changes_so_far() == []
    # It sees who comes and goes all the same.
    bob = Member(hub, tokens["bob"])
    await bob.come()
    assert await robot.told() == ("join", "bob")
    robot.socket.cut()
    assert await alice.told() == ("join", "bob")
    assert await alice.changes_so_far() == []


async def test_there_is_no_presence_where_it_is_not_on(hub: HubProcess, tokens: dict[str, str]) -> None:
    alice = await RawSocket.connect(hub.port, token=tokens["alice"], topics="orders:1")
    await alice.until("welcome")
    bob = await RawSocket.connect(hub.port, token=tokens["bob"], topics="orders:1")
    await bob.until("welcome")
    alice.say(type="ping", ref=1)
    assert (await alice.json())["type"] == "ok"
    assert hub.metrics()["hub_presence_seats"] == 0


async def test_a_chat_reaches_the_others_and_not_the_tab_it_was_typed_in(
    hub: HubProcess, tokens: dict[str, str]
) -> None:
    alice, bob, phone = (Member(hub, tokens[name]) for name in ("alice", "bob", "alice"))
    for member in (alice, bob, phone):
        await member.come()
    event = {"type": "chat.message", "data": {"text": "hello"}, "to": {"topics": [ROOM]}}
    frames = await alice.ask(type="publish", event=event)
    assert [frame["type"] for frame in frames if frame["type"] != "presence"] == ["ok"]
    cursor = frames[-1]["receipt"]["cursor"]
    for other in (bob, phone):
        said = await other.socket.until("event")
        assert (said["cursor"], said["topic"], said["event"]["source"]) == (cursor, ROOM, "user:alice")
    assert not [frame for frame in await alice.ask(type="ping") if frame["type"] == "event"]
    # With echo it comes back, once.
    frames = await alice.ask(type="publish", event=event, echo=True) + await alice.ask(type="ping")
    assert [frame["type"] for frame in frames if frame["type"] == "event"] == ["event"]
    # And where it may not, it is told so and stays connected.
    refused = (await alice.ask(type="publish", event=event | {"to": {"topics": ["orders:1"]}}))[-1]
    assert (refused["type"], refused["code"]) == ("error", "forbidden")
