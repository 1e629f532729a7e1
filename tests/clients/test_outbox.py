"""The outbox on SQLite and on PostgreSQL: what is committed is published, once, in order; what is refused is parked."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_client import AsyncPublisher, NewEvent, Publisher, PublishFailed, Refused, Rejected
from hub_client.outbox import AsyncRelay, Outbox, Parked, Progress, Relay, Status
from hub_client.outbox._round import Round, Row
from sqlalchemy import MetaData, create_engine, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.hub_process import HubProcess, clean_environment

from .fake_hub import FakeHub
from .outbox_app import Base, Order, outbox
from .test_publisher import published, publisher_of

pytestmark = [pytest.mark.anyio]

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database with the tables of the application: ``<dialect>+<async driver>://…``."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'app.db'}"
    else:
        url = request.getfixturevalue("postgres").empty_database().replace("postgresql:", "postgresql+asyncpg:")

    async def make() -> None:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        await engine.dispose()

    thread = threading.Thread(target=lambda: asyncio.run(make()))
    thread.start()
    thread.join()
    return url


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(database, poolclass=NullPool)
    yield made
    await made.dispose()


async def waiting(engine: AsyncEngine) -> Status:
    async with engine.connect() as connection:
        return Status.read((await connection.execute(outbox.select_status())).one())


async def add(engine: AsyncEngine, *numbers: int, key: str | None = "k") -> None:
    async with AsyncSession(engine) as session, session.begin():
        for number in numbers:
            outbox.add(session, "n", number, topics=["x"], key=key, id=f"id-{number}")


def sent(hub: FakeHub) -> list[Any]:
    return [event["data"] for body in published(hub) for event in body]


# --- Within the transaction


async def test_what_is_committed_is_published_and_nothing_else(engine: AsyncEngine, hub: FakeHub) -> None:
    async with AsyncSession(engine) as session:
        session.add(Order(name="one"))
        first = outbox.add(
            session, "order", {"a": "ü"}, users=["alice"], ttl=60, priority="high", display={"title": "T"}
        )
        await session.commit()
        session.add(Order(name="two"))
        outbox.add(session, "order", 2, users=["alice"], key="k")
        await session.flush()
        await session.rollback()
        nested = outbox.add(session, "order", 3, users=["alice"], key="k", id="mine")
        await session.commit()
    assert nested == "mine"
    async with publisher_of(hub) as publisher:
        relay = AsyncRelay(engine, outbox, publisher)
        assert await relay.drain() == 2
        assert await relay.drain() == 0
    assert published(hub) == [
        [
            {
                "id": first,
                "type": "order",
                "data": {"a": "ü"},
                "to": {"users": ["alice"]},
                "ttl": 60,
                "priority": "high",
                "display": {"title": "T"},
            },
            {"id": "mine", "type": "order", "data": 3, "to": {"users": ["alice"]}},
        ]
    ]
    assert await waiting(engine) == Status(0, 0, 0.0)


async def test_order_is_that_of_adding_also_in_one_flush(engine: AsyncEngine, hub: FakeHub) -> None:
    await add(engine, *range(1500))
    async with publisher_of(hub) as publisher:
        assert await AsyncRelay(engine, outbox, publisher, limit=400).drain() == 1500
    assert sent(hub) == list(range(1500))
    assert max(len(body) for body in published(hub)) == 400


async def test_plain_connections_and_sync_sessions(engine: AsyncEngine, database: str, hub: FakeHub) -> None:
    async with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(outbox.lock("k"))
        await connection.execute(outbox.insert({"type": "n", "data": 1, "topics": ["x"]}, key="k"))
    plain = create_engine(database.replace("+aiosqlite", "").replace("+asyncpg", "+psycopg"), poolclass=NullPool)
    with Session(plain) as session, session.begin():
        outbox.add_event(session, NewEvent("n", 2, topics=["x"]), key="k")
        outbox.add(session, "n", 3, topics=["x"], key="j")
    rounds: list[Progress] = []

    def work() -> int:
        with Publisher(hub.url, token="t") as publisher:
            relay = Relay(plain, outbox, publisher, poll=60, on_progress=rounds.append)
            count = relay.drain()
            running = threading.Thread(target=relay.run)
            running.start()
            with Session(plain) as session, session.begin():
                outbox.add(session, "n", 4, topics=["x"])
            while not any(progress.sent for progress in rounds):
                relay.wake()
                time.sleep(0.01)
            relay.stop()
            running.join(20)
            assert not running.is_alive()
            return count

    assert await asyncio.to_thread(work) == 3
    assert sent(hub) == [1, 2, 3, 4]
    plain.dispose()


def test_what_cannot_be_added() -> None:
    with Session() as session:
        with pytest.raises(ValueError, match="target"):
            outbox.add(session, "n")
        with pytest.raises(TypeError):
            outbox.add(session, "n", object(), all=True)
        with pytest.raises(ValueError, match="key has 1 to 200"):
            outbox.add(session, "n", all=True, key="")
        with pytest.raises(ValueError, match="ephemeral"):
            outbox.add_event(session, NewEvent("n", all=True, durable=False))
        assert not session.new


def test_the_table_can_be_named() -> None:
    made = Outbox(MetaData(), "events_to_send", schema="shop")
    assert made.table.fullname == "shop.events_to_send"


# --- What the hub says


def refusing(hub: FakeHub, *numbers: int) -> None:
    async def http(call: Any) -> Any:
        if call.path == "/v1/events":
            for index, event in enumerate(call.json):
                if event["data"] in numbers:
                    problem = {"title": "no", "detail": "Not this one.", "code": "event_invalid", "status": 422}
                    return 422, problem | ({"index": index} if len(call.json) > 1 else {})
        return None

    hub.on_http = http


async def test_poison_is_parked_and_holds_up_nothing(engine: AsyncEngine, hub: FakeHub) -> None:
    await add(engine, *range(6))
    refusing(hub, 2, 5)
    rounds: list[Progress] = []
    async with publisher_of(hub) as publisher:
        relay = AsyncRelay(engine, outbox, publisher, on_progress=rounds.append)
        assert await relay.drain() == 4
        status = await waiting(engine)
        assert (status.waiting, status.parked, status.lag) == (0, 2, 0.0)
        async with engine.begin() as connection:
            parked = [Parked.read(row) for row in await connection.execute(outbox.select_parked())]
            assert [(one.id, one.key, one.body["data"], one.code, one.reason) for one in parked] == [
                ("id-2", "k", 2, "event_invalid", "Not this one."),
                ("id-5", "k", 5, "event_invalid", "Not this one."),
            ]
            assert abs(parked[0].parked_at - time.time()) < 60
            await connection.execute(outbox.discard(["id-5"]))
            await connection.execute(outbox.retry())
        hub.calls.clear()
        refusing(hub)
        assert await relay.drain() == 1
    assert sent(hub) == [2]


async def test_a_hub_that_is_away_is_waited_for(engine: AsyncEngine, hub: FakeHub) -> None:
    await add(engine, 1, 2)
    gone = True

    async def http(call: Any) -> Any:
        return (503, "away") if gone and call.path == "/v1/events" else None

    hub.on_http = http
    rounds: list[Progress] = []
    async with publisher_of(hub, timeout=0.1) as publisher:
        relay = AsyncRelay(engine, outbox, publisher, poll=0.05, on_progress=rounds.append)
        with pytest.raises(PublishFailed):
            await relay.drain()
        running = asyncio.create_task(relay.run())
        async with asyncio.timeout(20):
            while len(rounds) < 2:
                await asyncio.sleep(0.01)
            assert isinstance(rounds[-1].error, PublishFailed)
            assert rounds[-1].lag > 0
            gone = False
            while not [progress for progress in rounds if progress.sent == 2 and progress.lag == 0]:
                await asyncio.sleep(0.01)
        relay.stop()
        await running
    assert await waiting(engine) == Status(0, 0, 0.0)


async def test_credentials_that_are_refused_park_nothing(engine: AsyncEngine, hub: FakeHub) -> None:
    await add(engine, 1)

    async def http(call: Any) -> Any:
        return 401, {"title": "no", "detail": "No.", "code": "user_disabled", "status": 401}

    hub.on_http = http
    async with publisher_of(hub) as publisher:
        with pytest.raises(Rejected):
            await AsyncRelay(engine, outbox, publisher).run()
    async with AsyncPublisher(hub.url, token="t") as publisher:
        with pytest.raises(Refused):
            await AsyncRelay(engine, outbox, publisher).run()
    assert (await waiting(engine)).parked == 0


def test_a_round_searches_for_what_is_refused() -> None:
    done = Round([Row(n, str(n), None, "{}") for n in range(8)])
    while (batch := done.next()) is not None:
        if "5" in batch.ids:
            done.refused(Refused("event_invalid", "no", 422))  # It does not say which.
        else:
            done.acknowledged()
    assert [row.id for row in done.sent] == [0, 1, 2, 3, 4, 6, 7]
    assert [row.id for row, _ in done.parked] == [5]


# --- Several at once


@on_postgresql
async def test_two_relays_share_the_keys(engine: AsyncEngine, hub: FakeHub) -> None:
    """While one is at a key, the other does not overtake it there, and goes on with the others."""
    await add(engine, 0, 1, key="a")
    began, gate = asyncio.Event(), asyncio.Event()

    async def http(call: Any) -> Any:
        if call.path == "/v1/events" and any(event["data"] == 0 for event in call.json):
            began.set()
            await gate.wait()

    hub.on_http = http
    async with publisher_of(hub) as publisher:
        one, two = (AsyncRelay(engine, outbox, publisher) for _ in range(2))
        first = asyncio.create_task(one.drain())
        await began.wait()
        await add(engine, 2, 3, key="a")
        await add(engine, 4, key="b")
        await add(engine, 5, key=None)
        assert await two.drain() == 2
        gate.set()
        await first
        await two.drain()
    order = sent(hub)
    assert order == [0, 1, 4, 5, 2, 3]


@on_postgresql
async def test_older_ones_of_a_relay_that_died_go_first(
    engine: AsyncEngine, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the rows and the lock of the key, the other relay may end without having sent its rows."""
    await add(engine, 0, key="a")
    other = await engine.connect()
    await other.execute(select(outbox.table).with_for_update())
    await add(engine, 1, key="a")
    async with publisher_of(hub) as publisher:
        relay = AsyncRelay(engine, outbox, publisher)
        own_keys = relay._store._own_keys

        def died_meanwhile(connection: Any, first: Any) -> set[str]:
            monkeypatch.setattr(relay._store, "_own_keys", own_keys)
            from sqlalchemy.util import await_only

            await_only(other.close())
            return own_keys(connection, first)

        monkeypatch.setattr(relay._store, "_own_keys", died_meanwhile)
        assert await relay.drain() == 0
        assert await relay.drain() == 2
    assert sent(hub) == [0, 1]


