"""Crowds larger than a slice: whatever happens in the middle of a spread, everybody gets their events once, in order.

The real hub on a log that is a list, with slices so small that each handful of connections is a crowd. The machine does
everything a loop could do, in any order, one turn at a time; a plain model says what has to arrive and what must not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hub import wire
from hub.hub import Hub, Limits
from hub.model import Cursor, Draft, Entry, Grants, Principal, Topic
from hub.outbox import State
from hub.session import Session

from .fakes import FakeLink
from .list_engine import ListEngine

_T = TypeVar("_T")

TOPICS = [Topic(name) for name in "abc"]
READERS = 7
CLIENT = "client-{}"


@dataclass
class Span:
    """A time for which a reader followed a topic.

    It has to be sent what comes after ``must``; it may be sent what comes after ``may``, and nothing after ``until``.
    """

    topic: Topic
    may: int
    must: int
    until: int | None = None


@dataclass
class Reader:
    """A client that remembers its cursor, what it followed, and what it was sent over all its connections."""

    number: int
    wanted: set[Topic]
    link: FakeLink = field(default_factory=FakeLink)
    session: Session | None = None
    cursor: int | None = None
    spans: list[Span] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    signals: dict[str, list[int]] = field(default_factory=dict)
    owed: set[int] = field(default_factory=set)
    """Ephemeral events that it has to get, since it was never behind and followed their topic all the time."""

    @property
    def client(self) -> str:
        return CLIENT.format(self.number)

    def following(self) -> list[Span]:
        return [span for span in self.spans if span.until is None]

    def due(self, entry: Entry) -> bool:
        """Whether this has to be among what it gets."""
        followed = any(span.topic in entry.topics and entry.seq > span.must for span in self.following())
        return followed and self.client not in entry.exclude

    def allowed(self, entry: Entry, topic: Topic) -> bool:
        """Whether it may be sent this, under that topic."""
        return (
            topic in entry.topics
            and self.client not in entry.exclude
            and any(
                span.topic == topic and entry.seq > span.may and (span.until is None or entry.seq <= span.until)
                for span in self.spans
            )
        )


class Crowd(RuleBasedStateMachine):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for name, value in {
            "hub.fanout._SLICE": 2,
            "hub.fanout._MOST_SPREADS": 3,
            "hub.fanout._CHUNK_BYTES": 300,
            "hub.tick._SLICE": 2,
            "hub.catchup._PAGE": 3,
            "hub.catchup._PAGE_BYTES": 500,
            "hub.recent._MOST": 4,
        }.items():
            self.patch.setattr(name, value)
        self.loop = asyncio.new_event_loop()
        self.failures: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self.engine = ListEngine()
        self.signals: list[Draft] = []
        self.readers: list[Reader] = []

    @initialize(
        follows=st.lists(st.sets(st.sampled_from(TOPICS)), min_size=READERS, max_size=READERS),
        recent=st.sampled_from([0, 4000, 1 << 20]),
    )
    def begin(self, follows: list[set[Topic]], recent: int) -> None:
        limits = Limits(
            max_event_bytes=65536, max_connections=100, max_topics=10, outbox_bytes=700, recent_bytes=recent,
            stall_timeout=1000, cursor_interval=1000, ping_interval=1000,
        )  # fmt: skip
        self.hub = Hub(self.engine, limits, presence_topics=(), presence_grace=0)
        self.loop.run_until_complete(self.hub.start())
        for number, topics in enumerate(follows):
            # Most follow "a": there has to be a crowd.
            reader = Reader(number, topics | ({TOPICS[0]} if number < READERS - 2 else set()))
            self.readers.append(reader)
            self.open(reader)
        self.turn(20)

    def teardown(self) -> None:
        try:
            if self.readers:
                self.finish()
        finally:
            if self.readers:
                self.loop.run_until_complete(self.hub.stop())
            self.loop.close()
            self.patch.undo()

    # --- What the world does

    @rule(
        topics=st.lists(st.lists(st.sampled_from(TOPICS), min_size=1, max_size=3, unique=True), min_size=1, max_size=6),
        size=st.integers(0, 200),
        excluded=st.one_of(st.none(), st.none(), st.integers(0, READERS - 1)),
        hold=st.booleans(),
    )
    def publish(self, topics: list[list[Topic]], size: int, excluded: int | None, hold: bool) -> None:
        exclude = () if excluded is None else (CLIENT.format(excluded),)
        for names in topics:
            seq = self.engine.head + 1
            body = b'{"id":"x","type":"n%b","data":%d}' % (b"x" * size, seq)
            self.engine.log.append(Entry(seq, tuple(names), body, exclude))
        if not hold:
            self.deliver()

    @precondition(lambda self: self.engine.head > self.hub.tail)
    @rule()
    def deliver(self) -> None:
        self.inside(lambda: self.hub.deliver(self.engine.log[self.hub.tail :]))

    @rule(
        topics=st.lists(st.sampled_from(TOPICS), min_size=1, max_size=3, unique=True),
        size=st.integers(0, 100),
        excluded=st.one_of(st.none(), st.none(), st.integers(0, READERS - 1)),
    )
    def signal(self, topics: list[Topic], size: int, excluded: int | None) -> None:
        number = len(self.signals) + 1
        body = b'{"id":"x","type":"s%b","data":%d}' % (b"x" * size, number)
        exclude = () if excluded is None else (CLIENT.format(excluded),)
        draft = Draft(str(number), tuple(topics), body, 0, durable=False, exclude=exclude)
        self.signals.append(draft)
        for reader in self.readers:
            session = reader.session
            if session and session.outbox.state is State.LIVE and reader.link.room is None:
                followed = any(span.topic in topics for span in reader.following())
                if followed and reader.client not in exclude:
                    reader.owed.add(number)
        self.inside(lambda: self.hub.signal(draft))

    @rule(turns=st.integers(1, 4))
    def turn(self, turns: int) -> None:
        """Turns of the loop, each exactly what is ready."""
        for _ in range(turns):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    @rule(number=st.integers(0, READERS - 1), room=st.one_of(st.none(), st.integers(0, 1500)))
    def room(self, number: int, room: int | None) -> None:
        """The transport takes so many bytes more before it is full."""
        reader = self.readers[number]
        reader.link.room = room
        if room is not None:
            reader.owed.clear()
        before, reader.link.writable = reader.link.writable, room is None or room > 0
        session = reader.session
        if session is not None and reader.link.writable is not before:
            self.inside(lambda: (self.hub.unblocked if reader.link.writable else self.hub.blocked)(session))

    @rule(number=st.integers(0, READERS - 1), delay=st.integers(0, 3))
    def disk(self, number: int, delay: int) -> None:
        """How many turns a page takes from now on."""
        self.engine.delay = delay

    @rule(number=st.integers(0, READERS - 1))
    def take(self, number: int) -> None:
        """A client reads what arrived."""
        reader = self.readers[number]
        for said in reader.link.frames():
            self.read(reader, said)
        reader.link.written.clear()

    @rule(number=st.integers(0, READERS - 1), lose=st.booleans())
    def drop(self, number: int, lose: bool) -> None:
        """A connection ends; ``lose``: with all that was not read."""
        reader = self.readers[number]
        session, reader.session = reader.session, None
        if session is not None:
            self.inside(lambda: self.hub.close(session))
            if not lose:
                self.take(number)
            reader.link.written.clear()
            reader.owed.clear()

    @rule(number=st.integers(0, READERS - 1))
    def connect(self, number: int) -> None:
        if self.readers[number].session is None:
            self.open(self.readers[number])

    @rule(number=st.integers(0, READERS - 1), topic=st.sampled_from(TOPICS))
    def subscribe(self, number: int, topic: Topic) -> None:
        reader = self.readers[number]
        session = reader.session
        if session is not None and topic not in reader.wanted and self.may_ask(reader):
            self.inside(lambda: self.hub.subscribe(session, [topic]))
            reader.wanted.add(topic)
            place = self.answer(session)
            reader.spans.append(Span(topic, place, place))

    @rule(number=st.integers(0, READERS - 1), topic=st.sampled_from(TOPICS))
    def unsubscribe(self, number: int, topic: Topic) -> None:
        reader = self.readers[number]
        session = reader.session
        if session is not None and topic in reader.wanted and self.may_ask(reader):
            until = max(self.hub.tail, session.outbox.offered)
            self.inside(lambda: self.hub.unsubscribe(session, [topic]))
            reader.wanted.remove(topic)
            reader.owed.clear()
            for span in reader.following():
                if span.topic == topic:
                    span.until = until
            self.answer(session)

    @rule(number=st.integers(0, READERS - 1))
    def look(self, number: int) -> None:
        """An operator lists the connections: what is said of one's place is true."""
        reader = self.readers[number]
        session = reader.session
        if session is not None:
            place = self.inside(lambda: self.hub.place(session)).seq
            on_the_way = {frame["event"]["data"] for frame in reader.link.frames("event") if "cursor" in frame}
            for part in session.outbox._queue or ():
                if part.kind is wire.Kind.EVENTS:
                    on_the_way.update(part.seqs)  # type: ignore[union-attr]
            self.claimed(reader, place, on_the_way)

    @rule(number=st.integers(0, READERS - 1))
    def refresh(self, number: int) -> None:
        """The sweeper sends a young cursor."""
        session = self.readers[number].session
        if session is not None:
            self.inside(lambda: self.hub.refresh_cursor(session))

    @invariant()
    def all_is_well(self) -> None:
        """Nothing failed, and memory is bounded."""
        assert self.failures == []
        for reader in self.readers:
            assert not reader.link.aborted
            assert reader.link.closed is None
            if reader.session is not None:
                # What is never dropped (answers), one page, and an event may be in there besides.
                outbox = reader.session.outbox
                droppable = sum(len(p) for p in outbox._queue or () if p.kind is not wire.Kind.CONTROL)
                assert droppable <= 700 + 500 + 800

    # --- How it is done

    def inside(self, action: Callable[[], _T]) -> _T:
        """Do it as a callback of the loop would, without a turn of it."""
        asyncio._set_running_loop(self.loop)
        try:
            return action()
        finally:
            asyncio._set_running_loop(None)

    def open(self, reader: Reader) -> None:
        reader.link = FakeLink()
        grants = Grants(subscribe=("*",))
        after = None if reader.cursor is None else str(Cursor("e", reader.cursor))
        session = reader.session = self.inside(
            lambda: self.hub.open(
                Principal(f"u{reader.number}", "service", "s", 1e12, grants=grants),
                reader.link, client=reader.client, address="test", topics=sorted(reader.wanted), after=after,
            )
        )  # fmt: skip
        reader.link.on_full = lambda: self.hub.blocked(session)
        if reader.cursor is None:
            reader.spans = [Span(topic, self.hub.tail, self.hub.tail) for topic in reader.wanted]
        else:
            for span in reader.following():
                span.may = min(span.may, reader.cursor)

    def may_ask(self, reader: Reader) -> bool:
        """As connections do: no request is carried out while the client does not take what waits for it."""
        session = reader.session
        if session is None or not session.outbox.is_writable():
            return False
        self.inside(session.outbox.resume)
        return session.outbox.is_writable()

    def answer(self, session: Session) -> int:
        cursor = self.inside(lambda: self.hub.place(session))
        self.inside(lambda: session.outbox.control(wire.ok(1, topics=sorted(session.topics), cursor=str(cursor))))
        return cursor.seq

    def read(self, reader: Reader, said: dict[str, Any]) -> None:
        event = said.get("event")
        if event is not None and "cursor" not in said:
            self.read_signal(reader, event["data"], said["topic"])
            return
        seq = Cursor.parse(said["cursor"]).seq
        if event is not None:
            entry = self.engine.log[seq - 1]
            assert event["data"] == seq
            assert not reader.seen or reader.seen[-1] < seq, "in order, and once"
            assert reader.allowed(entry, said["topic"]), f"{reader.client} does not want {entry}"
            reader.seen.append(seq)
        assert said["type"] != "reset"
        self.claimed(reader, seq, set())
        reader.cursor = seq

    def read_signal(self, reader: Reader, number: int, topic: Topic) -> None:
        draft = self.signals[number - 1]
        assert topic in draft.topics
        assert reader.client not in draft.exclude
        before = reader.signals.setdefault(topic, [0])
        assert before[-1] < number, "in the order of the topic"
        assert not any(number in some for some in reader.signals.values()), "once"
        before.append(number)
        reader.owed.discard(number)

    def claimed(self, reader: Reader, place: int, on_the_way: set[int]) -> None:
        """Who is told that they were sent everything up to a place, were."""
        had = on_the_way.union(reader.seen)
        missing = [entry.seq for entry in self.engine.log[:place] if reader.due(entry) and entry.seq not in had]
        assert not missing, f"{reader.client} is at {place} without {missing}"

    def finish(self) -> None:
        """All is well again, and all arrives."""
        if self.engine.head > self.hub.tail:
            self.deliver()
        for reader in self.readers:
            if reader.session is None:
                self.open(reader)
            self.room(reader.number, None)
        for _ in range(2000):
            if not (self.hub.catching_up or self.hub._fanout._spreads or self.hub._tick._scheduled):
                break
            self.turn(1)
        else:
            raise AssertionError("it does not come to rest")
        for reader in self.readers:
            self.take(reader.number)
            self.claimed(reader, self.engine.head, set())
            assert not reader.owed, f"{reader.client} was owed {reader.owed}"
        self.all_is_well()


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestCrowd.pytestmark = [pytest.mark.timeout(900)]  # To find the smallest example takes a while, if there is one.


def test_who_falls_behind_just_as_they_are_settled_is_not_told_a_young_cursor() -> None:
    crowd = Crowd()
    try:
        crowd.begin([{TOPICS[0]}] * READERS, 0)
        # More than an outbox holds, of which the last of the crowd was offered nothing yet.
        crowd.publish([[TOPICS[0]]] * 3, 200, None, hold=False)
        reader = next(one for one in crowd.readers if one.session is not None and one.session.outbox.offered == 0)
        assert reader.session is not None
        crowd.room(reader.number, 0)
        crowd.refresh(reader.number)
        assert reader.session.outbox.state is State.CATCHING_UP
        crowd.room(reader.number, None)
        crowd.take(reader.number)
    finally:
        crowd.teardown()
