"""Adding to the outbox: what is committed is published, in order, and nothing else is."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from hub_client import NewEvent, Publisher
from hub_client.outbox import AsyncRelay, Outbox, Progress, Relay, Status
from sqlalchemy import MetaData, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.clients.fake_hub import FakeHub
from tests.clients.test_publisher import published, publisher_of

from .app import Order, outbox
from .table import add, sent, waiting

pytestmark = [pytest.mark.anyio]


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
        nested = outbox.add(session, "order", 3, users=["alice"], key="k", id="mine", exclude=["tab-00000001"])
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
            {"id": "mine", "type": "order", "data": 3, "to": {"users": ["alice"]}, "exclude": ["tab-00000001"]},
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