@on_postgresql
@pytest.mark.parametrize("locked", [0, 1, 2])
async def test_what_another_relay_holds_is_not_passed_by(engine: AsyncEngine, hub: FakeHub, locked: int) -> None:
    """A relay that does not have a key yet has locked some of its rows: perhaps not the first of them."""
    await add(engine, 0, 1, 2, key="a")
    await add(engine, 3, key="b")
    async with engine.connect() as other:
        held = select(outbox.table).where(outbox.table.c.event_id == f"id-{locked}").with_for_update()
        await other.execute(held)
        async with publisher_of(hub) as publisher:
            await AsyncRelay(engine, outbox, publisher).drain()
            assert sent(hub) == [*range(locked), 3]
            await other.rollback()
            await AsyncRelay(engine, outbox, publisher).drain()
    assert sent(hub) == [*range(locked), 3, *range(locked, 3)]


@on_postgresql
async def test_of_one_key_the_order_is_that_of_the_commits(engine: AsyncEngine, hub: FakeHub) -> None:
    """Who flushed first commits first: the other waits. Of other keys nobody waits."""
    async with AsyncSession(engine) as one, AsyncSession(engine) as two, AsyncSession(engine) as three:
        outbox.add(one, "n", 1, topics=["x"], key="a")
        await one.flush()
        outbox.add(two, "n", 2, topics=["x"], key="a")
        second = asyncio.create_task(two.commit())
        outbox.add(three, "n", 3, topics=["x"], key="b")
        await three.commit()
        done, _ = await asyncio.wait([second], timeout=0.3)
        assert not done
        await one.commit()
        await second
    async with publisher_of(hub) as publisher:
        await AsyncRelay(engine, outbox, publisher).drain()
    assert [number for number in sent(hub) if number != 3] == [1, 2]


