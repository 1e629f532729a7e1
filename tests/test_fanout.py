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

    def tick_once(self) -> None:
        """A turn: what is due now, and not what that brings."""
        for one in [self.due.pop(0) for _ in range(len(self.due))]:
            one.flush()

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


# --- Crowds: more than a slice. Everything at once, in any order, is in test_crowd.

A, B = TOPICS[:2]


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.fanout._SLICE", 3)


def numbers(bench: Bench, number: int) -> list[Any]:
    return [data for _, data in bench.got(number)]


@pytest.mark.usefixtures("small_slices")
def test_a_crowd_is_offered_its_share_a_slice_a_turn() -> None:
    bench = Bench(*[{A}] * 8)
    bench.fanout.durable([entry(1, [A])])
    had = []
    while bench.due:
        bench.tick_once()
        had.append(sum(bool(bench.got(number)) for number in range(8)))
    assert had[-1] == 8
    assert all(after - before <= 3 for before, after in zip([0, *had], had, strict=False))


@pytest.mark.usefixtures("small_slices")
def test_few_do_not_wait_for_a_crowd_and_nobody_gets_an_event_before_an_older_one() -> None:
    bench = Bench(*[{A}] * 8, {B}, {A, B})
    bench.fanout.durable([entry(1, [A])])
    bench.fanout.durable([entry(2, [B])])
    # Both were offered what is theirs at once, the second one what is on its way to the crowd before that.
    outboxes = [session.outbox for session in bench.registry]
    assert [outboxes[8].offered, outboxes[9].offered] == [2, 2]
    assert sum(outbox.offered == 0 for outbox in outboxes) == 8
    bench.tick()
    assert [numbers(bench, number) for number in range(10)] == [[1]] * 8 + [[2], [1, 2]]


@pytest.mark.usefixtures("small_slices")
def test_one_who_is_settled_has_all_of_the_tail_and_no_more_of_it_later() -> None:
    bench = Bench(*[{A}] * 8)
    for seq in (1, 2, 3):
        bench.fanout.durable([entry(seq, [A])])
    last = list(bench.registry)[-1]
    assert last.outbox.offered == 0
    bench.fanout.settle(last)
    assert last.outbox.offered == 3
    bench.tick()
    assert [numbers(bench, number) for number in range(8)] == [[1, 2, 3]] * 8


@pytest.mark.usefixtures("small_slices")
def test_ephemeral_events_of_a_topic_keep_their_order_behind_a_crowd() -> None:
    bench = Bench(*[{A}] * 8, {B})
    bench.fanout.ephemeral(draft(1, [A, B]))
    bench.tick_once()
    # For few, of a topic that the crowd's has, too: it may not overtake.
    bench.fanout.ephemeral(draft(2, [B]))
    bench.fanout.ephemeral(draft(3, [A]))
    bench.tick()
    assert [numbers(bench, number) for number in range(9)] == [[1, 3]] * 8 + [[1, 2]]


@pytest.mark.usefixtures("small_slices")
def test_those_who_leave_a_topic_in_the_middle_get_no_more_of_it() -> None:
    bench = Bench(*[{A, B}] * 8)
    bench.fanout.durable([entry(1, [A]), entry(2, [B]), entry(3, [A, B], exclude=("client-7",))])
    sessions = list(bench.registry)
    bench.registry.unsubscribe(sessions[6], A)
    bench.registry.remove(sessions[5])
    sessions[5].outbox.close()
    bench.tick()
    whole = [("a", 1), ("b", 2), ("a", 3)]
    got = [bench.got(number) for number in range(8)]
    # An event that comes by another topic, too, comes by that one.
    assert got == [whole] * 5 + [[], [("b", 2), ("b", 3)], whole[:2]]


@pytest.mark.usefixtures("small_slices")
def test_who_cannot_be_offered_their_events_is_cut_off_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(*[{A}] * 8)
    broken = list(bench.registry)[4]
    monkeypatch.setattr(Outbox, "offer", lambda self, chunk: _fail() if self is broken.outbox else _offer(self, chunk))
    bench.fanout.durable([entry(1, [A])])
    bench.tick()
    assert [link.aborted for link in bench.links] == [number == 4 for number in range(8)]
    assert [numbers(bench, number) for number in range(8)] == [[] if number == 4 else [1] for number in range(8)]
    assert "could not be offered its events" in caplog.text


_offer = Outbox.offer


def _fail() -> None:
    raise RuntimeError("broken")


@pytest.mark.usefixtures("small_slices")
def test_events_faster_than_a_crowd_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.fanout._MOST_SPREADS", 4)
    bench = Bench(*[{A}] * 8)
    for seq in range(1, 101):
        bench.fanout.durable([entry(seq, [A])])
        assert len(bench.fanout._spreads) <= 4
    bench.tick()
    assert [numbers(bench, number) for number in range(8)] == [list(range(1, 101))] * 8
