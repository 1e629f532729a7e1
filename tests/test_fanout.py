"""Fan-out: every session gets what it follows, once, in order, whatever is joined and shared on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.fanout import Fanout
from hub.model import Draft, Entry, Principal, Topic
from hub.outbox import Outbox, Setup
from hub.recent import Recent
from hub.registry import Registry
from hub.session import Session
from hub.tick import Flushable

from .fakes import FakeLink

TOPICS = [Topic(name) for name in "abcd"]


class Bench:
    """Sessions of given topics on fake links."""

    def __init__(self, *follows: set[Topic]) -> None:
        self.due: list[Flushable] = []
        self.registry = Registry()
        self.recent = Recent(1 << 20)
        self.recent.start("e", 0)
        self.fanout = Fanout(self.registry, self.recent, lambda: "e", self.due.append)
        setup = Setup(1 << 20, self.due.append, lambda owner: None)
        self.links = []
        for number, topics in enumerate(follows):
            link = FakeLink()
            outbox = Outbox(link, setup, position=0, live=True)
            principal = Principal(f"u{number}", "user", "s", 0)
            self.registry.add(
                Session(principal, f"client-{number}", "test", link, outbox, frozenset(topics), 0, f"c_{number}")
            )
            self.links.append(link)

    def tick(self) -> None:
        while self.due:
            self.due.pop(0).flush()

    def got(self, number: int) -> list[tuple[str, Any]]:
        """(topic, data) of each event that a session was sent."""
        return [(frame["topic"], frame["event"]["data"]) for frame in self.links[number].frames("event")]


def entry(seq: int, topics: list[Topic], exclude: tuple[str, ...] = (), size: int = 0) -> Entry:
    body = json.dumps({"id": str(seq), "type": "t", "pad": "x" * size, "data": seq}).encode()
    return Entry(seq, tuple(topics), body, exclude)


def draft(number: int, topics: list[Topic], exclude: tuple[str, ...] = ()) -> Draft:
    made = entry(number, topics)
    return Draft(id=str(number), topics=made.topics, body=made.body, time=0, durable=False, exclude=exclude)


_topics = st.lists(st.sampled_from(TOPICS), min_size=1, max_size=4, unique=True)
_follows = st.lists(st.sets(st.sampled_from(TOPICS)), min_size=1, max_size=5)
_events = st.lists(
    st.tuples(_topics, st.lists(st.sampled_from(["client-0", "client-1"]), unique=True, max_size=2)), max_size=25
)


def due(topics: set[Topic], client: str, events: list[tuple[list[Topic], list[str]]]) -> list[tuple[str, int]]:
    """What a plain reading of the promise gives."""
    return [
        (next(name for name in to if name in topics), number)
        for number, (to, exclude) in enumerate(events, 1)
        if topics & set(to) and client not in exclude
    ]


@pytest.mark.parametrize("durable", [True, False])
@given(follows=_follows, events=_events, cuts=st.sets(st.integers(1, 24)))
def test_each_session_gets_what_it_follows(
    durable: bool, follows: list[set[Topic]], events: list[tuple[list[Topic], list[str]]], cuts: set[int]
) -> None:
    bench = Bench(*follows)
    group: list[Entry] = []
    for number, (to, exclude) in enumerate(events, 1):
        if durable:
            group.append(entry(number, to, tuple(exclude)))
            if number in cuts or number == len(events):
                bench.fanout.durable(group)
                group = []
        else:
            bench.fanout.ephemeral(draft(number, to, tuple(exclude)))
            if number in cuts:
                bench.tick()
    bench.tick()
    for number, topics in enumerate(follows):
        assert bench.got(number) == due(topics, f"client-{number}", events)


def test_receivers_of_the_same_topics_share_the_bytes() -> None:
    a, b = TOPICS[:2]
    bench = Bench({a, b}, {a, b}, {a}, {a})
    parts: list[list[Any]] = [[] for _ in bench.links]
    for link, seen in zip(bench.links, parts, strict=True):
        link.write = lambda sent, seen=seen: seen.extend(sent)  # type: ignore[method-assign]
    bench.fanout.durable([entry(1, [a]), entry(2, [b]), entry(3, [a, b])])
    bench.tick()
    assert [len(seen) for seen in parts] == [1, 1, 1, 1], "one part each, whatever the number of events"
    assert parts[0][0] is parts[1][0]
    assert parts[2][0] is parts[3][0]
    assert parts[0][0].seqs == [1, 2, 3]
    assert bench.fanout.offered == 2 * 3 + 2 * 2


def test_a_large_group_goes_out_in_bounded_pieces() -> None:
    bench = Bench({TOPICS[0]})
    bench.fanout.durable([entry(seq, [TOPICS[0]], size=1000) for seq in range(1, 201)])
    bench.tick()
    assert [data for _, data in bench.got(0)] == list(range(1, 201))


def test_nobody_listening_costs_no_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench({TOPICS[0]})
    monkeypatch.setattr("hub.wire.event_frame", lambda *_: pytest.fail("encoded for nobody"))
    bench.fanout.durable([entry(1, [TOPICS[1]])])
    assert bench.fanout.offered == 0