# --- kill -9


class Process:
    """One of ``outbox_app``'s, and the lines that it printed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.clients.outbox_app", *arguments],
            env=clean_environment() | {"PYTHONASYNCIODEBUG": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.lines) < count:
            assert self.process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def spawn() -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def start(*arguments: str) -> Process:
        made.append(Process(*arguments))
        return made[-1]

    yield start
    for each in made:
        each.kill()


@pytest.mark.timeout(240)
async def test_application_relays_and_hub_are_killed(
    database: str, start_hub: Callable[..., HubProcess], spawn: Callable[..., Process], engine: AsyncEngine
) -> None:
    """Whatever is killed when: what was committed is in the log, once, each key in its order, and nothing else is."""
    hub = start_hub()
    made = hub.add_service("shop")
    several = database.startswith("postgresql")

    def relays() -> list[Process]:
        return [spawn("relay", database, hub.url, made["id"], made["secret"]) for _ in range(1 + several)]

    def work() -> None:
        running = relays()
        for life in range(1 + several):
            writer = spawn("write", database, f"life{life}")
            writer.wait_for(20)
            running[0].wait_for(2)
            running[0].kill()
            writer.wait_for(35)
            writer.kill()
            if life == 0:
                hub.kill()
                hub.start()
            running[:1] = relays()[:1]

    await asyncio.to_thread(work)
    async with asyncio.timeout(60):
        while (await waiting(engine)).waiting:
            await asyncio.sleep(0.05)
    assert (await waiting(engine)).parked == 0
    async with engine.connect() as connection:
        committed = {name for (name,) in await connection.execute(select(Order.name))}
        assert await connection.scalar(select(func.count()).select_from(Order)) == len(committed)
    log: list[Any] = []
    after = "earliest"
    while True:
        page = hub.call("GET", "/v1/events", params={"topics": "orders", "after": after, "limit": "1000"})
        log += [entry["event"]["data"] for entry in page["events"]]
        after = page["cursor"]
        if not page["more"]:
            break
    assert set(Counter((life, number, part) for life, number, part in log).values()) == {1}
    assert {f"{life}-{number}" for life, number, _ in log} == committed
    assert len(log) == 2 * len(committed)
    for key in range(3):
        mine = [(life, number, part) for life, number, part in log if number % 3 == key]
        assert mine == sorted(mine)
