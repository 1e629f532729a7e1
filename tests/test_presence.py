"""From connections to people: one join and one leave a person, and none for a page that reloads."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import Principal, Topic
from hub.presence import Presence

pytestmark = pytest.mark.anyio

LOBBY, ORDERS = Topic("chat:lobby"), Topic("orders")


def person(name: str) -> Principal:
    return Principal(name, "user", "s", 0)


class Told:
    """What presence told the engine."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def touch(self, topic: Topic, user: str) -> None:
        self.calls.append(("join", user))

    def leave(self, topic: Topic, user: str) -> None:
        self.calls.append(("leave", user))


async def test_one_join_and_one_leave_whatever_the_number_of_tabs() -> None:
    told = Told()
    presence = Presence(told, ["chat:*"], grace=0)
    for _ in range(3):
        presence.join(person("alice"), LOBBY)
    for _ in range(3):
        presence.leave(person("alice"), LOBBY, at_once=False)
    assert told.calls == [("join", "alice"), ("leave", "alice")]
    assert len(presence) == 0


async def test_a_reload_within_the_grace_is_not_told() -> None:
    told = Told()
    presence = Presence(told, ["chat:*"], grace=0.2)
    presence.join(person("alice"), LOBBY)
    presence.leave(person("alice"), LOBBY, at_once=False)
    await asyncio.sleep(0.05)
    presence.join(person("alice"), LOBBY)
    await asyncio.sleep(0.3)
    assert told.calls == [("join", "alice")]
    presence.leave(person("alice"), LOBBY, at_once=False)
    async with asyncio.timeout(5):
        while len(told.calls) < 2:
            await asyncio.sleep(0.01)
    assert told.calls[-1] == ("leave", "alice")
    assert len(presence) == 0


async def test_leaving_on_purpose_is_told_at_once() -> None:
    told = Told()
    presence = Presence(told, ["chat:*"], grace=60)
    presence.join(person("alice"), LOBBY)
    presence.leave(person("alice"), LOBBY, at_once=True)
    assert told.calls == [("join", "alice"), ("leave", "alice")]


async def test_only_people_and_only_where_it_is_on() -> None:
    told = Told()
    presence = Presence(told, ["chat:*"], grace=0)
    presence.join(person("alice"), ORDERS)
    presence.join(Principal("billing", "service", "s", 0), LOBBY)
    presence.leave(Principal("billing", "service", "s", 0), LOBBY, at_once=True)
    presence.leave(person("alice"), ORDERS, at_once=True)
    presence.leave(person("bob"), LOBBY, at_once=True)
    assert told.calls == []
    assert not presence.is_on(ORDERS)


@given(st.lists(st.tuples(st.sampled_from(["alice", "bob"]), st.booleans()), max_size=40))
async def test_joins_and_leaves_alternate(moves: list[tuple[str, bool]]) -> None:
    told = Told()
    presence = Presence(told, ["chat:*"], grace=0)
    tabs = {"alice": 0, "bob": 0}
    for name, comes in moves:
        if comes:
            presence.join(person(name), LOBBY)
        else:
            presence.leave(person(name), LOBBY, at_once=False)
        tabs[name] = max(0, tabs[name] + (1 if comes else -1))
        for user, count in tabs.items():
            own = [kind for kind, who in told.calls if who == user]
            assert own == (["join", "leave"] * len(own))[: len(own)]
            assert (len(own) % 2 == 1) == (count > 0)
