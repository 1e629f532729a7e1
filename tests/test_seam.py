"""The seam between the log and the tail: whatever the interleaving, a reader gets every event of its topics once, in
order. The real hub on the real embedded engine; only the transport is a stand-in that fills and empties at will."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub import wire
from hub.engine.sqlite import SqliteEngine
from hub.hub import Hub, Limits
from hub.model import Grants, Page, Principal, Topic
from hub.publication import Publication, Target
from hub.session import Session

from .fakes import FakeLink

PUBLISHER = Principal("billing", "service", "s1", time.time() + 3600, grants=Grants(publish=("*", "user:*", "all")))
TOPICS = ["a", "b", "c"]


def reader_principal(name: str = "alice") -> Principal:
    return Principal(name, "user", "s2", time.time() + 3600, grants=Grants(subscribe=("*",)))


class Reader:
    """A client that remembers its cursor, and what it was sent over all its connections."""

    def __init__(self, hub: Hub, topics: list[str]) -> None:
        self.hub = hub
        self.topics = topics
        self.cursor: str | None = None
        self.seen: list[int] = []
        self.resets = 0
        self.link = FakeLink()
        self.session: Session | None = None

    def connect(self) -> None:
        self.link = FakeLink()
        self.session = self.hub.open(
            reader_principal(),
            self.link,
            client="reader-tab",
            address="test",
            topics=[Topic(name) for name in self.topics],
            after=self.cursor,
        )
        session, link = self.session, self.link
        link.on_full = lambda: self.hub.blocked(session)

    def set_room(self, room: int | None) -> None:
        """The transport takes ``room`` more bytes before it is full, or any number."""
        self.link.room = room
        self.link.writable = room is None or room > 0
        if self.session is not None and self.link.writable:
            self.hub.unblocked(self.session)

    def take(self) -> None:
        """Read what arrived, as a client does."""
        for frame in self.link.frames():
            if frame["type"] in ("welcome", "event", "cursor", "reset") and "cursor" in frame:
                self.cursor = frame["cursor"]
            if frame["type"] == "event":
                self.seen.append(frame["event"]["data"])
            if frame["type"] == "reset":
                self.resets += 1
        self.link.written.clear()

    def disconnect(self, *, lose: bool) -> None:
        """The connection ends; ``lose``: with what was written and never arrived."""
        if not lose:
            self.take()
        if self.session is not None:
            self.hub.close(self.session)
            self.session = None


def make_hub(directory: str, **limits: Any) -> Hub:
    engine = SqliteEngine(Path(directory) / "log.db", retention_age=1e6, retention_bytes=1 << 30, dedupe_window=100)
    bounds = {
        "max_event_bytes": 65536,
        "max_connections": 1000,
        "max_topics": 100,
        "outbox_bytes": 4096,
        "recent_bytes": 0,
        "stall_timeout": 100,
        "cursor_interval": 0.3,
        "ping_interval": 20,
    } | limits
    return Hub(engine, Limits(**bounds), presence_topics=(), presence_grace=0)


def forget(hub: Hub) -> None:
    """Let what was published so far be found in the log only."""
    hub.recent.start(hub.engine.epoch, hub.tail)


async def publish(hub: Hub, number: int, to: list[str], size: int = 0) -> None:
    event = Publication(type="n" + "x" * (size or 1), data=number, to=Target(topics=to))
    await hub.publish(PUBLISHER, [event])


_topics = st.lists(st.sampled_from(TOPICS), min_size=1, max_size=3, unique=True)
_action = st.one_of(
    st.tuples(st.just("publish"), _topics, st.integers(0, 120)),
    st.tuples(st.just("burst"), _topics, st.integers(1, 30)),
    st.tuples(st.just("turn"), st.integers(1, 5)),
    st.tuples(st.just("room"), st.one_of(st.none(), st.integers(0, 3000))),
    st.tuples(st.just("take")),
    st.tuples(st.just("drop"), st.booleans()),
    st.tuples(st.just("connect")),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(followed=_topics, actions=st.lists(_action, max_size=40), recent=st.sampled_from([0, 5000, 1 << 20]))
def test_a_reader_gets_every_event_once_in_order(
    followed: list[str], actions: list[tuple[Any, ...]], recent: int
) -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as directory:
            hub = make_hub(directory, recent_bytes=recent)
            await hub.start()
            try:
                await _drive(hub, followed, actions)
            finally:
                await hub.stop()

    asyncio.run(asyncio.wait_for(scenario(), 60))


async def _drive(hub: Hub, followed: list[str], actions: list[tuple[Any, ...]]) -> None:
    reader = Reader(hub, followed)
    reader.connect()
    reader.take()
    await asyncio.sleep(0)
    reader.take()
    expected: list[int] = []
    number = 0
    pending: list[asyncio.Task[None]] = []
    for action in actions:
        match action:
            case ("publish", to, size):
                number += 1
                await publish(hub, number, to, size)
                if set(to) & set(followed):
                    expected.append(number)
            case ("burst", to, count):
                events = [Publication(type="n", data=number + i + 1, to=Target(topics=to)) for i in range(count)]
                pending.append(asyncio.create_task(_publish_all(hub, events)))
                if set(to) & set(followed):
                    expected += range(number + 1, number + count + 1)
                number += count
                await asyncio.sleep(0)
            case ("turn", turns):
                for _ in range(turns):
                    await asyncio.sleep(0.001)
            case ("room", room):
                reader.set_room(room)
            case ("take",):
                reader.take()
            case ("drop", lose):
                reader.disconnect(lose=lose)
            case ("connect",):
                if reader.session is None:
                    reader.connect()
        if action[0] != "burst" and pending:
            # Bursts are handed to the log in order; what follows must not overtake them, or `expected` would lie.
            await asyncio.gather(*pending)
            pending.clear()
        assert len(set(reader.seen)) == len(reader.seen)
    await asyncio.gather(*pending)
    if reader.session is None:
        reader.connect()
    reader.set_room(None)
    async with asyncio.timeout(20):
        while len(reader.seen) < len(expected) or hub.catching_up:
            await asyncio.sleep(0.002)
            reader.take()
    reader.take()
    assert reader.seen == expected
    assert reader.resets == 0


async def _publish_all(hub: Hub, events: list[Publication]) -> None:
    await hub.publish(PUBLISHER, events)


pytestmark = pytest.mark.anyio


async def test_subscribing_while_catching_up_skips_nothing(tmp_path: Path) -> None:
    hub = make_hub(str(tmp_path))
    await hub.start()
    try:
        start = str(hub.cursor(0))
        for number in range(1, 601):
            await publish(hub, number, ["a" if number % 2 else "b"])
        reader = Reader(hub, ["a"])
        reader.cursor = start
        reader.connect()
        await asyncio.sleep(0)
        assert reader.session is not None
        hub.subscribe(reader.session, [Topic("b")])
        async with asyncio.timeout(10):
            while hub.catching_up:
                await asyncio.sleep(0.002)
        await asyncio.sleep(0)
        reader.take()
        assert reader.seen == list(range(1, 601)), "it was nowhere yet, so everything of b follows too"
    finally:
        await hub.stop()


async def test_a_cursor_of_another_log_is_told_and_everything_retained_follows(tmp_path: Path) -> None:
    hub = make_hub(str(tmp_path))
    await hub.start()
    try:
        await publish(hub, 1, ["a"])
        reader = Reader(hub, ["a"])
        for foreign in ("abcdef123456:7", str(hub.cursor(99))):
            reader.seen.clear()
            reader.cursor = foreign
            reader.connect()
            async with asyncio.timeout(10):
                while not reader.seen:
                    await asyncio.sleep(0.002)
                    [reset] = reader.link.frames("reset") or [{"reason": "replaced"}]
                    assert reset["reason"] == "replaced"
                    reader.take()
            reader.disconnect(lose=False)
            assert reader.seen == [1]
        assert reader.resets == 2
    finally:
        await hub.stop()


async def test_what_a_client_published_is_not_sent_back_to_it_even_when_it_resumes(tmp_path: Path) -> None:
    hub = make_hub(str(tmp_path))
    await hub.start()
    try:
        own, other = Reader(hub, ["a"]), Reader(hub, ["a"])
        own.connect()
        await asyncio.sleep(0)
        own.disconnect(lose=False)
        for number, exclude in ((1, ("reader-tab",)), (2, ())):
            event = Publication(type="n", data=number, to=Target(topics=["a"]))
            await hub.publish(PUBLISHER, [event], exclude=exclude)
        own.connect()
        other.cursor = own.cursor
        async with asyncio.timeout(10):
            while hub.catching_up:
                await asyncio.sleep(0.002)
        await asyncio.sleep(0)
        own.take()
        assert own.seen == [2]
    finally:
        await hub.stop()


async def test_two_people_may_call_their_clients_the_same(tmp_path: Path) -> None:
    hub = make_hub(str(tmp_path))
    await hub.start()
    try:
        alice, bob = Reader(hub, ["a"]), Reader(hub, ["a"])
        alice.connect()
        link = bob.link = FakeLink()
        bob.session = hub.open(reader_principal("bob"), link, client="reader-tab", address="test", topics=[Topic("a")])
        assert alice.session is not None
        event = Publication(type="n", data=1, to=Target(topics=["a"]))
        await hub.publish(PUBLISHER, [event], exclude=(alice.session.own_name,))
        await asyncio.sleep(0)
        alice.take()
        bob.take()
        assert (alice.seen, bob.seen) == ([], [1])
        bob.disconnect(lose=False)
        bob.session = hub.open(
            reader_principal("bob"), link, client="reader-tab", address="test", topics=[Topic("a")], after="earliest"
        )
        async with asyncio.timeout(10):
            while hub.catching_up:
                await asyncio.sleep(0.002)
        await asyncio.sleep(0)
        bob.take()
        assert bob.seen == [1, 1]
    finally:
        await hub.stop()


async def test_a_page_never_overtakes_an_answer(tmp_path: Path) -> None:
    """If the transport fills while a page is read, what waits goes first: a cursor in it must not move back."""
    hub = make_hub(str(tmp_path))
    read = hub.engine.read
    reader = Reader(hub, ["a"])

    async def read_and_get_blocked(*args: Any) -> Page:
        page = await read(*args)
        if reader.session is not None and not reader.link.frames("ok"):
            reader.set_room(0)
            reader.session.outbox.control(wire.ok(1, cursor=str(hub.place(reader.session))))
            asyncio.get_running_loop().call_later(0.05, reader.set_room, None)
        return page

    await hub.start()
    try:
        reader.cursor = str(hub.cursor(0))
        for number in range(1, 6):
            await publish(hub, number, ["a"])
        forget(hub)
        hub.engine.read = read_and_get_blocked  # type: ignore[method-assign]
        reader.connect()
        async with asyncio.timeout(10):
            while hub.catching_up or len(reader.link.frames("event")) < 5:
                await asyncio.sleep(0.002)
        kinds = [frame["type"] for frame in reader.link.frames()]
        assert kinds == ["welcome", "ok", *["event"] * 5, "cursor"]
    finally:
        await hub.stop()


async def test_a_quiet_client_is_told_a_young_cursor(tmp_path: Path) -> None:
    hub = make_hub(str(tmp_path))
    await hub.start()
    try:
        reader = Reader(hub, ["a"])
        reader.connect()
        await publish(hub, 1, ["b"])
        async with asyncio.timeout(10):
            while not reader.link.frames("cursor"):
                await asyncio.sleep(0.02)
        reader.take()
        assert reader.cursor == str(hub.cursor(hub.tail))
    finally:
        await hub.stop()


async def test_an_event_that_the_tail_hands_out_while_the_last_page_is_read_is_not_lost(tmp_path: Path) -> None:
    hub = make_hub(str(tmp_path))
    read = hub.engine.read
    late = 3

    async def read_and_be_overtaken(*args: Any) -> Page:
        nonlocal late
        page = await read(*args)
        if late:
            late -= 1
            await publish(hub, hub.tail + 1, ["a"])
            forget(hub)
        return page

    hub.engine.read = read_and_be_overtaken  # type: ignore[method-assign]
    await hub.start()
    try:
        reader = Reader(hub, ["a"])
        reader.cursor = str(hub.cursor(0))
        await publish(hub, 1, ["a"])
        forget(hub)
        reader.connect()
        async with asyncio.timeout(10):
            while hub.catching_up:
                await asyncio.sleep(0.002)
        await publish(hub, 5, ["a"])
        await asyncio.sleep(0)
        reader.take()
        assert reader.seen == [1, 2, 3, 4, 5]
    finally:
        await hub.stop()
