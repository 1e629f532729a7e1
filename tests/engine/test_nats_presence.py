"""Who is where, as the nodes tell each other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hub.engine import nats_presence

from .nodes import NEWS, OpenNode, until

pytestmark = pytest.mark.anyio


async def test_presence_spans_the_nodes_and_ends_with_a_node(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_presence, "_SILENCE", 1.5)
    monkeypatch.setattr(nats_presence, "_HEARTBEAT", 0.3)
    async with open_node() as (one, at_one):
        one.touch(NEWS, "alice")
        async with open_node() as (two, at_two):
            await until(lambda: two.members(NEWS) == {"alice"})
            two.touch(NEWS, "alice")
            two.touch(NEWS, "bob")
            await until(lambda: one.members(NEWS) == {"alice", "bob"})
            one.leave(NEWS, "alice")
            one.touch(NEWS, "carol")
            await until(lambda: "carol" in two.members(NEWS))
            assert two.members(NEWS) == {"alice", "bob", "carol"}, "alice is on the other node still"
            assert one.nodes == two.nodes == 2
        await until(lambda: one.members(NEWS) == {"carol"}, within=1)
        told = [(change.user, change.joined) for change in at_one.presence]
        assert told == [("alice", True), ("bob", True), ("carol", True)] + [
            (user, False) for user, joined in told[3:] if not joined
        ]
        assert {user for user, _ in told[3:]} == {"alice", "bob"}
        assert ("carol", True) in [(change.user, change.joined) for change in at_two.presence]
        async with open_node() as (three, _):
            three.touch(NEWS, "dora")
            await until(lambda: "dora" in one.members(NEWS))
            # kill -9: no goodbye.
            three._presence._heart.cancel()  # type: ignore[union-attr]
            await three._link.close()
            await until(lambda: "dora" not in one.members(NEWS), within=4)


async def test_a_change_that_gets_lost_is_learned_with_the_next_heartbeat(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear, lost = nats_presence.NatsPresence._hear, 0

    def deaf(self: nats_presence.NatsPresence, message: Any) -> None:
        nonlocal lost
        if "changes" in json.loads(message.data):
            lost += 1
        else:
            hear(self, message)

    monkeypatch.setattr(nats_presence.NatsPresence, "_hear", deaf)
    async with open_node() as (one, _), open_node() as (two, _):
        one.touch(NEWS, "alice")
        await until(lambda: two.members(NEWS) == {"alice"}, within=5)
        one.leave(NEWS, "alice")
        await until(lambda: two.members(NEWS) == frozenset(), within=5)
        assert lost >= 2
