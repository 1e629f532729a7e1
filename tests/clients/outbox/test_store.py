"""Several relays and writers on PostgreSQL: locks keep each key in the order of its commits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hub_client.outbox import AsyncRelay
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from tests.clients.fake_hub import FakeHub
from tests.clients.test_publisher import publisher_of

from .app import outbox
from .table import add, sent

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database", ["postgresql"], indirect=True)]


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
